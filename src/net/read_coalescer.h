// Reads of camera sockets, coalesced: at most one wake-up every interval drains all sockets that are
// readable, because cost is per wake-up and not per byte. An idle camera costs nothing: a few rounds with
// nothing to read end them, and the loop watches the sockets.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "net/event_loop.h"

namespace miharu::net {

class ReadCoalescer {
 public:
  // Effect on a recorded camera of 4.1 Mbit/s with Opus, one of ten (bench/recording.py): 5 ms 106 system
  // calls a second and 1.15 times the CPU, 10 ms 81, 20 ms 61 and 0.92 times. What is watched live comes
  // later by half of it, so the interval is shorter while somebody watches.
  static constexpr std::chrono::milliseconds kInterval{20};
  static constexpr std::chrono::milliseconds kLiveInterval{5};

  explicit ReadCoalescer(EventLoop& loop, std::chrono::milliseconds interval = kInterval);
  ~ReadCoalescer();
  ReadCoalescer(const ReadCoalescer&) = delete;
  ReadCoalescer& operator=(const ReadCoalescer&) = delete;

  // Calls `readable` on the loop's thread whenever `fd` has bytes, an error or a hang-up: read until EAGAIN.
  // `fd` stays the caller's, must be non-blocking and must be removed before it is closed. Removing inside a
  // callback is allowed.
  void add(int fd, std::function<void()> readable);
  void remove(int fd);
  // On the loop's thread; from the next round on.
  void set_interval(std::chrono::milliseconds interval);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // shared with the wait that is under way
};

}  // namespace miharu::net
