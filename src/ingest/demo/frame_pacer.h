// Which frame is due when: frame n belongs to the moment n / fps seconds after the Unix epoch.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace miharu::ingest::demo {

// A late caller gets the frame that is due and never those that it missed.
class FramePacer {
 public:
  // UTC and the monotonic clock may part by this much between two frames before it counts as a jump.
  static constexpr base::nanoseconds kTolerance = base::milliseconds(500);

  explicit FramePacer(uint32_t fps) : fps_(fps) {}

  struct Due {
    int64_t number = 0;   // frames since the Unix epoch
    bool jumped = false;  // UTC was set: `number` has no relation to those before, it may be lower
  };
  // Nothing when the frame of this moment was taken already.
  std::optional<Due> take(base::UtcTime utc, base::SteadyTime steady);
  // How long until take() has something to give, always more than zero.
  [[nodiscard]] base::nanoseconds wait(base::UtcTime utc) const;

  [[nodiscard]] int64_t number_at(base::UtcTime utc) const;
  [[nodiscard]] base::UtcTime time_of(int64_t number) const;  // rounded up to a nanosecond

 private:
  struct Taken {
    int64_t number;
    base::UtcTime utc;
    base::SteadyTime steady;
  };
  int64_t fps_;
  std::optional<Taken> last_;
};

}  // namespace miharu::ingest::demo
