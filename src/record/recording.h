// What the HTTP side sees of the recorder: objects that still grow, and news of parts for live playlists.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "store/catalog.h"

namespace miharu::record {

// A part as written: one or more whole fragments at [offset, offset + size) of the growing file.
struct PartEntry {
  uint64_t seq = 0;  // of its chunk
  uint64_t offset = 0;
  uint32_t size_bytes = 0;
  uint32_t duration_us = 0;
  bool independent = false;  // begins with a key frame
};

// A chunk of a camera's recent recording, wherever its bytes lie now: in the growing file or in a finished
// object.
struct RecentChunk {
  store::Run run;
  uint64_t seq = 0;
  store::Container container = store::Container::kFmp4;
  base::UtcTime start;
  uint32_t duration_ms = 0;
  store::Chunk chunk;
  bool finished = false;  // false: the last one, still growing
  std::vector<PartEntry> parts;
};

// Where the bytes of a chunk or an initialization part are. The file stays open while it is held.
struct Location {
  std::shared_ptr<const base::File> file;
  uint64_t offset = 0;
  uint64_t length = 0;
  bool growing = false;  // the chunk is not finished: more bytes will follow
  store::Container container = store::Container::kFmp4;
  base::UtcTime start;  // of the chunk, or of the oldest chunk that is kept of the run
  base::UtcTime end;    // of the chunk so far, or of the newest of the run
};

// Thread-safe: written by the disk thread after each part, read by the control thread.
class Recordings : public store::GrowingObjects {
 public:
  // The chunks of the last minutes, oldest first, the growing one last.
  [[nodiscard]] virtual std::vector<RecentChunk> recent(std::string_view camera) const = 0;
  // Changes with each part and chunk end of the camera: what was built from recent() is true until then.
  [[nodiscard]] virtual uint64_t generation(std::string_view camera) const = 0;
  // A chunk of the growing object or of one that ended within the last minutes; kNotFound otherwise (ask the
  // catalog).
  [[nodiscard]] virtual base::Result<Location> chunk(std::string_view camera, store::Run run,
                                                     uint64_t seq) const = 0;
  // The initialization part of a run that is growing or ended within the last minutes.
  [[nodiscard]] virtual base::Result<Location> init(std::string_view camera, store::Run run) const = 0;
};

}  // namespace miharu::record
