#include "record/recovery.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "record/repair.h"
#include "record/retention.h"
#include "record/verify.h"
#include "support/recording.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;
using base::seconds;

class RecoveryTest : public ::testing::TestWithParam<store::Container> {
 protected:
  test::RecordedStore recorded_{GetParam()};
};

TEST_P(RecoveryTest, AWholeObjectGetsItsOwnName) {
  recorded_.run(seconds(20));
  const auto entries = recorded_.entries();
  ASSERT_EQ(entries.size(), 4U);
  for (const auto& entry : entries) {
    store::ObjectName head;
    head.start = entry->name.start;
    head.run = entry->name.run;
    head.seq = entry->name.seq;
    head.container = entry->name.container;
    const auto bytes = *recorded_.store->get(entry->key, 0, UINT64_MAX);
    const auto again = recover_object(bytes, head);
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(again->size_bytes, bytes.size());
    EXPECT_EQ(again->name.crc, entry->name.crc);
    EXPECT_EQ(again->name.chunks.size(), entry->name.chunks.size());
    EXPECT_EQ(again->name.init_bytes, entry->name.init_bytes);
    EXPECT_TRUE(again->name.has_audio);
    EXPECT_EQ(again->name.start, entry->name.start);
    for (size_t i = 0; i + 1 < again->name.chunks.size(); ++i)
      EXPECT_EQ(again->name.chunks[i], entry->name.chunks[i]) << i;
  }
}

TEST_P(RecoveryTest, NumbersGoOnAfterACrash) {
  recorded_.run(seconds(8));
  const auto before = recorded_.entries();
  recorded_.clock.advance(seconds(30));
  recorded_.camera().begin_run(store::RunReason::kCameraLost);
  recorded_.camera().record(seconds(9));
  recorded_.camera().crash();
  recorded_.recorders.clear();  // the process is gone
  recorded_.clock.advance(seconds(30));
  recorded_.run(seconds(8));
  const auto entries = recorded_.entries();
  uint64_t seq = entries.front()->name.seq;
  for (const auto& entry : entries) {
    EXPECT_EQ(entry->name.seq, seq) << entry->key;
    seq += entry->name.chunks.size();
  }
  EXPECT_EQ(entries.front()->name.run.number, 1U);
  EXPECT_EQ(entries.back()->name.run.number, 3U);
  const auto report = verify_store(*recorded_.store, {}, {});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->runs, 3U);
  for (const auto& finding : report->findings) ADD_FAILURE() << finding.text;
}

// In the chunk that begins a run after a step of the clock, before a key frame of its own came, and behind
// that.
TEST_P(RecoveryTest, ACrashInADependentRunLeavesItLedByTheOneBefore) {
  for (const int ms : {500, 1500, 4100}) {
    SCOPED_TRACE(ms);
    test::RecordedStore recorded(GetParam());
    recorded.run(base::milliseconds(8400));
    recorded.clock.step(std::chrono::hours(-2));
    const base::UtcTime start = recorded.clock.utc();
    recorded.camera().continue_run();
    recorded.camera().record(base::milliseconds(ms));
    recorded.camera().crash();
    recorded.recorders.clear();
    recorded.run(seconds(3));
    const auto report = verify_store(*recorded.store, {}, {});
    ASSERT_TRUE(report);
    for (const auto& finding : report->findings) ADD_FAILURE() << finding.key << ": " << finding.text;
    EXPECT_EQ(report->runs, 3U);
    store::Catalog catalog(*recorded.store, nullptr, recorded.clock);
    const auto found = catalog.find_with_lead("front", start, start + base::milliseconds(100));
    ASSERT_TRUE(found);
    ASSERT_EQ(found->entries.size(), 2U);
    const store::ObjectName& name = found->entries[1]->name;
    EXPECT_EQ(name.start, start);
    EXPECT_EQ(name.chunks[0].key_bytes, 0U);
    EXPECT_EQ(name.run.reason, store::RunReason::kClockStep);
    EXPECT_EQ(found->entries[0]->name.seq + found->entries[0]->name.chunks.size(), name.seq);
  }
}

TEST_P(RecoveryTest, TheNumberOfALostRunIsNotGivenAgain) {
  recorded_.run(seconds(8));
  recorded_.camera().begin_run();
  recorded_.camera().record(base::milliseconds(2500));
  recorded_.camera().crash();
  recorded_.recorders.clear();
  const fs::path part = fs::directory_iterator(recorded_.store->root() / "tmp")->path();
  fs::resize_file(part, 100);  // nothing whole is left of run 2
  recorded_.run(seconds(4));
  EXPECT_EQ(recorded_.entries().back()->name.run.number, 3U);
  EXPECT_FALSE(fs::exists(part));
}

TEST_P(RecoveryTest, NumbersGoOnThoughTheClockWasSteppedBackOverMidnight) {
  recorded_.clock.advance(std::chrono::hours(21) + seconds(30));  // half a minute after midnight
  recorded_.run(seconds(12));
  recorded_.clock.step(-std::chrono::hours(2));
  recorded_.run(seconds(12), store::RunReason::kClockStep);
  recorded_.recorders.clear();  // the process is gone
  recorded_.run(seconds(12));
  recorded_.recorders.clear();
  recorded_.clock.step(std::chrono::hours(30));
  recorded_.run(seconds(12));
  auto entries = recorded_.entries();
  ASSERT_EQ(entries.size(), 8U);
  for (size_t i = 1; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i]->name.seq, entries[i - 1]->name.seq + entries[i - 1]->name.chunks.size());
    EXPECT_EQ(entries[i]->name.run.number, 1 + i / 2);
  }
}

TEST_P(RecoveryTest, NumbersOfTheNewestObjectsAreNotGivenAgainThoughTheyLookedOldAndWereDeleted) {
  recorded_.run(seconds(12));
  const size_t before = recorded_.entries().size();
  recorded_.clock.step(-std::chrono::hours(48));
  recorded_.run(seconds(12), store::RunReason::kClockStep);
  const store::ObjectName newest = recorded_.entries().back()->name;
  recorded_.recorders.clear();  // the process is gone
  recorded_.clock.step(std::chrono::hours(48));
  RetentionOptions options;
  options.all.age = std::chrono::hours(24);
  Retention retention(*recorded_.store, recorded_.clock, options);
  ASSERT_TRUE(retention.run_once(false));
  ASSERT_EQ(recorded_.entries().size(), before) << "the newest are gone";
  recorded_.run(seconds(12));
  EXPECT_EQ(recorded_.entries().back()->name.run.number, newest.run.number + 1);
  EXPECT_GE(recorded_.entries()[before]->name.seq, newest.seq + newest.chunks.size());
}

TEST_P(RecoveryTest, WithoutItsFileOfNumbersEverythingIsLookedAt) {
  recorded_.run(seconds(12));
  recorded_.clock.step(-std::chrono::hours(48));
  recorded_.run(seconds(12));
  const fs::path file = recorded_.store->root() / "rec/front/.numbers";
  for (const char* contents : {"", "1 1 1 1", "9"}) {
    recorded_.recorders.clear();
    ASSERT_TRUE(fs::exists(file));
    const store::ObjectName newest = recorded_.entries().back()->name;
    if (std::string_view(contents) == "9") {  // whose checksum is wrong then
      std::fstream(file, std::ios::in | std::ios::out) << contents;
    } else {
      fs::remove(file);
      if (*contents != 0) std::ofstream(file) << contents;
    }
    recorded_.run(seconds(6));
    EXPECT_EQ(recorded_.entries().back()->name.run.number, newest.run.number + 1);
    EXPECT_EQ(recorded_.entries().back()->name.seq, newest.seq + newest.chunks.size());
  }
}

TEST_P(RecoveryTest, RunNumbersAreNotGivenAgainThoughEverythingWasDeleted) {
  recorded_.run(seconds(8));
  for (const auto& entry : recorded_.entries()) ASSERT_TRUE(recorded_.store->remove(entry->key));
  recorded_.run(seconds(8));
  EXPECT_EQ(recorded_.entries().front()->name.run.number, 2U);
}

TEST_P(RecoveryTest, WhatCannotBeReadIsPutAsideAndRecordingGoesOn) {
  fs::create_directories(recorded_.store->root() / "tmp");
  const char* ending = GetParam() == store::Container::kFmp4 ? "mp4" : "ts";
  const fs::path part =
      recorded_.store->root() / "tmp" / (std::string("front_1795230000000_1r_a_") + ending + ".part");
  ASSERT_TRUE(base::write_file(part, base::as_bytes(std::string(50'000, 'x'))));
  recorded_.run(seconds(4));
  EXPECT_EQ(recorded_.entries().size(), 1U);
  EXPECT_FALSE(fs::exists(part));
}

TEST_P(RecoveryTest, RepairFinishesWhatACrashLeft) {
  recorded_.run(seconds(8));
  recorded_.camera().begin_run();
  recorded_.camera().record(seconds(5));
  recorded_.camera().crash();
  recorded_.recorders.clear();
  const auto lines = repair_store(*recorded_.store, {});
  ASSERT_TRUE(lines) << lines.error().to_string();
  ASSERT_EQ(lines->size(), 1U);
  EXPECT_EQ(lines->front(), "front: finished 1 unfinished objects");
  EXPECT_TRUE(fs::is_empty(recorded_.store->root() / "tmp"));
  EXPECT_TRUE(repair_store(*recorded_.store, {})->empty()) << "nothing is left to do";
}

TEST_P(RecoveryTest, RepairGivesTrueNames) {
  recorded_.run(seconds(20));
  const auto entries = recorded_.entries();
  const fs::path file = recorded_.store->root() / entries[1]->key;
  fs::resize_file(file, fs::file_size(file) - 100);
  const auto lines = repair_store(*recorded_.store, {});
  ASSERT_TRUE(lines) << lines.error().to_string();
  ASSERT_EQ(lines->size(), 1U);
  EXPECT_NE(lines->front().find("is now"), std::string::npos) << lines->front();
  for (const auto& entry : recorded_.entries()) {
    const auto bytes = *recorded_.store->get(entry->key, 0, UINT64_MAX);
    EXPECT_TRUE(check_object(entry->name, bytes, nullptr).empty()) << entry->key;
  }
}

INSTANTIATE_TEST_SUITE_P(Containers, RecoveryTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

TEST(Recovery, NothingWholeIsNotFound) {
  for (const store::Container container : {store::Container::kFmp4, store::Container::kMpegTs}) {
    store::ObjectName head;
    head.container = container;
    head.start = test::kRecordingStart;
    const auto empty = recover_object({}, head);
    ASSERT_FALSE(empty);
    EXPECT_EQ(empty.error().code, base::Errc::kNotFound);
  }
}

TEST(Recovery, UnfinishedFilesTellTheirHead) {
  store::ObjectName name;
  name.start = test::kRecordingStart;
  name.run = {75, store::RunReason::kQueue};
  name.seq = 17'952'300'000;
  for (const store::Container container : {store::Container::kFmp4, store::Container::kMpegTs}) {
    name.container = container;
    const auto parsed = parse_unfinished_file_name(unfinished_file_name("back-door", name));
    ASSERT_TRUE(parsed) << parsed.error().to_string();
    EXPECT_EQ(parsed->camera, "back-door");
    EXPECT_EQ(parsed->head, name);
  }
}

TEST(Recovery, OtherFileNamesAreRefused) {
  for (const char* text :
       {"", ".part", "front", "front_1795230000000_1r_a_mp4", "front_1795230000000_1r_a_mp4.part.bad",
        "front_1795230000000_1r_a_mkv.part", "front_1795230000000_1r_a.part",
        "front_1795230000000_1r__mp4.part", "front_1795230000000_1_a_mp4.part",
        "front_1795230000000_r_a_mp4.part", "front_x_1r_a_mp4.part", "Front_1795230000000_1r_a_mp4.part",
        "_1795230000000_1r_a_mp4.part", "front_-1_1r_a_mp4.part", "front_9223372036854775807_1r_a_mp4.part",
        "front_99999999999999999999_1r_a_mp4.part", "front_1795230000000_1r_a_mp4_x.part",
        "../front_1795230000000_1r_a_mp4.part"}) {
    EXPECT_FALSE(parse_unfinished_file_name(text)) << text;
  }
}

}  // namespace
}  // namespace miharu::record
