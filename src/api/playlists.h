// Playlists of an interval over HTTP: /hls/{camera}/vod.m3u8 and iframe.m3u8, from listings alone. That the
// camera may be asked for was decided before (router.h); here every byte is held to the interval that the
// credentials allow.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/auth/rights.h"
#include "hls/playlist.h"
#include "net/http.h"
#include "store/catalog.h"

namespace miharu::api {

// from= and to= of the query, in any form of base::parse_time; `to` is now when it is missing. kInvalid says
// how to ask.
base::Result<Interval> parse_interval(const net::HttpRequest& request, base::UtcTime now);

// Thread-safe. Blocks as long as the store takes to list.
class Playlists {
 public:
  static constexpr base::nanoseconds kLongestInterval = std::chrono::days(7);
  static constexpr base::nanoseconds kLongestByChunk =
      std::chrono::hours(24);  // beyond, one entry per object
  // Playlists that were built and compressed lately. One of 24 h by chunk is 4 MB of text, 0.5 MB compressed.
  static constexpr size_t kMaxCachedBytes = 16 << 20;
  static constexpr base::seconds kCacheFor{10};

  // Both must outlive it.
  Playlists(store::Footage& catalog, const base::Clock& clock) : catalog_(catalog), clock_(clock) {}

  enum class List : uint8_t { kChunks, kKeyFrames };
  net::HttpResponse interval(const net::HttpRequest& request, const Access& access, const std::string& camera,
                             List list);

 private:
  struct Cached {
    std::string key;
    base::SteadyTime built;
    std::string etag;
    std::shared_ptr<const std::string> compressed;
  };
  net::HttpResponse playlist(const net::HttpRequest& request, std::string text, std::string_view cache_key);
  std::shared_ptr<const Cached> find(std::string_view cache_key);
  void keep(std::shared_ptr<const Cached> built);
  static net::HttpResponse send(const net::HttpRequest& request, const Cached& cached);

  store::Footage& catalog_;
  const base::Clock& clock_;
  std::mutex mutex_;                                // guards what follows
  std::list<std::shared_ptr<const Cached>> cache_;  // latest first
  size_t cached_bytes_ = 0;
};

}  // namespace miharu::api
