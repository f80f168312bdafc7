#include "stream/audio_filler.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "media/opus.h"

namespace miharu::stream {
namespace {

constexpr int64_t kAacSamples = 1024;
constexpr base::nanoseconds kOpusSilence = base::milliseconds(20);
// RFC 6716 section 3.1: one CELT frame of 20 ms, full band, mono; its content codes silence.
constexpr std::array<std::byte, 3> kOpusSilentPacket{std::byte{0xF8}, std::byte{0xFF}, std::byte{0xFE}};

}  // namespace

void AudioFiller::on_run_start(const RunStart& start) {
  audio_ = start.audio;
  silence_.reset();
  audio_end_.reset();
  audio_latest_ = video_latest_ = {};
  video_duration_ = {};
  if (audio_ && audio_->codec == media::Codec::kAac) {
    frame_duration_ = ticks_to_time(kAacSamples, audio_->clock_rate);
    auto silence = Silence::make(audio_);
    if (silence) {
      silence_ = std::move(*silence);
    } else {
      spdlog::warn("no silence can be made for this sound: {}", silence.error().to_string());
    }
  } else if (audio_) {
    frame_duration_ = kOpusSilence;
  }
  next_.on_run_start(start);
}

void AudioFiller::on_placed(const PlacedFrame& placed) {
  if (!audio_) {
    next_.on_placed(placed);
    return;
  }
  if (placed.frame->is_video()) {
    const bool first = !audio_end_;
    if (first) audio_end_ = placed.dts;
    if (video_latest_ != base::UtcTime{}) video_duration_ = placed.dts - video_latest_;
    video_latest_ = placed.dts;
    video_arrival_ = placed.frame->arrival;
    if (first) {
      next_.on_placed(placed);
      return;
    }
    held_.push_back(placed);
    held_bytes_ += placed.frame->data().size();
    fill_until(placed.dts - kPatience, placed.frame->arrival);
    release(placed.dts - kPatience);
    return;
  }
  if (!audio_end_) return;
  base::nanoseconds duration = frame_duration_;
  if (audio_->codec == media::Codec::kOpus) {
    if (const auto samples = media::opus::packet_samples(placed.frame->data()))
      duration = ticks_to_time(*samples, 48000);
  }
  if (placed.dts < *audio_end_ - duration / 2 || placed.dts > video_latest_ + kMaxLead) {
    ++dropped_;
    return;
  }
  fill_until(placed.dts, placed.frame->arrival);
  next_.on_placed(placed);
  audio_latest_ = placed.dts;
  audio_end_ = placed.dts + duration;
  release(video_latest_ - kPatience);
}

void AudioFiller::release(base::UtcTime latest_held) {
  while (!held_.empty() && (held_.front().dts <= audio_latest_ || held_.front().dts < latest_held ||
                            held_bytes_ > kMaxHeldBytes)) {
    held_bytes_ -= held_.front().frame->data().size();
    next_.on_placed(held_.front());
    held_.pop_front();
  }
}

void AudioFiller::fill_until(base::UtcTime time, base::SteadyTime arrival) {
  audio_end_ = std::max(*audio_end_, time - kLongestFill);
  while (*audio_end_ + frame_duration_ <= time) {
    const media::FramePtr frame = silent_frame(arrival);
    if (!frame) return;
    next_.on_placed({frame, *audio_end_, *audio_end_});
    audio_latest_ = *audio_end_;
    *audio_end_ += frame_duration_;
    ++filled_;
  }
}

media::FramePtr AudioFiller::silent_frame(base::SteadyTime arrival) {
  if (silence_) return silence_->frame(0, arrival);
  if (audio_->codec != media::Codec::kOpus) return {};
  media::FrameBuilder builder;
  builder.append(kOpusSilentPacket);
  return builder.finish({audio_, 0, 0, arrival, true, false});
}

void AudioFiller::on_run_end(store::RunReason reason, const std::string& detail) {
  // Sound comes after its picture, so the run's last is missing. Players put the next run where both tracks
  // of this one have ended: its pictures would come that much too early.
  if (audio_ && audio_end_)
    fill_until(video_latest_ + video_duration_ + frame_duration_ - base::nanoseconds(1), video_arrival_);
  release(base::UtcTime::max());
  next_.on_run_end(reason, detail);
  audio_.reset();
}

}  // namespace miharu::stream
