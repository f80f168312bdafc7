#include "hls/rolling_playlist.h"

#include <algorithm>

#include "hls/playlist_writer.h"

namespace miharu::hls {
namespace {

constexpr uint64_t kInsideMs = 5;

uint64_t to_ms(base::microseconds time) {
  return static_cast<uint64_t>(std::chrono::round<base::milliseconds>(time).count());
}

}  // namespace

void RollingPlaylist::add(RollingSegment segment) {
  segments.push_back(std::move(segment));
  if (segments.size() > kMostSegments) drop(1);
  // To a key frame, so that the list begins with one.
  base::microseconds behind{};
  for (size_t i = segments.size(); i-- > 1;) {
    behind += segments[i].duration;
    if (behind < kWindow || !segments[i].key) continue;
    drop(i);
    return;
  }
}

void RollingPlaylist::drop(size_t count) {
  for (; count > 0; --count) {
    ++media_sequence;
    // RFC 8216 section 6.2.2: counted when the tag goes.
    discontinuity_sequence += segments.front().discontinuity ? 1 : 0;
    segments.pop_front();
  }
}

std::string RollingPlaylist::text() const {
  // At least a second: players divide by it.
  uint64_t target_s = 1;
  base::microseconds start_before_end{};
  base::microseconds before_end{};
  bool reserved = false;
  for (auto each = segments.rbegin(); each != segments.rend(); ++each) {
    target_s = std::max(target_s, (to_ms(each->duration) + 500) / 1000);
    before_end += each->duration;
    if (!each->key || reserved) continue;
    start_before_end = before_end;
    reserved = before_end >= kReserve;
  }
  PlaylistWriter out(512 + segments.size() * 160);
  out.text("#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:").number(target_s);
  out.text("\n#EXT-X-MEDIA-SEQUENCE:").number(media_sequence);
  out.text("\n#EXT-X-DISCONTINUITY-SEQUENCE:").number(discontinuity_sequence).text("\n");
  // A little behind the border, so that rounding does not make it the segment before.
  if (const uint64_t offset = to_ms(start_before_end); offset > kInsideMs)
    out.text("#EXT-X-START:TIME-OFFSET=-").seconds(offset - kInsideMs).text("\n");
  std::string_view init;
  for (const RollingSegment& each : segments) {
    if (each.discontinuity) out.text("#EXT-X-DISCONTINUITY\n");
    if (each.init != init) out.text("#EXT-X-MAP:URI=\"").text(each.init).text("\"\n");
    init = each.init;
    out.program_date_time(base::to_unix_ms(each.start));
    out.extinf(to_ms(each.duration));
    out.text(each.name).text("\n");
  }
  if (ended) out.text("#EXT-X-ENDLIST\n");
  return std::move(out).take();
}

}  // namespace miharu::hls
