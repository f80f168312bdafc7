// What /metrics of `miharu serve` tells, in Prometheus' text format.
#pragma once

#include <string>

#include "api/playlists.h"
#include "net/http_server.h"
#include "store/counted_store.h"
#include "store/relays.h"

namespace miharu::api {

// All counters since the start of the process.
std::string store_metrics_text(const net::HttpServerStats& http, const store::StoreCounts& store,
                               const store::HourCounts& hours, const PlaylistCounts& playlists);

}  // namespace miharu::api
