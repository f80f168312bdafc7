#include "store/catalog.h"

#include <map>

#include <gtest/gtest.h>

#include "store/listed_keys.h"
#include "store/synthetic.h"

namespace miharu::store {
namespace {

using base::from_unix_ms;
using base::milliseconds;
using base::seconds;
using std::chrono::hours;
using std::chrono::minutes;
using test::make_object;

const base::UtcTime kHour =
    base::UtcTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)) + hours(3);

class MemoryStore final : public ObjectStore {
 public:
  base::Result<Listing> list(std::string_view prefix, bool one_level) override {
    ++lists;
    if (broken) return base::fail(base::Errc::kIo, "broken");
    return test::list_keys(keys, prefix, one_level);
  }
  std::optional<PrefixVersion> version(std::string_view) override {
    return versioned ? std::optional(PrefixVersion{state, settled}) : std::nullopt;
  }
  base::Result<base::ByteVector> get(std::string_view, uint64_t, uint64_t) override {
    return base::ByteVector{};
  }
  base::Status put(std::string_view, base::ByteView) override { return {}; }
  base::Status replace(std::string_view, base::ByteView) override { return {}; }
  base::Status remove(std::string_view) override { return {}; }
  void add(const ObjectName& name) { keys[*object_key("a", name)] = name.size_bytes(), ++state; }

  std::map<std::string, uint64_t> keys;
  bool broken = false;
  bool versioned = true;
  bool settled = true;
  uint64_t state = 1;
  int lists = 0;
};

class FakeClock final : public base::Clock {
 public:
  base::UtcTime utc() const override { return kHour; }
  base::SteadyTime steady() const override { return now; }
  bool synchronised() const override { return true; }
  base::SteadyTime now{};
};

class Growing final : public GrowingObjects {
 public:
  std::vector<ObjectName> growing(std::string_view camera) const override {
    if (on_ask) on_ask();
    return camera == "a" ? objects : std::vector<ObjectName>{};
  }
  std::vector<ObjectName> objects;
  std::function<void()> on_ask;
};

class CatalogTest : public testing::Test {
 protected:
  std::vector<uint64_t> seqs(base::UtcTime from, base::UtcTime to) {
    const auto found = catalog.find("a", from, to);
    EXPECT_TRUE(found) << found.error().to_string();
    std::vector<uint64_t> out;
    for (const auto& entry : found->entries) out.push_back(entry->name.seq);
    return out;
  }
  using Seqs = std::vector<uint64_t>;

  MemoryStore store;
  Growing growing;
  FakeClock clock;
  Catalog catalog{store, &growing, clock};
};

TEST_F(CatalogTest, FindsWhatOverlapsAlsoOverTheHourBorder) {
  store.add(make_object(kHour - seconds(16), 100, 8));  // to 03:00:16
  store.add(make_object(kHour + seconds(16), 108, 8));  // to 03:00:48
  store.add(make_object(kHour + minutes(10), 116, 8));
  EXPECT_EQ(seqs(kHour, kHour + seconds(1)), Seqs{100});
  EXPECT_EQ(seqs(kHour, kHour + minutes(1)), (Seqs{100, 108}));
  EXPECT_EQ(seqs(kHour + seconds(16), kHour + seconds(48)), Seqs{108});  // half open at both ends
  EXPECT_EQ(seqs(kHour + seconds(48), kHour + minutes(10)), Seqs{});
  EXPECT_EQ(seqs(kHour - hours(1), kHour + hours(2)), (Seqs{100, 108, 116}));
  EXPECT_EQ(seqs(kHour, kHour), Seqs{});
  EXPECT_EQ(seqs(kHour + hours(1), kHour), Seqs{});
  EXPECT_EQ(seqs(base::UtcTime::min(), base::UtcTime::max()), (Seqs{100, 108, 116}));
  EXPECT_FALSE(catalog.find("../a", kHour, kHour + hours(1)));
}

TEST_F(CatalogTest, LongAndShortIntervalsFindTheSame) {
  for (uint64_t i = 0; i < 200; ++i) store.add(make_object(kHour + hours(i), 1000 + i * 8, 8));
  const auto whole = seqs(kHour - hours(9000), kHour + hours(9000));
  EXPECT_EQ(whole.size(), 200U);
  Seqs pieces;
  for (int day = 0; day < 12; ++day) {
    const auto piece = seqs(kHour + hours(day * 24), kHour + hours(day * 24 + 24));
    pieces.insert(pieces.end(), piece.begin(), piece.end());
  }
  EXPECT_EQ(pieces, whole);
  EXPECT_EQ(seqs(kHour + hours(5), kHour + hours(199)).size(), 194U);  // by walking, bounded at both ends
}

TEST_F(CatalogTest, OrdersBySeqWhenTheClockStepsBack) {
  store.add(make_object(kHour + minutes(30), 100, 8, {1, RunReason::kRestart}));
  store.add(make_object(kHour + minutes(20), 108, 8, {2, RunReason::kClockStep}));
  EXPECT_EQ(seqs(kHour, kHour + hours(1)), (Seqs{100, 108}));
}

TEST_F(CatalogTest, WhatADependentRunLeansOnIsFoundWhereverTheClockPutIt) {
  const auto lead_of = [this](base::UtcTime start) {
    const auto found = catalog.find_with_lead("a", start + seconds(1), start + seconds(2));
    EXPECT_TRUE(found) << found.error().to_string();
    Seqs out;
    for (const auto& entry : found->entries) out.push_back(entry->name.seq);
    return out;
  };
  int day = 0;
  for (const auto step :
       {base::nanoseconds(hours(-25)), base::nanoseconds(hours(-2)), base::nanoseconds(seconds(-1)),
        base::nanoseconds(seconds(1)), base::nanoseconds(hours(25))}) {
    SCOPED_TRACE(step.count());
    const uint64_t seq = 1000 * static_cast<uint64_t>(++day);
    const base::UtcTime start = kHour + hours(100 * day);
    ObjectName long_group =
        make_object(start + seconds(32), seq + 8, 2);  // all of it in one group of pictures
    for (Chunk& chunk : long_group.chunks) chunk.key_bytes = 0;
    ObjectName dependent = make_object(start + seconds(40) + step, seq + 10, 2, {6, RunReason::kClockStep});
    dependent.chunks[0].key_bytes = 0;
    store.add(make_object(start, seq, 8));
    store.add(long_group);
    store.add(dependent);
    EXPECT_EQ(lead_of(dependent.start), (Seqs{seq, seq + 8, seq + 10}));
    EXPECT_EQ(lead_of(dependent.start + seconds(4)), Seqs{seq + 10}) << "a key frame is there";
    EXPECT_EQ(seqs(dependent.start + seconds(4), dependent.start + seconds(5)), Seqs{seq + 10});
  }
  // Its predecessor was deleted; what it had is not looked for behind a hole.
  ObjectName alone = make_object(kHour + hours(1000), 90'000, 2, {9, RunReason::kClockStep});
  alone.chunks[0].key_bytes = 0;
  store.add(make_object(kHour + hours(1001), 89'990, 8));
  store.add(alone);
  EXPECT_EQ(lead_of(alone.start), Seqs{90'000});
}

TEST_F(CatalogTest, TheFinishedObjectWinsOverTheGrowingOne) {
  store.add(make_object(kHour, 100, 8));
  growing.objects = {make_object(kHour + seconds(32), 108, 3)};
  growing.objects[0].crc = 0;
  auto found = *catalog.find("a", kHour, kHour + hours(1));
  ASSERT_EQ(found.entries.size(), 2U);
  EXPECT_TRUE(found.entries[1]->growing);
  EXPECT_TRUE(found.entries[1]->key.empty());
  store.add(make_object(kHour + seconds(32), 108, 8));
  found = *catalog.find("a", kHour, kHour + hours(1));
  ASSERT_EQ(found.entries.size(), 2U);
  EXPECT_FALSE(found.entries[1]->growing);
  EXPECT_EQ(found.entries[1]->name.chunks.size(), 8U);
  EXPECT_EQ(found.entries[1]->key, *object_key("a", found.entries[1]->name));
}

TEST_F(CatalogTest, AnObjectThatIsRenamedMeanwhileIsNotMissed) {
  growing.objects = {make_object(kHour, 100, 3)};
  growing.on_ask = [this] {
    store.add(make_object(kHour, 100, 8));
  };  // finished right after it was asked for
  EXPECT_EQ(seqs(kHour, kHour + hours(1)), Seqs{100});
}

TEST_F(CatalogTest, CountsWhatItCannotDecode) {
  store.add(make_object(kHour, 100, 8));
  store.keys["rec/a/2026/11/21/03/junk.mp4"] = 1;
  store.keys["rec/a/2026/11/21/03/" + *encode_name(make_object(kHour + hours(1), 200, 8))] =
      1;  // in another's hour
  ++store.state;
  const auto found = *catalog.find("a", kHour, kHour + hours(3));
  EXPECT_EQ(found.entries.size(), 1U);
  EXPECT_EQ(found.undecodable, 2U);
  EXPECT_EQ(catalog.find("a", kHour, kHour + hours(3))->undecodable, 2U);  // from the cache too
}

TEST_F(CatalogTest, CachesByVersion) {
  store.add(make_object(kHour, 100, 8));
  const auto ask = [&] {
    const int before = store.lists;
    EXPECT_FALSE(seqs(kHour + minutes(0), kHour + minutes(30)).empty());
    return store.lists - before;
  };
  EXPECT_EQ(ask(), 2);  // the hour and the one before
  EXPECT_EQ(ask(), 0);
  store.add(make_object(kHour + seconds(32), 108, 8));
  EXPECT_EQ(seqs(kHour, kHour + minutes(30)), (Seqs{100, 108}));
  store.settled = false;
  ++store.state;
  EXPECT_EQ(ask(), 2);
  EXPECT_EQ(ask(), 2);  // too fresh to be kept
}

TEST_F(CatalogTest, WithoutVersionsOnlyCompleteHoursAreKept) {
  store.versioned = false;
  for (uint64_t i = 0; i < 4; ++i) store.add(make_object(kHour + hours(i), 100 + 8 * i, 8));
  const auto ask = [&](seconds later) {
    clock.now += later;
    const int before = store.lists;
    EXPECT_EQ(seqs(kHour, kHour + hours(4)).size(), 4U);
    return store.lists - before;
  };
  EXPECT_EQ(ask(seconds(0)), 5);
  EXPECT_EQ(ask(seconds(9)), 0);
  EXPECT_EQ(ask(seconds(2)), 3);  // but for the two in the middle
  EXPECT_EQ(ask(hours(24)), 5);
}

TEST_F(CatalogTest, OldestAndCameras) {
  EXPECT_EQ(*catalog.oldest("a"), nullptr);
  store.add(make_object(kHour - hours(30), 10, 8));
  store.add(make_object(kHour + minutes(5), 100, 8));
  store.keys["rec/a/2026/11/22/00/junk"] = 1;
  store.keys["rec/b/2026/11/22/00/junk"] = 1;
  store.keys["rec/Not a camera/x"] = 1;
  EXPECT_EQ((*catalog.oldest("a"))->name.seq, 10U);
  EXPECT_EQ(*catalog.oldest("b"), nullptr);
  EXPECT_EQ(*catalog.cameras(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(CatalogTest, AStoreThatFailsIsAnError) {
  store.broken = true;
  EXPECT_EQ(catalog.find("a", kHour, kHour + hours(1)).error().code, base::Errc::kIo);
  EXPECT_FALSE(catalog.oldest("a"));
  EXPECT_FALSE(catalog.cameras());
}

}  // namespace
}  // namespace miharu::store
