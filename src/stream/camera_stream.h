// The hub of one camera: its source, its clock, and those who take its frames.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "ingest/source.h"
#include "net/event_loop.h"
#include "stream/audio_filler.h"
#include "stream/audio_transcoder.h"
#include "stream/placer.h"

namespace miharu::stream {

struct StreamStatus {
  ingest::SourceStatus source;
  media::TrackConfigPtr video;  // of the last frame; null before the first
  media::TrackConfigPtr audio;  // as the camera sends it
  double bits_per_second = 0;   // of the last seconds
  double frames_per_second = 0;
  double gop_seconds = 0;  // between the last two key frames
  base::nanoseconds clock_error{};
};

struct StreamOptions {
  // What the recording's container cannot hold is transcoded to AAC: G.711 always, Opus in MPEG-TS.
  bool opus_to_aac = false;
};

// Takes the frames as they come, for live view: not held, not transcoded. On the camera's media thread.
class LiveListener {
 public:
  virtual ~LiveListener() = default;
  // `time` is when it was made, as well as it is known; of both tracks on one time line.
  virtual void on_live_frame(const media::FramePtr& frame, base::SteadyTime time) = 0;
  // Frames that follow have no relation to those before, or none follow for now.
  virtual void on_live_interrupted() = 0;
};

// Makes the camera's source when it starts; on the media thread.
using SourceFactory = std::function<std::unique_ptr<ingest::Source>(ingest::SourceListener&)>;

// Lives on one media thread: constructed, started, stopped and destroyed there. status() may be asked from
// any thread.
class CameraStream final : private ingest::SourceListener {
 public:
  static constexpr base::seconds kStatusInterval{1};

  // `recorder` gets the placed frames, `live` (null: nobody) all at once; all must outlive the stream.
  CameraStream(std::string name, net::EventLoop& loop, const base::Clock& clock, StreamOptions options,
               SourceFactory factory, PlacedListener& recorder, LiveListener* live = nullptr);
  ~CameraStream() override;
  CameraStream(const CameraStream&) = delete;
  CameraStream& operator=(const CameraStream&) = delete;

  void start();
  // Hands on what is held and ends the run with this reason.
  void stop(store::RunReason reason, const std::string& text);
  [[nodiscard]] StreamStatus status() const;

 private:
  void on_tracks(bool video, bool audio) override;
  void on_frame(media::FramePtr frame) override;
  void on_sender_report(const ingest::SenderReport& report) override;
  void on_interrupted(ingest::Interruption reason, const base::Error& error) override;

  void on_audio(const media::FramePtr& frame);
  void measure(const media::Frame& frame);
  void publish_status();
  void schedule_status();

  std::string name_;
  const base::Clock& clock_;
  StreamOptions options_;
  SourceFactory factory_;
  LiveListener* live_;
  std::unique_ptr<ingest::Source> source_;
  AudioFiller filler_;
  Placer placer_;
  std::unique_ptr<AudioTranscoder> transcoder_;
  media::TrackConfigPtr transcoder_input_;
  bool audio_unusable_ = false;
  boost::asio::steady_timer status_timer_;
  // Asked by a wait of the timer that had ended already when the stream was stopped.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  media::TrackConfigPtr video_;
  media::TrackConfigPtr audio_;
  uint64_t window_bytes_ = 0;
  uint64_t window_frames_ = 0;
  base::SteadyTime window_start_{};
  std::optional<int64_t> last_key_dts_;  // none: the next key frame has no relation to those before
  double gop_seconds_ = 0;
  double bits_per_second_ = 0;
  double frames_per_second_ = 0;

  mutable std::mutex status_mutex_;
  StreamStatus status_;  // guarded by status_mutex_
};

}  // namespace miharu::stream
