#include "store/relays.h"

#include <functional>
#include <future>
#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "store/listed_keys.h"
#include "store/outermost.h"
#include "store/synthetic.h"
#include "support/manual_clock.h"

namespace miharu::store {
namespace {

using base::seconds;
using std::chrono::hours;
using test::make_object;

const base::UtcTime kHour =
    base::UtcTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)) + hours(3);

class MemoryStore final : public ObjectStore {
 public:
  base::Result<Listing> list(std::string_view prefix, bool one_level) override {
    if (broken) return base::fail(base::Errc::kRefused, "the store is away");
    asked.emplace_back(prefix);
    if (const auto call = std::exchange(on_list, {})) call();
    return test::list_keys(keys, prefix, one_level);
  }
  base::Result<base::ByteVector> get(std::string_view, uint64_t, uint64_t) override {
    return base::ByteVector{};
  }
  base::Status put(std::string_view, base::ByteView) override { return {}; }
  base::Status replace(std::string_view, base::ByteView) override { return {}; }
  base::Status remove(std::string_view) override { return {}; }
  void add(const std::string& root, const std::string& camera, const ObjectName& name) {
    keys[root + *object_key(camera, name)] = name.size_bytes();
  }

  std::map<std::string, uint64_t> keys;
  [[nodiscard]] bool is_bucket() const override { return bucket; }

  bool bucket = false;
  bool broken = false;
  std::vector<std::string> asked;  // prefixes that were listed
  std::function<void()> on_list;   // once
};

class RelaysTest : public testing::Test {
 protected:
  // Root and start of each, in seconds after kHour.
  using Found = std::vector<std::pair<std::string, int64_t>>;
  Found find(base::nanoseconds from, base::nanoseconds to) {
    const auto found = relays.find("a", kHour + from, kHour + to);
    EXPECT_TRUE(found) << found.error().to_string();
    shadowed = found->shadowed;
    Found out;
    for (const CatalogEntryPtr& entry : found->entries) {
      out.emplace_back(entry->key.substr(0, entry->key.find("rec/")),
                       std::chrono::floor<seconds>(entry->name.start - kHour).count());
    }
    return out;
  }

  MemoryStore store;
  test::ManualClock clock{kHour + hours(1)};
  Relays relays{store, clock};
  uint64_t shadowed = 0;
};

TEST_F(RelaysTest, AReplacedRecorderGoesOnWithTheTimeline) {
  for (int i = 0; i < 3; ++i) store.add("r1/", "a", make_object(kHour + seconds(32 * i), 100 + 8 * i, 8));
  // The numbers of another recorder are its own.
  for (int i = 0; i < 2; ++i)
    store.add("r2/", "a", make_object(kHour + seconds(200 + 32 * i), 50 + 8 * i, 8));
  store.keys["auth/users.json"] = 1;
  store.keys["app/index.html"] = 1;
  EXPECT_EQ(find(seconds(0), seconds(300)),
            (Found{{"r1/", 0}, {"r1/", 32}, {"r1/", 64}, {"r2/", 200}, {"r2/", 232}}));
  EXPECT_EQ(shadowed, 0U);
  EXPECT_EQ(*relays.cameras(), std::vector<std::string>{"a"});
  EXPECT_EQ((*relays.oldest("a"))->name.start, kHour);
  EXPECT_EQ((*relays.newest("a"))->name.start, kHour + seconds(232));
}

TEST_F(RelaysTest, WhereTwoRecordAtOnceTheEarlierIsPlayed) {
  store.add("r1/", "a", make_object(kHour, 100, 8));
  store.add("r1/", "a", make_object(kHour + seconds(32), 108, 8));
  store.add("r2/", "a", make_object(kHour + seconds(10), 50, 8));
  store.add("r2/", "a", make_object(kHour + seconds(70), 58, 8));
  store.add("r1/", "a", make_object(kHour + seconds(80), 116, 8));
  EXPECT_EQ(find(seconds(0), seconds(200)), (Found{{"r1/", 0}, {"r1/", 32}, {"r2/", 70}}));
  EXPECT_EQ(shadowed, 2U);
}

TEST_F(RelaysTest, OfTwoThatBeginTogetherTheLongerIsPlayed) {
  store.add("r1/", "a", make_object(kHour, 100, 2));
  store.add("r2/", "a", make_object(kHour, 50, 8));
  store.add("r1/", "a", make_object(kHour + seconds(60), 108, 8));
  store.add("r2/", "a", make_object(kHour + seconds(60), 58, 2));
  EXPECT_EQ(find(seconds(0), seconds(300)), (Found{{"r2/", 0}, {"r1/", 60}}));
  EXPECT_EQ(shadowed, 2U);
}

// Names are rounded to milliseconds.
TEST_F(RelaysTest, AnOverlapOfAMillisecondLeavesNothingOut) {
  store.add("r1/", "a", make_object(kHour, 100, 8));
  store.add("r2/", "a", make_object(kHour + seconds(32) - base::milliseconds(1), 50, 8));
  EXPECT_EQ(find(seconds(0), seconds(300)).size(), 2U);
  EXPECT_EQ(shadowed, 0U);
}

TEST_F(RelaysTest, WhatOneRecorderPlacedTwiceIsNotTouched) {
  // The clock was set back: two runs of one recorder overlap.
  store.add("r1/", "a", make_object(kHour + seconds(20), 100, 8));
  store.add("r1/", "a", make_object(kHour, 108, 8, {6, RunReason::kClockStep}));
  store.add("r2/", "a", make_object(kHour + seconds(100), 50, 8));
  EXPECT_EQ(find(seconds(0), seconds(200)), (Found{{"r1/", 20}, {"r1/", 0}, {"r2/", 100}}));
}

TEST_F(RelaysTest, TwoOfOneNameAreToldApart) {
  // One has recorded for long, the other is new: its numbers begin with the clock, its runs with 1.
  for (int i = 0; i < 6; ++i) {
    store.add("r1/", "a", make_object(kHour + seconds(32 * i), 100 + 8 * i, 8, {40, RunReason::kRestart}));
    if (i < 2 || i > 4)  // it was away for a while
      store.add("r1/", "a",
                make_object(kHour + seconds(10 + 32 * i), 5000 + 8 * i, 8, {1, RunReason::kRestart}));
  }
  EXPECT_EQ(find(seconds(0), seconds(200)),
            (Found{{"r1/", 0}, {"r1/", 32}, {"r1/", 64}, {"r1/", 96}, {"r1/", 128}, {"r1/", 160}}));
  EXPECT_EQ(shadowed, 3U);
}

TEST_F(RelaysTest, TwoOfOneNameThatBeganTogetherAreToldApart) {
  // The same runs, and numbers that run into those of the other.
  for (int i = 0; i < 8; ++i) {
    if (i != 3) store.add("r1/", "a", make_object(kHour + seconds(32 * i), 100 + 8 * i, 8));
    store.add("r1/", "a", make_object(kHour + seconds(10 + 32 * i), 116 + 8 * i, 8));
  }
  // While the one is away the other is played.
  EXPECT_EQ(find(seconds(0), seconds(260)), (Found{{"r1/", 0},
                                                   {"r1/", 32},
                                                   {"r1/", 64},
                                                   {"r1/", 106},
                                                   {"r1/", 138},
                                                   {"r1/", 170},
                                                   {"r1/", 202},
                                                   {"r1/", 234}}));
}

TEST_F(RelaysTest, TwoOfOneNameAreToldApartThoughTheirNumbersMeet) {
  const auto run = [](uint64_t number) { return store::Run{number, RunReason::kRestart}; };
  store.add("r1/", "a", make_object(kHour, 100, 8, run(1)));
  store.add("r1/", "a", make_object(kHour + seconds(32), 108, 8, run(1)));
  store.add("r1/", "a", make_object(kHour + seconds(90), 116, 8, run(2)));  // started again
  // The other's numbers go on where those of the first end, at times that are over.
  for (int i = 0; i < 3; ++i)
    store.add("r1/", "a", make_object(kHour + seconds(10 + 32 * i), 108 + 8 * i, 8, run(1)));
  EXPECT_EQ(find(seconds(0), seconds(260)), (Found{{"r1/", 0}, {"r1/", 32}, {"r1/", 74}}));
  EXPECT_EQ(shadowed, 3U);
}

TEST_F(RelaysTest, HolesAreNoOtherRecorder) {
  store.add("r1/", "a", make_object(kHour, 100, 8));
  store.add("r1/", "a", make_object(kHour + seconds(64), 116, 8));
  store.add("r1/", "a", make_object(kHour + seconds(96), 124, 8));
  // The clock was set back, and what was recorded right before and behind that is still on its way.
  store.add("r1/", "a", make_object(kHour + seconds(10), 140, 8, {6, RunReason::kClockStep}));
  EXPECT_EQ(find(seconds(0), seconds(200)), (Found{{"r1/", 0}, {"r1/", 64}, {"r1/", 96}, {"r1/", 10}}));
  EXPECT_EQ(shadowed, 0U);
}

TEST_F(RelaysTest, TheRootMayBeARecorderItself) {
  store.add("", "a", make_object(kHour, 100, 8));
  store.add("", "b", make_object(kHour, 100, 8));
  store.add("r1/", "a", make_object(kHour + seconds(100), 50, 8));
  EXPECT_EQ(find(seconds(0), seconds(200)), (Found{{"", 0}, {"r1/", 100}}));
  EXPECT_EQ(*relays.cameras(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(RelaysTest, ANewRecorderIsFoundWithinAMinute) {
  store.add("r1/", "a", make_object(kHour, 100, 8));
  EXPECT_EQ(find(seconds(0), seconds(200)).size(), 1U);
  store.add("r2/", "a", make_object(kHour + seconds(100), 50, 8));
  clock.advance(Relays::kRefresh);
  EXPECT_EQ(find(seconds(0), seconds(200)).size(), 2U);
}

TEST_F(RelaysTest, WhatPagesAskForEveryFewSecondsCostsTwoListingsAMinuteOrSo) {
  store.bucket = true;
  store.add("r1/", "a", make_object(kHour + hours(1) - seconds(40), 100, 8));
  const auto newest = [&] {
    const auto found = relays.newest("a");
    EXPECT_TRUE(found && *found);
    return found && *found ? (*found)->name.start - kHour : base::nanoseconds(0);
  };
  EXPECT_EQ(newest(), hours(1) - seconds(40));
  EXPECT_TRUE(relays.oldest("a"));
  store.asked.clear();
  for (int i = 0; i < 3; ++i) {
    clock.advance(seconds(4));
    EXPECT_EQ(newest(), hours(1) - seconds(40));
    EXPECT_TRUE(relays.oldest("a"));
  }
  EXPECT_TRUE(store.asked.empty());
  // The present hour has nothing yet: that of the newest known is looked at too.
  clock.advance(seconds(4));
  store.add("r1/", "a", make_object(kHour + hours(1) - seconds(10), 108, 8));
  EXPECT_EQ(newest(), hours(1) - seconds(10));
  EXPECT_EQ(store.asked, (std::vector<std::string>{"r1/rec/a/2026/11/21/04/", "r1/rec/a/2026/11/21/03/"}));
  clock.advance(seconds(16));
  store.add("r1/", "a", make_object(kHour + hours(1), 116, 8));
  store.asked.clear();
  EXPECT_EQ(newest(), hours(1));
  EXPECT_EQ(store.asked, (std::vector<std::string>{"r1/rec/a/2026/11/21/04/"}));
  // Deleted by somebody: all is looked at again.
  std::erase_if(store.keys, [](const auto& each) { return each.first.find("/03/") == std::string::npos; });
  clock.advance(seconds(16));
  EXPECT_EQ(newest(), hours(1) - seconds(10));
}

TEST_F(RelaysTest, OfACameraThatWasAwayTheNewestIsFoundWithinAMinute) {
  store.bucket = true;
  store.add("r1/", "a", make_object(kHour - hours(30), 100, 8));
  EXPECT_TRUE(relays.newest("a"));
  store.add("r1/", "a", make_object(kHour + hours(1), 130, 8));
  clock.advance(Outermost::kAwayKnown);
  const auto found = relays.newest("a");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->name.start, kHour + hours(1));
}

TEST_F(RelaysTest, AListingThatTakesLongHoldsUpNobodyElse) {
  store.add("r1/", "a", make_object(kHour, 100, 8));
  ASSERT_EQ(*relays.cameras(), std::vector<std::string>{"a"});
  clock.advance(Relays::kRefresh);
  store.add("r2/", "b", make_object(kHour, 100, 8));
  std::promise<void> listing;
  std::promise<void> answer;
  store.on_list = [&] {
    listing.set_value();
    answer.get_future().wait();
  };
  auto first = std::async(std::launch::async, [&] { return relays.cameras(); });
  listing.get_future().wait();
  auto other = std::async(std::launch::async, [&] { return relays.cameras(); });
  EXPECT_EQ(other.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  answer.set_value();
  EXPECT_EQ(*other.get(), std::vector<std::string>{"a"}) << "as it was a minute ago";
  EXPECT_EQ(*first.get(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(RelaysTest, AStoreThatIsAwayIsAnError) {
  store.broken = true;
  EXPECT_EQ(relays.find("a", kHour, kHour + hours(1)).error().code, base::Errc::kRefused);
  EXPECT_FALSE(relays.cameras());
  EXPECT_FALSE(relays.newest("a"));
}

TEST_F(RelaysTest, NothingIsListedButTheRootTheRecordersAndTheHours) {
  for (const char* root : {"r1/", "r2/"}) {
    for (int hour = -1; hour < 3; ++hour)
      store.add(root, "a", make_object(kHour + hours(hour), static_cast<uint64_t>(100 + hour), 1));
  }
  EXPECT_EQ(find(seconds(0), hours(1)).size(), 1U);
  const auto hour = [](const char* root, const char* at) {
    return std::string(root) + "rec/a/2026/11/21/" + at + "/";
  };
  EXPECT_EQ(store.asked, (std::vector<std::string>{"", "r1/rec/", "r2/rec/", hour("r1/", "02"),
                                                   hour("r1/", "03"), hour("r2/", "02"), hour("r2/", "03")}));
  store.asked.clear();
  EXPECT_EQ(find(seconds(0), hours(1)).size(), 1U);
  EXPECT_TRUE(store.asked.empty());
  EXPECT_EQ(relays.counts().listed, 4U);
  EXPECT_EQ(relays.counts().from_cache, 4U);
}

}  // namespace
}  // namespace miharu::store
