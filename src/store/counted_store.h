// What a store is asked for, counted: for metrics.
#pragma once

#include <atomic>

#include "store/object_store.h"

namespace miharu::store {

struct StoreCounts {
  uint64_t lists = 0;
  uint64_t gets = 0;
  uint64_t bytes = 0;   // that gets gave
  uint64_t errors = 0;  // but not that something is not there
};

// Hands everything on. Thread-safe as the store is, which must outlive it.
class CountedStore final : public ObjectStore {
 public:
  explicit CountedStore(ObjectStore& store) : store_(store) {}
  [[nodiscard]] StoreCounts counts() const {
    return {lists_.load(), gets_.load(), bytes_.load(), errors_.load()};
  }

  base::Result<Listing> list(std::string_view prefix, bool one_level) override;
  std::vector<base::Result<Listing>> list_many(const std::vector<std::string>& prefixes,
                                               bool one_level) override;
  std::optional<PrefixVersion> version(std::string_view prefix) override { return store_.version(prefix); }
  std::optional<base::Result<base::File>> open_file(std::string_view key) override;
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override;
  base::Status put(std::string_view key, base::ByteView bytes) override {
    return counted(store_.put(key, bytes));
  }
  base::Status replace(std::string_view key, base::ByteView bytes) override {
    return counted(store_.replace(key, bytes));
  }
  base::Status remove(std::string_view key) override { return counted(store_.remove(key)); }
  [[nodiscard]] bool is_bucket() const override { return store_.is_bucket(); }
  base::Result<VersionedText> get_versioned(std::string_view key, uint64_t limit_bytes) override {
    ++gets_;
    auto text = counted(store_.get_versioned(key, limit_bytes));
    if (text) bytes_ += text->text.size();
    return text;
  }
  base::Status replace_version(std::string_view key, std::string_view text,
                               const std::string& version) override {
    return counted(store_.replace_version(key, text, version));
  }

 private:
  template <class Outcome>
  Outcome counted(Outcome outcome) {
    if (!outcome && outcome.error().code != base::Errc::kNotFound) ++errors_;
    return outcome;
  }

  ObjectStore& store_;
  std::atomic<uint64_t> lists_{0}, gets_{0}, bytes_{0}, errors_{0};
};

}  // namespace miharu::store
