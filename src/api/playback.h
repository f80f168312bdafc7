// Playlists and media over HTTP: /hls and /media. That the camera may be asked for was decided before
// (router.h); here every byte is held to the interval that the credentials allow. An object or chunk that
// overlaps it may be fetched.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "api/auth/rights.h"
#include "hls/playlist.h"
#include "net/http.h"
#include "record/recording.h"
#include "store/catalog.h"
#include "store/directory_store.h"

namespace miharu::api {

// from= and to= of the query, in any form of base::parse_time; `to` is now when it is missing. kInvalid says
// how to ask.
base::Result<Interval> parse_interval(const net::HttpRequest& request, base::UtcTime now);

// What /media/{camera}/{run}/{seq} names; "seq" may end like a file, for players that insist on it.
struct ChunkAddress {
  std::string camera;
  store::Run run;
  uint64_t seq = 0;
};
base::Result<ChunkAddress> parse_chunk_address(std::string_view camera, std::string_view run,
                                               std::string_view seq);

// Lives on the control thread.
class Playback {
 public:
  static constexpr base::nanoseconds kLongestInterval = std::chrono::days(7);
  static constexpr base::nanoseconds kLongestByChunk =
      std::chrono::hours(24);  // beyond, one entry per object
  // Playlists that were built and compressed lately. One of 24 h by chunk is 4 MB of text, 0.5 MB compressed.
  static constexpr size_t kMaxCachedBytes = 16 << 20;
  static constexpr base::seconds kCacheFor{10};

  Playback(store::DirectoryStore& store, store::Catalog& catalog, const record::Recordings& recordings,
           const base::Clock& clock)
      : store_(store), catalog_(catalog), recordings_(recordings), clock_(clock) {}

  enum class List : uint8_t { kChunks, kKeyFrames };
  // GET /hls/{camera}/vod.m3u8?from=&to= and iframe.m3u8
  net::HttpResponse interval(const net::HttpRequest& request, const Access& access, const std::string& camera,
                             List list);
  // GET /hls/{camera}/init/{run}.mp4
  net::HttpResponse init(const net::HttpRequest& request, const Access& access, const std::string& camera,
                         std::string_view file);
  // GET /media/{camera}/{run}/{seq}
  net::HttpResponse chunk(const net::HttpRequest& request, const Access& access, const ChunkAddress& address);
  // GET /media/rec/...
  net::HttpResponse object(const net::HttpRequest& request, const Access& access, const std::string& key);

 private:
  struct Cached {
    std::string key;
    base::SteadyTime built;
    std::string etag;
    std::shared_ptr<const std::string> compressed;
  };
  net::HttpResponse playlist(const net::HttpRequest& request, std::string text, std::string_view cache_key);
  net::HttpResponse send(const net::HttpRequest& request, const Cached& cached);
  // The object that holds a chunk which is no longer among the latest.
  base::Result<std::pair<store::CatalogEntryPtr, size_t>> find_chunk(const ChunkAddress& address);

  store::DirectoryStore& store_;
  store::Catalog& catalog_;
  const record::Recordings& recordings_;
  const base::Clock& clock_;
  std::list<Cached> cache_;  // latest first
  size_t cached_bytes_ = 0;
};

}  // namespace miharu::api
