// A camera's smaller stream (sub_url): pulled while somebody watches it, by WebRTC or through the bucket, and
// recorded never: who watches through the bucket reads the latest seconds of it from memory.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "app/media_thread.h"
#include "record/memory_recording.h"
#include "stream/camera_stream.h"
#include "webrtc/live_stream.h"

namespace miharu::app {

// Made and destroyed on any thread; lives on its media thread, but for what says otherwise.
class SubStream final : public std::enable_shared_from_this<SubStream> {
 public:
  // Who leaves often comes back, and a camera takes a second to connect.
  static constexpr base::seconds kLinger{15};

  // `thread` and `latest` must outlive it.
  static std::shared_ptr<SubStream> make(const std::string& camera, store::Container container,
                                         MediaThread& thread, const base::Clock& clock,
                                         record::RecordingIndex& latest, stream::SourceFactory factory);

  // Any thread. Null after stop().
  [[nodiscard]] const std::shared_ptr<webrtc::LiveStream>& live() const { return live_; }
  // Whether `latest` is to have its latest seconds.
  void keep_latest(bool wanted);
  // For good.
  void stop();

 private:
  SubStream(const std::string& camera, store::Container container, MediaThread& thread,
            const base::Clock& clock, record::RecordingIndex& latest, stream::SourceFactory factory);
  void pull_as_wanted();
  void end();

  const std::string name_;  // for the log
  const store::Container container_;
  MediaThread& thread_;
  const base::Clock& clock_;
  stream::SourceFactory factory_;
  std::shared_ptr<webrtc::LiveStream> live_;
  record::MemoryRecording latest_;
  std::unique_ptr<stream::CameraStream> stream_;  // while it is pulled
  boost::asio::steady_timer linger_;
  bool watched_ = false;  // by WebRTC
  bool kept_ = false;     // in latest_
  bool stopped_ = false;
};

}  // namespace miharu::app
