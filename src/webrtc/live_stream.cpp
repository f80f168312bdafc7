#include "webrtc/live_stream.h"

#include <algorithm>
#include <cstdlib>

#include "base/log.h"
#include "media/opus.h"
#include "stream/clock_model.h"

namespace miharu::webrtc {

void LiveStream::on_live_frame(const media::FramePtr& frame, base::SteadyTime time) {
  media::TrackConfigPtr& known = frame->is_video() ? tracks_.video : tracks_.audio;
  const bool reordered = frame->is_video() && frame->pts != frame->dts;
  if (known != frame->config || (reordered && !tracks_.reordered)) {
    const std::lock_guard lock(tracks_mutex_);
    // A camera that was set up anew may have stopped it.
    if (frame->is_video()) tracks_.reordered = reordered || (tracks_.reordered && known == frame->config);
    known = frame->config;
  }
  if (!frame->is_video()) {
    if (!subscribers_.empty()) on_audio(*frame, time);
    return;
  }
  // A corrected clock may put a picture before the one that it follows; viewers' clocks go forward only.
  time = std::max(time, last_time_ + base::milliseconds(1));
  last_time_ = time;
  const bool cached = cache(frame, time);
  if (subscribers_.empty() || group_.empty()) return;
  UnitPtr unit = packetize_h264(*frame, time);
  if (!unit) return;
  if (cached) group_.back() = {{}, unit, time};
  for (const Subscriber& each : subscribers_) tell(each, [unit](UnitListener& to) { to.on_unit(unit); });
}

void LiveStream::on_audio(const media::Frame& frame, base::SteadyTime time) {
  if (frame.config->codec != media::Codec::kAac) {
    send_audio(frame, time);
    return;
  }
  // Viewers were answered Opus.
  if (transcoder_input_ != frame.config) {
    transcoder_input_ = frame.config;
    transcoder_.reset();
    if (auto made = stream::AudioTranscoder::make(frame.config)) {
      transcoder_ = std::move(*made);
    } else {
      spdlog::warn("live view without sound: {}", made.error().to_string());
    }
  }
  if (!transcoder_) return;
  const base::nanoseconds made_at = stream::ticks_to_time(frame.pts, frame.config->clock_rate);
  transcoder_->push(frame, [&](const media::FramePtr& out) {
    send_audio(*out, time + (stream::ticks_to_time(out->pts, out->config->clock_rate) - made_at));
  });
}

void LiveStream::stop_transcoding() {
  transcoder_.reset();
  transcoder_input_.reset();
}

void LiveStream::send_audio(const media::Frame& frame, base::SteadyTime time) {
  const uint32_t rate = frame.config->clock_rate;
  int64_t samples = 0;
  if (frame.config->codec == media::Codec::kOpus) {
    const auto counted = media::opus::packet_samples(frame.data());
    if (!counted) return;
    samples = *counted;
  } else {
    samples = static_cast<int64_t>(frame.data().size() / std::max(1U, frame.config->channels));
  }
  int64_t ticks = to_ticks(time, rate);
  const int64_t step = kSoundStep.count() * rate / 1000;
  if (std::abs(ticks - next_ticks_) <= step) ticks = next_ticks_;
  next_ticks_ = ticks + samples;
  UnitPtr unit = packetize_audio(frame, time, ticks);
  if (!unit) return;
  for (const Subscriber& each : subscribers_) tell(each, [unit](UnitListener& to) { to.on_unit(unit); });
}

bool LiveStream::cache(const media::FramePtr& frame, base::SteadyTime time) {
  if (frame->key) {
    group_.clear();
    group_bytes_ = 0;
    group_whole_ = true;
  } else if (group_.empty() || !group_whole_) {
    return false;
  }
  group_.push_back({frame, nullptr, time});
  group_bytes_ += frame->data().size();
  if (group_bytes_ <= kMaxCachedBytes) return true;
  group_whole_ = false;
  group_.resize(1);
  return false;
}

void LiveStream::on_live_interrupted() {
  group_.clear();
  group_bytes_ = 0;
  stop_transcoding();
  for (const Subscriber& each : subscribers_) tell(each, [](UnitListener& to) { to.on_interrupted(); });
}

LiveTracks LiveStream::tracks() const {
  const std::lock_guard lock(tracks_mutex_);
  return tracks_;
}

void LiveStream::subscribe(std::shared_ptr<UnitListener> listener, net::EventLoop& its_loop) {
  loop_.post([this, self = shared_from_this(), subscriber = Subscriber{std::move(listener), &its_loop}] {
    add_subscriber(subscriber);
  });
}

void LiveStream::add_subscriber(const Subscriber& subscriber) {
  const bool known = std::any_of(subscribers_.begin(), subscribers_.end(), [&](const Subscriber& each) {
    return each.listener == subscriber.listener;
  });
  if (known) return;
  std::vector<UnitPtr> units;
  units.reserve(group_.size());
  for (Cached& each : group_) {
    if (!each.unit) each = {{}, packetize_h264(*each.frame, each.time), each.time};
    if (each.unit) units.push_back(each.unit);
  }
  std::erase_if(group_, [](const Cached& each) { return !each.unit; });
  subscribers_.push_back(subscriber);
  if (subscribers_.size() == 1) on_watched_(true);
  tell(subscriber,
       [units = std::move(units), whole = group_whole_](UnitListener& to) { to.on_group(units, whole); });
}

void LiveStream::unsubscribe(std::shared_ptr<UnitListener> listener) {
  loop_.post([this, self = shared_from_this(), listener = std::move(listener)] {
    const size_t gone =
        std::erase_if(subscribers_, [&](const Subscriber& each) { return each.listener == listener; });
    if (gone == 0 || !subscribers_.empty()) return;
    stop_transcoding();
    on_watched_(false);
  });
}

template <class Call>
void LiveStream::tell(const Subscriber& subscriber, Call call) {
  if (subscriber.loop == &loop_) {
    call(*subscriber.listener);
  } else {
    subscriber.loop->post([listener = subscriber.listener, call = std::move(call)] { call(*listener); });
  }
}

}  // namespace miharu::webrtc
