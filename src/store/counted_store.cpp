#include "store/counted_store.h"

namespace miharu::store {

base::Result<Listing> CountedStore::list(std::string_view prefix, bool one_level) {
  ++lists_;
  return counted(store_.list(prefix, one_level));
}

std::vector<base::Result<Listing>> CountedStore::list_many(const std::vector<std::string>& prefixes,
                                                           bool one_level) {
  lists_ += prefixes.size();
  auto listings = store_.list_many(prefixes, one_level);
  for (auto& listing : listings) listing = counted(std::move(listing));
  return listings;
}

std::optional<base::Result<base::File>> CountedStore::open_file(std::string_view key) {
  auto file = store_.open_file(key);
  if (file) file = counted(std::move(*file));
  return file;
}

base::Result<base::ByteVector> CountedStore::get(std::string_view key, uint64_t offset, uint64_t length) {
  ++gets_;
  auto bytes = counted(store_.get(key, offset, length));
  if (bytes) bytes_ += bytes->size();
  return bytes;
}

}  // namespace miharu::store
