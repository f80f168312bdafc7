#include "webrtc/line_pace.h"

#include <algorithm>

namespace miharu::webrtc {

void LinePace::age(base::SteadyTime now) {
  if (now - since_ < kWindow) return;
  const double share = now - since_ < 2 * kWindow ? 0.5 : 0;
  sent_ *= share;
  lost_ *= share;
  since_ = now;
}

void LinePace::on_sent(base::SteadyTime now, size_t packets) {
  if (is_recovering(now)) return;
  age(now);
  sent_ += static_cast<double>(packets);
}

bool LinePace::on_lost(base::SteadyTime now, size_t packets, double bits_per_second,
                       base::nanoseconds round_trip) {
  if (is_recovering(now)) return false;
  lost_ += static_cast<double>(packets);
  if (lost_ < kFewLost || lost_ < sent_ * kCongested) return false;
  limit_ = std::clamp(std::min(bits_per_second, limit_) * kDown, kLeastBitsPerSecond, kMostBitsPerSecond);
  sent_ = 0;
  lost_ = 0;
  since_ = now;
  recovers_until_ = now + round_trip + kQueue;
  return true;
}

void LinePace::on_burst(double bytes, base::nanoseconds sending, base::nanoseconds queued, bool again) {
  if (queued < kQueued) {
    if (!again) limit_ = std::min(limit_ * kUp, kMostBitsPerSecond);
    return;
  }
  const std::chrono::duration<double> carried = sending + queued;
  const double rate =
      std::clamp(bytes * 8 / carried.count() * kUsed, kLeastBitsPerSecond, kMostBitsPerSecond);
  limit_ = again ? std::max(limit_, rate) : rate;
}

}  // namespace miharu::webrtc
