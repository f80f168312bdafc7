// How fast a viewer's line may be fed: judged by how long a burst's end took to get there, and by what is
// lost.
#pragma once

#include <cstddef>

#include "base/clock.h"

namespace miharu::webrtc {

// What goes faster than the line carries waits in a queue in front of it. A check that is sent right behind a
// burst waits there too, and its answer tells how long: before anything is lost, which is a quarter of a
// second later. A queue that overflows loses a third or more of what comes too fast, and reports it after a
// round trip and the length of that queue. Losses that are spread thinly have other causes, and going slower
// does not help there. Pure: times are passed in.
class LinePace {
 public:
  static constexpr double kMostBitsPerSecond = 40e6;
  static constexpr double kLeastBitsPerSecond = 1e6;
  // Of what the line carried, so that its queue empties.
  static constexpr double kUsed = 0.9;
  // A receiver that is busy answers later too.
  static constexpr base::milliseconds kQueued{8};
  // Of what was sent in the last moments; and so many packets at least.
  static constexpr double kCongested = 0.15;
  static constexpr double kFewLost = 10;
  static constexpr base::milliseconds kWindow{500};
  // What is reported lost in this time (and the round trip) after a step down was sent before it.
  static constexpr base::milliseconds kQueue{250};
  static constexpr double kDown = 0.5;
  // After a burst at the limit that waited nowhere.
  static constexpr double kUp = 1.25;

  // The end of `bytes`, which were sent in `sending`, waited so long. `again`: of a burst of which a shorter
  // part was told before. Of both the better counts, since a busy receiver makes a line look worse than it
  // is.
  void on_burst(double bytes, base::nanoseconds sending, base::nanoseconds queued, bool again);
  void on_sent(base::SteadyTime now, size_t packets);
  // Packets that were reported lost for the first time. True: they were sent too fast, at `bits_per_second`,
  // and the limit was lowered.
  bool on_lost(base::SteadyTime now, size_t packets, double bits_per_second, base::nanoseconds round_trip);
  [[nodiscard]] double limit() const { return limit_; }  // bits a second
  // The queue of the line may still be full.
  [[nodiscard]] bool is_recovering(base::SteadyTime now) const { return now < recovers_until_; }

 private:
  void age(base::SteadyTime now);

  double limit_ = kMostBitsPerSecond;
  double sent_ = 0;
  double lost_ = 0;
  base::SteadyTime since_{};
  base::SteadyTime recovers_until_{};
};

}  // namespace miharu::webrtc
