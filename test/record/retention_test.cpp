#include "record/retention.h"

#include <set>

#include <gtest/gtest.h>

#include "support/recording.h"

namespace miharu::record {
namespace {

using base::seconds;
using std::chrono::hours;
using std::chrono::minutes;

// Twelve seconds (two objects) of each of five hours.
class RetentionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 5; ++i) {
      recorded_.run(seconds(12), store::RunReason::kRestart, "front");
      recorded_.clock.advance(hours(1) - seconds(12));
    }
    all_ = recorded_.entries();
    ASSERT_EQ(all_.size(), 10U);
  }
  uint64_t pass(const RetentionOptions& options, bool full = false) {
    Retention retention(*recorded_.store, recorded_.clock, options);
    const auto deleted = retention.run_once(full);
    EXPECT_TRUE(deleted.has_value());
    return deleted.value_or(0);
  }
  // What is left are the newest of what was there.
  void expect_left(size_t count, const std::string& camera = "front") {
    const auto left = recorded_.entries(camera);
    ASSERT_EQ(left.size(), count);
    if (camera != "front") return;
    for (size_t i = 0; i < count; ++i) EXPECT_EQ(left[i]->key, all_[all_.size() - count + i]->key);
  }
  uint64_t bytes_of_newest(size_t count) {
    uint64_t sum = 0;
    for (size_t i = all_.size() - count; i < all_.size(); ++i) sum += all_[i]->name.size_bytes();
    return sum;
  }

  test::RecordedStore recorded_;
  std::vector<store::CatalogEntryPtr> all_;
};

TEST_F(RetentionTest, WithoutLimitsNothingIsDeleted) {
  EXPECT_EQ(pass({}), 0U);
  expect_left(10);
}

TEST_F(RetentionTest, ByAge) {
  struct Case {
    base::nanoseconds age;
    size_t left;
  };
  // Now is five hours after the first object's start.
  for (const Case& c : {Case{hours(6), 10}, Case{hours(5), 10}, Case{hours(5) - seconds(7), 9},
                        Case{hours(3), 6}, Case{minutes(90), 2}, Case{minutes(1), 0}}) {
    RetentionOptions options;
    options.all.age = c.age;
    pass(options);
    expect_left(c.left);
  }
}

TEST_F(RetentionTest, ByBytes) {
  for (const size_t keep : {size_t{10}, size_t{9}, size_t{4}, size_t{1}, size_t{0}}) {
    RetentionOptions options;
    options.all.bytes = bytes_of_newest(keep);
    pass(options);
    expect_left(keep);
    EXPECT_EQ(pass(options), 0U) << "once is enough";
  }
}

TEST_F(RetentionTest, OneByteTooManyCostsTheOldestObject) {
  RetentionOptions options;
  options.all.bytes = bytes_of_newest(10) - 1;
  EXPECT_EQ(pass(options), 1U);
  expect_left(9);
}

TEST_F(RetentionTest, ACameraMayHaveLimitsOfItsOwn) {
  recorded_.clock.advance(-hours(5));
  recorded_.run(seconds(12), store::RunReason::kRestart, "back");
  recorded_.clock.advance(hours(5) - seconds(12));
  RetentionOptions options;
  options.cameras["back"].age = hours(1);
  EXPECT_EQ(pass(options), 2U);
  expect_left(10);
  expect_left(0, "back");
  options.cameras["front"].bytes = bytes_of_newest(3);
  EXPECT_EQ(pass(options), 7U);
  expect_left(3);
}

TEST_F(RetentionTest, TheOldestOfAllCamerasGoFirst) {
  recorded_.clock.advance(-hours(3) + minutes(10));  // the third hour of "front"
  recorded_.run(seconds(12), store::RunReason::kRestart, "back");
  recorded_.clock.advance(hours(3) - minutes(10) - seconds(12));
  uint64_t back = 0;
  for (const auto& entry : recorded_.entries("back")) back += entry->name.size_bytes();
  RetentionOptions options;
  options.all.bytes = bytes_of_newest(6) + back;
  pass(options);
  expect_left(6);
  expect_left(2, "back");
  options.all.bytes = bytes_of_newest(4);
  pass(options);
  expect_left(4);
  expect_left(0, "back");
}

TEST_F(RetentionTest, InsideOfAnHourTheOldestOfAllCamerasGoFirst) {
  recorded_.clock.advance(-hours(5));
  // Between the objects of "front", and by name before it.
  recorded_.clock.advance(seconds(3));
  recorded_.run(seconds(12), store::RunReason::kRestart, "back");
  recorded_.clock.advance(hours(5) - seconds(15));
  const auto back = recorded_.entries("back");
  ASSERT_EQ(back.size(), 2U);
  uint64_t all = bytes_of_newest(10);
  for (const auto& entry : back) all += entry->name.size_bytes();
  RetentionOptions options;
  options.all.bytes = all - 1;
  EXPECT_EQ(pass(options), 1U);
  expect_left(9);
  expect_left(2, "back");
  options.all.bytes = all - all_[0]->name.size_bytes() - 1;
  EXPECT_EQ(pass(options), 1U);
  expect_left(9);
  expect_left(1, "back");
}

TEST_F(RetentionTest, RoomOnTheDisk) {
  RetentionOptions options;
  options.free_bytes = 1;
  EXPECT_EQ(pass(options), 0U) << "there is a byte of room";
  options.free_bytes = UINT64_MAX / 4;
  EXPECT_EQ(pass(options), 10U) << "all cannot be enough";
  expect_left(0);
}

// Those of `safe` are in a bucket, of `unverified` something of their name is.
class Copies final : public SecondCopy {
 public:
  explicit Copies(std::set<uint64_t> safe, std::set<uint64_t> unverified = {})
      : safe_(std::move(safe)), unverified_(std::move(unverified)) {}
  State state_of(const std::string&, const store::ObjectName& name) const override {
    return safe_.contains(name.seq)         ? State::kVerified
           : unverified_.contains(name.seq) ? State::kUnverified
                                            : State::kNone;
  }
  bool any(const std::string&, base::UtcTime, base::UtcTime, State least) const override {
    return !safe_.empty() || (least == State::kUnverified && !unverified_.empty());
  }
  void deleted(const std::string& camera, const store::ObjectName& name, const std::string& why) override {
    EXPECT_EQ(camera, "front");
    EXPECT_NE(why, "");
    deleted_.push_back(name.seq);
  }
  [[nodiscard]] const std::vector<uint64_t>& deleted_seqs() const { return deleted_; }

 private:
  std::set<uint64_t> safe_;
  std::set<uint64_t> unverified_;
  std::vector<uint64_t> deleted_;
};

TEST_F(RetentionTest, WhatIsNotSafeOutlivesEveryLimit) {
  for (const bool by_age : {true, false}) {
    const auto left = recorded_.entries();
    ASSERT_GE(left.size(), 5U);
    Copies copies({left[1]->name.seq, left[4]->name.seq});
    RetentionOptions options;
    options.copies = &copies;
    if (by_age) options.all.age = minutes(1);
    options.free_bytes = UINT64_MAX;
    EXPECT_EQ(pass(options), 2U);
    EXPECT_EQ(copies.deleted_seqs(), (std::vector{left[1]->name.seq, left[4]->name.seq}));
    EXPECT_EQ(pass(options), 0U);
  }
  EXPECT_EQ(recorded_.entries().size(), 6U);
}

TEST_F(RetentionTest, AFullDiskLosesWhatIsSafeFirst) {
  Copies copies({all_[8]->name.seq, all_[9]->name.seq});
  RetentionOptions options;
  options.copies = &copies;
  options.free_bytes = UINT64_MAX;
  EXPECT_EQ(pass(options, true), 10U);
  std::vector<uint64_t> order{all_[8]->name.seq, all_[9]->name.seq};
  for (size_t i = 0; i < 8; ++i) order.push_back(all_[i]->name.seq);
  EXPECT_EQ(copies.deleted_seqs(), order);
}

TEST_F(RetentionTest, RoomIsMadeOfVerifiedCopiesFirst) {
  const auto seqs = [this](std::initializer_list<size_t> objects) {
    std::vector<uint64_t> all;
    for (const size_t i : objects) all.push_back(all_[i]->name.seq);
    return all;
  };
  const auto copies = [&](std::initializer_list<size_t> verified, std::initializer_list<size_t> unverified) {
    const auto first = seqs(verified);
    const auto second = seqs(unverified);
    return Copies({first.begin(), first.end()}, {second.begin(), second.end()});
  };
  recorded_.clock.advance(hours(30));
  RetentionOptions options;
  options.all.bytes = bytes_of_newest(10) - 1;
  Copies by_bytes = copies({2, 3, 7, 8, 9}, {0, 1, 4});
  options.copies = &by_bytes;
  EXPECT_EQ(pass(options), 1U);
  EXPECT_EQ(by_bytes.deleted_seqs(), seqs({2}));
  options = {};
  Copies full = copies({3, 8, 9}, {0, 4});
  options.copies = &full;
  options.free_bytes = UINT64_MAX;
  EXPECT_EQ(pass(options, true), 9U);
  EXPECT_EQ(full.deleted_seqs(), seqs({3, 8, 9, 0, 4, 1, 5, 6, 7}));
}

// After a lost upload log everything old is unverified: the disk must not come down to that.
TEST_F(RetentionTest, WhatIsNotVerifiedTakesNoRoomFromTheNewestDay) {
  recorded_.clock.advance(Retention::kFresh - hours(3));  // the first two hours are older than a day
  RetentionOptions options;
  options.free_bytes = UINT64_MAX;
  Copies copies({all_[3]->name.seq, all_[4]->name.seq, all_[9]->name.seq},
                {all_[0]->name.seq, all_[6]->name.seq});
  options.copies = &copies;
  EXPECT_EQ(pass(options), 5U);
  std::vector<uint64_t> order;
  for (const size_t i : {3U, 0U, 4U, 6U, 9U}) order.push_back(all_[i]->name.seq);
  EXPECT_EQ(copies.deleted_seqs(), order);
}

TEST_F(RetentionTest, WhatHasPassedItsAgeGoesUnverifiedToo) {
  Copies copies({all_[1]->name.seq}, {all_[0]->name.seq, all_[9]->name.seq});
  RetentionOptions options;
  options.copies = &copies;
  options.all.age = hours(3);
  EXPECT_EQ(pass(options), 2U);
  EXPECT_EQ(copies.deleted_seqs(), (std::vector{all_[0]->name.seq, all_[1]->name.seq}));
}

TEST_F(RetentionTest, BooksAreKeptOfWhatIsAdded) {
  RetentionOptions options;
  options.all.bytes = bytes_of_newest(10);
  Retention retention(*recorded_.store, recorded_.clock, options);
  EXPECT_EQ(*retention.run_once(false), 0U);
  const base::UtcTime start = recorded_.clock.utc();
  recorded_.run(seconds(12));
  EXPECT_EQ(*retention.run_once(false), 0U) << "nobody told it";
  uint64_t added = 0;
  for (const auto& entry : recorded_.entries()) {
    if (entry->name.start >= start) added += entry->name.size_bytes();
  }
  retention.added("front", start, added);
  EXPECT_EQ(*retention.run_once(false), 2U);
  EXPECT_EQ(recorded_.entries().size(), 10U);
}

TEST_F(RetentionTest, TheGrowingObjectIsLeftAlone) {
  recorded_.camera().begin_run();
  recorded_.camera().record(seconds(3));
  RetentionOptions options;
  options.all.bytes = 0;
  EXPECT_EQ(pass(options), 10U);
  EXPECT_EQ(recorded_.entries().size(), 1U);
  recorded_.camera().end_run();
  const auto left = recorded_.entries();
  ASSERT_EQ(left.size(), 1U);
  EXPECT_FALSE(left[0]->growing);
}

TEST_F(RetentionTest, FilesThatAreNoObjectsAreLeftAlone) {
  const auto stranger = recorded_.store->root() / "rec" / "front" / "notes.txt";
  ASSERT_TRUE(base::write_file(stranger, base::as_bytes("mine")));
  RetentionOptions options;
  options.all.bytes = 0;
  EXPECT_EQ(pass(options), 10U);
  EXPECT_TRUE(std::filesystem::exists(stranger));
}

TEST_F(RetentionTest, ItsThreadStartsAndStops) {
  RetentionOptions options;
  options.all.bytes = 0;
  Retention retention(*recorded_.store, recorded_.clock, options);
  retention.start();
  retention.hurry();
  retention.stop();
  retention.stop();
  // Nothing is done without the thread.
  Retention never(*recorded_.store, recorded_.clock, options);
  never.stop();
}

}  // namespace
}  // namespace miharu::record
