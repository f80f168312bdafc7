// What is recorded of a camera in an interval, from listings alone: no database, no read of media.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/object_name.h"
#include "store/object_store.h"

namespace miharu::store {

struct CatalogEntry {
  std::string key;  // of the finished object; of a growing one empty
  ObjectName name;  // of a growing object: the chunks finished so far, crc 0
  bool growing = false;
};
// shared_ptr: the cache and any number of results hold the same decoded entry.
using CatalogEntryPtr = std::shared_ptr<const CatalogEntry>;

// Objects that are being written, told by the recorder. Thread-safe.
class GrowingObjects {
 public:
  virtual ~GrowingObjects() = default;
  // The object that `camera` is writing, with at least one finished chunk. While an object is renamed to its
  // final name it is in the listing, here, or in both: never in none.
  [[nodiscard]] virtual std::vector<ObjectName> growing(std::string_view camera) const = 0;
};

struct CatalogResult {
  std::vector<CatalogEntryPtr> entries;  // never null; ordered by seq; those that overlap [from, to)
  uint64_t undecodable = 0;              // names skipped
  uint64_t shadowed = 0;                 // objects left out where two recorders overlap
};

// Hours that were asked for, since the start.
struct HourCounts {
  uint64_t listed = 0;
  uint64_t from_cache = 0;
};

// Objects last at most this long: so far before `from` find() looks for the one that holds it.
inline constexpr std::chrono::minutes kLongestObject{3};

// What a dependent chunk leans on is looked for so far back in the recording, and by so much may the wall
// clock have been set in between.
inline constexpr std::chrono::minutes kLongestLead{5};
inline constexpr std::chrono::hours kFarthestStep{26};

// Whether the pictures at the start of `after` go on where `before` ends, whatever the clock showed: numbers
// of chunks have no hole, and what begins a run without a key frame continues the run before
// (docs/formats.md).
inline bool leads_into(const ObjectName& before, const ObjectName& after) {
  return before.seq + before.chunks.size() == after.seq && before.container == after.container;
}

// Names of the cameras in the listing of `folder` ("r1/rec/"), sorted.
std::vector<std::string> cameras_in(std::string_view folder, const Listing& listing);

// What is recorded, of one recorder or of several. Thread-safe; blocks as long as the store does.
class Footage {
 public:
  virtual ~Footage() = default;
  // Any length: above eight days only the hours that exist are asked for.
  virtual base::Result<CatalogResult> find(std::string_view camera, base::UtcTime from, base::UtcTime to) = 0;
  // The same, and what its dependent chunks lean on: the objects before by number back to one with a key
  // frame, which after a step of the clock may lie before `from` or behind `to`. What is not there is left
  // out.
  virtual base::Result<CatalogResult> find_with_lead(std::string_view camera, base::UtcTime from,
                                                     base::UtcTime to) = 0;
  // Names of the cameras that have a recording, sorted.
  virtual base::Result<std::vector<std::string>> cameras() = 0;
  // The finished object with the earliest start. Null when there is none. Of a bucket this and the next are
  // remembered for a while (store/outermost.h).
  virtual base::Result<CatalogEntryPtr> oldest(std::string_view camera) = 0;
  // The finished object with the latest start. Null when there is none.
  virtual base::Result<CatalogEntryPtr> newest(std::string_view camera) = 0;
  [[nodiscard]] virtual bool is_in_bucket() const { return false; }
};

// Of one recorder. Decoded hours are cached as long as the store tells the same version of them. Where it
// tells none (a bucket), an hour whose chunk numbers run on without a hole into both neighbours is complete
// and cached for 24 h, any other for 10 s. The cache is bounded to 64 MiB (docs/limits.md).
class Catalog final : public Footage {
 public:
  // All must outlive the catalog; `growing` may be null (a store that nobody writes to here). `root`: where
  // in the store its rec/ is: "" or "r1/".
  Catalog(ObjectStore& store, const GrowingObjects* growing, const base::Clock& clock = base::system_clock(),
          std::string root = {});
  ~Catalog() override;

  base::Result<CatalogResult> find(std::string_view camera, base::UtcTime from, base::UtcTime to) override;
  base::Result<CatalogResult> find_with_lead(std::string_view camera, base::UtcTime from,
                                             base::UtcTime to) override;
  base::Result<std::vector<std::string>> cameras() override;
  base::Result<CatalogEntryPtr> oldest(std::string_view camera) override;
  base::Result<CatalogEntryPtr> newest(std::string_view camera) override;
  [[nodiscard]] HourCounts counts() const;
  [[nodiscard]] bool is_in_bucket() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace miharu::store
