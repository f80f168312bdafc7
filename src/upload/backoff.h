// How long to wait before the next attempt: full jitter, so that those who failed together do not come back
// together.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace miharu::upload {

// Not thread-safe.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest, uint32_t seed)
      : first_(first), longest_(longest), random_(seed) {}

  // Anything up to a bound that doubles from `first` to `longest`.
  std::chrono::milliseconds next() {
    const std::chrono::milliseconds bound =
        std::min(longest_, first_ * (int64_t{1} << std::min(failures_, 30U)));
    failures_ += 1;
    return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, bound.count())(random_));
  }
  void reset() { failures_ = 0; }
  [[nodiscard]] unsigned failures() const { return failures_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::minstd_rand random_;
  unsigned failures_ = 0;
};

}  // namespace miharu::upload
