// One running camera: its stream and its recorder, on one media thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "api/camera_list.h"
#include "app/config.h"
#include "app/media_thread.h"
#include "app/sub_stream.h"
#include "record/recorder.h"
#include "stream/camera_stream.h"
#include "webrtc/live_stream.h"

namespace miharu::app {

// Made and destroyed on the control thread; everything inside happens on the media thread.
class Camera {
 public:
  // `environment.media_loop` must be `thread.loop`. Both must outlive the camera. The configuration's URL was
  // checked.
  static base::Result<std::unique_ptr<Camera>> make(const CameraConfig& config, const Config::Record& record,
                                                    MediaThread& thread,
                                                    const record::RecorderEnvironment& environment,
                                                    record::RecordingIndex& latest_of_sub);
  ~Camera();

  void start();
  // Any thread. Whether the index given for it is to have the latest seconds of the smaller stream. False:
  // there is none.
  bool keep_latest_of_sub(bool wanted);
  // Ends the session and the object; returns once everything is on disk. Not on a media thread or the disk
  // thread.
  void stop(store::RunReason reason);
  [[nodiscard]] api::CameraStatus status() const;
  [[nodiscard]] const std::shared_ptr<webrtc::LiveStream>& live() const { return live_; }
  [[nodiscard]] const std::string& name() const { return config_.name; }

 private:
  Camera(CameraConfig config, MediaThread& thread)
      : config_(std::move(config)),
        thread_(thread),
        live_(std::make_shared<webrtc::LiveStream>(
            thread.loop, [&thread](bool watched) { thread.on_watched(watched); })) {}

  CameraConfig config_;
  MediaThread& thread_;
  std::shared_ptr<webrtc::LiveStream> live_;  // shared with those who watch
  std::shared_ptr<SubStream> sub_;            // null without sub_url
  std::unique_ptr<record::Recorder> recorder_;
  std::unique_ptr<stream::CameraStream> stream_;
  bool running_ = false;
};

// The source that `url`, of this camera, asks for. kInvalid for a URL that names none.
base::Result<stream::SourceFactory> make_source_factory(const CameraConfig& config, const std::string& url,
                                                        MediaThread& thread, const base::Clock& clock);

}  // namespace miharu::app
