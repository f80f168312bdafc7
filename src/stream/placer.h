// Places the frames of a camera on the wall clock and divides them into runs: stretches with the same tracks,
// the same parameters and an unbroken clock.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"
#include "media/frame.h"
#include "store/object_name.h"
#include "stream/clock_model.h"

namespace miharu::stream {

struct PlacedFrame {
  media::FramePtr frame;
  base::UtcTime dts;
  base::UtcTime pts;
};

struct RunStart {
  store::RunReason reason = store::RunReason::kRestart;
  std::string detail;  // for a person: what ended the run before ("" for the first)
  media::TrackConfigPtr video;
  media::TrackConfigPtr audio;  // null: no sound in this run
  // UTC minus the steady clock by which the run is placed, and whether that UTC was synchronised.
  base::nanoseconds utc_minus_steady{};
  bool synchronised = true;
  // The first picture is no key frame, but continues the run before: the wall clock was set in between.
  bool dependent = false;
};

// Called on the camera's media thread. A run begins with a key frame, or is told to be dependent; within a
// run the dts of each track increases strictly, no audio lies before the first video, and no configuration
// changes.
class PlacedListener {
 public:
  virtual ~PlacedListener() = default;
  virtual void on_run_start(const RunStart& start) = 0;
  virtual void on_placed(const PlacedFrame& frame) = 0;
  // The run cannot go on. The next on_run_start tells the same reason.
  virtual void on_run_end(store::RunReason reason, const std::string& detail) = 0;
};

class Placer {
 public:
  static constexpr size_t kMaxHeldBytes = 32
                                          << 20;  // a GOP that is burst at the start; beyond, the hold ends
  static constexpr base::seconds kAudioDeadline{
      1};  // sound must show within this after the first picture to be declared
  static constexpr base::seconds kAudioGone{
      10};  // silent for so long: the track is dropped from the recording
  // A camera that has sent nothing for so long is not waited for to place what is held.
  static constexpr base::seconds kSilent{3};
  // Sound this far ahead of the picture is no sound of it.
  static constexpr base::seconds kMaxSoundLead{10};

  // Both must outlive the placer.
  Placer(const base::Clock& clock, PlacedListener& listener) : clock_(clock), listener_(listener) {}

  void set_expected(bool audio) { expects_audio_ = audio; }
  // A frame as it came from the camera: a measure of the clock only.
  void observe(const media::Frame& frame);
  void observe(const ingest::SenderReport& report, uint32_t clock_rate);
  // A frame to be recorded: the observed one itself, or what was transcoded from it, on the same time line.
  void add(const media::FramePtr& frame);
  // Now and then: places what is held of a camera that fell silent.
  void tick(base::SteadyTime now);
  // Frames that follow have no relation to those before. What was held is placed and handed on first.
  void interrupt(store::RunReason reason, const std::string& detail);
  // The same, but the camera goes on without a pause: the run goes on to the next key frame, where one with
  // new times begins. No frame is lost, however often it is called before that.
  void clock_jumped(const std::string& detail);
  // When an observed frame was made, by the mapping of the run; its arrival, before a run was placed.
  [[nodiscard]] base::SteadyTime live_time(const media::Frame& frame) const;
  [[nodiscard]] base::nanoseconds clock_error() const { return model_.error(); }

 private:
  void release_held();
  void start_run(store::RunReason reason, bool dependent);
  void end_run(store::RunReason reason, const std::string& detail);
  void add_video(const media::FramePtr& frame);
  void add_audio(const media::FramePtr& frame);
  void hand_on(const media::FramePtr& frame);

  const base::Clock& clock_;
  PlacedListener& listener_;
  ClockModel model_;
  bool expects_audio_ = false;

  std::deque<media::FramePtr> held_;
  size_t held_bytes_ = 0;

  bool running_ = false;
  bool restart_at_key_ = false;  // the tracks changed: a new run from the next key frame on
  std::string jump_detail_;      // what the source said of the camera's clock, until the run is changed
  store::RunReason next_reason_ = store::RunReason::kRestart;
  std::string next_detail_;
  media::TrackConfigPtr video_;
  media::TrackConfigPtr audio_;         // of the current run
  media::TrackConfigPtr audio_latest_;  // of the last audio frame seen
  base::SteadyTime audio_arrival_{};
  base::UtcTime run_start_{};  // dts of the run's first picture
  std::array<base::UtcTime, 2> last_dts_{};
};

}  // namespace miharu::stream
