// Media over HTTP by lasting addresses, finished or growing: chunks and initialization parts. That the camera
// may be asked for was decided before (router.h); here every byte is held to the interval that the
// credentials allow. A chunk that overlaps it may be fetched.
#pragma once

#include <string>
#include <string_view>

#include "api/auth/rights.h"
#include "net/http.h"
#include "record/recording.h"
#include "store/catalog.h"
#include "store/directory_store.h"

namespace miharu::api {

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
  Playback(store::DirectoryStore& store, store::Catalog& catalog, const record::Recordings& recordings,
           const base::Clock& clock)
      : store_(store), catalog_(catalog), recordings_(recordings), clock_(clock) {}

  // GET /hls/{camera}/init/{run}.mp4
  net::HttpResponse init(const net::HttpRequest& request, const Access& access, const std::string& camera,
                         std::string_view file);
  // GET /media/{camera}/{run}/{seq}
  net::HttpResponse chunk(const net::HttpRequest& request, const Access& access, const ChunkAddress& address);

 private:
  // The object that holds a chunk which is no longer among the latest.
  base::Result<std::pair<store::CatalogEntryPtr, size_t>> find_chunk(const ChunkAddress& address);

  store::DirectoryStore& store_;
  store::Catalog& catalog_;
  const record::Recordings& recordings_;
  const base::Clock& clock_;
};

}  // namespace miharu::api
