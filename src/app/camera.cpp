#include "app/camera.h"

#include <unistd.h>

#include <future>

#include <fmt/format.h>

#include "ingest/demo/demo_source.h"
#include "ingest/rtsp/rtsp_source.h"

namespace miharu::app {

base::Result<stream::SourceFactory> make_source_factory(const CameraConfig& config, const std::string& url,
                                                        MediaThread& thread, const base::Clock& clock) {
  if (url.starts_with("demo:")) {
    auto options = ingest::parse_demo_url(url);
    if (!options) return tl::unexpected(std::move(options.error()).in(config.name));
    options->name = config.name;
    return [options = *options, &thread, &clock](ingest::SourceListener& listener) {
      return ingest::make_demo_source(thread.loop, clock, options, listener);
    };
  }
  if (url.starts_with("rtsp://") || url.starts_with("rtsps://")) {
    ingest::RtspOptions options;
    options.url = url;
    options.user = config.user;
    options.password = config.password.reveal();
    options.transport = config.transport == Transport::kTcp   ? ingest::RtspTransport::kTcp
                        : config.transport == Transport::kUdp ? ingest::RtspTransport::kUdp
                                                              : ingest::RtspTransport::kAuto;
    options.pinned_fingerprint = config.certificate_sha256;
    return [options, &thread, &clock](ingest::SourceListener& listener) -> std::unique_ptr<ingest::Source> {
      return ingest::make_rtsp_source(thread.loop, thread.reader, clock, options, listener);
    };
  }
  return base::fail(
      base::Errc::kInvalid,
      fmt::format("camera {}: only rtsp://, rtsps:// and demo: addresses can be recorded so far",
                  config.name));
}

base::Result<std::unique_ptr<Camera>> Camera::make(const CameraConfig& config, const Config::Record& record,
                                                   MediaThread& thread,
                                                   const record::RecorderEnvironment& environment,
                                                   record::RecordingIndex& latest_of_sub) {
  auto factory = make_source_factory(config, config.url, thread, environment.clock);
  if (!factory) return tl::unexpected(factory.error());
  std::unique_ptr<Camera> camera(new Camera(config, thread));
  record::SegmenterOptions options;
  options.segment = record.segment;
  options.container =
      record.format == RecordFormat::kMpegTs ? store::Container::kMpegTs : store::Container::kFmp4;
  if (const long longest = ::pathconf(environment.store.root().c_str(), _PC_NAME_MAX); longest > 0) {
    options.max_name_length = std::min(options.max_name_length, static_cast<size_t>(longest));
  }
  if (!config.sub_url.empty()) {
    auto sub = make_source_factory(config, config.sub_url, thread, environment.clock);
    if (!sub) return tl::unexpected(std::move(sub.error()).in("sub_url"));
    camera->sub_ = SubStream::make(config.name, options.container, thread, environment.clock, latest_of_sub,
                                   std::move(*sub));
    camera->live_->set_sub(camera->sub_->live());
  }
  camera->recorder_ = std::make_unique<record::Recorder>(config.name, options, environment);
  camera->stream_ =
      std::make_unique<stream::CameraStream>(config.name, thread.loop, environment.clock,
                                             stream::StreamOptions{record.format == RecordFormat::kMpegTs},
                                             std::move(*factory), *camera->recorder_, camera->live_.get());
  return camera;
}

Camera::~Camera() {
  stop(store::RunReason::kOperator);
  // Behind what they still have in the queue of their thread.
  thread_.loop.run_and_wait([this] {
    if (sub_) sub_->stop();
    stream_.reset();
    recorder_.reset();
  });
}

void Camera::start() {
  if (!config_.record) return;
  running_ = true;
  thread_.loop.post([this] {
    recorder_->start();
    stream_->start();
  });
}

bool Camera::keep_latest_of_sub(bool wanted) {
  if (!sub_ || !config_.record) return false;
  thread_.loop.post([weak = std::weak_ptr(sub_), wanted] {
    if (const auto sub = weak.lock()) sub->keep_latest(wanted);
  });
  return true;
}

void Camera::stop(store::RunReason reason) {
  if (!running_) return;
  running_ = false;
  std::promise<void> done;
  thread_.loop.post([this, reason, &done] {
    if (sub_) sub_->stop();
    stream_->stop(reason,
                  reason == store::RunReason::kRestart ? "miharu was stopped" : "recording was switched off");
    recorder_->stop([&done] { done.set_value(); });
  });
  done.get_future().wait();
}

api::CameraStatus Camera::status() const {
  return {config_.name, config_.record, stream_->status(), recorder_->status()};
}

}  // namespace miharu::app
