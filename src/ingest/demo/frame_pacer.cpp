#include "ingest/demo/frame_pacer.h"

#include <algorithm>

namespace miharu::ingest::demo {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

// Seconds and their fraction apart: nanoseconds since the epoch times fps do not fit 64 bits.
int64_t FramePacer::number_at(base::UtcTime utc) const {
  const int64_t ns = utc.time_since_epoch().count();
  return ns / kSecond * fps_ + ns % kSecond * fps_ / kSecond;
}

base::UtcTime FramePacer::time_of(int64_t number) const {
  const int64_t fraction = (number % fps_ * kSecond + fps_ - 1) / fps_;
  return base::UtcTime(base::nanoseconds(number / fps_ * kSecond + fraction));
}

std::optional<FramePacer::Due> FramePacer::take(base::UtcTime utc, base::SteadyTime steady) {
  const int64_t number = number_at(utc);
  bool jumped = false;
  if (last_) {
    const base::nanoseconds parted = (utc - last_->utc) - (steady - last_->steady);
    jumped = parted > kTolerance || parted < -kTolerance;
    if (!jumped && number <= last_->number) return std::nullopt;
  }
  last_ = Taken{number, utc, steady};
  return Due{number, jumped};
}

base::nanoseconds FramePacer::wait(base::UtcTime utc) const {
  int64_t next = number_at(utc) + 1;
  if (last_) {
    // A small step back is waited out; after a large one take() has something to give at once.
    const base::UtcTime after_last = time_of(last_->number + 1);
    if (after_last - utc < kTolerance + time_of(1).time_since_epoch())
      next = std::max(next, last_->number + 1);
  }
  return std::max<base::nanoseconds>(time_of(next) - utc, base::nanoseconds(1));
}

}  // namespace miharu::ingest::demo
