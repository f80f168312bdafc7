#include "app/sub_stream.h"

#include <utility>

#include "base/log.h"

namespace miharu::app {

class SubStream::NoRecording final : public stream::PlacedListener {
  void on_run_start(const stream::RunStart& /*start*/) override {}
  void on_placed(const stream::PlacedFrame& /*frame*/) override {}
  void on_run_end(store::RunReason /*reason*/, const std::string& /*detail*/) override {}
};

std::shared_ptr<SubStream> SubStream::make(std::string name, MediaThread& thread, const base::Clock& clock,
                                           stream::SourceFactory factory) {
  std::shared_ptr<SubStream> made(new SubStream(std::move(name), thread, clock, std::move(factory)));
  made->live_ = std::make_shared<webrtc::LiveStream>(thread.loop,
                                                     [weak = made->weak_from_this(), &thread](bool watched) {
                                                       thread.on_watched(watched);
                                                       if (const auto self = weak.lock())
                                                         self->on_watched(watched);
                                                     });
  return made;
}

SubStream::SubStream(std::string name, MediaThread& thread, const base::Clock& clock,
                     stream::SourceFactory factory)
    : name_(std::move(name)),
      thread_(thread),
      clock_(clock),
      factory_(std::move(factory)),
      nowhere_(std::make_unique<NoRecording>()),
      linger_(thread.loop.context()) {}

void SubStream::on_watched(bool watched) {
  if (stopped_) return;
  linger_.cancel();
  if (!watched) {
    linger_.expires_after(kLinger);
    linger_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
      const auto self = weak.lock();
      if (!error && self) self->end();
    });
    return;
  }
  if (stream_) return;
  spdlog::info("{}: pulling the smaller stream", name_);
  stream_ = std::make_unique<stream::CameraStream>(name_, thread_.loop, clock_, stream::StreamOptions{},
                                                   factory_, *nowhere_, live_.get());
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
}

}  // namespace miharu::app
