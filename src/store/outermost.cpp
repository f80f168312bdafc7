#include "store/outermost.h"

namespace miharu::store {

std::optional<CatalogEntryPtr> Outermost::oldest(std::string_view camera, base::SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  const auto known = oldest_.find(camera);
  if (known == oldest_.end() || now >= known->second.until) return std::nullopt;
  return known->second.entry;
}

std::optional<CatalogEntryPtr> Outermost::newest(std::string_view camera, base::SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  const auto known = newest_.find(camera);
  if (known == newest_.end() || now >= known->second.until) return std::nullopt;
  return known->second.entry;
}

CatalogEntryPtr Outermost::look_behind(std::string_view camera, base::SteadyTime now) const {
  const std::lock_guard lock(mutex_);
  const auto known = newest_.find(camera);
  if (known == newest_.end() || now >= known->second.walked + kWalkedFor) return nullptr;
  return known->second.entry;
}

void Outermost::keep_oldest(std::string_view camera, CatalogEntryPtr entry, base::SteadyTime now) {
  const auto until = entry ? now + kOldestKnown : now + kNewestKnown;
  const std::lock_guard lock(mutex_);
  oldest_[std::string(camera)] = {std::move(entry), until, now};
}

void Outermost::keep_newest(std::string_view camera, CatalogEntryPtr entry, bool walked, base::SteadyTime now,
                            base::UtcTime utc) {
  const bool away = entry && utc - entry->name.start > kAway;
  const std::lock_guard lock(mutex_);
  Known& known = newest_[std::string(camera)];
  known.entry = std::move(entry);
  known.until = now + (away ? kAwayKnown : kNewestKnown);
  if (walked) known.walked = now;
}

}  // namespace miharu::store
