// A store that several recorders wrote to, each below a folder of its own: one timeline a camera.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/catalog.h"

namespace miharu::store {

// The recorders of a store: each folder at its root that has a rec/, and the root itself if it has one. Where
// two have the same camera at the same time, the object that begins first is played and the other is counted
// in CatalogResult::shadowed. Thread-safe.
class Relays final : public Footage {
 public:
  // How long a recorder that is new may stay unknown, and as long again as the store takes to tell.
  static constexpr base::seconds kRefresh{60};

  // Both must outlive it.
  explicit Relays(ObjectStore& store, const base::Clock& clock = base::system_clock())
      : store_(store), clock_(clock) {}

  base::Result<CatalogResult> find(std::string_view camera, base::UtcTime from, base::UtcTime to) override;
  base::Result<CatalogResult> find_with_lead(std::string_view camera, base::UtcTime from,
                                             base::UtcTime to) override;
  base::Result<std::vector<std::string>> cameras() override;
  base::Result<CatalogEntryPtr> oldest(std::string_view camera) override;
  base::Result<CatalogEntryPtr> newest(std::string_view camera) override;
  [[nodiscard]] HourCounts counts() const;
  [[nodiscard]] bool is_in_bucket() const override { return store_.is_bucket(); }
  // Where the recorders have their rec/: "" or "r1/".
  base::Result<std::vector<std::string>> roots();

  // The recorder whose object of `camera` is the newest. The root is "" or "r1/"; kNotFound: nobody has any.
  struct Latest {
    std::string root;
    CatalogEntryPtr entry;
  };
  base::Result<Latest> latest(std::string_view camera);

 private:
  struct Relay {
    std::shared_ptr<Catalog> catalog;
    std::vector<std::string> cameras;
  };
  using Known = std::map<std::string, Relay>;  // by root: "" or "r1/"
  base::Result<Known> relays();
  // Those of the last look, if that was not long ago; or however long ago it was.
  std::optional<Known> known(bool however_old);
  base::Result<Known> look();
  // Those that have the camera, with their catalogs.
  base::Result<std::vector<std::pair<std::string, std::shared_ptr<Catalog>>>> of(std::string_view camera);
  using Find = base::Result<CatalogResult> (Catalog::*)(std::string_view, base::UtcTime, base::UtcTime);
  base::Result<CatalogResult> find_in_all(Find which, std::string_view camera, base::UtcTime from,
                                          base::UtcTime to);

  ObjectStore& store_;
  const base::Clock& clock_;
  std::mutex looking_;        // one thread looks; the others use what was found last, or wait for the first
  mutable std::mutex mutex_;  // guards what follows; not held while the store is asked
  Known known_;
  bool looked_ = false;
  base::SteadyTime looked_at_{};
};

// Whether a folder at the root of a store, without its '/', is no recorder's whatever it is called.
bool is_of_other_use(std::string_view folder);

// What stands in one folder, of each recorder that wrote there: two that were given one name by mistake place
// objects at the same time whose numbers do not follow one another. One, as a rule, is left as it is.
std::vector<CatalogResult> by_recorder(CatalogResult result);

// One timeline of several: by start, those of one recorder in their order. What overlaps an object of another
// recorder by more than rounding is left out and counted, unless it begins earlier, or with it and is longer.
CatalogResult merge(std::vector<CatalogResult> of_relays);

}  // namespace miharu::store
