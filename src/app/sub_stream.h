// A camera's smaller stream (sub_url): pulled while somebody watches it, recorded never.
#pragma once

#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "app/media_thread.h"
#include "stream/camera_stream.h"
#include "webrtc/live_stream.h"

namespace miharu::app {

// Made and destroyed on any thread; lives on its media thread, but for what says otherwise.
class SubStream final : public std::enable_shared_from_this<SubStream> {
 public:
  // Who leaves often comes back, and a camera takes a second to connect.
  static constexpr base::seconds kLinger{15};

  // `name` is for the log. `thread` must outlive it.
  static std::shared_ptr<SubStream> make(std::string name, MediaThread& thread, const base::Clock& clock,
                                         stream::SourceFactory factory);

  // Any thread. Null after stop().
  [[nodiscard]] const std::shared_ptr<webrtc::LiveStream>& live() const { return live_; }
  // For good.
  void stop();

 private:
  class NoRecording;

  SubStream(std::string name, MediaThread& thread, const base::Clock& clock, stream::SourceFactory factory);
  void on_watched(bool watched);
  void end();

  std::string name_;
  MediaThread& thread_;
  const base::Clock& clock_;
  stream::SourceFactory factory_;
  std::shared_ptr<webrtc::LiveStream> live_;
  std::unique_ptr<NoRecording> nowhere_;
  std::unique_ptr<stream::CameraStream> stream_;  // while it is pulled
  boost::asio::steady_timer linger_;
  bool stopped_ = false;
};

}  // namespace miharu::app
