// HLS playlists (RFC 8216 and its second edition's draft) from catalog entries. Text in, text out: no I/O.
// Playlists are at /hls/<camera>/*.m3u8 and use relative addresses only, so that they work below any prefix.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "store/catalog.h"

namespace miharu::hls {

// EXT-X-TARGETDURATION, unless a segment is longer: chunks are cut every 10 s inside a long GOP.
inline constexpr uint32_t kTargetSeconds = 10;

struct VodRequest {
  base::UtcTime from;
  base::UtcTime to;
  base::UtcTime now;       // `to` in the past ends the list with EXT-X-ENDLIST
  bool by_object = false;  // one entry per object: for more than 24 h
  // Objects and growing chunks outside of it may not be fetched: none that others lean on is listed.
  std::optional<std::pair<base::UtcTime, base::UtcTime>> permitted{};
  // Put before media addresses: playlists are at /hls/<camera>/vod.m3u8, media at /media/..., both below the
  // same prefix.
  std::string media_prefix = "../../media/";
  // Whole address of a finished object, in place of media_prefix and its key: of who hands out media
  // elsewhere.
  std::function<std::string(const store::CatalogEntry&)> address{};
};

// Media playlist for [from, to): the chunk that holds `from` comes first with EXT-X-START to the exact place,
// the chunk that holds `to` last. Finished objects by byte ranges of their key, the growing object by lasting
// chunk addresses. A stretch that would begin with a dependent chunk begins with the independent one before
// it by number, also across the border of runs, if `entries` reach so far (Catalog::find_with_lead); else
// with the next independent one, if that is near. An interval without recording is a valid playlist without
// segments. By object, a list that is not ended leaves the growing object out (its chunks
// would turn into one entry later).
std::string vod_playlist(std::string_view camera, const std::vector<store::CatalogEntryPtr>& entries,
                         const VodRequest& request);

// The key frames of [from, to), one entry for each independent chunk (RFC 8216 section 4.3.3.6). `by_object`
// says nothing.
std::string iframe_playlist(std::string_view camera, const std::vector<store::CatalogEntryPtr>& entries,
                            const VodRequest& request);

// Bits a second, for a multivariant playlist.
struct Bandwidth {
  uint64_t peak = 0;     // of a chunk (of 0.5 s or more, where there is one)
  uint64_t average = 0;  // of all
  uint64_t iframe_peak = 0;
};
Bandwidth bandwidth_of(const std::vector<store::CatalogEntryPtr>& entries);

struct Variant {
  std::string uri;        // of its media playlist
  std::string codecs;     // RFC 6381: "avc1.64001f,mp4a.40.2"
  Bandwidth bandwidth{};  // average 0: not told; iframe_peak is told with iframe_uri
  uint32_t width = 0;     // 0: not known
  uint32_t height = 0;
  std::string iframe_uri{};     // of its I-frame playlist; "" = none
  std::string iframe_codecs{};  // of the video alone
};
// First the one to begin with. Quotes and control characters in the texts are dropped: codec strings come
// from cameras.
std::string multivariant_playlist(const std::vector<Variant>& variants);

}  // namespace miharu::hls
