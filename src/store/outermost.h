// The first and the last object of cameras in a store whose listings cost: remembered for a while.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "store/catalog.h"

namespace miharu::store {

// Thread-safe.
class Outermost {
 public:
  // What pages ask for every few seconds.
  static constexpr base::seconds kNewestKnown{15};
  // Behind the newest object known, only the present hour is looked at, until so long after all years, months
  // and days were: what lies between the two is an old recording that was uploaded late.
  static constexpr std::chrono::minutes kWalkedFor{5};
  // A camera whose newest object is older than this is away; it is seen again within kAwayKnown.
  static constexpr std::chrono::hours kAway{2};
  static constexpr base::seconds kAwayKnown{60};
  static constexpr std::chrono::minutes kOldestKnown{5};

  // nullopt: to be looked for. Null: there is none.
  std::optional<CatalogEntryPtr> oldest(std::string_view camera, base::SteadyTime now) const;
  std::optional<CatalogEntryPtr> newest(std::string_view camera, base::SteadyTime now) const;
  // The newest that was known, if it is still enough to look behind it.
  CatalogEntryPtr look_behind(std::string_view camera, base::SteadyTime now) const;
  void keep_oldest(std::string_view camera, CatalogEntryPtr entry, base::SteadyTime now);
  // `walked`: everything was looked at, not the present hour alone.
  void keep_newest(std::string_view camera, CatalogEntryPtr entry, bool walked, base::SteadyTime now,
                   base::UtcTime utc);

 private:
  struct Known {
    CatalogEntryPtr entry;
    base::SteadyTime until{};
    base::SteadyTime walked{};  // of the newest
  };
  using KnownOf = std::map<std::string, Known, std::less<>>;

  mutable std::mutex mutex_;
  KnownOf oldest_;
  KnownOf newest_;
};

}  // namespace miharu::store
