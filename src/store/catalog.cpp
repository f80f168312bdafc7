#include "store/catalog.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <unordered_map>

#include <fmt/format.h>

#include "store/outermost.h"

namespace miharu::store {
namespace {

using std::chrono::hours;

constexpr size_t kCacheBytes = size_t{64} << 20;
constexpr base::seconds kIncompleteFor{10};
constexpr hours kCompleteFor{24};
constexpr hours kWalkAbove{8 * 24};  // longer intervals look which hours exist before listing them
// A day in one go, which a bucket lists sixteen hours at a time without a pause; a week of raw listings would
// be some megabytes.
constexpr size_t kListedAtOnce = 32;
constexpr unsigned kHourDepth = 4;  // parts below rec/<camera>/: year, month, day, hour
// Durations in names are rounded each.
constexpr base::milliseconds kSameStart{50};

struct Hour {
  // In the order of their names: by start. In one piece, whose owner those that are handed out share: 20,000
  // of a week are 0.8 MB less than each by itself.
  std::vector<CatalogEntry> entries;
  uint64_t undecodable = 0;
  size_t cost_bytes = 0;
  bool unbroken = false;  // not empty, and its numbers run on without a hole

  [[nodiscard]] uint64_t first_seq() const { return entries.front().name.seq; }
  [[nodiscard]] uint64_t end_seq() const {
    return entries.back().name.seq + entries.back().name.chunks.size();
  }
};
using HourPtr = std::shared_ptr<const Hour>;

// Hours by prefix, the least recently used go first.
class HourCache {
 public:
  HourPtr get(const std::string& prefix, std::optional<PrefixVersion> version, base::SteadyTime now) {
    const std::lock_guard lock(mutex_);
    const auto found = slots_.find(prefix);
    if (found == slots_.end()) return nullptr;
    const Slot& slot = *found->second;
    const bool valid = version ? slot.version == version->value : !slot.version && now < slot.expires;
    if (!valid) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return slot.hour;
  }

  void put(std::string prefix, HourPtr hour, std::optional<uint64_t> version, base::SteadyTime now) {
    if (hour->cost_bytes > kCacheBytes / 2) return;
    const std::lock_guard lock(mutex_);
    if (const auto found = slots_.find(prefix); found != slots_.end()) erase(found->second);
    used_bytes_ += hour->cost_bytes;
    order_.push_front({std::move(prefix), std::move(hour), version, now, now + kIncompleteFor});
    slots_.emplace(order_.front().prefix, order_.begin());
    while (used_bytes_ > kCacheBytes) erase(std::prev(order_.end()));
  }

  void set_complete(const std::string& prefix) {
    const std::lock_guard lock(mutex_);
    if (const auto found = slots_.find(prefix); found != slots_.end()) {
      found->second->expires = found->second->listed + kCompleteFor;
    }
  }

 private:
  struct Slot {
    std::string prefix;
    HourPtr hour;
    std::optional<uint64_t> version;
    base::SteadyTime listed;
    base::SteadyTime expires;  // where there is no version
  };
  void erase(std::list<Slot>::iterator slot) {
    used_bytes_ -= slot->hour->cost_bytes;
    slots_.erase(slot->prefix);
    order_.erase(slot);
  }

  std::mutex mutex_;
  std::list<Slot> order_;
  std::unordered_map<std::string, std::list<Slot>::iterator> slots_;
  size_t used_bytes_ = 0;
};

bool overlaps(const ObjectName& name, base::UtcTime from, base::UtcTime to) {
  return name.start < to && name.end() > from;
}

// By seq; of one run's entries that hold the same chunks the finished one, then the longest, is kept. Two
// recorders that write to one folder by mistake give the same numbers to other times.
void order_by_seq(std::vector<CatalogEntryPtr>& entries) {
  const auto before = [](const CatalogEntryPtr& a, const CatalogEntryPtr& b) {
    if (a->name.seq != b->name.seq) return a->name.seq < b->name.seq;
    if (a->name.run.number != b->name.run.number) return a->name.run.number < b->name.run.number;
    if (a->growing != b->growing) return !a->growing;
    return a->name.chunks.size() > b->name.chunks.size();
  };
  if (!std::ranges::is_sorted(entries, before)) std::ranges::sort(entries, before);
  // Two recorders of one name may give the same numbers to other times.
  const auto holds_start_of = [](const CatalogEntryPtr& a, const CatalogEntryPtr& b) {
    const uint64_t skipped = b->name.seq - a->name.seq;
    if (a->name.run != b->name.run || skipped >= a->name.chunks.size()) return false;
    base::UtcTime start = a->name.start;
    for (size_t i = 0; i < skipped; ++i) start += base::milliseconds(a->name.chunks[i].duration_ms);
    return std::chrono::abs(b->name.start - start) <= kSameStart;
  };
  entries.erase(std::unique(entries.begin(), entries.end(), holds_start_of), entries.end());
}

}  // namespace

std::vector<std::string> cameras_in(std::string_view folder, const Listing& listing) {
  std::vector<std::string> names;
  for (const std::string& prefix : listing.prefixes) {
    std::string name = prefix.substr(folder.size(), prefix.size() - folder.size() - 1);
    if (check_camera_name(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);  // their folders sort with the '/' behind them
  return names;
}

class Catalog::Impl {
 public:
  [[nodiscard]] bool is_in_bucket() const { return store_.is_bucket(); }

  Impl(ObjectStore& store, const GrowingObjects* growing, const base::Clock& clock, std::string root)
      : store_(store), growing_(growing), clock_(clock), root_(std::move(root)) {}

  [[nodiscard]] HourCounts counts() const { return {listed_.load(), from_cache_.load()}; }

  base::Result<CatalogResult> find(std::string_view camera, base::UtcTime from, base::UtcTime to) {
    if (auto checked = check_camera_name(camera); !checked) return tl::unexpected(std::move(checked.error()));
    from = std::max(from, kEarliestStart);
    to = std::min(to, kLatestStart);
    CatalogResult result;
    if (from >= to) return result;
    // Before the listing: an object that is renamed between the two is then seen twice and not never.
    std::vector<ObjectName> growing;
    if (growing_ != nullptr) growing = growing_->growing(camera);

    auto prefixes = hours_of(camera, std::max(from - kLongestObject, kEarliestStart), to);
    if (!prefixes) return tl::unexpected(std::move(prefixes.error()));
    auto loaded = load(*prefixes, camera);
    if (!loaded) return tl::unexpected(std::move(loaded.error()));
    const std::vector<HourPtr>& found = *loaded;
    keep_complete(*prefixes, found);

    size_t count = growing.size();
    for (const HourPtr& hour : found) count += hour->entries.size();
    result.entries.reserve(count);
    for (const HourPtr& hour : found) {
      result.undecodable += hour->undecodable;
      for (const CatalogEntry& entry : hour->entries) {
        if (overlaps(entry.name, from, to)) result.entries.emplace_back(hour, &entry);
      }
    }
    for (ObjectName& name : growing) {
      if (name.chunks.empty() || !overlaps(name, from, to)) continue;
      result.entries.push_back(std::make_shared<const CatalogEntry>(CatalogEntry{{}, std::move(name), true}));
    }
    order_by_seq(result.entries);
    return result;
  }

  base::Result<CatalogResult> find_with_lead(std::string_view camera, base::UtcTime from, base::UtcTime to) {
    auto result = find(camera, from, to);
    if (!result) return result;
    std::vector<CatalogEntryPtr> leads;
    const auto is_known = [&](const ObjectName& name) {
      const auto before = [](const CatalogEntryPtr& entry, uint64_t seq) { return entry->name.seq < seq; };
      const auto next = std::lower_bound(result->entries.begin(), result->entries.end(), name.seq, before);
      return next != result->entries.begin() && leads_into((*std::prev(next))->name, name);
    };
    for (const CatalogEntryPtr& entry : result->entries) {
      base::milliseconds length{};
      CatalogEntryPtr last = entry;
      bool needs = needs_lead(entry->name, from);
      while (needs && !is_known(last->name)) {
        auto before = object_before(camera, last->name);
        if (!before) return tl::unexpected(std::move(before.error()));
        last = std::move(*before);
        if (!last) break;
        leads.push_back(last);
        length += last->name.duration();
        needs = length <= kLongestLead && !has_key(last->name);
      }
    }
    if (leads.empty()) return result;
    result->entries.insert(result->entries.end(), leads.begin(), leads.end());
    order_by_seq(result->entries);
    return result;
  }

  base::Result<std::vector<std::string>> cameras() {
    const std::string folder = root_ + "rec/";
    auto listing = store_.list(folder, true);
    if (!listing) return tl::unexpected(std::move(listing.error()));
    return cameras_in(folder, *listing);
  }

  base::Result<CatalogEntryPtr> oldest(std::string_view camera) {
    if (auto checked = check_camera_name(camera); !checked) return tl::unexpected(std::move(checked.error()));
    const base::SteadyTime now = clock_.steady();
    if (is_in_bucket()) {
      if (auto known = outermost_.oldest(camera, now)) return std::move(*known);
    }
    auto entry = outermost_below(camera, fmt::format("{}rec/{}/", root_, camera), 0, End::kOldest);
    if (entry && is_in_bucket()) outermost_.keep_oldest(camera, *entry, now);
    return entry;
  }

  base::Result<CatalogEntryPtr> newest(std::string_view camera) {
    if (auto checked = check_camera_name(camera); !checked) return tl::unexpected(std::move(checked.error()));
    const base::SteadyTime now = clock_.steady();
    if (is_in_bucket()) {
      if (auto known = outermost_.newest(camera, now)) return std::move(*known);
      auto later = newest_behind(camera, outermost_.look_behind(camera, now));
      if (!later || *later) {
        if (later) outermost_.keep_newest(camera, *later, false, now, clock_.utc());
        return later;
      }
    }
    auto entry = outermost_below(camera, fmt::format("{}rec/{}/", root_, camera), 0, End::kNewest);
    if (entry && is_in_bucket()) outermost_.keep_newest(camera, *entry, true, now, clock_.utc());
    return entry;
  }

 private:
  // The newest object of the present hour, or of that of `known` (may be null). Null: neither has any.
  base::Result<CatalogEntryPtr> newest_behind(std::string_view camera, const CatalogEntryPtr& known) {
    if (!known) return CatalogEntryPtr();
    const std::string present = hour_of(camera, clock_.utc());
    const std::string then = hour_of(camera, known->name.start);
    auto entry = outermost_below(camera, present, kHourDepth, End::kNewest);
    if (entry && !*entry && then != present) return outermost_below(camera, then, kHourDepth, End::kNewest);
    return entry;
  }

  [[nodiscard]] std::string hour_of(std::string_view camera, base::UtcTime time) const {
    return root_ + hour_prefix(camera, time);
  }
  std::optional<CatalogEntry> decode(std::string& key, std::string_view camera) const {
    auto name = decode_name(file_name_of(key));
    // A name in another hour's directory would be found by some intervals and not by others.
    if (!name || !key.starts_with(hour_of(camera, name->start))) return std::nullopt;
    return CatalogEntry{std::move(key), std::move(*name), false};
  }
  static bool has_key(const ObjectName& name) {
    return std::ranges::any_of(name.chunks, [](const Chunk& chunk) { return chunk.key_bytes > 0; });
  }
  // What lies in it from `from` on begins with a dependent chunk, and no independent one is before that.
  static bool needs_lead(const ObjectName& name, base::UtcTime from) {
    base::UtcTime end = name.start;
    for (const Chunk& chunk : name.chunks) {
      if (chunk.key_bytes > 0) return false;
      end += base::milliseconds(chunk.duration_ms);
      if (end > from) return true;
    }
    return false;
  }
  // Null if there is none.
  base::Result<CatalogEntryPtr> object_before(std::string_view camera, const ObjectName& name) {
    // Right before it as a rule, elsewhere only where the clock was set in between.
    for (const base::nanoseconds around :
         {base::nanoseconds(base::seconds(1)), base::nanoseconds(kFarthestStep)}) {
      auto found = find(camera, name.start - around, name.start + around);
      if (!found) return tl::unexpected(std::move(found.error()));
      for (CatalogEntryPtr& entry : found->entries) {
        if (leads_into(entry->name, name)) return std::move(entry);
      }
    }
    return CatalogEntryPtr();
  }

  enum class End : uint8_t { kOldest, kNewest };
  base::Result<CatalogEntryPtr> outermost_below(std::string_view camera, const std::string& prefix,
                                                unsigned depth, End end) {
    const bool leaf = depth == kHourDepth;
    auto listing = store_.list(prefix, !leaf);
    if (!listing) return tl::unexpected(std::move(listing.error()));
    if (end == End::kNewest) {
      std::ranges::reverse(listing->objects);
      std::ranges::reverse(listing->prefixes);
    }
    if (leaf) {
      for (ListedObject& object : listing->objects) {
        if (auto entry = decode(object.key, camera))
          return std::make_shared<const CatalogEntry>(std::move(*entry));
      }
      return CatalogEntryPtr();
    }
    for (const std::string& below : listing->prefixes) {
      auto entry = outermost_below(camera, below, depth + 1, end);
      if (!entry || *entry != nullptr) return entry;
    }
    return CatalogEntryPtr();
  }

  // Prefixes of the hours of [from, to), in order.
  base::Result<std::vector<std::string>> hours_of(std::string_view camera, base::UtcTime from,
                                                  base::UtcTime to) {
    std::vector<std::string> prefixes;
    if (to - from > kWalkAbove) {
      const std::string last = hour_of(camera, to - base::nanoseconds(1));
      auto walked =
          existing_hours(fmt::format("{}rec/{}/", root_, camera), 0, hour_of(camera, from), last, prefixes);
      if (!walked) return tl::unexpected(std::move(walked.error()));
      return prefixes;
    }
    for (auto hour = std::chrono::floor<hours>(from); hour < to; hour += hours(1)) {
      prefixes.push_back(hour_of(camera, hour));
    }
    return prefixes;
  }

  base::Status existing_hours(const std::string& prefix, unsigned depth, std::string_view first,
                              std::string_view last, std::vector<std::string>& out) {
    auto listing = store_.list(prefix, true);
    if (!listing) return tl::unexpected(std::move(listing.error()));
    for (std::string& below : listing->prefixes) {
      // The prefixes of hours sort as their times do.
      if (below < first.substr(0, below.size()) || below > last.substr(0, below.size())) continue;
      if (depth + 1 == kHourDepth) {
        out.push_back(std::move(below));
      } else if (auto walked = existing_hours(below, depth + 1, first, last, out); !walked) {
        return walked;
      }
    }
    return {};
  }

  base::Result<std::vector<HourPtr>> load(const std::vector<std::string>& prefixes, std::string_view camera) {
    std::vector<HourPtr> loaded(prefixes.size());
    std::vector<size_t> missing;  // places in `prefixes`
    std::vector<std::optional<PrefixVersion>> versions;
    const base::SteadyTime now = clock_.steady();
    for (size_t i = 0; i < prefixes.size(); ++i) {
      const auto version = store_.version(prefixes[i]);
      loaded[i] = cache_.get(prefixes[i], version, now);
      ++(loaded[i] ? from_cache_ : listed_);
      if (loaded[i]) continue;
      missing.push_back(i);
      versions.push_back(version);
    }
    for (size_t done = 0; done < missing.size(); done += kListedAtOnce) {
      const size_t end = std::min(done + kListedAtOnce, missing.size());
      std::vector<std::string> unknown;
      for (size_t k = done; k < end; ++k) unknown.push_back(prefixes[missing[k]]);
      auto listings = store_.list_many(unknown, true);
      for (size_t k = done; k < end; ++k) {
        auto& listing = listings[k - done];
        if (!listing) return tl::unexpected(std::move(listing.error()));
        loaded[missing[k]] = keep(prefixes[missing[k]], std::move(*listing), versions[k], camera, now);
      }
    }
    return loaded;
  }

  HourPtr keep(const std::string& prefix, Listing listing, const std::optional<PrefixVersion>& version,
               std::string_view camera, base::SteadyTime now) {
    auto hour = std::make_shared<Hour>();
    hour->entries.reserve(listing.objects.size());
    hour->cost_bytes = sizeof(Hour) + 256;
    hour->unbroken = !listing.objects.empty();
    for (ListedObject& object : listing.objects) {
      auto entry = decode(object.key, camera);
      if (!entry) {
        ++hour->undecodable;
        hour->unbroken = false;
        continue;
      }
      if (!hour->entries.empty() && hour->end_seq() != entry->name.seq) hour->unbroken = false;
      hour->cost_bytes +=
          sizeof(CatalogEntry) + 32 + entry->key.capacity() + entry->name.chunks.capacity() * sizeof(Chunk);
      hour->entries.push_back(std::move(*entry));
    }
    if (!version) {
      cache_.put(prefix, hour, std::nullopt, now);
    } else if (version->settled) {
      cache_.put(prefix, hour, version->value, now);
    }
    return hour;
  }

  // Contiguous numbers prove that nothing can be added to an hour any more.
  void keep_complete(const std::vector<std::string>& prefixes, const std::vector<HourPtr>& found) {
    for (size_t i = 1; i + 1 < found.size(); ++i) {
      if (!found[i - 1]->unbroken || !found[i]->unbroken || !found[i + 1]->unbroken) continue;
      if (found[i - 1]->end_seq() != found[i]->first_seq() ||
          found[i]->end_seq() != found[i + 1]->first_seq())
        continue;
      cache_.set_complete(prefixes[i]);
    }
  }

  ObjectStore& store_;
  const GrowingObjects* growing_;
  const base::Clock& clock_;
  const std::string root_;
  HourCache cache_;
  Outermost outermost_;
  std::atomic<uint64_t> listed_{0};
  std::atomic<uint64_t> from_cache_{0};
};

Catalog::Catalog(ObjectStore& store, const GrowingObjects* growing, const base::Clock& clock,
                 std::string root)
    : impl_(std::make_unique<Impl>(store, growing, clock, std::move(root))) {}
Catalog::~Catalog() = default;

base::Result<CatalogResult> Catalog::find(std::string_view camera, base::UtcTime from, base::UtcTime to) {
  return impl_->find(camera, from, to);
}
base::Result<CatalogResult> Catalog::find_with_lead(std::string_view camera, base::UtcTime from,
                                                    base::UtcTime to) {
  return impl_->find_with_lead(camera, from, to);
}
base::Result<std::vector<std::string>> Catalog::cameras() {
  return impl_->cameras();
}
base::Result<CatalogEntryPtr> Catalog::oldest(std::string_view camera) {
  return impl_->oldest(camera);
}
base::Result<CatalogEntryPtr> Catalog::newest(std::string_view camera) {
  return impl_->newest(camera);
}
HourCounts Catalog::counts() const {
  return impl_->counts();
}

bool Catalog::is_in_bucket() const {
  return impl_->is_in_bucket();
}

}  // namespace miharu::store
