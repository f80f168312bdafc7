// Time as the simulation knows it: what really passes, and what the recorder's machine shows of it.
#pragma once

#include <algorithm>
#include <vector>

#include "base/clock.h"

namespace miharu::simulation {

using base::nanoseconds;

// Moments of true time are durations since the machine was switched on. Its steady clock follows true time,
// slewed where NTP says so; its wall clock is the steady clock plus a difference that steps.
class World final : public base::Clock {
 public:
  // The wall clock when the machine was switched on.
  World(base::UtcTime boot, bool synchronised) : boot_(boot), synchronised_at_boot_(synchronised) {}

  // Must be scheduled in the order of time, before the world gets there.
  void step(nanoseconds at, nanoseconds by) {
    steps_.push_back({at, by + (steps_.empty() ? nanoseconds{} : steps_.back().sum)});
  }
  void synchronise(nanoseconds at) { synchronised_at_ = at; }
  // From then on both clocks gain (or lose) until they have gained `by`.
  void slew(nanoseconds at, nanoseconds by) { slews_.push_back({at, by}); }

  void go_to(nanoseconds now) { now_ = now; }
  [[nodiscard]] nanoseconds now() const { return now_; }

  [[nodiscard]] base::SteadyTime steady_at(nanoseconds moment) const {
    return base::SteadyTime(kSwitchedOn + moment + slewed(moment));
  }
  // What the wall clock shows at that moment.
  [[nodiscard]] base::UtcTime utc_at(nanoseconds moment) const { return shown(moment, moment); }
  // What it would show then if the steps after `clock_of` had not been.
  [[nodiscard]] base::UtcTime shown(nanoseconds moment, nanoseconds clock_of) const {
    return boot_ + moment + slewed(moment) + stepped(clock_of);
  }
  [[nodiscard]] nanoseconds stepped(nanoseconds moment) const {
    const auto after = std::upper_bound(steps_.begin(), steps_.end(), moment,
                                        [](nanoseconds at, const Step& step) { return at < step.at; });
    return after == steps_.begin() ? nanoseconds{} : std::prev(after)->sum;
  }

  base::UtcTime utc() const override { return utc_at(now_); }
  base::SteadyTime steady() const override { return steady_at(now_); }
  bool synchronised() const override { return synchronised_at_boot_ || now_ >= synchronised_at_; }

 private:
  static constexpr nanoseconds kSwitchedOn = std::chrono::hours(1);
  struct Step {
    nanoseconds at;
    nanoseconds sum;  // of all steps up to it
  };
  struct Slew {
    nanoseconds at;
    nanoseconds by;
  };
  [[nodiscard]] nanoseconds slewed(nanoseconds moment) const {
    constexpr int64_t kPpm = 500;
    nanoseconds sum{};
    for (const Slew& slew : slews_) {
      if (moment <= slew.at) break;
      const nanoseconds most = (moment - slew.at) * kPpm / 1'000'000;
      sum += std::clamp(slew.by, -most, most);
    }
    return sum;
  }

  base::UtcTime boot_;
  bool synchronised_at_boot_;
  nanoseconds synchronised_at_ = nanoseconds::max();
  std::vector<Step> steps_;
  std::vector<Slew> slews_;
  nanoseconds now_{};
};

}  // namespace miharu::simulation
