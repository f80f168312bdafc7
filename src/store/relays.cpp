#include "store/relays.h"

#include <algorithm>
#include <set>

namespace miharu::store {
namespace {

// Times in names are whole milliseconds.
constexpr base::milliseconds kRounding{2};
// A run ends when pictures pause for 10 s.
constexpr base::seconds kLongestPause{15};

// Objects that follow one another by number are one recorder's, as far as its runs count up and time goes
// back only where the clock was set.
bool goes_on(const ObjectName& before, const ObjectName& after) {
  if (!leads_into(before, after)) return false;
  if (before.run == after.run)
    return after.start > before.end() - kRounding && after.start < before.end() + kLongestPause;
  return after.run.number > before.run.number &&
         (after.start >= before.start || after.run.reason == RunReason::kClockStep);
}

// Whether one recorder can have made it: without contiguous numbers time goes back only where the clock was
// set.
bool may_follow(const ObjectName& name, base::UtcTime end) {
  return name.start > end - kRounding || name.run.reason == RunReason::kClockStep;
}

}  // namespace

bool is_of_other_use(std::string_view folder) {
  return folder == "auth" || folder == "app" || folder == "control" || folder == "rec" || folder == "tmp";
}

std::vector<CatalogResult> by_recorder(CatalogResult result) {
  std::vector<CatalogResult> recorders;
  struct Last {
    const ObjectName* name;
    base::UtcTime end;
  };
  std::vector<Last> lasts;
  for (CatalogEntryPtr& entry : result.entries) {
    const ObjectName& name = entry->name;
    auto of = std::ranges::find_if(lasts, [&](const Last& last) { return goes_on(*last.name, name); });
    if (of == lasts.end())
      of = std::ranges::find_if(lasts, [&](const Last& last) { return may_follow(name, last.end); });
    if (of == lasts.end()) {
      recorders.emplace_back();
      of = lasts.insert(lasts.end(), {&name, name.end()});
    }
    *of = {&name, std::max(of->end, name.end())};
    recorders[static_cast<size_t>(of - lasts.begin())].entries.push_back(std::move(entry));
  }
  if (recorders.empty()) return {std::move(result)};
  recorders.front().undecodable = result.undecodable;
  recorders.front().shadowed = result.shadowed;
  return recorders;
}

CatalogResult merge(std::vector<CatalogResult> of_relays) {
  CatalogResult merged;
  struct Next {
    CatalogResult* from;
    size_t at = 0;
    base::UtcTime end{};  // of what was taken of it
  };
  std::vector<Next> nexts;
  for (CatalogResult& each : of_relays) {
    merged.undecodable += each.undecodable;
    merged.shadowed += each.shadowed;
    nexts.push_back({&each});
  }
  const auto ended = [](const Next& next) { return next.at == next.from->entries.size(); };
  const auto name = [](const Next& next) -> const ObjectName& { return next.from->entries[next.at]->name; };
  const auto earlier = [&](const Next& a, const Next& b) {
    if (name(a).start != name(b).start) return name(a).start < name(b).start;
    return name(a).end() > name(b).end();
  };
  for (;;) {
    Next* first = nullptr;
    for (Next& next : nexts) {
      if (!ended(next) && (first == nullptr || earlier(next, *first))) first = &next;
    }
    if (first == nullptr) return merged;
    CatalogEntryPtr& entry = first->from->entries[first->at++];
    const bool shadowed = std::ranges::any_of(nexts, [&](const Next& other) {
      return &other != first && other.end - kRounding > entry->name.start;
    });
    if (shadowed) {
      ++merged.shadowed;
      continue;
    }
    first->end = std::max(first->end, entry->name.end());
    merged.entries.push_back(std::move(entry));
  }
}

std::optional<Relays::Known> Relays::known(bool however_old) {
  const std::lock_guard lock(mutex_);
  if (!looked_ || (!however_old && clock_.steady() - looked_at_ >= kRefresh)) return std::nullopt;
  return known_;
}

base::Result<Relays::Known> Relays::relays() {
  if (auto found = known(false)) return std::move(*found);
  std::unique_lock turn(looking_, std::try_to_lock);
  if (!turn) {
    if (auto found = known(true)) return std::move(*found);
    turn.lock();
  }
  if (auto found = known(false)) return std::move(*found);
  return look();
}

base::Result<Relays::Known> Relays::look() {
  auto listing = store_.list("", true);
  if (!listing) return tl::unexpected(std::move(listing.error()));
  std::vector<std::string> roots;
  for (std::string& folder : listing->prefixes) {
    if (folder == "rec/") roots.emplace_back();
    if (!is_of_other_use(std::string_view(folder).substr(0, folder.size() - 1)))
      roots.push_back(std::move(folder));
  }
  std::vector<std::string> folders;
  for (const std::string& root : roots) folders.push_back(root + "rec/");
  auto recorded = store_.list_many(folders, true);
  const std::lock_guard lock(mutex_);
  Known found;
  for (size_t i = 0; i < roots.size(); ++i) {
    if (!recorded[i]) return tl::unexpected(std::move(recorded[i].error()));
    Relay relay;
    relay.cameras = cameras_in(folders[i], *recorded[i]);
    if (relay.cameras.empty()) continue;
    const auto before = known_.find(roots[i]);
    relay.catalog = before != known_.end() ? before->second.catalog
                                           : std::make_shared<Catalog>(store_, nullptr, clock_, roots[i]);
    found.emplace(roots[i], std::move(relay));
  }
  known_ = std::move(found);
  looked_ = true;
  looked_at_ = clock_.steady();
  return known_;
}

base::Result<std::vector<std::string>> Relays::roots() {
  const auto known = relays();
  if (!known) return tl::unexpected(known.error());
  std::vector<std::string> found;
  for (const auto& [root, relay] : *known) found.push_back(root);
  return found;
}

base::Result<std::vector<std::pair<std::string, std::shared_ptr<Catalog>>>> Relays::of(
    std::string_view camera) {
  const auto known = relays();
  if (!known) return tl::unexpected(known.error());
  std::vector<std::pair<std::string, std::shared_ptr<Catalog>>> catalogs;
  for (const auto& [root, relay] : *known) {
    if (std::ranges::find(relay.cameras, camera) != relay.cameras.end())
      catalogs.emplace_back(root, relay.catalog);
  }
  return catalogs;
}

HourCounts Relays::counts() const {
  const std::lock_guard lock(mutex_);
  HourCounts all;
  for (const auto& [root, relay] : known_) {
    const HourCounts each = relay.catalog->counts();
    all.listed += each.listed;
    all.from_cache += each.from_cache;
  }
  return all;
}

base::Result<CatalogResult> Relays::find_in_all(Find which, std::string_view camera, base::UtcTime from,
                                                base::UtcTime to) {
  const auto catalogs = of(camera);
  if (!catalogs) return tl::unexpected(catalogs.error());
  std::vector<CatalogResult> results;
  for (const auto& [root, catalog] : *catalogs) {
    auto found = ((*catalog).*which)(camera, from, to);
    if (!found) return found;
    for (CatalogResult& each : by_recorder(std::move(*found))) results.push_back(std::move(each));
  }
  return results.size() == 1 ? std::move(results.front()) : merge(std::move(results));
}

base::Result<CatalogResult> Relays::find(std::string_view camera, base::UtcTime from, base::UtcTime to) {
  return find_in_all(&Catalog::find, camera, from, to);
}

base::Result<CatalogResult> Relays::find_with_lead(std::string_view camera, base::UtcTime from,
                                                   base::UtcTime to) {
  return find_in_all(&Catalog::find_with_lead, camera, from, to);
}

base::Result<std::vector<std::string>> Relays::cameras() {
  const auto known = relays();
  if (!known) return tl::unexpected(known.error());
  std::set<std::string> names;
  for (const auto& [root, relay] : *known) names.insert(relay.cameras.begin(), relay.cameras.end());
  return std::vector<std::string>(names.begin(), names.end());
}

base::Result<CatalogEntryPtr> Relays::oldest(std::string_view camera) {
  const auto catalogs = of(camera);
  if (!catalogs) return tl::unexpected(catalogs.error());
  CatalogEntryPtr first;
  for (const auto& [root, catalog] : *catalogs) {
    auto entry = catalog->oldest(camera);
    if (!entry) return entry;
    if (*entry && (!first || (*entry)->name.start < first->name.start)) first = std::move(*entry);
  }
  return first;
}

base::Result<Relays::Latest> Relays::latest(std::string_view camera) {
  const auto catalogs = of(camera);
  if (!catalogs) return tl::unexpected(catalogs.error());
  Latest last;
  for (const auto& [root, catalog] : *catalogs) {
    auto entry = catalog->newest(camera);
    if (!entry) return tl::unexpected(std::move(entry.error()));
    if (*entry && (!last.entry || (*entry)->name.start > last.entry->name.start))
      last = {root, std::move(*entry)};
  }
  if (!last.entry)
    return base::fail(base::Errc::kNotFound, "nothing is recorded of camera " + std::string(camera));
  return last;
}

base::Result<CatalogEntryPtr> Relays::newest(std::string_view camera) {
  auto last = latest(camera);
  if (last) return std::move(last->entry);
  if (last.error().code == base::Errc::kNotFound) return CatalogEntryPtr();
  return tl::unexpected(std::move(last.error()));
}

}  // namespace miharu::store
