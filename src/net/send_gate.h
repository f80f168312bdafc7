// Holds up bodies that can wait while something more urgent goes over the same line.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace miharu::net {

// Of the connections whose HttpClientOptions name it; they are all on one thread. Must outlive them.
class SendGate {
 public:
  // Closed: what is in the kernel's buffers still goes out, further pieces of bodies wait.
  void set_open(bool open) {
    open_ = open;
    if (open_) wake();
  }
  // Narrow: one body at a time, and little of it under way, so that what is urgent has not much before it.
  void set_narrow(bool narrow) {
    if (narrow == narrow_) return;
    narrow_ = narrow;
    turn_ = nullptr;
    if (open_) wake();
  }
  [[nodiscard]] bool is_open() const { return open_; }
  [[nodiscard]] bool is_narrow() const { return narrow_; }

  // Whether the connection `who` may send a piece. While the gate is narrow it then has the turn until done().
  [[nodiscard]] bool may_send(const void* who) {
    if (!open_) return false;
    if (narrow_ && turn_ == nullptr) turn_ = who;
    return !narrow_ || turn_ == who;
  }
  void done(const void* who) {
    if (turn_ != who) return;
    turn_ = nullptr;
    if (open_) wake();
  }
  // Calls `then` when may_send() is worth asking again: it must be harmless when nobody waits any more.
  void wait(std::function<void()> then) { waiting_.push_back(std::move(then)); }
  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  // In the order of waiting: the first has the turn.
  void wake() {
    for (const auto& each : std::exchange(waiting_, {})) each();
  }

  bool open_ = true;
  bool narrow_ = false;
  const void* turn_ = nullptr;
  std::vector<std::function<void()>> waiting_;
};

}  // namespace miharu::net
