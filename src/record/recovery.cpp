#include "record/recovery.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "media/scan.h"
#include "stream/clock_model.h"

namespace miharu::record {
namespace {

using base::Errc;

base::UtcTime ticks_to_utc(int64_t ticks, uint32_t rate) {
  return base::UtcTime(stream::ticks_to_time(ticks, rate));
}

struct ChunkSpan {
  size_t first_fragment;
  base::UtcTime start;  // shown
  store::Chunk chunk;
};

}  // namespace

// Of the first key frame; none in an object of dependent chunks, whose place only its name tells.
std::optional<base::nanoseconds> offset_of_key(const media::Scan& scan, uint32_t rate) {
  for (const media::ScannedFragment& fragment : scan.fragments) {
    if (!fragment.begins_with_key()) continue;
    const media::ScannedSample& key = fragment.video.front();
    return ticks_to_utc(key.pts, rate) - ticks_to_utc(key.dts, rate);
  }
  return std::nullopt;
}

base::Result<Recovered> recover_object(base::ByteView bytes, const store::ObjectName& head) {
  const int64_t near_90k = base::to_unix_ms(head.start) * 90;
  const auto scan = head.container == store::Container::kFmp4 ? media::scan_fmp4(bytes)
                                                              : media::scan_mpegts(bytes, near_90k);
  if (!scan) {
    const Errc code = scan.error().code;
    const bool nothing = bytes.empty() || code == Errc::kTruncated;
    return base::fail(nothing ? Errc::kNotFound : code, scan.error().text, scan.error().offset);
  }
  if (scan->fragments.empty()) return base::fail(Errc::kNotFound, "not one whole part was written");
  if (!scan->video) return base::fail(Errc::kMalformed, "no video track");

  Recovered result;
  result.name = head;
  result.name.chunks.clear();
  result.size_bytes = scan->whole_bytes;
  result.name.init_bytes = scan->init_bytes;
  result.name.video = scan->video->codec;
  // In MPEG-TS the torn end may have told of a track of which nothing whole is there.
  const bool heard =
      std::any_of(scan->fragments.begin(), scan->fragments.end(),
                  [](const media::ScannedFragment& fragment) { return !fragment.audio.empty(); });
  result.name.has_audio = scan->audio && (heard || head.container == store::Container::kFmp4);
  if (result.name.has_audio) result.name.audio = scan->audio->codec;
  result.name.crc = base::crc32c(0, bytes.first(scan->whole_bytes));

  const uint32_t rate = scan->video->clock_rate;
  std::vector<ChunkSpan> chunks;
  base::UtcTime end = head.start;
  std::optional<base::nanoseconds> show_offset;
  uint32_t frame_ticks = 0;
  for (size_t i = 0; i < scan->fragments.size(); ++i) {
    const media::ScannedFragment& fragment = scan->fragments[i];
    if (!fragment.video.empty()) {
      const media::ScannedSample& first = fragment.video.front();
      if (!show_offset)
        show_offset = offset_of_key(*scan, rate).value_or(head.start - ticks_to_utc(first.dts, rate));
    }
    if (fragment.starts_chunk || chunks.empty()) {
      if (fragment.video.empty())
        return base::fail(Errc::kMalformed, "a chunk begins without video",
                          static_cast<int64_t>(fragment.offset));
      chunks.push_back({i, ticks_to_utc(fragment.video.front().dts, rate) + *show_offset, {}});
      if (fragment.begins_with_key())
        chunks.back().chunk.key_bytes = static_cast<uint32_t>(fragment.size_bytes);
    }
    chunks.back().chunk.size_bytes += static_cast<uint32_t>(fragment.size_bytes);
    if (!fragment.video.empty()) {
      const media::ScannedSample& last = fragment.video.back();
      // MPEG-TS tells no duration of its very last picture: it is taken to be like the one before.
      if (last.duration > 0) frame_ticks = last.duration;
      if (last.duration == 0 && fragment.video.size() > 1)
        frame_ticks = fragment.video[fragment.video.size() - 2].duration;
      end = ticks_to_utc(last.dts + frame_ticks, rate) + *show_offset;
    }
  }
  result.name.start = std::chrono::round<base::milliseconds>(chunks.front().start);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const base::UtcTime until = i + 1 < chunks.size() ? chunks[i + 1].start : end;
    const int64_t duration =
        base::to_unix_ms(std::chrono::round<base::milliseconds>(until)) - base::to_unix_ms(result.name.end());
    chunks[i].chunk.duration_ms = static_cast<uint32_t>(std::clamp<int64_t>(duration, 1, 3'600'000));
    result.name.chunks.push_back(chunks[i].chunk);
  }
  return result;
}

std::string unfinished_file_name(std::string_view camera, const store::ObjectName& name) {
  return fmt::format("{}_{}_{}_{}_{}.part", camera, base::to_unix_ms(name.start), store::format_run(name.run),
                     store::format_base36(name.seq),
                     name.container == store::Container::kFmp4 ? "mp4" : "ts");
}

base::Result<UnfinishedFile> parse_unfinished_file_name(std::string_view file_name) {
  const auto bad = [&] {
    return base::fail(Errc::kMalformed,
                      fmt::format("\"{}\" is not the name of an unfinished object", file_name));
  };
  std::string_view rest = file_name;
  if (!rest.ends_with(".part")) return bad();
  rest.remove_suffix(5);
  UnfinishedFile file;
  file.camera = base::take_until(rest, '_');
  const auto start = base::parse_number<int64_t>(base::take_until(rest, '_'));
  const auto run = store::parse_run(base::take_until(rest, '_'));
  const auto seq = store::parse_base36(base::take_until(rest, '_'));
  if (!store::check_camera_name(file.camera) || !start || !run || !seq || (rest != "mp4" && rest != "ts"))
    return bad();
  if (*start < base::to_unix_ms(store::kEarliestStart) || *start >= base::to_unix_ms(store::kLatestStart))
    return bad();
  file.head.start = base::from_unix_ms(*start);
  file.head.run = *run;
  file.head.seq = *seq;
  file.head.container = rest == "mp4" ? store::Container::kFmp4 : store::Container::kMpegTs;
  return file;
}

}  // namespace miharu::record
