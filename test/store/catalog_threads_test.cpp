// One catalog asked by many threads while objects come and go: what `miharu run` does with its HTTP and disk
// threads.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "store/catalog.h"
#include "store/synthetic.h"

namespace miharu::store {
namespace {

using base::seconds;
using std::chrono::hours;
using test::make_object;

constexpr uint64_t kObjects = 400;
constexpr uint64_t kChunks = 8;  // 32 s an object
constexpr seconds kStep{600};    // between the starts of two: six an hour
const base::UtcTime kStart =
    base::UtcTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)) + hours(3);

// Versions as exact as they can be, so that everything is cached that may be.
class SharedStore final : public ObjectStore {
 public:
  base::Result<Listing> list(std::string_view prefix, bool one_level) override {
    const std::lock_guard lock(mutex_);
    Listing out;
    for (auto it = keys_.lower_bound(prefix); it != keys_.end() && it->first.starts_with(prefix); ++it) {
      const size_t slash = one_level ? it->first.find('/', prefix.size()) : std::string::npos;
      if (slash == std::string::npos) {
        out.objects.push_back({it->first, it->second});
      } else if (const std::string below = it->first.substr(0, slash + 1);
                 out.prefixes.empty() || out.prefixes.back() != below) {
        out.prefixes.push_back(below);
      }
    }
    return out;
  }
  std::optional<PrefixVersion> version(std::string_view prefix) override {
    const std::lock_guard lock(mutex_);
    const auto found = versions_.find(prefix);
    return PrefixVersion{found == versions_.end() ? 0 : found->second, true};
  }
  base::Result<base::ByteVector> get(std::string_view, uint64_t, uint64_t) override {
    return base::ByteVector{};
  }
  base::Status put(std::string_view key, base::ByteView) override {
    const std::lock_guard lock(mutex_);
    keys_.emplace(key, 1);
    ++versions_[std::string(key.substr(0, key.rfind('/') + 1))];
    return {};
  }
  base::Status replace(std::string_view key, base::ByteView bytes) override { return put(key, bytes); }
  base::Status remove(std::string_view key) override {
    const std::lock_guard lock(mutex_);
    keys_.erase(keys_.find(key));
    ++versions_[std::string(key.substr(0, key.rfind('/') + 1))];
    return {};
  }

 private:
  std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> keys_;
  std::map<std::string, uint64_t, std::less<>> versions_;
};

class SharedGrowing final : public GrowingObjects {
 public:
  std::vector<ObjectName> growing(std::string_view) const override {
    const std::lock_guard lock(mutex_);
    return objects_;
  }
  void set(std::vector<ObjectName> objects) {
    const std::lock_guard lock(mutex_);
    objects_ = std::move(objects);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ObjectName> objects_;
};

ObjectName object(uint64_t i, size_t chunks = kChunks) {
  return make_object(kStart + kStep * static_cast<int64_t>(i), i * kChunks, chunks);
}

// Objects grow, get their names, and the oldest are deleted. Whatever a reader knew to be there before it
// asked and still there afterwards, it must find: once, in order, without a hole.
TEST(CatalogThreads, NothingIsMissedWhileObjectsComeAndGo) {
  SharedStore store;
  SharedGrowing growing;
  Catalog catalog(store, &growing);
  std::atomic<uint64_t> begun{0};    // objects below this one can be found
  std::atomic<uint64_t> deleted{0};  // those below this one may be gone
  std::atomic<uint64_t> looks{0};
  std::atomic<bool> done{false};

  const auto read = [&](unsigned reader) {
    const bool walk = reader % 2 == 1;  // longer than eight days: another way to list
    bool last = false;
    while (!last) {
      last = done;
      const uint64_t must = begun;
      const auto found = catalog.find("a", kStart - (walk ? hours(24 * 9) : hours(1)), kStart + hours(80));
      ASSERT_TRUE(found) << found.error().to_string();
      const uint64_t may_be_gone = deleted;
      EXPECT_EQ(found->undecodable, 0U);
      // Hours are listed one after the other: of what began meanwhile, the later hour may show more.
      uint64_t next = may_be_gone;
      for (const CatalogEntryPtr& entry : found->entries) {
        const uint64_t i = entry->name.seq / kChunks;
        if (i < may_be_gone) continue;
        ASSERT_TRUE(i == next || (i > next && next >= must)) << i << " comes after " << next;
        next = i + 1;
      }
      ASSERT_GE(next, must);
      ASSERT_TRUE(catalog.oldest("a"));
      ASSERT_EQ(*catalog.cameras(), std::vector<std::string>{"a"});
      ++looks;
    }
  };
  ASSERT_TRUE(store.put(*object_key("a", object(0)), {}));
  begun = 1;
  std::vector<std::thread> readers;
  for (unsigned i = 0; i < 4; ++i) readers.emplace_back(read, i);
  for (uint64_t i = 1; i < kObjects; ++i) {
    while (looks < i && !HasFailure()) std::this_thread::yield();
    growing.set({object(i, 1)});
    begun = i + 1;
    growing.set({object(i, 5)});
    ASSERT_TRUE(store.put(*object_key("a", object(i)), {}));
    growing.set({});
    if (i % 3 == 0) {
      const uint64_t oldest = deleted++;
      ASSERT_TRUE(store.remove(*object_key("a", object(oldest))));
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  const auto end = catalog.find("a", kStart - hours(1), kStart + hours(80));
  EXPECT_EQ(end->entries.size(), kObjects - deleted);
}

}  // namespace
}  // namespace miharu::store
