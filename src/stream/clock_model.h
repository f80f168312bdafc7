// Where a frame belongs on the wall clock. The camera's clock gives durations, the local clock gives
// placement (docs/architecture.md, Time). Pure: time is passed in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "ingest/source.h"
#include "media/track.h"

namespace miharu::stream {

// Ticks as nanoseconds, rounded as a cumulative time; exact for any tick count that fits 292 years.
constexpr base::nanoseconds ticks_to_time(int64_t ticks, uint32_t clock_rate) {
  const auto rate = static_cast<int64_t>(clock_rate);
  const int64_t whole = ticks / rate;
  const int64_t rest = ticks % rate;
  return base::nanoseconds(whole * 1'000'000'000 +
                           (rest * 1'000'000'000 + (rest < 0 ? -rate / 2 : rate / 2)) / rate);
}

// One mapping for the tracks of one camera: utc = media time + offset, where the offset of each track is
// fixed when the mapping is placed and slewed for both alike afterwards. Lives on the camera's media thread.
class ClockModel {
 public:
  // A hold ends when the least delay has not become smaller for kSettle, at the latest after kMaxHold:
  // cameras burst their cached group of pictures at the start, and only the frames that follow arrive as they
  // are made.
  static constexpr base::milliseconds kSettle{500};
  static constexpr base::milliseconds kMaxHold{2000};
  static constexpr base::milliseconds kMaxError{
      200};  // more than this between mapping and arrivals is a step
  static constexpr int64_t kSlewPpm = 500;
  static constexpr base::seconds kWindow{
      10};  // the least-delayed frame of a window is its measure of the error
  static constexpr base::seconds kMaxSkew{
      1};  // sender reports may move a track no further than this (quirk P8)

  // Forgets everything: the media times that follow have no relation to those before.
  void reset();

  // Each frame as it came from the camera, before any transcoding. `now` is the wall clock at `arrival`.
  void observe(media::TrackKind track, base::nanoseconds media_time, base::SteadyTime arrival,
               base::UtcTime now);
  void observe(const ingest::SenderReport& report, base::nanoseconds media_time);

  [[nodiscard]] bool placed() const { return placed_; }
  // Enough was seen to place a run.
  [[nodiscard]] bool settled(base::SteadyTime now) const;
  void place();

  // Needs placed(). Strictly increasing with media_time within a track.
  [[nodiscard]] base::UtcTime map(media::TrackKind track, base::nanoseconds media_time) const;

  // The wall clock was stepped, or the mapping is off by more than kMaxError: the caller starts a new run,
  // whose times follow from correct_step().
  [[nodiscard]] bool stepped() const { return step_.has_value(); }
  void correct_step();
  // How far the least-delayed frames of the last window were from the mapping: a metric.
  [[nodiscard]] base::nanoseconds error() const { return error_; }

 private:
  struct Track {
    bool seen = false;
    base::nanoseconds least_offset{};                // least of arrival - media time, in the hold
    base::nanoseconds offset{};                      // of the mapping
    std::optional<base::nanoseconds> report_offset;  // NTP - media time of the last sender report
    base::SteadyTime report_arrival{};
  };
  Track& track(media::TrackKind kind) { return tracks_[static_cast<size_t>(kind)]; }
  [[nodiscard]] const Track& track(media::TrackKind kind) const { return tracks_[static_cast<size_t>(kind)]; }
  void watch(base::nanoseconds media_time, base::SteadyTime arrival, base::UtcTime now);

  std::array<Track, 2> tracks_{};
  bool placed_ = false;
  std::optional<base::SteadyTime> first_arrival_;
  base::SteadyTime improved_{};

  std::optional<base::nanoseconds> utc_minus_steady_;
  base::nanoseconds window_least_{};
  base::SteadyTime window_start_{};
  base::nanoseconds last_media_time_{};
  base::nanoseconds to_slew_{};
  base::nanoseconds error_{};
  std::optional<base::nanoseconds> step_;
};

}  // namespace miharu::stream
