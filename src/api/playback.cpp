#include "api/playback.h"

#include <fmt/format.h>

#include "api/objects.h"
#include "api/router.h"
#include "net/conditional.h"

namespace miharu::api {
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
    if (!may_see || !clamp(access, {location->start, location->end})) return out_of_interval();
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
    return out_of_interval();
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
    if (!clamp(access, {entry->name.start, entry->name.end()})) return out_of_interval();
    auto file = store_.open_object(entry->key);
    if (!file) return problem_of(file.error());
    return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), 0,
                              entry->name.init_bytes, "video/mp4", etag, kImmutable);
  }
  return net::problem(404, fmt::format("camera {} has no run {} in the last three hours", camera, file_name));
}

}  // namespace miharu::api
