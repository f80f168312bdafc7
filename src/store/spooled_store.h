// What is read twice of a store that is far away is fetched once.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "base/file.h"
#include "store/object_store.h"

namespace miharu::store {

// Keeps what get() fetched in a file without a name, as large as all of it together, until it is destroyed.
// For one thread.
class SpooledStore final : public ObjectStore {
 public:
  // The file is made in `folder`. `store` must outlive it.
  static base::Result<std::unique_ptr<SpooledStore>> make(ObjectStore& store,
                                                          const std::filesystem::path& folder);

  base::Result<Listing> list(std::string_view prefix, bool one_level) override {
    return store_.list(prefix, one_level);
  }
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override;
  base::Status put(std::string_view key, base::ByteView bytes) override { return store_.put(key, bytes); }
  base::Status replace(std::string_view key, base::ByteView bytes) override {
    return store_.replace(key, bytes);
  }
  base::Status remove(std::string_view key) override { return store_.remove(key); }

 private:
  struct Piece {
    uint64_t at = 0;
    uint64_t size_bytes = 0;
  };
  SpooledStore(ObjectStore& store, base::File spool) : store_(store), spool_(std::move(spool)) {}

  ObjectStore& store_;
  const base::File spool_;
  std::map<std::tuple<std::string, uint64_t, uint64_t>, Piece> pieces_;  // by what was asked for
  uint64_t end_ = 0;
};

}  // namespace miharu::store
