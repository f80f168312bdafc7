#include "stream/camera_stream.h"

#include <fmt/format.h>

#include "base/log.h"

namespace miharu::stream {

using media::Codec;
using store::RunReason;

CameraStream::CameraStream(std::string name, net::EventLoop& loop, const base::Clock& clock,
                           StreamOptions options, SourceFactory factory, PlacedListener& recorder,
                           LiveListener* live)
    : name_(std::move(name)),
      clock_(clock),
      options_(options),
      factory_(std::move(factory)),
      live_(live),
      filler_(recorder),
      placer_(clock, filler_),
      status_timer_(loop.context()) {}

CameraStream::~CameraStream() {
  stop(RunReason::kOperator, "the camera was removed");
  *alive_ = false;
}

void CameraStream::start() {
  source_ = factory_(*this);
  source_->start();
  window_start_ = clock_.steady();
  schedule_status();
}

void CameraStream::stop(RunReason reason, const std::string& text) {
  if (!source_) return;
  status_timer_.cancel();
  source_->stop();
  publish_status();
  source_.reset();
  if (live_ != nullptr) live_->on_live_interrupted();
  placer_.interrupt(reason, text);
}

void CameraStream::on_tracks(bool /*video*/, bool audio) {
  placer_.set_expected(audio);
}

void CameraStream::on_frame(media::FramePtr frame) {
  measure(*frame);
  placer_.observe(*frame);
  if (live_ != nullptr) live_->on_live_frame(frame, placer_.live_time(*frame));
  if (frame->is_video()) {
    placer_.add(frame);
  } else {
    on_audio(frame);
  }
}

void CameraStream::on_audio(const media::FramePtr& frame) {
  const Codec codec = frame->config->codec;
  const bool transcode =
      codec == Codec::kPcmu || codec == Codec::kPcma || (codec == Codec::kOpus && options_.opus_to_aac);
  if (!transcode) {
    placer_.add(frame);
    return;
  }
  if (!transcoder_ || transcoder_input_ != frame->config) {
    if (audio_unusable_ && transcoder_input_ == frame->config) return;
    transcoder_input_ = frame->config;
    auto made = AudioTranscoder::make(frame->config);
    audio_unusable_ = !made.has_value();
    if (!made) {
      spdlog::warn("{}: recorded without sound: {}", name_, made.error().to_string());
      transcoder_.reset();
      return;
    }
    transcoder_ = std::move(*made);
  }
  transcoder_->push(*frame, [this](media::FramePtr out) { placer_.add(out); });
}

void CameraStream::on_sender_report(const ingest::SenderReport& report) {
  const media::TrackConfigPtr& config = report.track == media::TrackKind::kVideo ? video_ : audio_;
  if (config) placer_.observe(report, config->clock_rate);
}

void CameraStream::on_interrupted(ingest::Interruption reason, const base::Error& error) {
  transcoder_.reset();
  transcoder_input_.reset();
  last_key_dts_.reset();
  reordered_ = false;
  if (live_ != nullptr) live_->on_live_interrupted();
  if (reason == ingest::Interruption::kClockJump) {
    placer_.clock_jumped(error.text);
  } else {
    placer_.interrupt(RunReason::kCameraLost, error.text);
  }
  publish_status();
}

void CameraStream::measure(const media::Frame& frame) {
  window_bytes_ += frame.data().size();
  if (!frame.is_video()) {
    audio_ = frame.config;
    return;
  }
  video_ = frame.config;
  ++window_frames_;
  reordered_ = reordered_ || frame.pts != frame.dts;
  if (!frame.key) return;
  if (last_key_dts_ && frame.dts > *last_key_dts_) {
    gop_seconds_ = static_cast<double>(frame.dts - *last_key_dts_) / frame.config->clock_rate;
  }
  last_key_dts_ = frame.dts;
}

void CameraStream::schedule_status() {
  status_timer_.expires_after(kStatusInterval);
  status_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (error || !*alive || !source_) return;
    const base::SteadyTime now = clock_.steady();
    const double elapsed = std::chrono::duration<double>(now - window_start_).count();
    if (elapsed >= 4) {
      bits_per_second_ = static_cast<double>(window_bytes_) * 8 / elapsed;
      frames_per_second_ = static_cast<double>(window_frames_) / elapsed;
      window_bytes_ = window_frames_ = 0;
      window_start_ = now;
    }
    placer_.tick(now);
    publish_status();
    schedule_status();
  });
}

void CameraStream::publish_status() {
  StreamStatus status;
  if (source_) status.source = source_->status();
  status.video = video_;
  status.audio = audio_;
  status.bits_per_second = bits_per_second_;
  status.frames_per_second = frames_per_second_;
  status.gop_seconds = gop_seconds_;
  status.reordered = reordered_;
  status.clock_error = placer_.clock_error();
  const std::lock_guard lock(status_mutex_);
  status_ = std::move(status);
}

StreamStatus CameraStream::status() const {
  const std::lock_guard lock(status_mutex_);
  return status_;
}

}  // namespace miharu::stream
