#include "stream/placer.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include <fmt/format.h>

#include "media/opus.h"

namespace miharu::stream {

using media::TrackKind;
using store::RunReason;

namespace {

bool same(const media::TrackConfigPtr& a, const media::TrackConfigPtr& b) {
  return a == b || (a && b && *a == *b);
}

// Between two frames that would otherwise fall together.
constexpr base::microseconds kLeastStep{100};

base::nanoseconds media_time(const media::Frame& frame) {
  return ticks_to_time(frame.dts, frame.config->clock_rate);
}

// The media time at which the frame was complete: not before then can it arrive. A picture is taken in a
// moment, and those that are shown before others but sent after them are late by their order.
base::nanoseconds complete_at(const media::Frame& frame) {
  const uint32_t rate = frame.config->clock_rate;
  switch (frame.config->codec) {
    case media::Codec::kH264:
      return ticks_to_time(frame.pts, rate);
    case media::Codec::kAac: {
      constexpr int64_t kSamples = 1024;
      return ticks_to_time(frame.pts + kSamples, rate);
    }
    case media::Codec::kPcmu:
    case media::Codec::kPcma:
      return ticks_to_time(frame.pts + static_cast<int64_t>(frame.data().size() /
                                                            std::max<uint32_t>(1, frame.config->channels)),
                           rate);
    case media::Codec::kOpus:
      return ticks_to_time(frame.pts + media::opus::packet_samples(frame.data()).value_or(0), rate);
  }
  return ticks_to_time(frame.pts, rate);
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
  const base::nanoseconds utc = frame.arrival.time_since_epoch() + base::utc_minus_steady(clock_);
  model_.observe(frame.kind(), complete_at(frame), frame.arrival, base::UtcTime(utc));
}

base::SteadyTime Placer::live_time(const media::Frame& frame) const {
  if (!model_.placed()) return frame.arrival;
  const base::UtcTime made = model_.map(frame.kind(), ticks_to_time(frame.pts, frame.config->clock_rate));
  return base::SteadyTime(made.time_since_epoch() - model_.utc_minus_steady());
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

void Placer::tick(base::SteadyTime now) {
  if (!held_.empty() && now - held_.back()->arrival >= kSilent) release_held();
}

void Placer::release_held() {
  model_.place();
  std::deque<media::FramePtr> frames;
  frames.swap(held_);
  held_bytes_ = 0;
  // In the order of time: a camera's cache may come track by track, and sound far behind its picture would be
  // taken for missing.
  const auto sound = std::stable_partition(frames.begin(), frames.end(),
                                           [](const media::FramePtr& frame) { return frame->is_video(); });
  const auto before = [this](const media::FramePtr& a, const media::FramePtr& b) {
    return model_.map(a->kind(), media_time(*a)) < model_.map(b->kind(), media_time(*b));
  };
  std::vector<media::FramePtr> ordered;
  ordered.reserve(frames.size());
  std::merge(frames.begin(), sound, sound, frames.end(), std::back_inserter(ordered), before);
  for (const media::FramePtr& frame : ordered) hand_on(frame);
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
      if (running_)
        end_run(RunReason::kClockStep, jump_detail_.empty() ? model_.describe_step() : jump_detail_);
      model_.correct_step();
    } else if (running_ && !same(video_, frame->config)) {
      end_run(RunReason::kParameters, describe_change(*video_, *frame->config));
    } else if (running_ && restart_at_key_) {
      end_run(RunReason::kParameters,
              audio_latest_ ? "the camera's sound appeared or changed" : "the camera's sound ended");
    }
    if (!running_) {
      video_ = frame->config;
      start_run(next_reason_, false);
    }
    // What was told of a jump concerned the sound alone.
    if (!model_.awaits_picture()) jump_detail_.clear();
  } else if (running_ && model_.wall_stepped() && same(video_, frame->config)) {
    // Not under the old clock until a key frame comes.
    end_run(RunReason::kClockStep, model_.describe_step());
    model_.correct_wall_step();
    start_run(RunReason::kClockStep, true);
  }
  if (!running_) return;
  if (audio_ && frame->arrival - audio_arrival_ > kAudioGone) {
    audio_latest_ = nullptr;
    restart_at_key_ = true;
  }
  // Without a key frame the new parameters do not belong to anything that could be decoded.
  if (!same(video_, frame->config)) return;
  const auto offset = ticks_to_time(frame->pts, frame->config->clock_rate) - media_time(*frame);
  base::UtcTime& last = last_dts_[0];
  const base::UtcTime dts = std::max(model_.map(TrackKind::kVideo, media_time(*frame)), last + kLeastStep);
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
  const base::UtcTime dts = model_.map(TrackKind::kAudio, media_time(*frame));
  base::UtcTime& last = last_dts_[1];
  if (dts <= last || dts < run_start_ || dts > last_dts_[0] + kMaxSoundLead) return;
  last = dts;
  listener_.on_placed({frame, dts, dts});
}

void Placer::start_run(RunReason reason, bool dependent) {
  running_ = true;
  last_dts_ = {};
  // What asks for a new run at the next key frame still does.
  if (!dependent) {
    restart_at_key_ = false;
    audio_ = audio_latest_;
  }
  RunStart start{reason,   std::move(next_detail_),   video_,
                 audio_,   model_.utc_minus_steady(), clock_.synchronised(),
                 dependent};
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
  jump_detail_.clear();
  audio_latest_ = nullptr;
}

void Placer::clock_jumped(const std::string& detail) {
  if (!held_.empty()) release_held();
  if (!model_.placed()) {
    model_.reset();
    return;
  }
  model_.rebase();
  jump_detail_ = detail;
}

}  // namespace miharu::stream
