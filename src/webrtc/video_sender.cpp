#include "webrtc/video_sender.h"

#include <algorithm>

namespace miharu::webrtc {
namespace {

using seconds_d = std::chrono::duration<double>;

// What a slice may carry beyond its own time's worth, after a timer that came late.
constexpr double kLateSlices = 3;
constexpr size_t kRememberedRepairs = 256;
// What the interval of a camera's key frames varies by, and more.
constexpr base::milliseconds kOverdue{200};

bool is_later(uint32_t stamp, uint32_t than) {
  return static_cast<int32_t>(stamp - than) > 0;
}

}  // namespace

void VideoSender::start(base::SteadyTime now, std::optional<base::nanoseconds> round_trip,
                        PacketBatch& batch) {
  started_ = true;
  if (round_trip) round_trip_ = round_trip;
  repair_since_ = now;
  start_from_key(now, batch);
}

void VideoSender::start_from_key(base::SteadyTime now, PacketBatch& batch) {
  last_start_ = now;
  ++counters_.starts;
  const auto key = ring_.key();
  if (!key) {
    state_ = State::kWaiting;
    return;
  }
  state_ = State::kCatchUp;
  cursor_ = *key;
  packet_ = 0;
  stop_ = ring_.end();
  // A picture that stands still until the next key frame is better than one that comes later than that.
  still_ = !ring_.whole() || !catches_up_before_next_key(now);
  if (still_) stop_ = cursor_ + 1;
  budget_since_ = now - kSlice;
  budget_bytes_ = 0;
  send_some(now, batch);
}

bool VideoSender::catches_up_before_next_key(base::SteadyTime now) const {
  const double rate = ring_.bits_per_second();
  const seconds_d behind = ring_.live_time(now) - ring_.unit(cursor_)->time;
  if (ring_.gop().count() == 0 || behind.count() <= 0 || rate <= 0) return true;
  double time = 0;
  for (uint64_t number = cursor_; number < ring_.end(); ++number) {
    const RtpUnit& unit = *ring_.unit(number);
    time += static_cast<double>(unit.bytes.size()) * 8 / pace(unit);
  }
  // While it catches up, more comes.
  const double share = rate / catch_up_rate();
  time /= std::max(0.1, 1 - share);
  const seconds_d left = ring_.gop() - behind;
  // The next one is long due: the camera changed its interval, and nobody knows when it comes.
  if (left < -kOverdue) return true;
  return time < left.count();
}

double VideoSender::catch_up_rate() const {
  const bool near = round_trip_ && *round_trip_ < kNear;
  const double rate = ring_.bits_per_second() * (near ? kCatchUpNear : kCatchUp);
  return rate > 0 ? std::min(rate, kKeyBitsPerSecond) : kKeyBitsPerSecond;
}

double VideoSender::pace(const RtpUnit& unit) const {
  return state_ == State::kCatchUp && !unit.key ? catch_up_rate() : kKeyBitsPerSecond;
}

uint32_t VideoSender::stamp(const RtpUnit& unit, base::SteadyTime now) {
  // What comes from the cache is stamped as if it were live: old stamps would be shown as a long
  // fast-forward, equal ones are one picture to the receiver.
  int64_t ticks = unit.ticks;
  if (state_ == State::kCatchUp) ticks = std::max(ticks, to_ticks(ring_.live_time(now), kVideoClockRate));
  uint32_t value = stream_.timestamp(ticks);
  if (last_stamp_ && !is_later(value, *last_stamp_)) value = *last_stamp_ + 1;
  last_stamp_ = value;
  return value;
}

void VideoSender::on_group(base::SteadyTime now, PacketBatch& batch) {
  if (started_ && state_ == State::kWaiting) start_from_key(now, batch);
}

void VideoSender::on_unit(base::SteadyTime now, PacketBatch& batch) {
  if (!started_) return;
  const uint64_t newest = ring_.end() - 1;
  const RtpUnit& unit = *ring_.unit(newest);
  switch (state_) {
    case State::kWaiting:
      if (!unit.key) return;
      state_ = State::kLive;
      cursor_ = newest;
      packet_ = 0;
      break;
    case State::kKeysOnly:
      if (!unit.key || wants_slices()) {
        ++counters_.units_skipped;
        return;
      }
      if (now >= rest_until_) {
        state_ = State::kLive;
        lossy_since_.reset();
      }
      cursor_ = newest;
      packet_ = 0;
      break;
    case State::kCatchUp:
      if (still_) {
        if (!unit.key || wants_slices()) return;  // its end first: send_some() goes on from there
        cursor_ = newest;
        packet_ = 0;
        still_ = false;
        state_ = State::kLive;
      }
      break;
    case State::kLive:
      break;
  }
  const bool was_idle = cursor_ == newest && packet_ == 0;
  stop_ = newest + 1;
  if (!was_idle) return;  // the slices take it
  budget_since_ = now - kSlice;
  budget_bytes_ = 0;
  send_some(now, batch);
}

void VideoSender::on_interrupted() {
  if (!started_) return;
  state_ = State::kWaiting;
  stop_ = cursor_;
}

void VideoSender::on_slice(base::SteadyTime now, PacketBatch& batch) {
  if (wants_slices()) send_some(now, batch);
}

void VideoSender::send_some(base::SteadyTime now, PacketBatch& batch) {
  const seconds_d elapsed = std::min<base::nanoseconds>(now - budget_since_, base::nanoseconds(kSlice) * 3);
  budget_since_ = now;
  bool first = true;
  while (cursor_ < stop_) {
    const RtpUnit* unit = ring_.unit(cursor_);
    if (unit == nullptr) {
      if (!fall_behind(now)) return;
      continue;
    }
    if (first) {
      const double slice = pace(*unit) / 8;
      budget_bytes_ =
          std::min(budget_bytes_ + slice * elapsed.count(), slice * seconds_d(kSlice).count() * kLateSlices);
      first = false;
    }
    if (budget_bytes_ <= 0) return;
    if (packet_ == 0) unit_stamp_ = stamp(*unit, now);
    const size_t before = packet_;
    packet_ = stream_.send(*unit, cursor_, unit_stamp_, packet_, static_cast<size_t>(budget_bytes_), batch);
    counters_.packets += packet_ - before;
    const uint32_t begin = before == 0 ? 0 : unit->ends[before - 1];
    budget_bytes_ -= unit->ends[packet_ - 1] - begin;
    if (packet_ < unit->packets()) return;
    key_sent_ = key_sent_ || unit->key;
    packet_ = 0;
    ++cursor_;
    if (state_ != State::kCatchUp || cursor_ < stop_) continue;
    // A key frame came while the still picture was on its way.
    if (const auto key = ring_.key(); key && *key >= cursor_) {
      cursor_ = *key;
      stop_ = ring_.end();
      still_ = false;
    }
    // The newest was sent: from here on it is live.
    if (!still_ && cursor_ == ring_.end()) state_ = State::kLive;
  }
}

// The ring went on to a new group of pictures without this viewer. True: it goes on with that one.
bool VideoSender::fall_behind(base::SteadyTime now) {
  const auto key = ring_.key();
  if (state_ != State::kCatchUp || !key || *key < cursor_) {
    rest(now);
    return false;
  }
  counters_.units_skipped += *key - cursor_;
  cursor_ = *key;
  packet_ = 0;
  stop_ = ring_.end();
  still_ = false;
  return true;
}

void VideoSender::rest(base::SteadyTime now) {
  if (state_ == State::kKeysOnly) return;
  state_ = State::kKeysOnly;
  rest_until_ = now + kRest;
  // A unit that was begun is finished.
  const uint64_t before = stop_;
  stop_ = packet_ > 0 && ring_.unit(cursor_) != nullptr ? cursor_ + 1 : cursor_;
  counters_.units_skipped += before - stop_;
}

bool VideoSender::may_repair(base::SteadyTime now, uint16_t sequence) {
  const base::nanoseconds again =
      std::max<base::nanoseconds>(kRepairAgain, round_trip_.value_or(kRepairAgain));
  while (!repairs_.empty() &&
         (repairs_.size() >= kRememberedRepairs || now - repairs_.front().time > again)) {
    repairs_.pop_front();
  }
  const bool recent = std::any_of(repairs_.begin(), repairs_.end(),
                                  [sequence](const Repair& each) { return each.sequence == sequence; });
  if (!recent) repairs_.push_back({sequence, now});
  return !recent;
}

void VideoSender::on_nack(base::SteadyTime now, uint16_t first, uint16_t mask, PacketBatch& batch) {
  if (!started_) return;
  const double rate = std::max(kLeastRepairBitsPerSecond, ring_.bits_per_second() * kRepairShare);
  repair_bytes_ = std::min(repair_bytes_ + rate / 8 * seconds_d(now - repair_since_).count(),
                           static_cast<double>(kRepairBurstBytes));
  repair_since_ = now;
  for (unsigned i = 0; i <= 16; ++i) {
    if (i > 0 && (mask >> (i - 1) & 1) == 0) continue;
    const auto sequence = static_cast<uint16_t>(first + i);
    if (repair_bytes_ <= 0) {
      ++counters_.retransmissions_refused;
      if (state_ == State::kLive) rest(now);
      return;
    }
    if (!may_repair(now, sequence)) continue;
    const size_t bytes = stream_.resend(sequence, ring_, batch);
    if (bytes == 0) {
      ++counters_.retransmissions_refused;
    } else {
      ++counters_.retransmitted;
      repair_bytes_ -= static_cast<double>(bytes);
    }
  }
}

void VideoSender::on_key_frame_request(base::SteadyTime now, PacketBatch& batch) {
  if (!started_ || state_ == State::kWaiting) return;
  // A still picture that was sent may be asked for again: the next key frame may be far.
  if (state_ == State::kCatchUp && wants_slices()) return;
  if (now - last_start_ < kKeyInterval) return;
  if (packet_ > 0) return;  // in the middle of a unit; it will ask again
  if (state_ == State::kKeysOnly) {
    if (const auto key = ring_.key(); key && !wants_slices()) {
      last_start_ = now;
      cursor_ = *key;
      stop_ = cursor_ + 1;
      budget_since_ = now - kSlice;
      send_some(now, batch);
    }
    return;
  }
  start_from_key(now, batch);
}

void VideoSender::on_report(base::SteadyTime now, uint8_t fraction_lost,
                            std::optional<base::nanoseconds> round_trip) {
  if (round_trip) round_trip_ = round_trip;
  if (fraction_lost < kLossOf256) {
    lossy_since_.reset();
    return;
  }
  if (!lossy_since_) lossy_since_ = now;
  if (now - *lossy_since_ >= kLossy && state_ == State::kLive) rest(now);
}

}  // namespace miharu::webrtc
