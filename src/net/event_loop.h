// One event loop, one thread. Callbacks run on that thread only; post() brings work from elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

namespace miharu::net {

// Callbacks, not coroutines (g++ 12 miscompiles co_await of some expressions).
class EventLoop {
 public:
  // `name` shows in top and gdb (15 characters at most).
  explicit EventLoop(std::string name);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();  // stop() and join

  void start();  // starts the thread
  void stop();   // lets running callbacks end, drops the others, joins; safe to call twice, not on the loop's
                 // own thread

  boost::asio::io_context& context() { return context_; }
  template <class Function>
  void post(Function&& function) {
    boost::asio::post(context_, std::forward<Function>(function));
  }
  // Runs `function` on the loop and waits for it to end. Never call it on the loop's own thread.
  void run_and_wait(const std::function<void()>& function);
  // Calls `function` on the loop's thread at `time`, once; a later call replaces it, and null takes it back.
  // On the loop's thread only. Unlike a timer it costs no system call: the loop's own wait ends then. For the
  // ReadCoalescer alone.
  void set_tick(std::chrono::steady_clock::time_point time, std::function<void()> function);
  [[nodiscard]] bool is_current() const { return std::this_thread::get_id() == thread_.get_id(); }

 private:
  void run();

  std::string name_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::function<void()> tick_;
  std::chrono::steady_clock::time_point tick_at_;
  std::thread thread_;
};

}  // namespace miharu::net
