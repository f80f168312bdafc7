#include "record/provisional.h"

#include <gtest/gtest.h>

#include <SQLiteCpp/SQLiteCpp.h>

#include "media/time_shift.h"
#include "record/retention.h"
#include "record/verify.h"
#include "support/recording.h"

namespace miharu::record {
namespace {

using base::seconds;
using std::chrono::hours;

constexpr base::nanoseconds kSound = base::milliseconds(7);  // what is off the unit of shifting

class ProvisionalTest : public ::testing::TestWithParam<store::Container> {
 protected:
  void open() {
    runs_.reset();
    auto opened = ProvisionalRuns::open(recorded_.folder.path() / "miharu.db", "this boot", *recorded_.store,
                                        *disk_, *recorded_.gaps);
    ASSERT_TRUE(opened) << opened.error().to_string();
    runs_ = std::move(*opened);
  }
  // A run of some objects under the clock as it is.
  uint64_t record(bool mark) {
    const base::UtcTime start = recorded_.clock.utc();
    recorded_.run(seconds(20));
    const uint64_t run = find_numbers(*recorded_.store, "front")->numbers.next_run - 1;
    if (mark) {
      EXPECT_TRUE(runs_->mark("front", run, start, base::utc_minus_steady(recorded_.clock)));
    }
    return run;
  }
  void correct() {
    for (int i = 0; i < 100; ++i) {
      const auto more =
          runs_->correct_next("front", recorded_.clock.utc(), base::utc_minus_steady(recorded_.clock));
      ASSERT_TRUE(more) << more.error().to_string();
      if (!*more) return;
    }
    FAIL() << "never ends";
  }
  std::vector<std::string> findings() {
    std::vector<std::string> lines;
    const auto report = verify_store(*recorded_.store, {}, {});
    for (const auto& each : report->findings) lines.push_back(each.key + ": " + each.text);
    return lines;
  }

  test::RecordedStore recorded_{GetParam()};
  std::unique_ptr<Disk> disk_ = make_system_disk();
  std::unique_ptr<ProvisionalRuns> runs_;
};

TEST_P(ProvisionalTest, WhatWasRecordedIn1970IsFoundAtItsRightTime) {
  open();
  const uint64_t before = record(false);
  const base::nanoseconds wrong = test::kRecordingStart - base::UtcTime(seconds(9)) + kSound;
  recorded_.clock.step(-wrong);
  const base::UtcTime start = recorded_.clock.utc() + wrong;
  const uint64_t run = record(true);
  EXPECT_EQ(run, before + 1) << "numbers go on though the newest day is another";
  ASSERT_TRUE(runs_->holds("front", run));
  const auto old = recorded_.entries();
  ASSERT_GE(old.size(), 3U);
  ASSERT_TRUE(recorded_.gaps->begin("front",
                                    {recorded_.clock.utc(), std::nullopt, store::RunReason::kClockStep, ""}));
  recorded_.clock.step(wrong);
  ASSERT_TRUE(recorded_.gaps->end("front", recorded_.clock.utc(), seconds(2)));

  correct();
  EXPECT_FALSE(runs_->holds("front", run));
  EXPECT_EQ(findings(), std::vector<std::string>());
  const auto entries = recorded_.entries();
  ASSERT_EQ(entries.size(), 2 * old.size());
  for (size_t i = 0; i < old.size(); ++i) {
    const store::ObjectName& moved = entries[old.size() + i]->name;
    EXPECT_EQ(moved.seq, old[i]->name.seq);
    EXPECT_EQ(moved.chunks, old[i]->name.chunks);
    EXPECT_EQ(moved.start - old[i]->name.start, entries[old.size()]->name.start - old[0]->name.start);
    EXPECT_FALSE(recorded_.store->get(old[i]->key, 0, 1)) << old[i]->key << " is still there";
  }
  EXPECT_LE(std::chrono::abs(entries[old.size()]->name.start - start), media::kShiftUnit / 2);
  EXPECT_TRUE(recorded_.gaps->find("front", base::UtcTime(), recorded_.clock.utc())->empty())
      << "no gap of decades is left";
}

TEST_P(ProvisionalTest, ACrashAnywhereInBetweenIsMadeGood) {
  // A way shorter than the run, so that moved objects lie among the others; in both directions.
  for (const base::nanoseconds wrong : {base::nanoseconds(seconds(8)), base::nanoseconds(-seconds(8))}) {
    open();
    const uint64_t run = record(true);
    const auto old = recorded_.entries();
    const auto bytes = recorded_.store->get(old.back()->key, 0, UINT64_MAX);
    recorded_.clock.step(wrong);
    // All but the removal of the last one was done.
    for (size_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(
          runs_->correct_next("front", recorded_.clock.utc(), base::utc_minus_steady(recorded_.clock)));
    }
    SQLite::Database database((recorded_.folder.path() / "miharu.db").string(), SQLite::OPEN_READWRITE);
    SQLite::Statement back(database, "UPDATE provisional SET next_seq = ? WHERE run = ?");
    back.bind(1, static_cast<int64_t>(old.back()->name.seq));
    back.bind(2, static_cast<int64_t>(run));
    back.exec();
    if (!recorded_.store->get(old.back()->key, 0, 1)) {
      ASSERT_TRUE(recorded_.store->put(old.back()->key, *bytes));
    }

    open();
    EXPECT_TRUE(runs_->holds("front", run));
    correct();
    EXPECT_EQ(findings(), std::vector<std::string>());
    const auto entries = recorded_.entries();
    ASSERT_EQ(entries.size(), old.size());
    for (size_t i = 0; i < old.size(); ++i) EXPECT_EQ(entries[i]->name.start, old[i]->name.start + wrong);
    recorded_.clock.advance(hours(1));
    for (const auto& entry : entries) ASSERT_TRUE(recorded_.store->remove(entry->key));
  }
}

TEST_P(ProvisionalTest, AClockThatWasRightAllTheTimeMovesNothing) {
  open();
  const uint64_t run = record(true);
  const auto old = recorded_.entries();
  recorded_.clock.step(base::milliseconds(30));
  runs_->grows("front", run);
  correct();
  EXPECT_FALSE(runs_->holds("front", run));
  EXPECT_EQ(recorded_.entries()[0]->key, old[0]->key);
}

TEST_P(ProvisionalTest, TheRunThatStillGrowsIsLeftAlone) {
  open();
  const uint64_t run = record(true);
  recorded_.clock.step(hours(2));
  runs_->grows("front", run);
  correct();
  EXPECT_TRUE(runs_->holds("front", run));
  runs_->grows("front", run + 1);
  correct();
  EXPECT_FALSE(runs_->holds("front", run));
  EXPECT_EQ(findings(), std::vector<std::string>());
}

TEST_P(ProvisionalTest, NamesThatWereToldToOthersStand) {
  open();
  const uint64_t told = record(true);
  const auto error = [this] { return base::utc_minus_steady(recorded_.clock); };
  EXPECT_TRUE(runs_->accept("front", told, error()).value());
  EXPECT_FALSE(runs_->holds("front", told));
  // The run goes on: that it began under a clock that nobody vouched for is settled.
  EXPECT_TRUE(runs_->mark("front", told, recorded_.clock.utc(), error()));
  EXPECT_FALSE(runs_->holds("front", told));
  const uint64_t later = record(true);
  const auto old = recorded_.entries();
  recorded_.clock.step(hours(2));
  // About to be moved: not to be told.
  EXPECT_FALSE(runs_->accept("front", later, error()).value());
  std::vector<std::string> moved;
  runs_->set_on_moved([&](const std::string& camera, const store::ObjectName& name) {
    moved.push_back(store::object_key(camera, name).value());
  });
  correct();
  EXPECT_TRUE(runs_->accept("front", later, error()).value());
  const auto entries = recorded_.entries();
  ASSERT_EQ(entries.size(), old.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    EXPECT_EQ(entries[i]->key == old[i]->key, old[i]->name.run.number == told) << entries[i]->key;
    EXPECT_EQ(std::ranges::count(moved, entries[i]->key), entries[i]->name.run.number == later ? 1 : 0);
  }
}

TEST_P(ProvisionalTest, WhatIsOfCamerasThatAreGoneIsPutRightToo) {
  open();
  const uint64_t run = record(true);
  const base::UtcTime start = recorded_.clock.utc();
  recorded_.run(seconds(20), store::RunReason::kRestart, "yard");
  const uint64_t growing = find_numbers(*recorded_.store, "yard")->numbers.next_run - 1;
  ASSERT_TRUE(runs_->mark("yard", growing, start, base::utc_minus_steady(recorded_.clock)));
  runs_->grows("yard", growing);
  const auto old = recorded_.entries();
  recorded_.clock.step(hours(2));

  net::EventLoop loop("disk");
  loop.start();
  const auto wait_until = [&](const std::function<bool()>& done) {
    for (int i = 0; i < 1000 && !done(); ++i) loop.run_and_wait([] {});
    return done();
  };
  correct_all_provisional(*runs_, loop, recorded_.clock);
  EXPECT_TRUE(wait_until([&] { return !runs_->holds("front", run); }));
  EXPECT_EQ(recorded_.entries()[0]->name.start, old[0]->name.start + hours(2));
  EXPECT_TRUE(runs_->holds("yard", growing));
  // Again and again, until its run is over.
  EXPECT_TRUE(wait_until([&] {
    correct_all_provisional(*runs_, loop, recorded_.clock);
    runs_->grows("yard", 0);
    return !runs_->holds("yard", growing);
  }));
  loop.stop();
  EXPECT_EQ(findings(), std::vector<std::string>());
}

TEST_P(ProvisionalTest, AnotherBootCanNotBePutRight) {
  open();
  const uint64_t run = record(true);
  runs_.reset();
  const auto other = ProvisionalRuns::open(recorded_.folder.path() / "miharu.db", "the next boot",
                                           *recorded_.store, *disk_, *recorded_.gaps);
  ASSERT_TRUE(other);
  EXPECT_FALSE((*other)->holds("front", run));
}

TEST_P(ProvisionalTest, RetentionSparesWhatHasNoTimeYet) {
  open();
  recorded_.clock.step(base::UtcTime(seconds(9)) - test::kRecordingStart);
  record(true);
  const size_t objects = recorded_.entries().size();
  recorded_.clock.step(test::kRecordingStart - base::UtcTime(seconds(9)));
  for (const bool spare : {true, false}) {
    RetentionOptions options;
    options.all.age = hours(1);
    if (spare) {
      options.spared = [this](const std::string& camera, const store::ObjectName& name) {
        return runs_->misplaced(camera, name.run.number, base::utc_minus_steady(recorded_.clock));
      };
    }
    Retention retention(*recorded_.store, recorded_.clock, options);
    EXPECT_EQ(*retention.run_once(false), spare ? 0 : objects);
  }
}

// Nobody synchronises the clock: what it says of ages is as good as anything.
TEST_P(ProvisionalTest, RetentionGoesOnWhereTheClockIsNeverSynchronised) {
  open();
  record(true);
  const size_t objects = recorded_.entries().size();
  recorded_.clock.advance(hours(2));
  RetentionOptions options;
  options.all.age = hours(1);
  options.spared = [this](const std::string& camera, const store::ObjectName& name) {
    return runs_->misplaced(camera, name.run.number, base::utc_minus_steady(recorded_.clock));
  };
  Retention retention(*recorded_.store, recorded_.clock, options);
  EXPECT_EQ(*retention.run_once(false), objects);
}

INSTANTIATE_TEST_SUITE_P(Containers, ProvisionalTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "fmp4" : "mpegts";
                         });

}  // namespace
}  // namespace miharu::record
