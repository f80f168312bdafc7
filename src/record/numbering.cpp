#include "record/numbering.h"

#include <algorithm>

#include "store/object_name.h"

namespace miharu::record {
namespace {

constexpr unsigned kDayDepth = 3;  // parts below rec/<camera>/: year, month, day

void take(const store::Listing& listing, Newest& newest) {
  for (const store::ListedObject& object : listing.objects) {
    const auto name = store::decode_name(std::string_view(object.key).substr(object.key.rfind('/') + 1));
    if (!name) continue;
    newest.next_run = std::max(newest.next_run, name->run.number + 1);
    newest.latest_start = std::max(newest.latest_start, name->start);
    const uint64_t next_seq = name->seq + name->chunks.size();
    if (newest.recorded_until && next_seq <= newest.next_seq) continue;
    newest.next_seq = next_seq;
    newest.recorded_until = name->end();
  }
}

base::Status newest_below(store::ObjectStore& store, const std::string& prefix, unsigned depth,
                          Newest& newest) {
  auto listing = store.list(prefix, depth < kDayDepth);
  if (!listing) return tl::unexpected(std::move(listing.error()));
  if (depth == kDayDepth) {
    take(*listing, newest);
    return {};
  }
  std::ranges::reverse(listing->prefixes);
  for (const std::string& below : listing->prefixes) {
    if (auto done = newest_below(store, below, depth + 1, newest); !done || newest.recorded_until)
      return done;
  }
  return {};
}

}  // namespace

base::Result<Newest> find_newest(store::ObjectStore& store, const std::string& camera, NewestBy by) {
  Newest newest;
  const std::string prefix = "rec/" + camera + "/";
  if (by == NewestBy::kTime) {
    if (auto done = newest_below(store, prefix, 0, newest); !done) return tl::unexpected(done.error());
    return newest;
  }
  const auto listing = store.list(prefix, false);
  if (!listing) return tl::unexpected(listing.error());
  take(*listing, newest);
  return newest;
}

}  // namespace miharu::record
