#include "api/timeline.h"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "store/relays.h"
#include "support/counting_store.h"
#include "support/recording.h"

namespace miharu::api {
namespace {

using base::nanoseconds;
using base::seconds;
using store::RunReason;

const base::UtcTime kStart = test::kRecordingStart;

class TimelineTest : public ::testing::Test {
 protected:
  Timeline timeline(nanoseconds from, nanoseconds to) {
    store::Catalog catalog(*recorded_.store, &recorded_.index, recorded_.clock);
    auto made = make_timeline(catalog, with_log_ ? recorded_.gaps.get() : nullptr, "front", kStart + from,
                              kStart + to, recorded_.clock.utc(), uploads_.get());
    EXPECT_TRUE(made.has_value());
    return std::move(*made);
  }
  void log_gap(nanoseconds from, nanoseconds to, RunReason reason, const std::string& text) {
    ASSERT_TRUE(recorded_.gaps->begin("front", {kStart + from, std::nullopt, reason, text}));
    ASSERT_TRUE(recorded_.gaps->end("front", kStart + to, seconds(2)));
  }

  test::RecordedStore recorded_;
  bool with_log_ = true;
  std::unique_ptr<upload::UploadLog> uploads_;
};

TEST_F(TimelineTest, ObjectsOfARunAreOneSpan) {
  recorded_.run(seconds(20));
  recorded_.clock.advance(seconds(100));
  const Timeline made = timeline(seconds(0), seconds(20));
  ASSERT_EQ(made.spans.size(), 1U);
  EXPECT_EQ(made.spans[0].start, kStart);
  EXPECT_EQ(made.spans[0].end, kStart + seconds(20));
  EXPECT_EQ(made.spans[0].run.number, 1U);
  EXPECT_FALSE(made.spans[0].growing);
  uint64_t bytes = 0;
  for (const auto& entry : recorded_.entries()) bytes += entry->name.size_bytes();
  EXPECT_EQ(made.spans[0].bytes, bytes);
  EXPECT_TRUE(made.gaps.empty());
}

// Objects of six seconds: in the bucket alone, lost, in both places, here alone.
TEST_F(TimelineTest, SpansSayWhereTheyAre) {
  recorded_.run(seconds(24));
  const auto entries = recorded_.entries();
  ASSERT_EQ(entries.size(), 4U);
  uploads_ = std::move(*upload::UploadLog::open(recorded_.folder.path() / "miharu.db"));
  for (const auto& entry : entries) ASSERT_TRUE(uploads_->add("front", entry->name));
  for (const size_t i : {0U, 2U}) ASSERT_TRUE(uploads_->uploaded("front", entries[i]->name.seq, true));
  for (const size_t i : {0U, 1U}) {
    ASSERT_TRUE(recorded_.store->remove(entries[i]->key));
    uploads_->deleted("front", entries[i]->name, "the disk was full");
  }
  recorded_.clock.advance(seconds(100));
  const Timeline made = timeline(seconds(0), seconds(24));
  std::vector<std::string> places;
  for (const TimelineSpan& span : made.spans) places.push_back(where_of(span, "+"));
  EXPECT_EQ(places, (std::vector<std::string>{"uploaded", "local+uploaded", "local"}));
  EXPECT_EQ(made.spans[0].end, kStart + seconds(6));
  EXPECT_EQ(made.spans[1].start, kStart + seconds(12));
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].reason, "lost");
  EXPECT_EQ(made.gaps[0].text, "recorded, but lost: the disk was full");
  EXPECT_EQ(made.gaps[0].start, kStart + seconds(6));
  EXPECT_EQ(made.gaps[0].end, kStart + seconds(12));
  const auto json = boost::json::parse(to_json(made));
  EXPECT_EQ(boost::json::serialize(json.at("spans").at(0).at("where")), R"(["uploaded"])");
  EXPECT_TRUE(json.at("spans").at(0).at("run").is_null());
  EXPECT_FALSE(json.at("spans").at(0).at("playable").as_bool());
  EXPECT_TRUE(json.at("spans").at(1).at("playable").as_bool());
  EXPECT_EQ(boost::json::serialize(json.at("spans").at(1).at("where")), R"(["local","uploaded"])");
  // Part of what is not on the disk any more.
  const Timeline part = timeline(seconds(2), seconds(8));
  ASSERT_EQ(part.gaps.size(), 1U);
  EXPECT_EQ(part.gaps[0].end, kStart + seconds(8));
}

TEST_F(TimelineTest, WhatABucketHasIsUploadedAndCanBePlayed) {
  recorded_.run(seconds(20));
  recorded_.clock.advance(seconds(100));
  test::CountingStore bucket(*recorded_.store);
  store::Relays relays(bucket, recorded_.clock);
  store::Catalog catalog(bucket, nullptr, recorded_.clock);
  for (store::Footage* footage :
       {static_cast<store::Footage*>(&relays), static_cast<store::Footage*>(&catalog)}) {
    const auto made =
        make_timeline(*footage, nullptr, "front", kStart, kStart + seconds(20), recorded_.clock.utc());
    ASSERT_TRUE(made) << made.error().text;
    const auto json = boost::json::parse(to_json(*made));
    ASSERT_EQ(json.at("spans").as_array().size(), 1U);
    EXPECT_EQ(boost::json::serialize(json.at("spans").at(0).at("where")), R"(["uploaded"])");
    EXPECT_TRUE(json.at("spans").at(0).at("playable").as_bool());
  }
}

TEST_F(TimelineTest, AGapHasTheReasonOfTheRunBehindItOrOfTheLog) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10), RunReason::kDisk);
  for (const bool logged : {false, true}) {
    if (logged) log_gap(seconds(10), seconds(60), RunReason::kDisk, "No space left on device");
    const Timeline made = timeline(seconds(0), seconds(70));
    ASSERT_EQ(made.spans.size(), 2U);
    ASSERT_EQ(made.gaps.size(), 1U);
    EXPECT_EQ(made.gaps[0].start, kStart + seconds(10));
    EXPECT_EQ(made.gaps[0].end, kStart + seconds(60));
    EXPECT_EQ(made.gaps[0].reason, "disk");
    EXPECT_EQ(made.gaps[0].text, logged ? "No space left on device" : "the disk could not be written to");
  }
}

TEST_F(TimelineTest, TheLineThatCoversMostOfAGapExplainsIt) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10));
  log_gap(seconds(10), seconds(15), RunReason::kDisk, "short");
  log_gap(seconds(15), seconds(60), RunReason::kCameraLost, "long");
  const Timeline made = timeline(seconds(0), seconds(70));
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].text, "long");
  EXPECT_EQ(made.gaps[0].reason, "camera_lost");
}

TEST_F(TimelineTest, WithoutALogTheNamesTellTheReason) {
  with_log_ = false;
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10), RunReason::kOperator);
  const Timeline made = timeline(seconds(0), seconds(70));
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].reason, "operator");
}

TEST_F(TimelineTest, WhatIsShorterThanTwoSecondsIsNotTold) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(base::milliseconds(1900));
  recorded_.run(seconds(10), RunReason::kParameters);
  recorded_.clock.advance(seconds(2));
  recorded_.run(seconds(10), RunReason::kClockStep);
  const Timeline made = timeline(seconds(0), seconds(30));
  EXPECT_EQ(made.spans.size(), 3U);
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].reason, "clock_step");
}

TEST_F(TimelineTest, GapsEndAtTheIntervalAndNow) {
  recorded_.run(seconds(10));
  log_gap(seconds(10), seconds(500), RunReason::kCameraLost, "lost");
  recorded_.clock.advance(seconds(90));
  Timeline made = timeline(seconds(5), seconds(1000));
  EXPECT_EQ(made.to, kStart + seconds(100)) << "the future is no gap";
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].start, kStart + seconds(10));
  EXPECT_EQ(made.gaps[0].end, kStart + seconds(100));
  EXPECT_EQ(made.gaps[0].text, "lost");
  made = timeline(seconds(20), seconds(30));
  EXPECT_TRUE(made.spans.empty());
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].start, kStart + seconds(20));
  EXPECT_EQ(made.gaps[0].end, kStart + seconds(30));
  made = timeline(seconds(2000), seconds(3000));
  EXPECT_TRUE(made.gaps.empty());
}

TEST_F(TimelineTest, WhatIsOnItsWayToTheDiskIsNoGap) {
  recorded_.camera().begin_run();
  recorded_.camera().record(seconds(9));
  recorded_.clock.advance(seconds(5));
  Timeline made = timeline(seconds(0), seconds(100));
  ASSERT_EQ(made.spans.size(), 1U);
  EXPECT_TRUE(made.spans[0].growing);
  EXPECT_TRUE(made.gaps.empty());
  recorded_.clock.advance(seconds(60));  // it hangs
  made = timeline(seconds(0), seconds(100));
  EXPECT_EQ(made.gaps.size(), 1U);
}

TEST_F(TimelineTest, AMissingObjectSplitsItsRun) {
  recorded_.run(seconds(20));
  const auto entries = recorded_.entries();
  ASSERT_TRUE(recorded_.store->remove(entries[1]->key));
  const Timeline made = timeline(seconds(0), seconds(20));
  ASSERT_EQ(made.spans.size(), 2U);
  EXPECT_EQ(made.spans[0].run, made.spans[1].run);
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].start, entries[0]->name.end());
  EXPECT_EQ(made.gaps[0].end, entries[2]->name.start);
}

TEST_F(TimelineTest, WhatLiesBeforeTheOldestObjectWasDeletedOrNeverThere) {
  recorded_.run(seconds(10), RunReason::kCameraLost);
  Timeline made = timeline(seconds(-60), seconds(10));
  EXPECT_TRUE(made.gaps.empty()) << "run 1 is the first: nothing was to be recorded before it";
  EXPECT_TRUE(timeline(seconds(-60), seconds(-30)).gaps.empty());
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10), RunReason::kCameraLost);
  for (const auto& entry : recorded_.entries()) {
    if (entry->name.run.number == 1) {
      ASSERT_TRUE(recorded_.store->remove(entry->key));
    }
  }
  made = timeline(seconds(-60), seconds(70));
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].reason, "retention");
  EXPECT_EQ(made.gaps[0].end, kStart + seconds(60));
  made = timeline(seconds(-60), seconds(-30));
  ASSERT_EQ(made.gaps.size(), 1U);
  EXPECT_EQ(made.gaps[0].reason, "retention");
}

TEST_F(TimelineTest, AGapAroundWhichAllWasDeletedKeepsItsReason) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(20));
  recorded_.run(seconds(10), RunReason::kDisk);
  log_gap(seconds(10), seconds(30), RunReason::kDisk, "No space left on device");
  recorded_.clock.advance(seconds(20));
  recorded_.run(seconds(10), RunReason::kDisk);
  log_gap(seconds(40), seconds(60), RunReason::kDisk, "No space left on device");
  for (const auto& entry : recorded_.entries()) {
    if (entry->name.run.number < 3) {
      ASSERT_TRUE(recorded_.store->remove(entry->key));
    }
  }
  const Timeline made = timeline(seconds(0), seconds(70));
  std::vector<std::pair<std::string, base::UtcTime>> told;
  for (const TimelineGap& gap : made.gaps) told.emplace_back(gap.reason, gap.end);
  const std::vector<std::pair<std::string, base::UtcTime>> expected{{"retention", kStart + seconds(10)},
                                                                    {"disk", kStart + seconds(30)},
                                                                    {"retention", kStart + seconds(40)},
                                                                    {"disk", kStart + seconds(60)}};
  EXPECT_EQ(told, expected);
}

TEST_F(TimelineTest, AClockThatWasSetBackMakesSpansThatOverlap) {
  recorded_.run(seconds(20));
  recorded_.clock.advance(seconds(-10));
  recorded_.run(seconds(20), RunReason::kClockStep);
  const Timeline made = timeline(seconds(0), seconds(30));
  ASSERT_EQ(made.spans.size(), 2U);
  EXPECT_EQ(made.spans[1].start, kStart + seconds(10));
  EXPECT_TRUE(made.gaps.empty());
}

TEST_F(TimelineTest, Json) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10), RunReason::kDisk);
  log_gap(seconds(10), seconds(60), RunReason::kDisk, "a \"quoted\" reason");
  const auto root = boost::json::parse(to_json(timeline(seconds(0), seconds(70)))).as_object();
  EXPECT_EQ(root.at("from").as_string(), "2026-11-21T03:00:00.000Z");
  ASSERT_EQ(root.at("spans").as_array().size(), 2U);
  const auto& span = root.at("spans").as_array()[1].as_object();
  EXPECT_EQ(span.at("run").as_string(), "2d");
  EXPECT_EQ(span.at("growing").as_bool(), false);
  ASSERT_EQ(root.at("gaps").as_array().size(), 1U);
  EXPECT_EQ(root.at("gaps").as_array()[0].as_object().at("text").as_string(), "a \"quoted\" reason");
  EXPECT_EQ(root.at("undecodable").to_number<int>(), 0);
}

}  // namespace
}  // namespace miharu::api
