// The clock of a machine that is frozen between requests. Its steady clock may stand still meanwhile, and
// what was to hold for twenty seconds would hold for hours: a revoked token, an hour's listing.
#pragma once

#include <algorithm>
#include <mutex>

#include "base/clock.h"

namespace miharu::lambda {

// steady() goes on as far as UTC did, and never back. A wall clock that is set forward makes caches older
// than they are, which costs a listing. Thread-safe.
class ThawedClock final : public base::Clock {
 public:
  explicit ThawedClock(const base::Clock& inner) : inner_(inner), first_(base::utc_minus_steady(inner)) {}

  [[nodiscard]] base::UtcTime utc() const override { return inner_.utc(); }
  [[nodiscard]] base::SteadyTime steady() const override {
    const std::lock_guard lock(mutex_);
    frozen_ = std::max(frozen_, base::utc_minus_steady(inner_) - first_);
    return inner_.steady() + std::chrono::duration_cast<base::SteadyTime::duration>(frozen_);
  }
  [[nodiscard]] bool synchronised() const override { return inner_.synchronised(); }

 private:
  const base::Clock& inner_;
  const base::nanoseconds first_;
  mutable std::mutex mutex_;
  mutable base::nanoseconds frozen_{};
};

}  // namespace miharu::lambda
