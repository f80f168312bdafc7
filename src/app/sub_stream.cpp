#include "app/sub_stream.h"

#include <utility>

#include "base/log.h"

namespace miharu::app {

std::shared_ptr<SubStream> SubStream::make(const std::string& camera, store::Container container,
                                           MediaThread& thread, const base::Clock& clock,
                                           record::RecordingIndex& latest, stream::SourceFactory factory) {
  std::shared_ptr<SubStream> made(
      new SubStream(camera, container, thread, clock, latest, std::move(factory)));
  made->live_ = std::make_shared<webrtc::LiveStream>(thread.loop,
                                                     [weak = made->weak_from_this(), &thread](bool watched) {
                                                       thread.on_watched(watched);
                                                       const auto self = weak.lock();
                                                       if (!self) return;
                                                       self->watched_ = watched;
                                                       self->pull_as_wanted();
                                                     });
  return made;
}

SubStream::SubStream(const std::string& camera, store::Container container, MediaThread& thread,
                     const base::Clock& clock, record::RecordingIndex& latest, stream::SourceFactory factory)
    : name_(camera + " (sub_url)"),
      container_(container),
      thread_(thread),
      clock_(clock),
      factory_(std::move(factory)),
      latest_(camera, container, clock, latest),
      linger_(thread.loop.context()) {}

void SubStream::keep_latest(bool wanted) {
  if (stopped_ || wanted == kept_) return;
  kept_ = wanted;
  if (wanted) {
    latest_.start();
  } else {
    latest_.stop();
  }
  pull_as_wanted();
}

void SubStream::pull_as_wanted() {
  if (stopped_) return;
  linger_.cancel();
  if (!watched_ && !kept_) {
    linger_.expires_after(kLinger);
    linger_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->end();
    });
    return;
  }
  if (stream_) return;
  spdlog::info("{}: pulling the smaller stream", name_);
  stream_ = std::make_unique<stream::CameraStream>(
      name_, thread_.loop, clock_, stream::StreamOptions{container_ == store::Container::kMpegTs}, factory_,
      latest_, live_.get());
  stream_->start();
}

void SubStream::end() {
  if (!stream_) return;
  spdlog::info("{}: nobody watches the smaller stream any more", name_);
  stream_->stop(store::RunReason::kOperator, "nobody watches it");
  stream_.reset();
}

void SubStream::stop() {
  stopped_ = true;
  linger_.cancel();
  end();
  latest_.stop();
}

}  // namespace miharu::app
