// Where a frame belongs on the wall clock. The camera's clock gives durations, the local clock gives
// placement (docs/architecture.md, Time). Pure: time is passed in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

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

// The mapping of one camera's tracks: steady clock = media time + the track's offset, UTC = steady clock +
// one difference for both tracks. So a step of the wall clock is no news about the camera, and the camera's
// drift none about the wall clock. Offsets are found in the hold and slewed afterwards. Lives on the camera's
// media thread.
class ClockModel {
 public:
  // A hold ends when frames have come at the pace of their own times for kPace, none more than kPaceJitter
  // later than the least delayed; or, on a restless network, when the least delay has not become smaller for
  // kSettle; not before sound, if any came, was heard for kPace; at the latest after kMaxHold. Cameras burst
  // their cached group of pictures at the start, and only the frames that follow arrive as they are made.
  static constexpr base::milliseconds kPace{200};
  static constexpr base::milliseconds kPaceJitter{60};
  static constexpr base::milliseconds kSettle{500};
  static constexpr base::milliseconds kMaxHold{2000};
  // Beyond these a new run begins, below them the mapping is slewed. The wall clock is read exactly. No frame
  // can arrive before it was made; that all of them are late may be the network's doing.
  static constexpr base::milliseconds kMaxWallStep{50};
  static constexpr base::milliseconds kMaxEarly{100};
  static constexpr base::milliseconds kMaxLate{200};
  // Sound that is off by more is put right at once: a hole or a cut of that length, within the run.
  static constexpr base::milliseconds kMaxSoundError{40};
  static constexpr int64_t kSlewPpm = 500;
  // The least-delayed frame of the last three windows is the measure of a track's error.
  static constexpr base::seconds kWindow{10};
  static constexpr base::seconds kFirstWindow{2};
  // Sender reports may move sound no further than this from where its arrival puts it (quirk P8).
  static constexpr base::seconds kMaxSkew{1};

  // Forgets everything: the media times that follow have no relation to those before.
  void reset();
  // The camera's clock jumped. A track whose next frame does not fit the mapping is mapped anew, behind its
  // last one; if it is the picture, stepped() holds until the run is changed. Needs placed().
  void rebase();
  // No picture came since rebase().
  [[nodiscard]] bool awaits_picture() const { return track(media::TrackKind::kVideo).lost_zero; }

  // Each frame as it came from the camera, before any transcoding: the media time when it was complete, its
  // arrival, and the wall clock at that.
  void observe(media::TrackKind track, base::nanoseconds media_time, base::SteadyTime arrival,
               base::UtcTime now);
  void observe(const ingest::SenderReport& report, base::nanoseconds media_time);

  [[nodiscard]] bool placed() const { return placed_; }
  // Enough was seen to place a run.
  [[nodiscard]] bool settled(base::SteadyTime now) const;
  void place();

  // Needs placed(). Strictly increasing with media_time within a track, but where rebase() or an error of
  // sound put it right.
  [[nodiscard]] base::UtcTime map(media::TrackKind track, base::nanoseconds media_time) const;

  // The wall clock was stepped, or the mapping is off: the caller starts a new run, whose times follow from
  // correct_step().
  [[nodiscard]] bool stepped() const { return camera_moved_ || wall_stepped(); }
  // For a person: what happened.
  [[nodiscard]] std::string describe_step() const;
  void correct_step();
  // The wall clock alone: it is read exactly, so that the very next frame can be placed by it. Until
  // correct_wall_step() or correct_step().
  [[nodiscard]] bool wall_stepped() const;
  void correct_wall_step();
  // How far the least-delayed pictures of the last windows were from the mapping: a metric.
  [[nodiscard]] base::nanoseconds error() const { return error_; }
  // UTC minus steady clock, by which map() places.
  [[nodiscard]] base::nanoseconds utc_minus_steady() const { return used_difference_; }

 private:
  // The least of arrival - media time of the last windows.
  class Least {
   public:
    void restart(base::nanoseconds raw, base::SteadyTime arrival);
    // True when a window ended with it.
    bool add(base::nanoseconds raw, base::SteadyTime arrival);
    [[nodiscard]] base::nanoseconds value() const;

   private:
    std::array<base::nanoseconds, 3> windows_{};  // the current one first
    base::SteadyTime end_{};                      // of the current one
  };
  struct Track {
    bool seen = false;
    bool lost_zero = false;          // it may have another zero since rebase()
    base::nanoseconds offset{};      // steady clock - media time
    base::nanoseconds to_slew{};     // of it
    base::nanoseconds last_media{};  // the latest of its frames
    Least least;
  };
  struct Report {
    base::nanoseconds ntp{};
    base::nanoseconds ntp_minus_media{};
    base::SteadyTime arrival{};
    int trust = 0;  // sane ones in succession; below 0 they are not believed
  };
  Track& track(media::TrackKind kind) { return tracks_[static_cast<size_t>(kind)]; }
  [[nodiscard]] const Track& track(media::TrackKind kind) const { return tracks_[static_cast<size_t>(kind)]; }
  void hold(media::TrackKind kind, base::nanoseconds media_time, base::nanoseconds raw,
            base::SteadyTime arrival);
  void find_zero(Track& mine, base::nanoseconds media_time, base::nanoseconds raw, base::SteadyTime arrival);
  void slew(Track& mine, base::nanoseconds media_time, bool video);
  void judge_video();
  void judge_sound();
  // Where sound belongs: by sender reports if they can be believed, else by its arrival.
  [[nodiscard]] base::nanoseconds sound_offset() const;

  std::array<Track, 2> tracks_{};
  bool placed_ = false;
  bool camera_moved_ = false;
  base::nanoseconds error_{};

  base::nanoseconds difference_{};       // UTC - steady clock, as last seen
  base::nanoseconds used_difference_{};  // of the mapping

  std::array<std::optional<Report>, 2> reports_{};
  bool reports_confirmed_ = false;
  std::optional<base::nanoseconds> sound_minus_video_;  // of the tracks' offsets, by sender reports

  // Of the hold.
  std::optional<base::SteadyTime> first_arrival_;
  std::array<base::nanoseconds, 2> improved_least_{};
  base::SteadyTime improved_{};
  base::SteadyTime pace_since_{};
  base::nanoseconds pace_media_{};
  base::SteadyTime sound_since_{};
};

}  // namespace miharu::stream
