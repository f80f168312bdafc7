#include "media/mp4_file.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"
#include "media/muxer.h"

namespace miharu::media {
namespace {

using base::ByteVector;
using base::ByteView;
using base::ByteWriter;
using base::Errc;
using base::Result;
using base::Status;

constexpr int64_t kMovieTimescale = kVideoTimescale;  // edits exact to a tick of the video
constexpr int64_t kChunkTicks = kVideoTimescale;      // sound and pictures alternate every second
constexpr uint32_t kDefaultPictureTicks = 3000;       // of a picture alone, which nothing says the length of

// Run-length coded tables of (count, value).
class RunLengthTable {
 public:
  void add(uint32_t value) {
    if (runs_.empty() || runs_.back().second != value) runs_.emplace_back(0, value);
    ++runs_.back().first;
  }
  void write(ByteWriter& out) const {
    out.u32(runs_.size());
    for (const auto& [count, value] : runs_) {
      out.u32(count);
      out.u32(value);
    }
  }

 private:
  std::vector<std::pair<uint32_t, uint32_t>> runs_;
};

// How long the last of `samples` lasts, in their own ticks: object formats may not say (MPEG-TS).
uint32_t last_duration(const std::vector<Mp4Sample>& samples, size_t last, uint32_t fallback) {
  if (samples[last].scanned.duration > 0) return samples[last].scanned.duration;
  if (last == 0) return fallback;
  return static_cast<uint32_t>(samples[last].scanned.dts - samples[last - 1].scanned.dts);
}

Status check_order(const std::vector<Mp4Sample>& samples, const TrackConfigPtr& config, TrackKind kind) {
  const std::string name(name_of(kind));
  if (samples.empty()) return {};
  if (!config || kind_of(config->codec) != kind) {
    return base::fail(Errc::kInvalid, name + " samples without a configuration of their track");
  }
  if (!is_mp4_codec(config->codec)) {
    return base::fail(Errc::kUnsupported, "MP4 does not hold " + std::string(name_of(config->codec)));
  }
  constexpr uint32_t kMaxRate = 1 << 24;  // as an AudioSpecificConfig can say it
  for (const uint32_t rate : {config->clock_rate, mp4_timescale(*config)}) {
    if (rate == 0 || rate > kMaxRate) {
      return base::fail(Errc::kInvalid, name + " cannot have " + std::to_string(rate) + " ticks a second");
    }
  }
  // Far from overflow in any of these rates; 2 hours for one sample or reordering is more than any recording
  // has.
  constexpr int64_t kMaxSeconds = int64_t{1} << 36;
  const int64_t rate = config->clock_rate;
  const int64_t longest = 7200 * rate;
  for (size_t i = 0; i < samples.size(); ++i) {
    const ScannedSample& sample = samples[i].scanned;
    const bool in_range = sample.dts / rate < kMaxSeconds && sample.dts / rate > -kMaxSeconds &&
                          sample.pts / rate < kMaxSeconds && sample.pts / rate > -kMaxSeconds;
    if (!in_range || sample.pts - sample.dts > longest || sample.dts - sample.pts > longest ||
        sample.duration > longest) {
      return base::fail(Errc::kMalformed, name + " sample " + std::to_string(i) + " has a time out of range");
    }
    if (i == 0) continue;
    const int64_t step = sample.dts - samples[i - 1].scanned.dts;
    if (step < 0 || step > longest) {
      return base::fail(Errc::kMalformed,
                        name + " sample " + std::to_string(i) + " does not follow the one before it");
    }
  }
  return {};
}

}  // namespace

uint32_t Mp4FileWriter::Track::describe(const TrackConfigPtr& config) {
  const auto same = std::find_if(descriptions.begin(), descriptions.end(),
                                 [&](const TrackConfigPtr& known) { return *known == *config; });
  const auto index = static_cast<uint32_t>(same - descriptions.begin());
  if (same == descriptions.end()) descriptions.push_back(config);
  return index + 1;
}

uint64_t Mp4FileWriter::Track::duration_of(size_t index) const {
  const int64_t next = index + 1 < samples.size() ? samples[index + 1].dts : end;
  return static_cast<uint64_t>(next - samples[index].dts);
}

void Mp4FileWriter::begin_run(TrackConfigPtr video, TrackConfigPtr audio, bool continues) {
  runs_.push_back({std::move(video), std::move(audio), continues, {}, {}});
}

void Mp4FileWriter::prepend_lead(const Run& before, Run& run) {
  if (run.video.empty() || !before.video_config || !run.video_config ||
      *before.video_config != *run.video_config)
    return;
  size_t key = before.video.size();
  while (key > 0 && !before.video[--key].scanned.key) {
  }
  if (key == before.video.size() || !before.video[key].scanned.key) return;
  const size_t last = before.video.size() - 1;
  const int64_t end =
      before.video[last].scanned.dts + last_duration(before.video, last, kDefaultPictureTicks);
  const int64_t shift = run.video.front().scanned.dts - end;
  run.lead = before.video.size() - key;
  run.video.insert(run.video.begin(), before.video.begin() + static_cast<std::ptrdiff_t>(key),
                   before.video.end());
  for (size_t i = 0; i < run.lead; ++i) {
    run.video[i].scanned.dts += shift;
    run.video[i].scanned.pts += shift;
  }
}

Status Mp4FileWriter::check(const Run& run) const {
  if (Status status = check_order(run.video, run.video_config, TrackKind::kVideo); !status) return status;
  return check_order(run.audio, run.audio_config, TrackKind::kAudio);
}

void Mp4FileWriter::place(const Run& run) {
  const bool lead_is_there = std::exchange(placed_to_end_, false);
  if (run.video.empty()) return;
  const auto wall = [&](int64_t ticks) {
    return rescale_ticks(ticks, run.video_config->clock_rate, kVideoTimescale);
  };
  const int64_t from = to_ticks(from_, kVideoTimescale);
  const int64_t to = to_ticks(to_, kVideoTimescale);
  constexpr size_t kNone = SIZE_MAX;
  size_t key = kNone;
  size_t last = kNone;
  for (size_t i = 0; i < run.video.size(); ++i) {
    const ScannedSample& sample = run.video[i].scanned;
    const int64_t pts = wall(sample.pts);
    if (sample.key && (key == kNone || pts <= from)) key = i;
    if (pts < to) last = i;
  }
  if (key == kNone || last == kNone || last < key) return;

  Place place;
  place.shown_from = std::numeric_limits<int64_t>::max();
  place.shown_to = std::numeric_limits<int64_t>::min();
  if (key < run.lead && lead_is_there) key = run.lead;
  for (size_t i = std::max(key, run.lead); i <= last; ++i) {
    const ScannedSample& sample = run.video[i].scanned;
    const int64_t pts = wall(sample.pts);
    if (pts < from || pts >= to) continue;
    const uint32_t duration = i + 1 < run.video.size()
                                  ? static_cast<uint32_t>(run.video[i + 1].scanned.dts - sample.dts)
                                  : last_duration(run.video, i, kDefaultPictureTicks);
    place.shown_from = std::min(place.shown_from, pts);
    place.shown_to = std::max(place.shown_to, std::min(to, wall(sample.pts + duration)));
  }
  if (place.shown_from >= place.shown_to) return;

  const bool first_run = video_.samples.empty();
  const int64_t first_dts = wall(run.video[key].scanned.dts);
  if (first_run) {
    place.shift = -first_dts;
    first_shift_ = place.shift;
  } else {
    // Behind what was shown and behind what was decoded before.
    place.shift = std::max(video_.end - first_dts, shown_to_ - place.shown_from);
    if (gaps_ == Mp4Gaps::kKept) place.shift = std::max(place.shift, first_shift_);
  }
  const uint32_t description = video_.describe(run.video_config);
  for (size_t i = key; i <= last; ++i) {
    const ScannedSample& sample = run.video[i].scanned;
    video_.samples.push_back(
        {run.video[i], description, wall(sample.dts) + place.shift, wall(sample.pts) + place.shift});
  }
  video_.end = last + 1 < run.video.size()
                   ? wall(run.video[last + 1].scanned.dts)
                   : wall(run.video[last].scanned.dts + last_duration(run.video, last, kDefaultPictureTicks));
  video_.end += place.shift;
  if (first_run) shown_from_ = place.shown_from + place.shift;
  shown_to_ = place.shown_to + place.shift;
  placed_to_end_ = last + 1 == run.video.size();
  place_audio(run, place, first_run);
}

void Mp4FileWriter::place_audio(const Run& run, const Place& place, bool first_run) {
  if (run.audio.empty()) return;
  if (audio_.samples.empty()) audio_.timescale = mp4_timescale(*run.audio_config);
  const int64_t rate = run.audio_config->clock_rate;
  const auto wall = [&](int64_t ticks) { return rescale_ticks(ticks, rate, kVideoTimescale); };
  const int64_t shift = rescale_ticks(place.shift, kVideoTimescale, audio_.timescale);
  const auto on_timeline = [&](int64_t ticks) {
    return rescale_ticks(ticks, rate, audio_.timescale) + shift;
  };

  size_t begin = 0;
  while (begin < run.audio.size() && wall(run.audio[begin].scanned.dts) <= place.shown_from) ++begin;
  // The frame sounding at the start and, in the first run, one hidden frame that its decoding overlaps with.
  begin -= std::min<size_t>(begin, first_run ? 2 : 1);
  uint32_t description = 0;
  for (size_t i = begin; i < run.audio.size(); ++i) {
    const ScannedSample& sample = run.audio[i].scanned;
    if (wall(sample.dts) >= place.shown_to) break;
    const int64_t dts = on_timeline(sample.dts);
    const int64_t end =
        i + 1 < run.audio.size()
            ? on_timeline(run.audio[i + 1].scanned.dts)
            : on_timeline(sample.dts + last_duration(run.audio, i, static_cast<uint32_t>(rate / 50)));
    // Sound of a run must not overlap that of the run before.
    if (!audio_.samples.empty() && dts < audio_.end) continue;
    if (description == 0) description = audio_.describe(run.audio_config);
    audio_.samples.push_back({run.audio[i], description, dts, dts});
    audio_.end = end;
  }
}

Result<uint64_t> Mp4FileWriter::prepare() {
  CHECK(head_.empty());
  for (size_t i = 0; i < runs_.size(); ++i) {
    Run& run = runs_[i];
    if (const Status status = check(run); !status) return tl::unexpected(status.error());
    if (run.continues && i > 0) prepend_lead(runs_[i - 1], run);
    place(run);
    run.audio = {};
    if (i > 0) runs_[i - 1].video = {};
  }
  runs_.clear();
  if (video_.samples.empty()) {
    return base::fail(Errc::kNotFound, "no picture that can be decoded in the interval; choose a longer one");
  }
  for (const TrackKind kind : {TrackKind::kVideo, TrackKind::kAudio}) {
    const Track& samples = track(kind);
    for (size_t i = 0; i < samples.samples.size(); ++i) {
      if (samples.duration_of(i) > std::numeric_limits<uint32_t>::max()) {
        return base::fail(Errc::kLimit, "a gap is too long to be kept in one file; close the gaps");
      }
    }
  }
  lay_out_chunks();
  // 64 MB is more than the part before the payload takes for a day.
  constexpr uint64_t kNarrowLimit = (uint64_t{1} << 32) - (uint64_t{64} << 20);
  head_ = make_head(payload_bytes_ >= kNarrowLimit);
  return head_.size() + payload_bytes_;
}

void Mp4FileWriter::lay_out_chunks() {
  size_t next_video = 0;
  size_t next_audio = 0;
  const auto add_chunk = [this](TrackKind kind, size_t& next, auto&& belongs) {
    const std::vector<PlacedSample>& samples = track(kind).samples;
    Chunk chunk{kind, next, 0, payload_bytes_};
    while (next < samples.size() && samples[next].description == samples[chunk.first].description &&
           belongs(samples[next])) {
      payload_bytes_ += samples[next].source.scanned.size_bytes;
      ++next;
    }
    chunk.count = next - chunk.first;
    if (chunk.count > 0) chunks_.push_back(chunk);
    return chunk.count > 0;
  };
  while (next_video < video_.samples.size()) {
    const int64_t limit = video_.samples[next_video].dts + kChunkTicks;
    add_chunk(TrackKind::kVideo, next_video, [&](const PlacedSample& sample) { return sample.dts < limit; });
    const bool last = next_video == video_.samples.size();
    const int64_t audio_limit =
        last ? std::numeric_limits<int64_t>::max()
             : rescale_ticks(video_.samples[next_video].dts, kVideoTimescale, audio_.timescale);
    while (add_chunk(TrackKind::kAudio, next_audio,
                     [&](const PlacedSample& sample) { return sample.dts < audio_limit; })) {
    }
  }
}

std::vector<Mp4FileWriter::Edit> Mp4FileWriter::edits(TrackKind kind) const {
  if (kind == TrackKind::kVideo) return {{static_cast<uint64_t>(shown_to_ - shown_from_), shown_from_}};
  const auto movie = [this](int64_t ticks) {
    return rescale_ticks(ticks, audio_.timescale, kMovieTimescale);
  };
  const int64_t first = audio_.samples.front().dts;
  const int64_t start = std::max(shown_from_, movie(first));
  const int64_t end = std::min(shown_to_, movie(audio_.end));
  std::vector<Edit> list;
  if (start > shown_from_) list.push_back({static_cast<uint64_t>(start - shown_from_), -1});
  const int64_t media_time = rescale_ticks(start, kMovieTimescale, audio_.timescale) - first;
  list.push_back(
      {static_cast<uint64_t>(std::max<int64_t>(end - start, 0)), std::max<int64_t>(media_time, 0)});
  return list;
}

ByteVector Mp4FileWriter::make_head(bool wide_offsets) const {
  ByteVector bytes;
  ByteWriter out(bytes);
  {
    const Mp4Box ftyp(out, "ftyp");
    out.text("isom");
    out.u32(0x200);
    out.text("isomiso2avc1mp41");
  }
  // Chunk offsets are counted from the start of the file, which is known when the tables are written.
  std::vector<std::pair<size_t, uint64_t>> offsets;
  {
    const Mp4Box moov(out, "moov");
    write_movie_header(out, kMovieTimescale, static_cast<uint64_t>(shown_to_ - shown_from_));
    write_trak(out, TrackKind::kVideo, wide_offsets, offsets);
    if (!audio_.samples.empty()) write_trak(out, TrackKind::kAudio, wide_offsets, offsets);
  }
  if (payload_bytes_ + 8 > std::numeric_limits<uint32_t>::max()) {
    out.u32(1);
    out.text("mdat");
    out.u64(payload_bytes_ + 16);
  } else {
    out.u32(payload_bytes_ + 8);
    out.text("mdat");
  }
  for (const auto& [at, offset] : offsets) {
    const uint64_t value = offset + out.size();
    if (wide_offsets) out.patch_u32(at, value >> 32);
    out.patch_u32(wide_offsets ? at + 4 : at, value & 0xFFFFFFFF);
  }
  return bytes;
}

void Mp4FileWriter::write_trak(ByteWriter& out, TrackKind kind, bool wide_offsets,
                               std::vector<std::pair<size_t, uint64_t>>& offsets) const {
  const Track& track = this->track(kind);
  const std::vector<PlacedSample>& samples = track.samples;
  const std::vector<Edit> edit_list = edits(kind);
  Mp4TrackHeader header;
  header.kind = kind;
  header.timescale = track.timescale;
  for (const Edit& edit : edit_list) header.movie_duration += edit.duration;
  header.media_duration = static_cast<uint64_t>(track.end - samples.front().dts);
  header.width = track.descriptions.front()->width;
  header.height = track.descriptions.front()->height;
  const auto write_edits = [&] {
    const Mp4Box edts(out, "edts");
    const Mp4Box elst(out, "elst", 1, 0);
    out.u32(edit_list.size());
    for (const Edit& edit : edit_list) {
      out.u64(edit.duration);
      out.u64(static_cast<uint64_t>(edit.media_time));
      out.u32(0x10000);
    }
  };
  write_track(out, header, write_edits, [&] {
    {
      const Mp4Box stsd(out, "stsd", 0, 0);
      out.u32(track.descriptions.size());
      for (const TrackConfigPtr& config : track.descriptions) write_sample_entry(out, *config);
    }
    {
      const Mp4Box stts(out, "stts", 0, 0);
      RunLengthTable table;
      for (size_t i = 0; i < samples.size(); ++i) table.add(static_cast<uint32_t>(track.duration_of(i)));
      table.write(out);
    }
    if (std::any_of(samples.begin(), samples.end(), [](const PlacedSample& s) { return s.pts != s.dts; })) {
      const bool negative =
          std::any_of(samples.begin(), samples.end(), [](const PlacedSample& s) { return s.pts < s.dts; });
      const Mp4Box ctts(out, "ctts", negative ? 1 : 0, 0);
      RunLengthTable table;
      for (const PlacedSample& sample : samples) table.add(static_cast<uint32_t>(sample.pts - sample.dts));
      table.write(out);
    }
    if (kind == TrackKind::kVideo) {
      const Mp4Box stss(out, "stss", 0, 0);
      std::vector<size_t> keys;
      for (size_t i = 0; i < samples.size(); ++i) {
        if (samples[i].source.scanned.key) keys.push_back(i + 1);
      }
      out.u32(keys.size());
      for (const size_t number : keys) out.u32(number);
    }
    std::vector<Chunk> chunks;
    std::copy_if(chunks_.begin(), chunks_.end(), std::back_inserter(chunks),
                 [&](const Chunk& chunk) { return chunk.kind == kind; });
    {
      const Mp4Box stsc(out, "stsc", 0, 0);
      const size_t count_at = out.size();
      out.u32(0);
      uint32_t count = 0;
      for (size_t i = 0; i < chunks.size(); ++i) {
        const uint32_t description = samples[chunks[i].first].description;
        const bool same = i > 0 && chunks[i].count == chunks[i - 1].count &&
                          description == samples[chunks[i - 1].first].description;
        if (same) continue;
        ++count;
        out.u32(i + 1);
        out.u32(chunks[i].count);
        out.u32(description);
      }
      out.patch_u32(count_at, count);
    }
    {
      const Mp4Box stsz(out, "stsz", 0, 0);
      out.u32(0);
      out.u32(samples.size());
      for (const PlacedSample& sample : samples) out.u32(sample.source.scanned.size_bytes);
    }
    const Mp4Box stco(out, wide_offsets ? "co64" : "stco", 0, 0);
    out.u32(chunks.size());
    for (const Chunk& chunk : chunks) {
      offsets.emplace_back(out.size(), chunk.offset);
      out.zeros(wide_offsets ? 8 : 4);
    }
  });
}

Status Mp4FileWriter::write(const Payload& payload, const Sink& sink) const {
  CHECK(!head_.empty());
  if (Status status = sink(head_); !status) return status;
  for (const Chunk& chunk : chunks_) {
    const std::vector<PlacedSample>& samples = track(chunk.kind).samples;
    for (size_t i = chunk.first; i < chunk.first + chunk.count; ++i) {
      const Mp4Sample& sample = samples[i].source;
      const Result<ByteView> bytes = payload(chunk.kind, sample);
      if (!bytes) return tl::unexpected(bytes.error());
      if (bytes->size() != sample.scanned.size_bytes) {
        return base::fail(Errc::kInvalid,
                          "a recorded sample has " + std::to_string(bytes->size()) + " bytes instead of " +
                              std::to_string(sample.scanned.size_bytes) +
                              ": the object changed while it was exported",
                          static_cast<int64_t>(sample.scanned.offset));
      }
      if (Status status = sink(*bytes); !status) return status;
    }
  }
  return {};
}

}  // namespace miharu::media
