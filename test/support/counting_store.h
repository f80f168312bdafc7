// An ObjectStore that says it is a bucket, over another one, and counts what is read of it.
#pragma once

#include "store/object_store.h"

namespace miharu::test {

class CountingStore final : public store::ObjectStore {
 public:
  explicit CountingStore(store::ObjectStore& inner) : inner_(inner) {}

  base::Result<store::Listing> list(std::string_view prefix, bool one_level) override {
    return inner_.list(prefix, one_level);
  }
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override {
    auto bytes = inner_.get(key, offset, length);
    gets += 1;
    if (bytes) read_bytes += bytes->size();
    return bytes;
  }
  base::Status put(std::string_view key, base::ByteView bytes) override { return inner_.put(key, bytes); }
  base::Status replace(std::string_view key, base::ByteView bytes) override {
    return inner_.replace(key, bytes);
  }
  base::Status remove(std::string_view key) override { return inner_.remove(key); }
  [[nodiscard]] bool is_bucket() const override { return true; }

  uint64_t gets = 0;
  uint64_t read_bytes = 0;

 private:
  store::ObjectStore& inner_;
};

}  // namespace miharu::test
