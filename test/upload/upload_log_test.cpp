#include "upload/upload_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <SQLiteCpp/SQLiteCpp.h>

#include "support/temp_dir.h"
#include "upload/backoff.h"

namespace miharu::upload {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using Copy = record::SecondCopy::State;

const base::UtcTime kStart = base::from_unix_ms(1'795'000'000'000);

// The n-th object of a camera: ten seconds in one chunk.
store::ObjectName object(uint64_t n, seconds shift = seconds(0)) {
  store::ObjectName name;
  name.start = kStart + n * seconds(10) + shift;
  name.run = {1, store::RunReason::kRestart};
  name.seq = 100 + n;
  name.init_bytes = 10;
  name.chunks = {{10'000, 1'000, 100, false}};
  return name;
}

class UploadLogTest : public testing::Test {
 protected:
  UploadLogTest() { open(); }
  void open() {
    log_.reset();
    log_ = UploadLog::open(directory_.path() / "miharu.db").value();
  }
  void add(const std::string& camera, std::initializer_list<uint64_t> numbers) {
    for (const uint64_t n : numbers) ASSERT_TRUE(log_->add(camera, object(n)));
  }
  std::vector<uint64_t> newest(size_t count) {
    std::vector<uint64_t> numbers;
    const auto found = log_->newest(count, [](const Pending&) { return false; });
    for (const Pending& each : found.value()) numbers.push_back(each.seq - 100);
    return numbers;
  }
  CameraUploads totals(const std::string& camera) { return log_->totals().value()[camera]; }
  std::vector<Place> places(const std::string& camera) {
    std::vector<Place> out;
    const auto found = log_->find(camera, kStart - std::chrono::hours(1), kStart + std::chrono::hours(1));
    for (const PlacedSpan& each : found.value()) out.push_back(each.place);
    return out;
  }

  test::TempDir directory_;
  std::unique_ptr<UploadLog> log_;
};

TEST_F(UploadLogTest, TheNewestOfAllCamerasComesFirst) {
  add("a", {0, 2});
  add("b", {3, 1});
  EXPECT_THAT(newest(3), ElementsAre(3, 2, 1));
  const auto others = log_->newest(2, [](const Pending& each) { return each.camera == "b"; });
  ASSERT_EQ(others->size(), 2U);
  EXPECT_EQ(others->at(0).camera, "a");
  EXPECT_EQ(others->at(0).key, store::object_key("a", object(2)).value());
}

TEST_F(UploadLogTest, AttemptsAndStatesAreKeptOverAStart) {
  add("a", {0, 1});
  ASSERT_TRUE(log_->attempt("a", 100));
  ASSERT_TRUE(log_->uploaded("a", 101, true));
  open();
  const auto left = log_->newest(9, [](const Pending&) { return false; });
  ASSERT_EQ(left->size(), 1U);
  EXPECT_EQ(left->at(0).seq, 100U);
  EXPECT_EQ(left->at(0).attempts, 1U);
  EXPECT_EQ(totals("a").pending_objects, 1U);
  EXPECT_EQ(totals("a").pending_bytes, 1'010U);
  EXPECT_THAT(places("a"), ElementsAre(Place::kLocal, Place::kUploaded));
  // What is told twice counts once.
  add("a", {0, 1});
  EXPECT_EQ(totals("a").pending_objects, 1U);
  EXPECT_EQ(log_->state_of("a", object(0)), Copy::kNone);
  EXPECT_EQ(log_->state_of("a", object(1)), Copy::kVerified);
  EXPECT_EQ(log_->state_of("b", object(1)), Copy::kNone);
}

TEST_F(UploadLogTest, SafeIsWhatHasNothingWaitingBefore) {
  add("a", {0, 1, 2});
  EXPECT_EQ(totals("a").safe_until, object(0).start);
  ASSERT_TRUE(log_->uploaded("a", 102, true));
  EXPECT_EQ(totals("a").safe_until, object(0).start);
  ASSERT_TRUE(log_->uploaded("a", 100, true));
  EXPECT_EQ(totals("a").safe_until, object(1).start);
  ASSERT_TRUE(log_->uploaded("a", 101, false));
  EXPECT_EQ(totals("a").safe_until, object(2).end());
  EXPECT_EQ(totals("a").pending_objects, 0U);
  EXPECT_EQ(totals("a").pending_bytes, 0U);
  EXPECT_EQ(log_->totals()->count("b"), 0U);
}

TEST_F(UploadLogTest, ARenamedObjectIsUploadedUnderItsNewName) {
  add("a", {0});
  ASSERT_TRUE(log_->add("a", object(0, seconds(3600))));
  EXPECT_EQ(log_->newest(1, [](const Pending&) { return false; })->at(0).key,
            store::object_key("a", object(0, seconds(3600))).value());
  EXPECT_EQ(totals("a").pending_objects, 1U);
  // Not what is in the bucket already.
  ASSERT_TRUE(log_->uploaded("a", 100, true));
  ASSERT_TRUE(log_->add("a", object(0)));
  EXPECT_EQ(totals("a").safe_until, object(0, seconds(3600)).end());
}

TEST_F(UploadLogTest, WhatIsDeletedWasEvictedOrIsLost) {
  add("a", {0, 1, 2, 3, 4});
  for (const uint64_t n : {0, 1, 4}) ASSERT_TRUE(log_->uploaded("a", 100 + n, true));
  for (const uint64_t n : {0, 1, 2, 3}) log_->deleted("a", object(n), "the disk was full");
  EXPECT_THAT(places("a"), ElementsAre(Place::kEvicted, Place::kLost, Place::kUploaded));
  const auto spans = log_->find("a", kStart, kStart + seconds(50)).value();
  EXPECT_EQ(spans[0].start, object(0).start);
  EXPECT_EQ(spans[0].end, object(1).end());
  EXPECT_EQ(spans[0].bytes, 2'020U);
  EXPECT_EQ(spans[0].reason, "");
  EXPECT_EQ(spans[1].reason, "the disk was full");
  EXPECT_EQ(totals("a").lost_objects, 2U);
  EXPECT_EQ(totals("a").pending_objects, 0U);
  // Only what overlaps.
  EXPECT_EQ(log_->find("a", kStart + seconds(45), kStart + seconds(46))->size(), 1U);
  EXPECT_TRUE(log_->find("a", kStart + seconds(50), kStart + seconds(60))->empty());
  // What nobody knows is not counted.
  log_->deleted("a", object(77), "?");
  EXPECT_EQ(totals("a").lost_objects, 2U);
}

TEST_F(UploadLogTest, TheDiskIsAskedForWhatTheLogDoesNotKnow) {
  add("a", {0, 1, 2});
  ASSERT_TRUE(log_->uploaded("a", 100, true));
  const auto added = log_->reconcile("a", [&](const UploadLog::Take& take) -> base::Status {
    // Recorded while the disk was listed: not in the listing, and not lost.
    add("a", {9});
    EXPECT_TRUE(take(std::vector{object(3)}));
    EXPECT_TRUE(take({}));
    return take(std::vector{object(2)});
  });
  EXPECT_EQ(added.value(), 1U);
  EXPECT_THAT(newest(9), ElementsAre(9, 3, 2));
  EXPECT_THAT(places("a"),
              ElementsAre(Place::kEvicted, Place::kLost, Place::kLocal, Place::kLocal, Place::kLocal));
  const auto found = log_->newest(9, [](const Pending&) { return false; }).value();
  EXPECT_FALSE(found[0].found);
  EXPECT_TRUE(found[1].found);
  EXPECT_FALSE(found[2].found);
  // A disk that cannot be read has lost nothing.
  EXPECT_FALSE(log_->reconcile("a", [](const UploadLog::Take& take) -> base::Status {
    EXPECT_TRUE(take(std::vector{object(2)}));
    return base::fail(base::Errc::kIo, "the disk");
  }));
  EXPECT_THAT(newest(9), ElementsAre(9, 3, 2));
}

TEST_F(UploadLogTest, WhatTheDatabaseDidNotTakeIsNotCounted) {
  SQLite::Database database((directory_.path() / "miharu.db").string(), SQLite::OPEN_READWRITE);
  database.exec(
      "CREATE TRIGGER full BEFORE INSERT ON uploads WHEN NEW.seq = 101 BEGIN SELECT RAISE(ABORT, 'full'); "
      "END");
  const auto walk = [](const UploadLog::Take& take) { return take(std::vector{object(0), object(1)}); };
  EXPECT_FALSE(log_->reconcile("a", walk));
  EXPECT_EQ(totals("a").pending_objects, 0U);
  database.exec("DROP TRIGGER full");
  EXPECT_EQ(log_->reconcile("a", walk).value(), 2U);
  EXPECT_EQ(totals("a").pending_objects, 2U);
  EXPECT_EQ(totals("a").pending_bytes, 2'020U);
}

TEST_F(UploadLogTest, WhatIsMovedWhileTheDiskIsReadIsNotLost) {
  add("a", {0, 1});
  int walks = 0;
  const auto added = log_->reconcile("a", [&](const UploadLog::Take& take) -> base::Status {
    // To where the first walk had been.
    if (++walks == 1) return take(std::vector{object(0)});
    return take(std::vector{object(0), object(1, -seconds(3600))});
  });
  EXPECT_EQ(added.value(), 0U);
  EXPECT_EQ(walks, 2);
  EXPECT_EQ(totals("a").lost_objects, 0U);
  EXPECT_THAT(newest(9), ElementsAre(0, 1));
}

TEST_F(UploadLogTest, HoursWithNothingSafeAreKnown) {
  const auto any = [this](const char* camera, int from, int to, Copy least = Copy::kUnverified) {
    return log_->any(camera, kStart + seconds(from), kStart + seconds(to), least);
  };
  add("a", {0, 1});
  EXPECT_FALSE(any("a", 0, 20));
  ASSERT_TRUE(log_->uploaded("a", 100, true));
  EXPECT_TRUE(any("a", 0, 1));
  EXPECT_FALSE(any("a", 1, 100));
  EXPECT_FALSE(any("b", 0, 1));
  ASSERT_TRUE(log_->uploaded("a", 101, false));
  EXPECT_TRUE(any("a", 1, 100));
  EXPECT_FALSE(any("a", 1, 100, Copy::kVerified));
  EXPECT_TRUE(any("a", 0, 100, Copy::kVerified));
}

TEST_F(UploadLogTest, WhatWasNeverComparedIsNotSaidToBe) {
  add("a", {0, 1, 2});
  for (const uint64_t n : {0, 1, 2}) ASSERT_TRUE(log_->uploaded("a", 100 + n, n == 0));
  EXPECT_EQ(log_->state_of("a", object(1)), Copy::kUnverified);
  for (const uint64_t n : {0, 1}) log_->deleted("a", object(n), "the disk was full");
  const auto spans = log_->find("a", kStart, kStart + seconds(30)).value();
  ASSERT_EQ(spans.size(), 3U);
  EXPECT_EQ(spans[0].place, Place::kEvicted);
  EXPECT_EQ(spans[0].reason, "");
  EXPECT_EQ(spans[1].place, Place::kEvicted);
  EXPECT_EQ(spans[1].reason, "never compared with the bucket");
  EXPECT_EQ(spans[2].place, Place::kUploaded);
}

TEST_F(UploadLogTest, AnAttemptThatFailedIsNone) {
  add("a", {0});
  const auto attempts = [this] {
    return log_->newest(1, [](const Pending&) { return false; }).value().at(0).attempts;
  };
  ASSERT_TRUE(log_->attempt("a", 100));
  ASSERT_TRUE(log_->attempt("a", 100));
  ASSERT_TRUE(log_->attempt_failed("a", 100));
  EXPECT_EQ(attempts(), 1U);
  ASSERT_TRUE(log_->attempt_failed("a", 100));
  ASSERT_TRUE(log_->attempt_failed("a", 100));
  EXPECT_EQ(attempts(), 0U);
}

TEST(Backoff, IsAnythingUpToABoundThatDoubles) {
  using namespace std::chrono_literals;
  Backoff backoff(100ms, 1000ms, 7);
  std::chrono::milliseconds largest{};
  for (const auto bound : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) EXPECT_LE(backoff.next(), bound);
  for (int i = 0; i < 200; ++i) largest = std::max(largest, backoff.next());
  EXPECT_GT(largest, 800ms);
  EXPECT_LE(largest, 1000ms);
  backoff.reset();
  EXPECT_LE(backoff.next(), 100ms);
}

TEST_F(UploadLogTest, WhatSomebodyDeletedIsKnownNoMore) {
  add("a", {0, 1, 2, 3, 4, 5});
  for (const uint64_t n : {0, 1, 2, 3, 4}) ASSERT_TRUE(log_->uploaded("a", 100 + n, true));
  // 0 to 2 left the disk: one row of half a minute.
  for (const uint64_t n : {0, 1, 2}) log_->deleted("a", object(n), "");
  EXPECT_EQ(totals("a").pending_objects, 1U);
  ASSERT_TRUE(log_->erase("a", object(1).start, object(1).end()));
  const auto spans = log_->find("a", kStart, kStart + std::chrono::hours(1)).value();
  ASSERT_EQ(spans.size(), 5U);
  EXPECT_EQ(spans[0].start, object(0).start);
  EXPECT_EQ(spans[0].end, object(0).end());
  EXPECT_EQ(spans[0].place, Place::kEvicted);
  EXPECT_EQ(spans[0].bytes, object(0).size_bytes());
  EXPECT_EQ(spans[1].start, object(2).start);
  EXPECT_EQ(spans[1].end, object(2).end());
  EXPECT_EQ(spans[1].bytes, object(2).size_bytes());
  // What waited, what is on the disk and what was evicted: nothing of it is lost.
  ASSERT_TRUE(log_->erase("a", object(2).start, object(5).end()));
  EXPECT_THAT(places("a"), ElementsAre(Place::kEvicted));
  EXPECT_EQ(totals("a").pending_objects, 0U);
  EXPECT_EQ(totals("a").pending_bytes, 0U);
  EXPECT_EQ(totals("a").lost_objects, 0U);
  EXPECT_TRUE(newest(9).empty());
}

TEST_F(UploadLogTest, WhatIsOnlyPartlyInTheIntervalStays) {
  add("a", {0, 1});
  add("b", {0});
  ASSERT_TRUE(log_->erase("a", object(0).start + seconds(1), object(1).end() - seconds(1)));
  EXPECT_THAT(newest(9), ElementsAre(1, 0, 0));
}

}  // namespace
}  // namespace miharu::upload
