#include "stream/clock_model.h"

#include <algorithm>

#include "base/check.h"

namespace miharu::stream {

using base::nanoseconds;
using media::TrackKind;

namespace {

// An improvement of the least delay below this is jitter and does not prolong the hold.
constexpr base::milliseconds kJitter{10};

nanoseconds magnitude(nanoseconds value) {
  return value < nanoseconds::zero() ? -value : value;
}

}  // namespace

void ClockModel::reset() {
  *this = ClockModel();
}

void ClockModel::observe(TrackKind kind, nanoseconds media_time, base::SteadyTime arrival,
                         base::UtcTime now) {
  if (!first_arrival_) first_arrival_ = improved_ = arrival;
  const nanoseconds utc_minus_steady = now.time_since_epoch() - arrival.time_since_epoch();
  if (!placed_) {
    Track& mine = track(kind);
    const nanoseconds offset = now.time_since_epoch() - media_time;
    if (!mine.seen || offset < mine.least_offset - kJitter) improved_ = arrival;
    mine.least_offset = mine.seen ? std::min(mine.least_offset, offset) : offset;
    mine.seen = true;
    utc_minus_steady_ = utc_minus_steady;
    return;
  }
  Track& mine = track(kind);
  if (!mine.seen) {
    // A track that appears later is placed by its first arrival, on the mapping that there is.
    mine.seen = true;
    mine.offset = now.time_since_epoch() - media_time;
  }
  if (const nanoseconds jump = utc_minus_steady - *utc_minus_steady_; magnitude(jump) > kMaxError && !step_) {
    step_ = jump;
    utc_minus_steady_ = utc_minus_steady;
    return;
  }
  if (kind == TrackKind::kVideo) watch(media_time, arrival, now);
}

void ClockModel::watch(nanoseconds media_time, base::SteadyTime arrival, base::UtcTime now) {
  // Slew by what this stretch of media time allows.
  const nanoseconds elapsed =
      std::clamp<nanoseconds>(media_time - last_media_time_, nanoseconds::zero(), kWindow);
  last_media_time_ = media_time;
  const nanoseconds limit = elapsed * kSlewPpm / 1'000'000;
  const nanoseconds slew = std::clamp(to_slew_, -limit, limit);
  to_slew_ -= slew;
  for (Track& each : tracks_) each.offset += slew;

  const nanoseconds error = now - map(TrackKind::kVideo, media_time);
  window_least_ = std::min(window_least_, error);
  if (arrival - window_start_ < kWindow) return;
  error_ = window_least_;
  if (magnitude(error_) > kMaxError) {
    step_ = error_;
  } else {
    to_slew_ = error_;
  }
  window_start_ = arrival;
  window_least_ = nanoseconds::max();
}

void ClockModel::observe(const ingest::SenderReport& report, nanoseconds media_time) {
  // 32.32 fixed point: the fraction in nanoseconds is (fraction * 10^9) >> 32.
  const auto whole = static_cast<int64_t>(report.ntp >> 32);
  const auto fraction = static_cast<int64_t>((report.ntp & 0xFFFFFFFF) * 1'000'000'000 >> 32);
  Track& mine = track(report.track);
  if (whole == 0) return;  // quirk P4: no clock
  mine.report_offset = base::seconds(whole) + nanoseconds(fraction) - media_time;
  mine.report_arrival = report.arrival;
}

bool ClockModel::settled(base::SteadyTime now) const {
  if (!track(TrackKind::kVideo).seen) return false;
  return now - *first_arrival_ >= kMaxHold || now - improved_ >= kSettle;
}

void ClockModel::place() {
  Track& video = track(TrackKind::kVideo);
  Track& audio = track(TrackKind::kAudio);
  CHECK(video.seen && !placed_);
  video.offset = video.least_offset;
  audio.offset = audio.least_offset;
  if (audio.seen && video.report_offset && audio.report_offset) {
    // Both reports count from the same wall clock of the camera, whatever that shows.
    const nanoseconds by_report = video.offset + *audio.report_offset - *video.report_offset;
    if (magnitude(by_report - audio.offset) <= kMaxSkew) audio.offset = by_report;
  }
  placed_ = true;
  window_least_ = nanoseconds::max();
  window_start_ = improved_;
  last_media_time_ = nanoseconds::max() / 2;
  to_slew_ = error_ = nanoseconds::zero();
}

base::UtcTime ClockModel::map(TrackKind kind, nanoseconds media_time) const {
  return base::UtcTime(media_time + track(kind).offset);
}

void ClockModel::correct_step() {
  CHECK(step_.has_value());
  for (Track& each : tracks_) each.offset += *step_;
  step_.reset();
  to_slew_ = nanoseconds::zero();
  window_least_ = nanoseconds::max();
}

}  // namespace miharu::stream
