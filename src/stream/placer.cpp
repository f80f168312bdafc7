#include "stream/placer.h"

#include <fmt/format.h>

namespace miharu::stream {

using media::TrackKind;
using store::RunReason;

namespace {

bool same(const media::TrackConfigPtr& a, const media::TrackConfigPtr& b) {
  return a == b || (a && b && *a == *b);
}

std::string describe_change(const media::TrackConfig& before, const media::TrackConfig& after) {
  if (before.width != after.width || before.height != after.height) {
    return fmt::format("the camera changed its picture from {}x{} to {}x{}", before.width, before.height,
                       after.width, after.height);
  }
  return fmt::format("the camera changed its {} parameters ({} to {})", media::name_of(after.codec),
                     before.codec_string, after.codec_string);
}

}  // namespace

void Placer::observe(const media::Frame& frame) {
  model_.observe(frame.kind(), ticks_to_time(frame.dts, frame.config->clock_rate), frame.arrival,
                 clock_.utc() - (clock_.steady() - frame.arrival));
}

void Placer::observe(const ingest::SenderReport& report, uint32_t clock_rate) {
  if (clock_rate != 0) model_.observe(report, ticks_to_time(report.rtp_time, clock_rate));
}

void Placer::add(const media::FramePtr& frame) {
  if (!frame->is_video()) {
    audio_latest_ = frame->config;
    audio_arrival_ = frame->arrival;
  }
  if (model_.placed()) {
    hand_on(frame);
    return;
  }
  if (held_.empty() && !(frame->is_video() && frame->key)) return;
  held_.push_back(frame);
  held_bytes_ += frame->data().size();
  const base::SteadyTime now = frame->arrival;
  const bool waits_for_audio =
      expects_audio_ && !audio_latest_ && now - held_.front()->arrival < kAudioDeadline;
  if ((model_.settled(now) && !waits_for_audio) || held_bytes_ > kMaxHeldBytes) release_held();
}

void Placer::release_held() {
  model_.place();
  std::deque<media::FramePtr> frames;
  frames.swap(held_);
  held_bytes_ = 0;
  for (const media::FramePtr& frame : frames) hand_on(frame);
}

void Placer::hand_on(const media::FramePtr& frame) {
  if (frame->is_video()) {
    add_video(frame);
  } else {
    add_audio(frame);
  }
}

void Placer::add_video(const media::FramePtr& frame) {
  if (frame->key) {
    if (model_.stepped()) {
      if (running_) end_run(RunReason::kClockStep, "the clock of this machine or of the camera was stepped");
      model_.correct_step();
    } else if (running_ && !same(video_, frame->config)) {
      end_run(RunReason::kParameters, describe_change(*video_, *frame->config));
    } else if (running_ && restart_at_key_) {
      end_run(RunReason::kParameters,
              audio_latest_ ? "the camera's sound appeared or changed" : "the camera's sound ended");
    }
    if (!running_) {
      video_ = frame->config;
      start_run(next_reason_);
    }
  }
  if (!running_) return;
  if (audio_ && frame->arrival - audio_arrival_ > kAudioGone) {
    audio_latest_ = nullptr;
    restart_at_key_ = true;
  }
  // Without a key frame the new parameters do not belong to anything that could be decoded.
  if (!same(video_, frame->config)) return;
  const auto offset = ticks_to_time(frame->pts, frame->config->clock_rate) -
                      ticks_to_time(frame->dts, frame->config->clock_rate);
  const base::UtcTime dts =
      model_.map(TrackKind::kVideo, ticks_to_time(frame->dts, frame->config->clock_rate));
  base::UtcTime& last = last_dts_[0];
  if (dts <= last) return;
  if (last == base::UtcTime()) run_start_ = dts;
  last = dts;
  listener_.on_placed({frame, dts, dts + offset});
}

void Placer::add_audio(const media::FramePtr& frame) {
  if (!running_) return;
  if (!same(audio_, frame->config)) {
    restart_at_key_ = true;
    return;
  }
  // Sound that only paused, before a key frame came: the run may go on.
  restart_at_key_ = false;
  const base::UtcTime dts =
      model_.map(TrackKind::kAudio, ticks_to_time(frame->dts, frame->config->clock_rate));
  base::UtcTime& last = last_dts_[1];
  if (dts <= last || dts < run_start_) return;
  last = dts;
  listener_.on_placed({frame, dts, dts});
}

void Placer::start_run(RunReason reason) {
  running_ = true;
  restart_at_key_ = false;
  audio_ = audio_latest_;
  last_dts_ = {};
  RunStart start{reason, std::move(next_detail_), video_, audio_};
  next_detail_.clear();
  listener_.on_run_start(start);
}

void Placer::end_run(RunReason reason, const std::string& detail) {
  running_ = false;
  next_reason_ = reason;
  next_detail_ = detail;
  listener_.on_run_end(reason, detail);
}

void Placer::interrupt(RunReason reason, const std::string& detail) {
  if (!held_.empty()) release_held();
  if (running_) end_run(reason, detail);
  next_reason_ = reason;
  next_detail_ = detail;
  model_.reset();
  audio_latest_ = nullptr;
}

}  // namespace miharu::stream
