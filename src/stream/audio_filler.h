// Fills holes in the sound with silence while the picture runs, and up to the end of a run: players take the
// intersection of tracks and would stall, or join the next run too early. Holds pictures back until the sound
// has reached them, so that the recorder can cut both tracks at the same moment: a player that begins at a
// chunk takes the first sample of either track for its start.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "stream/placer.h"
#include "stream/silence.h"

namespace miharu::stream {

// Stands between the placer and the recorder, on the camera's media thread. In runs without sound it only
// hands on.
class AudioFiller final : public PlacedListener {
 public:
  // Sound may come this much later than its picture before silence takes its place; no picture is held for
  // longer.
  static constexpr base::nanoseconds kPatience = base::milliseconds(500);
  // Nor more of them than this: a camera may give any number of pictures one time.
  static constexpr size_t kMaxHeldBytes = 8 << 20;
  // Sound further ahead of the picture than this is no sound of it, and would wait in the recorder's memory.
  static constexpr base::nanoseconds kMaxLead = base::seconds(5);
  // No hole that is made by one frame is filled further back than this.
  static constexpr base::nanoseconds kLongestFill = base::seconds(60);

  explicit AudioFiller(PlacedListener& next) : next_(next) {}

  void on_run_start(const RunStart& start) override;
  void on_placed(const PlacedFrame& frame) override;
  void on_run_end(store::RunReason reason, const std::string& detail) override;

  [[nodiscard]] uint64_t filled_frames() const { return filled_; }
  [[nodiscard]] uint64_t dropped_frames() const { return dropped_; }

 private:
  // Hands on the pictures that sound has reached, and those before `latest_held` in any case.
  void release(base::UtcTime latest_held);
  void fill_until(base::UtcTime time, base::SteadyTime arrival);
  [[nodiscard]] media::FramePtr silent_frame(base::SteadyTime arrival);

  PlacedListener& next_;
  media::TrackConfigPtr audio_;
  std::unique_ptr<Silence> silence_;
  base::nanoseconds frame_duration_{};
  std::optional<base::UtcTime> audio_end_;  // where the next audio frame should begin
  base::UtcTime audio_latest_{};            // dts of the last sound handed on
  std::deque<PlacedFrame> held_;            // pictures, at most kPatience of them
  size_t held_bytes_ = 0;
  base::UtcTime video_latest_{};        // dts
  base::nanoseconds video_duration_{};  // between the last two
  base::SteadyTime video_arrival_{};
  uint64_t filled_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace miharu::stream
