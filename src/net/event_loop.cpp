#include "net/event_loop.h"

#include <future>

#include <pthread.h>

#include "base/check.h"

namespace miharu::net {

EventLoop::EventLoop(std::string name)
    : name_(std::move(name)), guard_(boost::asio::make_work_guard(context_)) {}

EventLoop::~EventLoop() {
  stop();
}

void EventLoop::start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    context_.run();
  });
}

void EventLoop::stop() {
  if (!thread_.joinable()) return;
  CHECK(!is_current());
  guard_.reset();
  context_.stop();
  thread_.join();
}

void EventLoop::run_and_wait(const std::function<void()>& function) {
  CHECK(!is_current());
  std::promise<void> done;
  post([&] {
    function();
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace miharu::net
