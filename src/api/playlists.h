// Playlists of an interval over HTTP: /hls/{camera}/vod.m3u8 and iframe.m3u8, from listings alone. That the
// camera may be asked for was decided before (router.h); here every byte is held to the interval that the
// credentials allow.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/auth/rights.h"
#include "api/delivery.h"
#include "hls/playlist.h"
#include "net/http.h"
#include "store/catalog.h"

namespace miharu::api {

// from= and to= of the query, in any form of base::parse_time; `to` is now when it is missing. kInvalid says
// how to ask.
base::Result<Interval> parse_interval(const net::HttpRequest& request, base::UtcTime now);

struct PlaylistOptions {
  // Longer intervals have one entry per object.
  base::nanoseconds by_chunk = std::chrono::hours(24);
  const MediaDelivery* delivery = nullptr;  // null: through the server. Must outlive the Playlists
};

struct PlaylistCounts {
  uint64_t built = 0;
  uint64_t from_cache = 0;
};

// Thread-safe. Blocks as long as the store takes to list.
class Playlists {
 public:
  static constexpr base::nanoseconds kLongestInterval = std::chrono::days(7);
  // Playlists that were built and compressed lately. One of 24 h by chunk is 4 MB of text, 0.5 MB compressed.
  static constexpr size_t kMaxCachedBytes = 16 << 20;
  static constexpr base::seconds kCacheFor{10};

  // Both must outlive it.
  Playlists(store::Footage& catalog, const base::Clock& clock, PlaylistOptions options = {})
      : catalog_(catalog), clock_(clock), options_(options) {}

  enum class List : uint8_t { kChunks, kKeyFrames };
  net::HttpResponse interval(const net::HttpRequest& request, const Access& access, const std::string& camera,
                             List list);
  [[nodiscard]] PlaylistCounts counts() const { return {built_.load(), from_cache_.load()}; }

 private:
  struct Cached {
    std::string key;
    std::vector<std::string> folders;  // of the media: "r1/rec/front/"
    base::SteadyTime built;
    std::string etag;
    std::shared_ptr<const std::string> compressed;
  };
  net::HttpResponse playlist(const net::HttpRequest& request, std::string text, std::string_view cache_key,
                             const std::vector<std::string>& folders);
  net::HttpResponse with_cookies(net::HttpResponse response, const Access& access,
                                 const std::vector<std::string>& folders, base::UtcTime now) const;
  std::shared_ptr<const Cached> find(std::string_view cache_key);
  void keep(std::shared_ptr<const Cached> built);
  static net::HttpResponse send(const net::HttpRequest& request, const Cached& cached);

  store::Footage& catalog_;
  const base::Clock& clock_;
  const PlaylistOptions options_;
  std::atomic<uint64_t> built_{0};
  std::atomic<uint64_t> from_cache_{0};
  std::mutex mutex_;                                // guards what follows
  std::list<std::shared_ptr<const Cached>> cache_;  // latest first
  size_t cached_bytes_ = 0;
};

}  // namespace miharu::api
