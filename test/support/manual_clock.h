// A clock that tests set: days in milliseconds.
#pragma once

#include "base/clock.h"

namespace miharu::test {

class ManualClock final : public base::Clock {
 public:
  explicit ManualClock(base::UtcTime start) : utc_(start) {}
  base::UtcTime utc() const override { return utc_; }
  base::SteadyTime steady() const override { return steady_; }
  bool synchronised() const override { return true; }
  void advance(base::nanoseconds by) {
    utc_ += by;
    steady_ += std::chrono::duration_cast<base::SteadyTime::duration>(by);
  }
  // Somebody sets the wall clock; time itself goes on.
  void step(base::nanoseconds by) { utc_ += by; }

 private:
  base::UtcTime utc_;
  base::SteadyTime steady_{std::chrono::hours(1)};
};

}  // namespace miharu::test
