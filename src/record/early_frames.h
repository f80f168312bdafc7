// What a camera sends before its recorder knows where the numbers go on: while the objects that a crash left
// are recovered, those of all cameras one after the other on one disk.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <variant>

#include "stream/placer.h"

namespace miharu::record {

// Lives on the camera's media thread.
class EarlyFrames {
 public:
  // What a frame counts in memory.
  static uint64_t cost_bytes(const stream::PlacedFrame& frame);

  void on_run_start(const stream::RunStart& start);
  // Keeps the frame if it `may` be kept. After one that may not the run is over and none is kept any more:
  // what was left out would be a hole inside of it. False: left out.
  bool add(const stream::PlacedFrame& frame, bool may);
  void on_run_end(store::RunReason reason, const std::string& detail);

  [[nodiscard]] uint64_t bytes() const { return bytes_; }
  // The run that goes on.
  [[nodiscard]] const std::optional<stream::RunStart>& run() const { return run_; }
  // All in its order; it is empty then. A run that could not be kept whole ends with kQueue, and one of that
  // reason begins.
  void hand_on(stream::PlacedListener& listener);
  // Forgets all frames; gives how many there were.
  uint64_t drop();

 private:
  struct RunEnd {
    store::RunReason reason;
    std::string detail;
  };
  using Event = std::variant<stream::RunStart, stream::PlacedFrame, RunEnd>;

  std::deque<Event> events_;
  std::optional<stream::RunStart> run_;
  uint64_t bytes_ = 0;
  bool full_ = false;
};

}  // namespace miharu::record
