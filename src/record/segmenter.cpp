#include "record/segmenter.h"

#include <algorithm>

#include "base/check.h"

namespace miharu::record {

using base::nanoseconds;
using base::UtcTime;
using media::Sample;

namespace {

// Until two frames were seen, one of 30 a second is assumed to last as long as it does.
constexpr nanoseconds kAssumedVideoDuration = base::milliseconds(33);
constexpr nanoseconds kAssumedAudioDuration = base::milliseconds(20);
// A frame whose successor is this far away is not shown that long: the time between is a gap, told by its
// run.
constexpr nanoseconds kMaxFrameDuration = base::seconds(10);

// The time as the container will say it. Names are rounded from this, so that the bytes alone lead to the
// same name.
UtcTime as_written(UtcTime time) {
  constexpr uint32_t kVideoRate = 90'000;
  return UtcTime(stream::ticks_to_time(media::to_ticks(time, kVideoRate), kVideoRate));
}

}  // namespace

Segmenter::Segmenter(SegmenterOptions options, uint64_t next_run, uint64_t next_seq,
                     SegmenterListener& listener)
    : options_(options), next_run_(next_run), next_seq_(next_seq), listener_(listener) {}

void Segmenter::set_counters(uint64_t next_run, uint64_t next_seq) {
  CHECK(!running());
  next_run_ = next_run;
  next_seq_ = next_seq;
}

void Segmenter::start_run(const stream::RunStart& start) {
  CHECK(!running());
  muxer_ = options_.container == store::Container::kFmp4 ? media::make_fmp4_muxer(start.video, start.audio)
                                                         : media::make_mpegts_muxer(start.video, start.audio);
  init_ = muxer_->init();
  object_ = {};
  object_.run = {next_run_++, start.reason};
  object_.container = options_.container;
  object_.video = start.video->codec;
  object_.has_audio = start.audio != nullptr;
  if (start.audio) object_.audio = start.audio->codec;
  object_.init_bytes = static_cast<uint32_t>(init_.size());
  last_video_duration_ = kAssumedVideoDuration;
  last_audio_duration_ = kAssumedAudioDuration;
  run_has_part_ = false;
}

void Segmenter::add(const stream::PlacedFrame& placed) {
  if (!running()) return;
  const Sample sample{placed.frame, placed.dts, placed.pts, placed.dts};
  if (!placed.frame->is_video()) {
    // Video is the earliest track of a run. Later on sound that comes behind the key frame which ended its
    // object is kept in the next one: what is dropped would be a hole at every border.
    if (!chunk_open_ || (!run_has_part_ && placed.dts < chunk_start_)) return;
    if (audio_bytes_ > options_.max_part_bytes) return;
    if (!audio_.empty()) {
      last_audio_duration_ = std::min(placed.dts - audio_.back().dts, kMaxFrameDuration);
      audio_.back().end = audio_.back().dts + last_audio_duration_;
    }
    audio_.push_back(sample);
    audio_bytes_ += placed.frame->data().size();
    return;
  }
  if (!video_.empty()) {
    last_video_duration_ = std::min(placed.dts - video_.back().dts, kMaxFrameDuration);
    video_.back().end = video_.back().dts + last_video_duration_;
  }
  if (chunk_open_) {
    const nanoseconds age = placed.dts - chunk_start_;
    // A group of exactly the least length may come out a trifle shorter by the slew of the clock.
    const bool at_key = placed.frame->key && age + last_video_duration_ >= options_.min_chunk;
    // One more frame of the same length would make the chunk longer than its cap.
    const bool too_long = age + last_video_duration_ > options_.max_chunk;
    const bool too_large = object_bytes_ > options_.max_object_bytes;
    if (at_key || too_long || too_large) {
      const nanoseconds object_age = placed.dts + *show_offset_ - object_.start;
      end_chunk(placed.dts, (at_key && object_age >= options_.segment) || too_large);
    } else if (placed.dts + last_video_duration_ - part_start_ > options_.part ||
               video_bytes_ > options_.max_part_bytes) {
      flush_part(placed.dts, false);
    }
  }
  if (!chunk_open_) begin_chunk(sample);
  chunk_.damaged |= placed.frame->damaged;
  video_.push_back(sample);
  video_bytes_ += placed.frame->data().size();
}

bool Segmenter::is_behind_pause(const stream::PlacedFrame& placed) const {
  return running() && placed.frame->is_video() && !video_.empty() &&
         placed.dts - video_.back().dts > kMaxFrameDuration;
}

void Segmenter::begin_chunk(const Sample& first) {
  if (!object_open_) {
    if (first.frame->key || !show_offset_) show_offset_ = as_written(first.pts) - as_written(first.dts);
    object_.start = std::chrono::round<base::milliseconds>(as_written(first.dts) + *show_offset_);
    object_.seq = next_seq_;
    object_.chunks.clear();
    object_bytes_ = init_.size();
  }
  chunk_open_ = true;
  chunk_has_part_ = false;
  chunk_independent_ = first.frame->key;
  chunk_start_ = part_start_ = first.dts;
  chunk_ = {};
}

void Segmenter::end_chunk(UtcTime boundary, bool end_object) {
  flush_part(boundary, false);
  // Rounding is of cumulative times, so that the durations of an object add up to its end.
  const UtcTime end = std::chrono::round<base::milliseconds>(as_written(boundary) + *show_offset_);
  chunk_.duration_ms =
      static_cast<uint32_t>(std::max<int64_t>(1, base::to_unix_ms(end) - base::to_unix_ms(object_.end())));
  object_.chunks.push_back(chunk_);
  ++next_seq_;
  chunk_open_ = false;
  const bool ends = end_object || name_is_full();
  listener_.on_chunk_end(end, ends);
  if (ends) object_open_ = false;
}

void Segmenter::flush_part(UtcTime boundary, bool everything) {
  if (video_.empty()) return;
  if (!object_open_) {
    object_open_ = true;
    listener_.on_object({object_, init_});
  }
  // Sound that begins before the boundary belongs here; its last frame waits until its end is known.
  std::vector<Sample> audio;
  size_t take = 0;
  while (take < audio_.size() && audio_[take].dts < boundary && (everything || take + 1 < audio_.size()))
    ++take;
  audio.assign(std::make_move_iterator(audio_.begin()),
               std::make_move_iterator(audio_.begin() + static_cast<ptrdiff_t>(take)));
  audio_.erase(audio_.begin(), audio_.begin() + static_cast<ptrdiff_t>(take));
  for (const Sample& sample : audio) audio_bytes_ -= sample.frame->data().size();

  Part part;
  part.seq = next_seq_;
  part.starts_chunk = !chunk_has_part_;
  part.independent = part.starts_chunk && chunk_independent_;
  part.start = std::max(as_written(video_.front().dts) + *show_offset_, object_.start);
  part.end = as_written(boundary) + *show_offset_;
  for (const Sample& sample : video_) part.damaged |= sample.frame->damaged;
  if (part.independent) {
    // The key frame's byte range is a whole fragment: I-frame playlists and scrubbing need it.
    std::vector<Sample> key;
    key.push_back(std::move(video_.front()));
    video_.erase(video_.begin());
    add_fragment(part, key, {}, true);
    part.key_bytes = static_cast<uint32_t>(part.size_bytes);
    chunk_.key_bytes = part.key_bytes;
  }
  if (!video_.empty() || !audio.empty())
    add_fragment(part, video_, audio, part.starts_chunk && !part.independent);
  video_.clear();
  video_bytes_ = 0;
  chunk_.size_bytes += static_cast<uint32_t>(part.size_bytes);
  object_bytes_ += part.size_bytes;
  chunk_has_part_ = run_has_part_ = true;
  part_start_ = boundary;
  listener_.on_part(std::move(part));
}

void Segmenter::add_fragment(Part& part, const std::vector<Sample>& video, const std::vector<Sample>& audio,
                             bool chunk_start) {
  media::Fragment fragment = muxer_->fragment(video, audio, chunk_start);
  part.size_bytes += fragment.size_bytes();
  part.pieces.push_back({std::move(fragment.head), std::move(fragment.payloads)});
}

bool Segmenter::name_is_full() const {
  store::ObjectName longer = object_;
  longer.chunks.push_back({10'000, 32 << 20, 8 << 20, true});
  return !store::encode_name(longer, options_.max_name_length).has_value();
}

void Segmenter::end_run() {
  if (!running()) return;
  if (chunk_open_ && !video_.empty()) {
    video_.back().end = video_.back().dts + last_video_duration_;
    if (!audio_.empty()) audio_.back().end = audio_.back().dts + last_audio_duration_;
    const UtcTime end = video_.back().end;
    flush_part(end, true);
    end_chunk(end, true);
  } else if (chunk_open_ && chunk_has_part_) {
    end_chunk(part_start_, true);
  } else if (object_open_) {
    listener_.on_chunk_end(object_.end(), true);
  }
  abandon_run();
}

void Segmenter::abandon_run() {
  muxer_.reset();
  object_open_ = chunk_open_ = chunk_has_part_ = false;
  video_.clear();
  audio_.clear();
  video_bytes_ = audio_bytes_ = 0;
}

}  // namespace miharu::record
