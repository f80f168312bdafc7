#include "api/playlists.h"

#include <algorithm>

#include <fmt/format.h>

#include "api/gzip.h"
#include "api/router.h"
#include "base/text.h"
#include "net/conditional.h"

namespace miharu::api {
namespace {

constexpr std::string_view kPlaylistType = "application/vnd.apple.mpegurl";
// A playlist of 24 h by chunk, 4 MB: level 1 takes 10 ms and makes 0.54 MB.
constexpr int kGzipLevel = 1;

net::HttpHeaders headers_of(const std::string& etag) {
  return {{"Content-Type", std::string(kPlaylistType)},
          {"Cache-Control", "no-cache"},
          {"ETag", etag},
          {"Vary", "Accept-Encoding"}};
}

// "r1/rec/front/" of every recorder whose objects are listed.
std::vector<std::string> folders_of(const std::vector<store::CatalogEntryPtr>& entries,
                                    const std::string& camera) {
  const std::string below = "rec/" + camera + "/";
  std::vector<std::string> folders;
  for (const store::CatalogEntryPtr& entry : entries) {
    if (!folders.empty() && entry->key.starts_with(folders.back())) continue;
    const size_t at = entry->key.find(below);
    if (at == std::string::npos) continue;
    std::string folder = entry->key.substr(0, at + below.size());
    if (std::ranges::find(folders, folder) == folders.end()) folders.push_back(std::move(folder));
  }
  return folders;
}

}  // namespace

base::Result<Interval> parse_interval(const net::HttpRequest& request, base::UtcTime now) {
  const std::string from = request.query_value("from");
  const std::string to = request.query_value("to");
  if (from.empty())
    return base::fail(base::Errc::kInvalid, "the question lacks from=, for example ?from=-1h&to=now");
  const auto begin = base::parse_time(from, now);
  if (!begin) return tl::unexpected(base::Error(begin.error()).in("from"));
  const auto end = base::parse_time(to.empty() ? std::string_view("now") : to, now);
  if (!end) return tl::unexpected(base::Error(end.error()).in("to"));
  if (*end <= *begin) return base::fail(base::Errc::kInvalid, "to must be later than from");
  if (*end - *begin > Playlists::kLongestInterval)
    return base::fail(base::Errc::kInvalid, "an interval is seven days at most; ask for several");
  return Interval{*begin, *end};
}

net::HttpResponse Playlists::interval(const net::HttpRequest& request, const Access& access,
                                      const std::string& camera, List list) {
  static const MediaDelivery kThroughUs;
  const MediaDelivery& delivery = options_.delivery != nullptr ? *options_.delivery : kThroughUs;
  const base::UtcTime now = clock_.utc();
  MediaPlan plan = delivery.plan(access, now);
  // Answers cut to the interval of one credential are not for others; who cannot take gzip is rare and not
  // cached for.
  const std::string cache_key =
      access.interval || !accepts_gzip(request)
          ? std::string()
          : fmt::format("{}{}?{}?{}", camera, list == List::kChunks ? "" : "/iframe", request.query,
                        plan.variant);
  const auto answered = [&](net::HttpResponse response, const std::vector<std::string>& folders) {
    return plan.by_cookies ? with_cookies(std::move(response), access, folders, now) : response;
  };
  if (const auto cached = find(cache_key)) {
    ++from_cache_;
    return answered(send(request, *cached), cached->folders);
  }
  const auto wanted = parse_interval(request, now);
  if (!wanted) return problem_of(wanted.error());
  const auto asked = clamp(access, *wanted);
  if (!asked) return net::problem(403, "your credentials do not reach into this interval");
  if (asked->to - asked->from > delivery.longest()) {
    return net::problem(400, fmt::format("an interval is {} hours at most here; ask for several",
                                         std::chrono::floor<std::chrono::hours>(delivery.longest()).count()));
  }
  const auto found = catalog_.find_with_lead(camera, asked->from, asked->to);
  if (!found) return problem_of(found.error());
  hls::VodRequest vod;
  vod.from = asked->from;
  vod.to = asked->to;
  vod.now = now;
  if (access.interval) vod.permitted = std::pair(access.interval->from, access.interval->to);
  vod.by_object = asked->to - asked->from > options_.by_chunk;
  vod.address = std::move(plan.address);
  std::string text = list == List::kChunks ? hls::vod_playlist(camera, found->entries, vod)
                                           : hls::iframe_playlist(camera, found->entries, vod);
  ++built_;
  const auto folders = plan.by_cookies ? folders_of(found->entries, camera) : std::vector<std::string>();
  // What ends now still grows: built anew each time.
  const bool may_grow = asked->to >= now - base::seconds(60);
  return answered(playlist(request, std::move(text), may_grow ? std::string_view() : cache_key, folders),
                  folders);
}

net::HttpResponse Playlists::with_cookies(net::HttpResponse response, const Access& access,
                                          const std::vector<std::string>& folders, base::UtcTime now) const {
  auto cookies = options_.delivery->cookies(access, folders, now);
  if (!cookies) return problem_of(cookies.error());
  for (std::string& cookie : *cookies) response.headers.emplace_back("Set-Cookie", std::move(cookie));
  return response;
}

net::HttpResponse Playlists::playlist(const net::HttpRequest& request, std::string text,
                                      std::string_view cache_key, const std::vector<std::string>& folders) {
  std::string etag = fmt::format("\"{:08x}-{:x}\"", base::crc32c(0, base::as_bytes(text)), text.size());
  if (accepts_gzip(request)) {
    const auto built = std::make_shared<const Cached>(
        Cached{std::string(cache_key), folders, clock_.steady(), std::move(etag),
               std::make_shared<const std::string>(gzip(text, kGzipLevel))});
    keep(built);
    return send(request, *built);
  }
  net::HttpResponse response;
  response.headers = headers_of(etag);
  if (net::etag_matches(request.header("If-None-Match"), etag)) {
    response.status = 304;
  } else {
    response.body = std::move(text);
  }
  return response;
}

std::shared_ptr<const Playlists::Cached> Playlists::find(std::string_view cache_key) {
  if (cache_key.empty()) return nullptr;
  const base::SteadyTime now = clock_.steady();
  const std::lock_guard lock(mutex_);
  const auto cached =
      std::find_if(cache_.begin(), cache_.end(), [&](const auto& entry) { return entry->key == cache_key; });
  if (cached == cache_.end()) return nullptr;
  if (now - (*cached)->built < kCacheFor) return *cached;
  cached_bytes_ -= (*cached)->compressed->size();
  cache_.erase(cached);
  return nullptr;
}

void Playlists::keep(std::shared_ptr<const Cached> built) {
  if (built->key.empty() || built->compressed->size() >= kMaxCachedBytes / 2) return;
  const std::lock_guard lock(mutex_);
  cached_bytes_ += built->compressed->size();
  cache_.push_front(std::move(built));
  while (cached_bytes_ > kMaxCachedBytes) {
    cached_bytes_ -= cache_.back()->compressed->size();
    cache_.pop_back();
  }
}

net::HttpResponse Playlists::send(const net::HttpRequest& request, const Cached& cached) {
  net::HttpResponse response;
  response.headers = headers_of(cached.etag);
  if (net::etag_matches(request.header("If-None-Match"), cached.etag)) {
    response.status = 304;
    return response;
  }
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.body = cached.compressed;
  return response;
}

}  // namespace miharu::api
