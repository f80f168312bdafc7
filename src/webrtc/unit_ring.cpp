#include "webrtc/unit_ring.h"

#include <algorithm>

namespace miharu::webrtc {

void UnitRing::push(UnitPtr unit, base::SteadyTime now) {
  lag_ = std::max(base::nanoseconds(0), now - unit->time);
  bytes_ += unit->bytes.size();
  if (unit->key) {
    if (key_) gop_ = unit->time - key_unit_->time;
    while (!units_.empty() && units_.front()->time + kBeforeKey < unit->time) pop();
    key_ = end_;
    missed_ = false;
    key_unit_ = unit;
  }
  units_.push_back(std::move(unit));
  ++end_;
  while (bytes_ > kMaxBytes && units_.size() > 1) pop();
}

void UnitRing::interrupt() {
  key_.reset();
  key_unit_.reset();
}

void UnitRing::pop() {
  bytes_ -= units_.front()->bytes.size();
  units_.pop_front();
}

const UnitPtr& UnitRing::find(uint64_t number) const {
  static const UnitPtr kNone;
  if (number >= begin() && number < end_) return units_[number - begin()];
  return key_ && number == *key_ ? key_unit_ : kNone;
}

double UnitRing::bits_per_second() const {
  if (units_.size() < 2) return 0;
  const std::chrono::duration<double> span = units_.back()->time - units_.front()->time;
  return span.count() > 0 ? static_cast<double>(bytes_) * 8 / span.count() : 0;
}

}  // namespace miharu::webrtc
