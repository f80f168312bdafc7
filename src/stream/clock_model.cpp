#include "stream/clock_model.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace miharu::stream {

using base::nanoseconds;
using base::SteadyTime;
using media::TrackKind;

namespace {

// An improvement of the least delay below this is jitter and does not prolong the hold.
constexpr base::milliseconds kJitter{10};
// A track mapped anew does not go back behind its last frame.
constexpr base::milliseconds kLeastStep{1};
// Sender reports are sane when their clock goes as ours does (quirk P4): 2 %, and what a report may be
// delayed.
constexpr base::milliseconds kReportJitter{200};
constexpr base::seconds kReportsTogether{30};
constexpr int kConfirmed = 3;  // sane reports in succession: what they said outlasts a step of their clock
constexpr int kReportsToProve = 12;  // after such a step, until they are believed again

nanoseconds magnitude(nanoseconds value) {
  return value < nanoseconds::zero() ? -value : value;
}

double to_seconds(nanoseconds value) {
  return std::chrono::duration<double>(value).count();
}

}  // namespace

void ClockModel::Least::restart(nanoseconds raw, SteadyTime arrival) {
  windows_ = {raw, nanoseconds::max(), nanoseconds::max()};
  end_ = arrival + kFirstWindow;
}

bool ClockModel::Least::add(nanoseconds raw, SteadyTime arrival) {
  const bool ended = arrival >= end_;
  if (ended) {
    windows_ = {nanoseconds::max(), windows_[0], windows_[1]};
    end_ = arrival + kWindow;
  }
  windows_[0] = std::min(windows_[0], raw);
  return ended;
}

nanoseconds ClockModel::Least::value() const {
  return *std::min_element(windows_.begin(), windows_.end());
}

void ClockModel::reset() {
  *this = ClockModel();
}

void ClockModel::rebase() {
  CHECK(placed_);
  for (Track& each : tracks_) each.lost_zero = each.seen;
  reports_ = {};
  reports_confirmed_ = false;
  sound_minus_video_.reset();
}

void ClockModel::observe(TrackKind kind, nanoseconds media_time, SteadyTime arrival, base::UtcTime now) {
  const nanoseconds steady = arrival.time_since_epoch();
  const nanoseconds raw = steady - media_time;
  difference_ = now.time_since_epoch() - steady;
  Track& mine = track(kind);
  if (!placed_) {
    hold(kind, media_time, raw, arrival);
    return;
  }
  const bool video = kind == TrackKind::kVideo;
  if (!mine.seen || mine.lost_zero) find_zero(mine, media_time, raw, arrival);
  slew(mine, media_time, video);
  mine.last_media = std::max(mine.last_media, media_time);
  const bool window_ended = mine.least.add(raw, arrival);
  const bool early = raw - mine.offset < -kMaxEarly;
  if (video) {
    camera_moved_ |= early;
    if (window_ended) judge_video();
  } else if (window_ended || (early && !sound_minus_video_)) {
    judge_sound();
  }
}

void ClockModel::hold(TrackKind kind, nanoseconds media_time, nanoseconds raw, SteadyTime arrival) {
  Track& mine = track(kind);
  nanoseconds& improved = improved_least_[static_cast<size_t>(kind)];
  if (!first_arrival_) first_arrival_ = improved_ = arrival;
  const bool first = !mine.seen;
  if (first && kind == TrackKind::kAudio) sound_since_ = arrival;
  if (first || raw < improved - kJitter) {
    improved_ = arrival;
    improved = raw;
    if (kind == TrackKind::kVideo) {
      pace_since_ = arrival;
      pace_media_ = media_time;
    }
  } else if (kind == TrackKind::kVideo && media_time > mine.last_media && raw > mine.offset + kPaceJitter) {
    // A stall, behind which a burst may go on.
    pace_since_ = arrival;
    pace_media_ = media_time;
    if (raw > mine.offset + kPace) improved_ = arrival;
  }
  mine.offset = first ? raw : std::min(mine.offset, raw);
  mine.last_media = first ? media_time : std::max(mine.last_media, media_time);
  mine.seen = true;
}

bool ClockModel::settled(SteadyTime now) const {
  const Track& video = track(TrackKind::kVideo);
  if (!video.seen) return false;
  if (now - *first_arrival_ >= kMaxHold) return true;
  // The first frame of sound may have waited for others of its packet.
  if (track(TrackKind::kAudio).seen && now - sound_since_ < kPace) return false;
  const bool in_pace = now - pace_since_ >= kPace && video.last_media - pace_media_ >= kPace - kPaceJitter;
  return in_pace || now - improved_ >= kSettle;
}

void ClockModel::place() {
  CHECK(track(TrackKind::kVideo).seen && !placed_);
  for (Track& each : tracks_) {
    if (each.seen) each.least.restart(each.offset, std::max(improved_, pace_since_));
  }
  if (track(TrackKind::kAudio).seen) track(TrackKind::kAudio).offset = sound_offset();
  used_difference_ = difference_;
  placed_ = true;
}

void ClockModel::find_zero(Track& mine, nanoseconds media_time, nanoseconds raw, SteadyTime arrival) {
  if (!mine.seen) {
    mine.seen = true;
    mine.offset = raw;
    mine.last_media = media_time;
    mine.least.restart(raw, arrival);
    return;
  }
  mine.lost_zero = false;
  const nanoseconds error = raw - mine.offset;
  if (error >= -kMaxEarly && error <= 2 * kMaxLate) return;
  const nanoseconds last = mine.last_media + mine.offset;
  mine.offset = std::max(raw, last + kLeastStep - media_time);
  mine.to_slew = nanoseconds::zero();
  mine.last_media = media_time;
  mine.least.restart(raw, arrival);
  // Sound lies right from here on, and the run may have been changed for its picture already.
  camera_moved_ |= &mine == &track(TrackKind::kVideo);
}

void ClockModel::slew(Track& mine, nanoseconds media_time, bool video) {
  // By what this stretch of media time allows.
  const nanoseconds elapsed =
      std::clamp<nanoseconds>(media_time - mine.last_media, nanoseconds::zero(), kWindow);
  const nanoseconds limit = elapsed * kSlewPpm / 1'000'000;
  const nanoseconds part = std::clamp(mine.to_slew, -limit, limit);
  mine.to_slew -= part;
  mine.offset += part;
  if (video && !wall_stepped()) used_difference_ += std::clamp(difference_ - used_difference_, -limit, limit);
}

void ClockModel::judge_video() {
  Track& video = track(TrackKind::kVideo);
  error_ = video.least.value() - video.offset;
  if (error_ > kMaxLate || error_ < -kMaxEarly) {
    camera_moved_ = true;
  } else {
    video.to_slew = error_;
  }
}

void ClockModel::judge_sound() {
  Track& sound = track(TrackKind::kAudio);
  const nanoseconds error = sound_offset() - sound.offset;
  if (magnitude(error) > kMaxSoundError) {
    sound.offset += error;
    sound.to_slew = nanoseconds::zero();
  } else {
    sound.to_slew = error;
  }
}

void ClockModel::observe(const ingest::SenderReport& report, nanoseconds media_time) {
  // 32.32 fixed point: the fraction in nanoseconds is (fraction * 10^9) >> 32.
  const auto whole = static_cast<int64_t>(report.ntp >> 32);
  const auto fraction = static_cast<int64_t>((report.ntp & 0xFFFFFFFF) * 1'000'000'000 >> 32);
  if (whole == 0) return;  // quirk P4: no clock
  std::optional<Report>& mine = reports_[static_cast<size_t>(report.track)];
  const nanoseconds ntp = base::seconds(whole) + nanoseconds(fraction);
  int trust = 0;
  if (mine) {
    const nanoseconds passed = report.arrival - mine->arrival;
    if (magnitude(ntp - mine->ntp - passed) <= passed / 50 + kReportJitter) {
      trust = std::min(mine->trust + 1, kConfirmed);
    } else {
      trust = -kReportsToProve;
      if (!reports_confirmed_) sound_minus_video_.reset();
    }
  }
  mine = Report{ntp, ntp - media_time, report.arrival, trust};
  const auto& [video, sound] = reports_;
  if (!video || !sound || video->trust < 0 || sound->trust < 0) return;
  if (magnitude(nanoseconds(video->arrival - sound->arrival)) > kReportsTogether) return;
  // Both count from the same wall clock of the camera, whatever that shows.
  sound_minus_video_ = sound->ntp_minus_media - video->ntp_minus_media;
  reports_confirmed_ |= video->trust == kConfirmed && sound->trust == kConfirmed;
}

nanoseconds ClockModel::sound_offset() const {
  const nanoseconds by_arrival = track(TrackKind::kAudio).least.value();
  if (!sound_minus_video_) return by_arrival;
  const nanoseconds by_report = track(TrackKind::kVideo).offset + *sound_minus_video_;
  return magnitude(by_report - by_arrival) <= kMaxSkew ? by_report : by_arrival;
}

base::UtcTime ClockModel::map(TrackKind kind, nanoseconds media_time) const {
  return base::UtcTime(media_time + track(kind).offset + used_difference_);
}

bool ClockModel::wall_stepped() const {
  return placed_ && magnitude(difference_ - used_difference_) > kMaxWallStep;
}

std::string ClockModel::describe_step() const {
  if (wall_stepped()) {
    const double step = to_seconds(difference_ - used_difference_);
    return fmt::format("the clock of this machine was set {:.1f} s {}", std::abs(step),
                       step < 0 ? "back" : "forward");
  }
  const Track& video = track(TrackKind::kVideo);
  return fmt::format("pictures came {:.1f} s off the time at which the camera's clock put them",
                     to_seconds(video.least.value() - video.offset));
}

void ClockModel::correct_wall_step() {
  CHECK(wall_stepped());
  used_difference_ = difference_;
}

void ClockModel::correct_step() {
  CHECK(stepped());
  Track& video = track(TrackKind::kVideo);
  Track& sound = track(TrackKind::kAudio);
  if (camera_moved_) {
    video.offset = video.least.value();
    video.to_slew = nanoseconds::zero();
    if (sound.seen) sound.offset = sound_offset();
    sound.to_slew = nanoseconds::zero();
  }
  camera_moved_ = false;
  used_difference_ = difference_;
}

}  // namespace miharu::stream
