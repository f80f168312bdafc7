#include "net/event_loop.h"

#include <future>
#include <utility>

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
    run();
  });
}

void EventLoop::run() {
  while (!context_.stopped()) {
    if (!tick_) {
      context_.run_one();
    } else if (std::chrono::steady_clock::now() < tick_at_) {
      context_.run_one_until(tick_at_);
    } else {
      std::exchange(tick_, nullptr)();
    }
  }
}

void EventLoop::set_tick(std::chrono::steady_clock::time_point time, std::function<void()> function) {
  CHECK(is_current());
  tick_at_ = time;
  tick_ = std::move(function);
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
