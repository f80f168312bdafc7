#include "api/playback.h"

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
constexpr std::string_view kImmutable = "private, max-age=31536000, immutable";

std::string_view media_type(store::Container container) {
  return container == store::Container::kFmp4 ? "video/mp4" : "video/mp2t";
}

net::HttpResponse forbidden() {
  return net::problem(403, "your credentials do not reach to this time");
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
  if (*end - *begin > Playback::kLongestInterval)
    return base::fail(base::Errc::kInvalid, "an interval is seven days at most; ask for several");
  return Interval{*begin, *end};
}

net::HttpResponse Playback::interval(const net::HttpRequest& request, const Access& access,
                                     const std::string& camera, List list) {
  const base::UtcTime now = clock_.utc();
  // Answers cut to the interval of one credential are not for others; who cannot take gzip is rare and not
  // cached for.
  const std::string cache_key =
      access.interval || !accepts_gzip(request)
          ? std::string()
          : fmt::format("{}{}?{}", camera, list == List::kChunks ? "" : "/iframe", request.query);
  const base::SteadyTime steady = clock_.steady();
  const auto cached = std::find_if(cache_.begin(), cache_.end(), [&](const Cached& entry) {
    return !cache_key.empty() && entry.key == cache_key;
  });
  if (cached != cache_.end()) {
    if (steady - cached->built < kCacheFor) return send(request, *cached);
    cached_bytes_ -= cached->compressed->size();
    cache_.erase(cached);
  }
  const auto wanted = parse_interval(request, now);
  if (!wanted) return problem_of(wanted.error());
  const auto asked = clamp(access, *wanted);
  if (!asked) return net::problem(403, "your credentials do not reach into this interval");
  const auto found = catalog_.find_with_lead(camera, asked->from, asked->to);
  if (!found) return problem_of(found.error());
  hls::VodRequest vod;
  vod.from = asked->from;
  vod.to = asked->to;
  vod.now = now;
  if (access.interval) vod.permitted = std::pair(access.interval->from, access.interval->to);
  vod.by_object = asked->to - asked->from > kLongestByChunk;
  std::string text = list == List::kChunks ? hls::vod_playlist(camera, found->entries, vod)
                                           : hls::iframe_playlist(camera, found->entries, vod);
  // What ends now still grows: built anew each time.
  return playlist(request, std::move(text),
                  asked->to < now - base::seconds(60) ? std::string_view(cache_key) : std::string_view());
}

net::HttpResponse Playback::playlist(const net::HttpRequest& request, std::string text,
                                     std::string_view cache_key) {
  Cached built;
  built.key = cache_key;
  built.built = clock_.steady();
  built.etag = fmt::format("\"{:08x}-{:x}\"", base::crc32c(0, base::as_bytes(text)), text.size());
  if (accepts_gzip(request)) {
    built.compressed = std::make_shared<const std::string>(gzip(text, kGzipLevel));
    if (!cache_key.empty() && built.compressed->size() < kMaxCachedBytes / 2) {
      cached_bytes_ += built.compressed->size();
      cache_.push_front(built);
      while (cached_bytes_ > kMaxCachedBytes) {
        cached_bytes_ -= cache_.back().compressed->size();
        cache_.pop_back();
      }
    }
  }
  if (built.compressed) return send(request, built);
  net::HttpResponse response;
  response.headers = {{"Content-Type", std::string(kPlaylistType)},
                      {"Cache-Control", "no-cache"},
                      {"ETag", built.etag},
                      {"Vary", "Accept-Encoding"}};
  if (net::etag_matches(request.header("If-None-Match"), built.etag)) {
    response.status = 304;
  } else {
    response.body = std::move(text);
  }
  return response;
}

net::HttpResponse Playback::send(const net::HttpRequest& request, const Cached& cached) {
  net::HttpResponse response;
  response.headers = {{"Content-Type", std::string(kPlaylistType)},
                      {"Cache-Control", "no-cache"},
                      {"ETag", cached.etag},
                      {"Vary", "Accept-Encoding"}};
  if (net::etag_matches(request.header("If-None-Match"), cached.etag)) {
    response.status = 304;
    return response;
  }
  response.headers.emplace_back("Content-Encoding", "gzip");
  response.body = cached.compressed;
  return response;
}

base::Result<ChunkAddress> parse_chunk_address(std::string_view camera, std::string_view run_text,
                                               std::string_view seq_text) {
  const auto run = store::parse_run(run_text);
  if (!run) return tl::unexpected(run.error());
  for (const std::string_view ending : {".mp4", ".ts"}) {
    if (seq_text.ends_with(ending)) seq_text.remove_suffix(ending.size());
  }
  const auto seq = store::parse_base36(seq_text);
  if (!seq) return tl::unexpected(seq.error());
  return ChunkAddress{std::string(camera), *run, *seq};
}

base::Result<std::pair<store::CatalogEntryPtr, size_t>> Playback::find_chunk(const ChunkAddress& address) {
  // Lasting addresses come from live playlists: what they name is hours old at most.
  const base::UtcTime now = clock_.utc();
  const auto found = catalog_.find(address.camera, now - std::chrono::hours(3), now + std::chrono::hours(1));
  if (!found) return tl::unexpected(found.error());
  for (const store::CatalogEntryPtr& entry : found->entries) {
    const store::ObjectName& name = entry->name;
    if (entry->growing || name.run != address.run || address.seq < name.seq ||
        address.seq >= name.seq + name.chunks.size())
      continue;
    return std::pair{entry, static_cast<size_t>(address.seq - name.seq)};
  }
  return base::fail(base::Errc::kNotFound,
                    fmt::format("camera {} has no chunk {} of run {} in the last three hours", address.camera,
                                address.seq, address.run.number));
}

net::HttpResponse Playback::chunk(const net::HttpRequest& request, const Access& access,
                                  const ChunkAddress& address) {
  const std::string etag = fmt::format("\"{}-{}\"", store::format_run(address.run), address.seq);
  if (const auto location = recordings_.chunk(address.camera, address.run, address.seq)) {
    const bool may_see = may_at_some_time(access, address.camera, Right::kLive) ||
                         may_at_some_time(access, address.camera, Right::kPlayback);
    if (!may_see || !clamp(access, {location->start, location->end})) return forbidden();
    const std::string_view type = media_type(location->container);
    if (location->growing)
      return net::growing_response(request, location->file, location->offset, location->length, type);
    return net::file_response(request, location->file, location->offset, location->length, type, etag,
                              kImmutable);
  }
  const auto found = find_chunk(address);
  if (!found) return problem_of(found.error());
  const auto& [entry, index] = *found;
  if (!may_at_some_time(access, address.camera, Right::kPlayback) ||
      !clamp(access, {entry->name.start, entry->name.end()}))
    return forbidden();
  uint64_t offset = entry->name.init_bytes;
  for (size_t i = 0; i < index; ++i) offset += entry->name.chunks[i].size_bytes;
  auto file = store_.open_object(entry->key);
  if (!file) return problem_of(file.error());
  return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), offset,
                            entry->name.chunks[index].size_bytes, media_type(entry->name.container), etag,
                            kImmutable);
}

net::HttpResponse Playback::init(const net::HttpRequest& request, const Access& access,
                                 const std::string& camera, std::string_view file_name) {
  if (!file_name.ends_with(".mp4")) return net::problem(404, "the initialization part of a run is RUN.mp4");
  file_name.remove_suffix(4);
  const auto run = store::parse_run(file_name);
  if (!run) return problem_of(run.error());
  const std::string etag = fmt::format("\"init-{}\"", store::format_run(*run));
  if (const auto location = recordings_.init(camera, *run)) {
    return net::file_response(request, location->file, location->offset, location->length, "video/mp4", etag,
                              kImmutable);
  }
  const base::UtcTime now = clock_.utc();
  const auto found = catalog_.find(camera, now - std::chrono::hours(3), now + std::chrono::hours(1));
  if (!found) return problem_of(found.error());
  for (const store::CatalogEntryPtr& entry : found->entries) {
    if (entry->growing || entry->name.run != *run) continue;
    if (!clamp(access, {entry->name.start, entry->name.end()})) return forbidden();
    auto file = store_.open_object(entry->key);
    if (!file) return problem_of(file.error());
    return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), 0,
                              entry->name.init_bytes, "video/mp4", etag, kImmutable);
  }
  return net::problem(404, fmt::format("camera {} has no run {} in the last three hours", camera, file_name));
}

net::HttpResponse Playback::object(const net::HttpRequest& request, const Access& access,
                                   const std::string& key) {
  const auto name = store::decode_name(store::file_name_of(key));
  if (!name) return net::problem(404, "not a recorded object");
  if (!clamp(access, {name->start, name->end()})) return forbidden();
  auto file = store_.open_object(key);
  if (!file) return problem_of(file.error());
  const auto size = file->size();
  if (!size) return problem_of(size.error());
  return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), 0, *size,
                            media_type(name->container), fmt::format("\"{:08x}-{:x}\"", name->crc, *size),
                            kImmutable);
}

}  // namespace miharu::api
