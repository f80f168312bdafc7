#include "api/store_metrics.h"

#include "api/metric_families.h"

namespace miharu::api {

std::string store_metrics_text(const net::HttpServerStats& http, const store::StoreCounts& store,
                               const store::HourCounts& hours, const PlaylistCounts& playlists) {
  Families out;
  const auto counter = [&out](const char* name, const char* help, uint64_t value) {
    out.add(name, help, MetricType::Counter);
    out.value(static_cast<double>(value), {});
  };
  counter("miharu_store_lists_total", "listings asked of the store", store.lists);
  counter("miharu_store_gets_total", "objects and pieces of objects asked of the store", store.gets);
  counter("miharu_store_read_bytes_total", "bytes of objects that the store sent", store.bytes);
  counter("miharu_store_errors_total", "requests that the store failed to answer", store.errors);
  counter("miharu_hours_listed_total", "hours of recordings that were listed", hours.listed);
  counter("miharu_hours_from_cache_total", "hours of recordings that were known", hours.from_cache);
  counter("miharu_playlists_built_total", "playlists that were made", playlists.built);
  counter("miharu_playlists_from_cache_total", "playlists that had been made for somebody before",
          playlists.from_cache);
  add_http(out, http);
  add_process(out);
  return out.text();
}

}  // namespace miharu::api
