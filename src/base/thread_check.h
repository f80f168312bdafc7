// Holds an object to one thread in debug builds: CHECK(thread_.is_current()) at the top of its methods.
#pragma once

#include <thread>

namespace miharu::base {

class ThreadCheck {
 public:
#ifndef NDEBUG
  // Binds to the first thread that asks, so that an object may be made on one thread and live on another.
  bool is_current() const {
    if (owner_ == std::thread::id{}) owner_ = std::this_thread::get_id();
    return owner_ == std::this_thread::get_id();
  }

 private:
  mutable std::thread::id owner_;
#else
  bool is_current() const {
    return true;
  }
#endif
};

}  // namespace miharu::base
