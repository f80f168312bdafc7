// Logging through spdlog, and a limiter for what a hostile or broken peer could repeat for ever.
#pragma once

#include <atomic>
#include <cstdint>

#include <spdlog/spdlog.h>

#include "base/clock.h"

namespace miharu::base {

// At most one pass a second; tells how many calls were swallowed since the last one. Thread-safe.
//   if (auto pass = limiter.pass(clock.steady())) spdlog::warn("...", pass.swallowed);
class LogLimiter {
 public:
  struct Pass {
    bool granted;
    uint64_t swallowed;
    explicit operator bool() const { return granted; }
  };
  Pass pass(SteadyTime now) {
    const int64_t ms = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count();
    int64_t last = last_ms_.load(std::memory_order_relaxed);
    if (ms - last < 1000 || !last_ms_.compare_exchange_strong(last, ms, std::memory_order_relaxed)) {
      swallowed_.fetch_add(1, std::memory_order_relaxed);
      return {false, 0};
    }
    return {true, swallowed_.exchange(0, std::memory_order_relaxed)};
  }

 private:
  std::atomic<int64_t> last_ms_{-1'000'000};
  std::atomic<uint64_t> swallowed_{0};
};

}  // namespace miharu::base
