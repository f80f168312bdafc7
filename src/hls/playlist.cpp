#include "hls/playlist.h"

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

#include "hls/playlist_writer.h"

namespace miharu::hls {
namespace {

using store::CatalogEntry;
using store::CatalogEntryPtr;
using store::Chunk;
using store::Container;
using store::ObjectName;
using store::Run;

using Entries = std::vector<CatalogEntryPtr>;

// Times of one run's objects meet to the rounded millisecond; more apart than this is a gap whatever the
// numbers say.
constexpr int64_t kGapMs = 500;

// What becomes one entry of the list: a chunk, or all chunks of an object.
struct Segment {
  const CatalogEntry* entry = nullptr;
  uint64_t seq = 0;
  uint64_t seq_end = 0;
  uint64_t offset = 0;  // in the object
  uint64_t size_bytes = 0;
  int64_t start_ms = 0;  // Unix time
  uint64_t duration_ms = 0;
  uint32_t key_bytes = 0;  // of its first chunk; 0 = dependent
  bool first_of_object = false;

  [[nodiscard]] int64_t end_ms() const { return start_ms + static_cast<int64_t>(duration_ms); }
};

bool follows(const Segment& before, const Segment& after) {
  return before.entry->name.run == after.entry->name.run && before.seq_end == after.seq &&
         std::abs(after.start_ms - before.end_ms()) <= kGapMs;
}

// Pictures go on from one to the other: within a run, or into a run that begins without a key frame because
// the clock was set, whatever it showed before.
bool leads_into(const Segment& before, const Segment& after) {
  if (before.entry->name.run == after.entry->name.run) return follows(before, after);
  return after.first_of_object && after.key_bytes == 0 && before.seq_end == after.seq &&
         store::leads_into(before.entry->name, after.entry->name);
}

void split_by_chunk(const CatalogEntry& entry, std::vector<Segment>& out) {
  const ObjectName& name = entry.name;
  Segment segment{
      .entry = &entry, .seq = name.seq, .offset = name.init_bytes, .start_ms = base::to_unix_ms(name.start)};
  for (size_t i = 0; i < name.chunks.size(); ++i) {
    const Chunk& chunk = name.chunks[i];
    segment.seq_end = segment.seq + 1;
    segment.size_bytes = chunk.size_bytes;
    segment.duration_ms = chunk.duration_ms;
    segment.key_bytes = chunk.key_bytes;
    segment.first_of_object = i == 0;
    out.push_back(segment);
    ++segment.seq;
    segment.offset += chunk.size_bytes;
    segment.start_ms = segment.end_ms();
  }
}

void whole_object(const CatalogEntry& entry, std::vector<Segment>& out) {
  const ObjectName& name = entry.name;
  out.push_back({.entry = &entry,
                 .seq = name.seq,
                 .seq_end = name.seq + name.chunks.size(),
                 .offset = name.init_bytes,
                 .size_bytes = name.size_bytes() - name.init_bytes,
                 .start_ms = base::to_unix_ms(name.start),
                 .duration_ms = static_cast<uint64_t>(name.duration().count()),
                 .key_bytes = name.chunks.empty() ? 0 : name.chunks[0].key_bytes,
                 .first_of_object = true});
}

// Floor and ceiling, so that an interval inside one millisecond still finds its chunk.
struct Asked {
  explicit Asked(const VodRequest& request)
      : from_ms(base::to_unix_ms(request.from)),
        to_ms(base::to_unix_ms(std::min(request.to, store::kLatestStart) + base::nanoseconds(999'999))) {}
  [[nodiscard]] bool holds(const Segment& segment) const {
    return segment.end_ms() > from_ms && segment.start_ms < to_ms;
  }
  int64_t from_ms;
  int64_t to_ms;
};

bool may_be_fetched(const Segment& segment, const VodRequest& request) {
  if (!request.permitted) return true;
  const auto& [from, to] = *request.permitted;
  const ObjectName& name = segment.entry->name;
  if (!segment.entry->growing) return name.start < to && name.end() > from;
  return base::from_unix_ms(segment.start_ms) < to && base::from_unix_ms(segment.end_ms()) > from;
}

// The segments that overlap [from, to), each stretch beginning with an independent one if there is one before
// it, else with the next if it is near.
std::vector<Segment> select(const Entries& entries, const VodRequest& request, bool by_object) {
  std::vector<Segment> all;
  all.reserve(by_object ? entries.size() : entries.size() * 10);
  const bool ended = request.to <= request.now;
  for (const CatalogEntryPtr& entry : entries) {
    if (!by_object || (entry->growing && ended)) {
      split_by_chunk(*entry, all);
    } else if (!entry->growing) {
      whole_object(*entry, all);
    }
  }
  const Asked asked(request);
  // Moves the chosen ones to the front: those in [kept of the last choice, i) were passed over and may be
  // wanted again.
  const auto key_is_near = [&](size_t i) {
    constexpr size_t kMostLeftOut = 6;  // a minute, of a group of pictures that is cut every 10 s
    for (size_t next = i + 1; next < std::min(all.size(), i + 1 + kMostLeftOut); ++next) {
      if (!asked.holds(all[next]) || !follows(all[next - 1], all[next])) return false;
      if (all[next].key_bytes > 0) return true;
    }
    return false;
  };
  size_t kept = 0;
  size_t passed = 0;  // first segment since the last choice
  for (size_t i = 0; i < all.size(); ++i) {
    if (!asked.holds(all[i])) continue;
    size_t first = i;
    while (all[first].key_bytes == 0 && first > passed && leads_into(all[first - 1], all[first]) &&
           may_be_fetched(all[first - 1], request))
      --first;
    // Reached what was chosen before, or nothing independent: no reason to begin earlier than asked.
    const bool joined = first == passed && kept > 0 && first > 0 && leads_into(all[kept - 1], all[first]);
    if (all[first].key_bytes == 0 && !joined) {
      if (key_is_near(i)) continue;
      first = i;
    }
    for (; first <= i; ++first, ++kept) {
      if (kept != first) all[kept] = all[first];
    }
    passed = i + 1;
  }
  all.resize(kept);
  return all;
}

uint64_t target_seconds(const std::vector<Segment>& segments) {
  uint64_t longest_ms = 0;
  for (const Segment& segment : segments) longest_ms = std::max(longest_ms, segment.duration_ms);
  return std::max<uint64_t>(kTargetSeconds, (longest_ms + 500) / 1000);
}

// Where finished objects are. Those of one object follow each other: its address is made once.
class Addresses {
 public:
  explicit Addresses(const VodRequest& request) : request_(request) {}
  void write(PlaylistWriter& out, const CatalogEntry& entry) {
    if (!request_.address) {
      out.text(request_.media_prefix).text(entry.key);
      return;
    }
    if (&entry != last_) {
      last_ = &entry;
      text_ = request_.address(entry);
    }
    out.text(text_);
  }

 private:
  const VodRequest& request_;
  const CatalogEntry* last_ = nullptr;
  std::string text_;
};

// The newest finished object of each run in the list holds the map: retention removes it last.
class Maps {
 public:
  explicit Maps(const std::vector<Segment>& segments) {
    for (const Segment& segment : segments) {
      if (segment.entry == last_ || segment.entry->growing) continue;
      last_ = segment.entry;
      newest_[store::format_run(last_->name.run)] = last_;
    }
  }
  void write(PlaylistWriter& out, const ObjectName& name, Addresses& addresses) const {
    if (name.container != Container::kFmp4) return;
    const std::string run = store::format_run(name.run);
    const auto found = newest_.find(run);
    if (found == newest_.end()) {
      out.text("#EXT-X-MAP:URI=\"init/").text(run).text(".mp4\"\n");
      return;
    }
    out.text("#EXT-X-MAP:URI=\"");
    addresses.write(out, *found->second);
    out.text("\",BYTERANGE=\"").number(found->second->name.init_bytes).text("@0\"\n");
  }

 private:
  const CatalogEntry* last_ = nullptr;
  std::unordered_map<std::string, const CatalogEntry*> newest_;
};

// FFmpeg refuses media segments whose address does not end like a media file.
std::string_view extension_of(Container container) {
  return container == Container::kFmp4 ? ".mp4" : ".ts";
}

void write_address(PlaylistWriter& out, std::string_view camera, const Segment& segment, uint64_t size_bytes,
                   std::string_view media_prefix, Addresses& addresses, bool always_range) {
  if (segment.entry->growing) {
    if (always_range) out.text("#EXT-X-BYTERANGE:").number(size_bytes).text("@0\n");
    out.text(media_prefix).text(camera).text("/").text(store::format_run(segment.entry->name.run)).text("/");
    out.text(store::format_base36(segment.seq)).text(extension_of(segment.entry->name.container)).text("\n");
    return;
  }
  out.text("#EXT-X-BYTERANGE:").number(size_bytes).text("@").number(segment.offset).text("\n");
  addresses.write(out, *segment.entry);
  out.text("\n");
}

void write_head(PlaylistWriter& out, bool map, uint64_t target) {
  // RFC 8216 section 7: EXT-X-MAP in an ordinary playlist asks for 6 and fMP4 as such for 7, byte ranges
  // for 4.
  out.text("#EXTM3U\n#EXT-X-VERSION:")
      .text(map ? "7" : "4")
      .text("\n#EXT-X-TARGETDURATION:")
      .number(target)
      .text("\n");
}

bool has_fmp4(const std::vector<Segment>& segments) {
  return std::ranges::any_of(segments,
                             [](const Segment& s) { return s.entry->name.container == Container::kFmp4; });
}

// The lines between two segments: discontinuity, map, date.
void write_border(PlaylistWriter& out, const Segment* before, const Segment& segment, const Maps& maps,
                  Addresses& addresses) {
  const bool joined = before != nullptr && follows(*before, segment);
  if (before != nullptr && !joined) out.text("#EXT-X-DISCONTINUITY\n");
  if (before == nullptr || before->entry->name.run != segment.entry->name.run) {
    maps.write(out, segment.entry->name, addresses);
  }
  if (!joined || before->entry != segment.entry) out.program_date_time(segment.start_ms);
}

// All segments whole, or of each its key frame; the end of the list, if that is known.
void write_segments(PlaylistWriter& out, std::string_view camera, const std::vector<Segment>& segments,
                    const VodRequest& request, bool key_frames) {
  const Maps maps(segments);
  Addresses addresses(request);
  const Segment* before = nullptr;
  for (const Segment& segment : segments) {
    write_border(out, before, segment, maps, addresses);
    out.extinf(segment.duration_ms);
    write_address(out, camera, segment, key_frames ? segment.key_bytes : segment.size_bytes,
                  request.media_prefix, addresses, key_frames);
    before = &segment;
  }
  if (request.to <= request.now) out.text("#EXT-X-ENDLIST\n");
}

void write_start(PlaylistWriter& out, const VodRequest& request, const std::vector<Segment>& segments,
                 bool ended) {
  // On the player's timeline, where each segment lies behind the one before whatever the clock showed.
  const Asked asked(request);
  int64_t offset_ms = 0;
  for (const Segment& segment : segments) {
    if (asked.holds(segment)) {
      offset_ms += std::max<int64_t>(0, asked.from_ms - segment.start_ms);
      break;
    }
    offset_ms += static_cast<int64_t>(segment.duration_ms);
  }
  // A list without end would be begun near its end.
  if (offset_ms == 0 && ended) return;
  out.text("#EXT-X-START:TIME-OFFSET=").seconds(static_cast<uint64_t>(offset_ms)).text(",PRECISE=YES\n");
}

}  // namespace

std::string vod_playlist(std::string_view camera, const Entries& entries, const VodRequest& request) {
  const std::vector<Segment> segments = select(entries, request, request.by_object);
  const bool ended = request.to <= request.now;
  const size_t line_bytes = 260 + request.media_prefix.size() + camera.size();
  PlaylistWriter out(512 + segments.size() * line_bytes);
  write_head(out, segments.empty() || has_fmp4(segments), target_seconds(segments));
  if (segments.empty()) {
    if (ended) out.text("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n");
    return std::move(out).take();
  }
  // By object a number for each entry is none for each chunk: such a list counts from 0, its front does not
  // move.
  out.text("#EXT-X-MEDIA-SEQUENCE:").number(request.by_object ? 0 : segments[0].seq).text("\n");
  out.text("#EXT-X-DISCONTINUITY-SEQUENCE:").number(segments[0].entry->name.run.number).text("\n");
  if (ended) out.text("#EXT-X-PLAYLIST-TYPE:VOD\n");
  if (std::ranges::all_of(segments, [](const Segment& s) { return s.key_bytes > 0; })) {
    out.text("#EXT-X-INDEPENDENT-SEGMENTS\n");
  }
  write_start(out, request, segments, ended);
  write_segments(out, camera, segments, request, false);
  return std::move(out).take();
}

std::string iframe_playlist(std::string_view camera, const Entries& entries, const VodRequest& request) {
  // A key frame is shown until the next one or the end of its stretch: dependent chunks lengthen the one
  // before.
  std::vector<Segment> frames;
  Segment last;
  for (const Segment& segment : select(entries, request, false)) {
    if (segment.key_bytes > 0) {
      frames.push_back(segment);
    } else if (!frames.empty() && leads_into(last, segment)) {
      frames.back().duration_ms += segment.duration_ms;
      frames.back().seq_end = segment.seq_end;
    }
    last = segment;
  }
  PlaylistWriter out(512 + frames.size() * (260 + request.media_prefix.size() + camera.size()));
  write_head(out, frames.empty() || has_fmp4(frames), target_seconds(frames));
  out.text("#EXT-X-I-FRAMES-ONLY\n");
  if (!frames.empty()) {
    out.text("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-DISCONTINUITY-SEQUENCE:")
        .number(frames[0].entry->name.run.number)
        .text("\n");
  }
  if (request.to <= request.now) out.text("#EXT-X-PLAYLIST-TYPE:VOD\n");
  write_segments(out, camera, frames, request, true);
  return std::move(out).take();
}

Bandwidth bandwidth_of(const Entries& entries) {
  constexpr uint32_t kShortMs =
      500;  // the rate of a shorter one says nothing: a run's last chunk may be one frame
  Bandwidth result;
  uint64_t bytes = 0;
  uint64_t ms = 0;
  for (const CatalogEntryPtr& entry : entries) {
    for (const Chunk& chunk : entry->name.chunks) {
      bytes += chunk.size_bytes;
      ms += chunk.duration_ms;
      if (chunk.duration_ms < kShortMs) continue;
      result.peak = std::max(result.peak, uint64_t{chunk.size_bytes} * 8000 / chunk.duration_ms);
      result.iframe_peak = std::max(result.iframe_peak, uint64_t{chunk.key_bytes} * 8000 / chunk.duration_ms);
    }
  }
  result.average = ms == 0 ? 0 : bytes * 8000 / ms;
  result.peak = std::max(result.peak, result.average);
  return result;
}

std::string multivariant_playlist(const std::vector<Variant>& variants) {
  PlaylistWriter out(256 + variants.size() * 512);
  const auto quoted = [&out](std::string_view attribute, std::string text) {
    std::erase_if(text, [](char c) { return c == '"' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (!text.empty()) out.text(attribute).text("\"").text(text).text("\"");
  };
  const auto resolution = [&out](const Variant& variant) {
    if (variant.width == 0 || variant.height == 0) return;
    out.text(",RESOLUTION=").number(variant.width).text("x").number(variant.height);
  };
  out.text("#EXTM3U\n#EXT-X-VERSION:7\n");
  for (const Variant& variant : variants) {
    // BANDWIDTH must be there: 1 where nothing is known.
    out.text("#EXT-X-STREAM-INF:BANDWIDTH=").number(std::max<uint64_t>(1, variant.bandwidth.peak));
    if (variant.bandwidth.average > 0) out.text(",AVERAGE-BANDWIDTH=").number(variant.bandwidth.average);
    quoted(",CODECS=", variant.codecs);
    resolution(variant);
    std::string uri = variant.uri;
    std::erase_if(uri, [](char c) { return static_cast<unsigned char>(c) <= 0x20; });
    out.text("\n").text(uri).text("\n");
  }
  for (const Variant& variant : variants) {
    if (variant.iframe_uri.empty()) continue;
    out.text("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=")
        .number(std::max<uint64_t>(1, variant.bandwidth.iframe_peak));
    quoted(",CODECS=", variant.iframe_codecs);
    resolution(variant);
    quoted(",URI=", variant.iframe_uri);
    out.text("\n");
  }
  return std::move(out).take();
}

}  // namespace miharu::hls
