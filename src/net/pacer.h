// Spreads bytes over time, for several connections that share one allowance.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace miharu::net {

// Whoever wants to send asks first, in the order in which he may: what was asked for is taken, later askers
// wait behind it. Not thread-safe. Rate 0: no limit.
class Pacer {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // What may go out at once after a pause.
  static constexpr std::chrono::milliseconds kBurst{50};

  // What this one lets pass counts for `whole` too (null: there is none), which must outlive it.
  explicit Pacer(uint64_t bits_per_second, Pacer* whole = nullptr)
      : bits_per_second_(bits_per_second), whole_(whole) {}

  [[nodiscard]] uint64_t bits_per_second() const { return bits_per_second_; }
  // How much to send at a time, so that sending is even: a tenth of a second, 1 KiB to 256 KiB.
  [[nodiscard]] uint64_t piece_bytes() const {
    if (bits_per_second_ == 0) return whole_ ? whole_->piece_bytes() : kMostBytes;
    return std::clamp<uint64_t>(bits_per_second_ / 80, 1 << 10, kMostBytes);
  }
  // When `bytes` may be sent; they count as sent from then on.
  Time reserve(Time now, uint64_t bytes) {
    if (bits_per_second_ == 0) return whole_ ? whole_->reserve(now, bytes) : now;
    free_at_ = std::max(free_at_, now - kBurst);
    const Time at = std::max(free_at_, now);
    free_at_ += std::chrono::nanoseconds(
        static_cast<int64_t>(static_cast<double>(bytes) * 8e9 / static_cast<double>(bits_per_second_)));
    return whole_ ? std::max(at, whole_->reserve(now, bytes)) : at;
  }

 private:
  static constexpr uint64_t kMostBytes = 256 << 10;
  uint64_t bits_per_second_;
  Pacer* whole_;
  Time free_at_{};
};

}  // namespace miharu::net
