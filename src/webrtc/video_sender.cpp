#include "webrtc/video_sender.h"

#include <algorithm>

namespace miharu::webrtc {
namespace {

using seconds_d = std::chrono::duration<double>;

// What a slice may carry beyond its own time's worth, after a timer that came late.
constexpr double kLateSlices = 3;
constexpr size_t kRememberedRepairs = 512;
constexpr size_t kWantedRepairs = 512;
// That are under way.
constexpr size_t kProbes = 4;
constexpr base::milliseconds kNearQueued{25};
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
  if (!near()) blind_until_ = now + kBlind;
  start_from_key(now, batch);
}

void VideoSender::start_from_key(base::SteadyTime now, PacketBatch& batch) {
  last_start_ = now;
  ++counters_.starts;
  const auto key = ring_->key();
  if (!key) {
    state_ = State::kWaiting;
    return;
  }
  state_ = State::kCatchUp;
  cursor_ = *key;
  packet_ = 0;
  stop_ = ring_->end();
  // A picture that stands still until the next key frame is better than one that comes later than that.
  still_ = !ring_->whole() || !catches_up_before_next_key(now);
  if (still_) stop_ = cursor_ + 1;
  repair_bytes_ =
      std::max(repair_bytes_, kRepairBurstBytes + static_cast<double>(ring_->unit(*key)->bytes.size()));
  budget_since_ = now - kSlice;
  budget_bytes_ = 0;
  send_some(now, batch);
}

bool VideoSender::catches_up_before_next_key(base::SteadyTime now) const {
  const double rate = ring_->bits_per_second();
  const RtpUnit* key = ring_->key() ? ring_->unit(*ring_->key()) : nullptr;
  if (key == nullptr) return true;
  const seconds_d behind = ring_->live_time(now) - key->time;
  if (ring_->gop().count() == 0 || behind.count() <= 0 || rate <= 0) return true;
  // As if the line carried it, as long as it is not known: it soon is.
  const double catch_up = catch_up_rate(false);
  double time = 0;
  for (uint64_t number = cursor_; number < ring_->end(); ++number) {
    if (const RtpUnit* unit = ring_->unit(number))
      time += static_cast<double>(unit->bytes.size()) * 8 / (unit->key ? line_rate() : catch_up);
  }
  // While it catches up, more comes.
  const double share = rate / catch_up;
  time /= std::max(0.1, 1 - share);
  const seconds_d left = ring_->gop() - behind;
  // The next one is long due: the camera changed its interval, and nobody knows when it comes.
  if (left < -kOverdue) return true;
  return time < left.count();
}

double VideoSender::line_rate() const {
  return std::clamp(ring_->bits_per_second() * kLeastPace, line_.limit(), LinePace::kMostBitsPerSecond);
}

double VideoSender::catch_up_rate(bool is_blind) const {
  const double times = near() ? kCatchUpNear : (is_blind ? kBlindCatchUp : kCatchUp);
  const double rate = ring_->bits_per_second() * times;
  return rate > 0 ? std::min(rate, line_rate()) : line_rate();
}

double VideoSender::pace(const RtpUnit& unit) const {
  if (state_ == State::kCatchUp && !unit.key) return catch_up_rate(blind());
  const bool much = packet_ > 0 && unit.ends[packet_ - 1] >= kBlindBytes;
  return blind() && much ? std::min(line_rate(), kBlindKeyBitsPerSecond) : line_rate();
}

double VideoSender::pace_now() const {
  const RtpUnit* unit = sends() ? unit_at_cursor() : nullptr;
  return unit != nullptr ? pace(*unit) : line_rate();
}

// Now and then in a large one, and at its end.
void VideoSender::probe_key(const RtpUnit& unit, base::SteadyTime now) {
  const size_t sent = unit.ends[packet_ - 1];
  const bool last = packet_ == unit.packets();
  if (!last && (sent < probed_bytes_ + kBlindBytes || probes_.size() + 1 >= kProbes)) return;
  probed_bytes_ = sent;
  if (probes_.size() >= kProbes) probes_.pop_front();
  probes_.push_back({++last_probe_, static_cast<double>(sent), now - key_since_, cursor_, last});
  probe_wanted_ = last_probe_;
}

void VideoSender::on_probe(uint32_t id, base::nanoseconds round_trip) {
  idle_trip_ = std::min(idle_trip_.value_or(round_trip), round_trip);
  while (!probes_.empty() && static_cast<int32_t>(probes_.front().id - id) < 0) probes_.pop_front();
  if (probes_.empty() || probes_.front().id != id) return;
  const Probe probe = probes_.front();
  probes_.pop_front();
  blind_until_ = {};
  base::nanoseconds queued = round_trip - *idle_trip_;
  // Where the line is no matter, a receiver that is busy is.
  if (near() && queued < kNearQueued) queued = {};
  line_.on_burst(probe.bytes, probe.sending, queued, judged_ == probe.unit);
  judged_ = probe.unit;
  if (probe.last && state_ == State::kCatchUp && !still_ && !catches_up_before_next_key(budget_since_))
    stand_still();
}

// The cache is left at the end of the unit that was begun.
void VideoSender::stand_still() {
  still_ = true;
  stop_ = packet_ > 0 ? cursor_ + 1 : cursor_;
}

uint32_t VideoSender::stamp(const RtpUnit& unit, base::SteadyTime now) {
  // What comes from the cache is stamped as if it were live: old stamps would be shown as a long
  // fast-forward, equal ones are one picture to the receiver.
  int64_t ticks = unit.ticks;
  if (state_ == State::kCatchUp) ticks = std::max(ticks, to_ticks(ring_->live_time(now), kVideoClockRate));
  uint32_t value = stream_.timestamp(ticks);
  if (last_stamp_ && !is_later(value, *last_stamp_)) value = *last_stamp_ + 1;
  last_stamp_ = value;
  return value;
}

void VideoSender::play(base::SteadyTime now, const UnitRing& ring, PacketBatch& batch) {
  ring_ = &ring;
  state_ = State::kWaiting;
  cursor_ = stop_ = ring.end();
  packet_ = 0;
  begun_.reset();
  probes_.clear();
  // What was lost of the other stream nobody needs any more.
  wanted_.clear();
  lossy_since_.reset();
  if (started_) start_from_key(now, batch);
}

void VideoSender::on_group(base::SteadyTime now, PacketBatch& batch) {
  if (started_ && state_ == State::kWaiting) start_from_key(now, batch);
}

void VideoSender::on_unit(base::SteadyTime now, PacketBatch& batch) {
  if (!started_) return;
  const uint64_t newest = ring_->end() - 1;
  const RtpUnit& unit = *ring_->unit(newest);
  switch (state_) {
    case State::kWaiting:
      if (!unit.key) return;
      state_ = State::kLive;
      cursor_ = newest;
      packet_ = 0;
      break;
    case State::kKeysOnly:
      if (!unit.key || sends()) {
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
      if (unit.key) {
        // What is left of the group before it would only come late.
        if (sends() && packet_ > 0) {
          stand_still();  // send_some() goes on from there
          return;
        }
        cursor_ = newest;
        still_ = false;
        state_ = State::kLive;
      } else if (still_) {
        return;
      }
      break;
    case State::kLive:
      break;
  }
  const bool was_idle = cursor_ == newest && packet_ == 0 && wanted_.empty();
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
  const double bytes_a_second = pace_now() / 8;
  budget_bytes_ = std::min(budget_bytes_ + bytes_a_second * elapsed.count(),
                           bytes_a_second * seconds_d(kSlice).count() * kLateSlices);
  send_repairs(now, batch);
  while (cursor_ < stop_) {
    const RtpUnit* unit = unit_at_cursor();
    if (unit == nullptr) {
      if (!fall_behind(now)) return;
      continue;
    }
    if (budget_bytes_ <= 0) return;
    if (packet_ == 0) {
      unit_stamp_ = stamp(*unit, now);
      begun_.reset();
      if (unit->key) {
        key_since_ = now;
        probed_bytes_ = 0;
      }
    }
    const size_t before = packet_;
    packet_ = stream_.send(*unit, cursor_, unit_stamp_, packet_, static_cast<size_t>(budget_bytes_), batch);
    counters_.packets += packet_ - before;
    line_.on_sent(now, packet_ - before);
    const uint32_t begin = before == 0 ? 0 : unit->ends[before - 1];
    budget_bytes_ -= unit->ends[packet_ - 1] - begin;
    if (unit->key) probe_key(*unit, now);
    if (packet_ < unit->packets()) {
      if (!begun_) begun_ = ring_->share(cursor_);
      return;
    }
    key_sent_ = key_sent_ || unit->key;
    begun_.reset();
    packet_ = 0;
    ++cursor_;
    if (state_ != State::kCatchUp || cursor_ < stop_) continue;
    // A key frame came while the still picture was on its way.
    if (const auto key = ring_->key(); key && *key >= cursor_) {
      cursor_ = *key;
      stop_ = ring_->end();
      still_ = false;
    }
    // The newest was sent: from here on it is live.
    if (!still_ && cursor_ == ring_->end()) state_ = State::kLive;
  }
}

// The ring went on to a new group of pictures without this viewer. True: it goes on with that one.
bool VideoSender::fall_behind(base::SteadyTime now) {
  const auto key = ring_->key();
  if (state_ != State::kCatchUp || !key || *key < cursor_) {
    rest(now);
    return false;
  }
  counters_.units_skipped += *key - cursor_;
  cursor_ = *key;
  packet_ = 0;
  stop_ = ring_->end();
  still_ = false;
  return true;
}

void VideoSender::rest(base::SteadyTime now) {
  if (state_ == State::kKeysOnly) return;
  state_ = State::kKeysOnly;
  rest_until_ = now + kRest;
  // A unit that was begun is finished.
  const uint64_t before = stop_;
  stop_ = packet_ > 0 ? cursor_ + 1 : cursor_;
  counters_.units_skipped += before - stop_;
}

bool VideoSender::may_repair(base::SteadyTime now, uint16_t sequence) {
  const base::nanoseconds again =
      std::max<base::nanoseconds>(kRepairAgain, round_trip_.value_or(kRepairAgain));
  while (!repairs_.empty() &&
         (repairs_.size() >= kRememberedRepairs || now - repairs_.front().time > again)) {
    repairs_.pop_front();
  }
  if (std::find(wanted_.begin(), wanted_.end(), sequence) != wanted_.end()) return false;
  return std::none_of(repairs_.begin(), repairs_.end(), [&](const Repair& each) {
    return each.sequence == sequence && now - each.time <= again;
  });
}

void VideoSender::send_repairs(base::SteadyTime now, PacketBatch& batch) {
  while (!wanted_.empty() && budget_bytes_ > 0) {
    const uint16_t sequence = wanted_.front();
    wanted_.pop_front();
    const size_t bytes = stream_.resend(sequence, *ring_, batch);
    if (bytes == 0) {
      ++counters_.retransmissions_refused;
      continue;
    }
    ++counters_.retransmitted;
    repair_bytes_ -= static_cast<double>(bytes);
    budget_bytes_ -= static_cast<double>(bytes);
    repairs_.push_back({sequence, now});
    line_.on_sent(now, 1);
  }
}

void VideoSender::on_nack(base::SteadyTime now, uint16_t first, uint16_t mask, PacketBatch& batch) {
  if (!started_) return;
  const double rate = std::max(kLeastRepairBitsPerSecond, ring_->bits_per_second() * kRepairShare);
  const double more = rate / 8 * seconds_d(now - repair_since_).count();
  if (repair_bytes_ < kRepairBurstBytes || now - last_start_ > kKeyInterval)
    repair_bytes_ = std::min(repair_bytes_ + more, static_cast<double>(kRepairBurstBytes));
  repair_since_ = now;
  size_t lost = 0;
  bool refused = false;
  for (unsigned i = 0; i <= 16; ++i) {
    if (i > 0 && (mask >> (i - 1) & 1) == 0) continue;
    const auto sequence = static_cast<uint16_t>(first + i);
    // What is gone says nothing of the line: who asks for it has lost it some time ago, or of another stream.
    if (!stream_.holds(sequence, *ring_)) {
      ++counters_.retransmissions_refused;
      continue;
    }
    // What waits already is as good as sent.
    const double waiting = static_cast<double>(wanted_.size() * kMaxPacketBytes);
    if (repair_bytes_ <= waiting || wanted_.size() >= kWantedRepairs) {
      ++counters_.retransmissions_refused;
      refused = true;
      break;
    }
    if (!may_repair(now, sequence)) continue;
    wanted_.push_back(sequence);
    ++lost;
  }
  const bool too_fast = line_.on_lost(now, lost, pace_now(), round_trip_.value_or(base::nanoseconds(0)));
  if (state_ == State::kCatchUp && !still_ && (refused || (too_fast && !catches_up_before_next_key(now)))) {
    stand_still();
  } else if (refused && state_ == State::kLive) {
    rest(now);
  }
  budget_since_ = std::max(budget_since_, now - kSlice);
  send_some(now, batch);
}

void VideoSender::on_key_frame_request(base::SteadyTime now, PacketBatch& batch) {
  if (!started_ || state_ == State::kWaiting) return;
  // A still picture that was sent may be asked for again: the next key frame may be far.
  if (state_ == State::kCatchUp && sends()) return;
  if (now - last_start_ < kKeyInterval) return;
  if (packet_ > 0) return;  // in the middle of a unit; it will ask again
  if (state_ == State::kKeysOnly) {
    if (const auto key = ring_->key(); key && !sends()) {
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
