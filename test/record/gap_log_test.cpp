#include "record/gap_log.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace miharu::record {
namespace {

using base::from_unix_ms;
using base::seconds;
using store::RunReason;

const base::UtcTime kStart = from_unix_ms(1'795'230'000'000);

class GapLogTest : public ::testing::Test {
 protected:
  std::vector<Gap> all(std::string_view camera = "front") {
    auto found = log_->find(camera, from_unix_ms(0), kStart + std::chrono::hours(1000));
    EXPECT_TRUE(found.has_value());
    return *found;
  }
  void gap(base::UtcTime from, base::UtcTime to, RunReason reason = RunReason::kCameraLost) {
    ASSERT_TRUE(log_->begin("front", {from, std::nullopt, reason, "text"}));
    ASSERT_TRUE(log_->end("front", to, seconds(2)));
  }

  test::TempDir folder_;
  std::unique_ptr<GapLog> log_ = std::move(*GapLog::open(folder_.path() / "miharu.db"));
};

TEST_F(GapLogTest, AGapIsOpenUntilItEnds) {
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kDisk, "No space left on device"}));
  ASSERT_EQ(all().size(), 1U);
  EXPECT_FALSE(all()[0].end);
  ASSERT_TRUE(log_->end("front", kStart + seconds(9), seconds(2)));
  ASSERT_EQ(all().size(), 1U);
  EXPECT_EQ(all()[0].start, kStart);
  EXPECT_EQ(all()[0].end, kStart + seconds(9));
  EXPECT_EQ(all()[0].reason, RunReason::kDisk);
  EXPECT_EQ(all()[0].text, "No space left on device");
}

TEST_F(GapLogTest, OneThatIsOverLeavesTheOpenOneOpen) {
  ASSERT_TRUE(log_->begin("front", {kStart + seconds(100), std::nullopt, RunReason::kCameraLost, "away"}));
  ASSERT_TRUE(log_->add("front", {kStart, kStart + seconds(9), RunReason::kOperator, "deleted by alice"}));
  ASSERT_EQ(all().size(), 2U);
  EXPECT_EQ(all()[0].text, "deleted by alice");
  EXPECT_EQ(all()[0].end, kStart + seconds(9));
  EXPECT_FALSE(all()[1].end);
  EXPECT_EQ(log_->open_since("front").value(), kStart + seconds(100));
}

TEST_F(GapLogTest, TheFirstReasonAndTheEarliestStartAreKept) {
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kDisk, "first"}));
  ASSERT_TRUE(log_->begin("front", {kStart + seconds(5), std::nullopt, RunReason::kCameraLost, "second"}));
  EXPECT_EQ(all()[0].start, kStart);
  ASSERT_TRUE(log_->begin("front", {kStart - seconds(1), std::nullopt, RunReason::kRestart, "third"}));
  ASSERT_EQ(all().size(), 1U);
  EXPECT_EQ(all()[0].start, kStart - seconds(1));
  EXPECT_EQ(all()[0].reason, RunReason::kDisk);
  EXPECT_EQ(all()[0].text, "first");
}

TEST_F(GapLogTest, ShortGapsAreForgotten) {
  struct Case {
    base::nanoseconds length;
    size_t kept;
  };
  for (const Case& c : {Case{seconds(0), 0}, Case{base::milliseconds(1999), 0}, Case{seconds(2), 1},
                        Case{seconds(-5), 0}, Case{std::chrono::hours(48), 1}}) {
    log_ = std::move(*GapLog::open(folder_.path() / ("db" + std::to_string(c.length.count()))));
    gap(kStart, kStart + c.length);
    EXPECT_EQ(all().size(), c.kept) << c.length.count();
  }
}

TEST_F(GapLogTest, EndingWhatIsNotOpenChangesNothing) {
  ASSERT_TRUE(log_->end("front", kStart, seconds(2)));
  gap(kStart, kStart + seconds(10));
  ASSERT_TRUE(log_->end("front", kStart + seconds(99), seconds(2)));
  ASSERT_EQ(all().size(), 1U);
  EXPECT_EQ(all()[0].end, kStart + seconds(10));
}

TEST_F(GapLogTest, FindGivesWhatOverlaps) {
  gap(kStart, kStart + seconds(10));
  gap(kStart + seconds(100), kStart + seconds(110));
  ASSERT_TRUE(log_->begin("front", {kStart + seconds(200), std::nullopt, RunReason::kCameraLost, "lasts"}));
  struct Case {
    int from;
    int to;
    size_t found;
  };
  for (const Case& c : {Case{-10, 0, 0}, Case{-10, 1, 1}, Case{5, 6, 1}, Case{10, 100, 0}, Case{9, 101, 2},
                        Case{110, 200, 0}, Case{300, 400, 1}, Case{-10, 1000, 3}}) {
    const auto found = log_->find("front", kStart + seconds(c.from), kStart + seconds(c.to));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->size(), c.found) << c.from << " to " << c.to;
    for (size_t i = 1; i < found->size(); ++i) EXPECT_LT((*found)[i - 1].start, (*found)[i].start);
  }
}

TEST_F(GapLogTest, CamerasAreApart) {
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kCameraLost, ""}));
  ASSERT_TRUE(log_->end("back", kStart + seconds(60), seconds(2)));
  EXPECT_TRUE(all("back").empty());
  ASSERT_EQ(all().size(), 1U);
  EXPECT_FALSE(all()[0].end);
}

TEST_F(GapLogTest, AnOpenGapOutlivesTheProcess) {
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kRestart, "miharu was stopped"}));
  log_.reset();
  log_ = std::move(*GapLog::open(folder_.path() / "miharu.db"));
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kRestart, "miharu was not running"}));
  ASSERT_TRUE(log_->end("front", kStart + seconds(60), seconds(2)));
  ASSERT_EQ(all().size(), 1U);
  EXPECT_EQ(all()[0].text, "miharu was stopped");
}

TEST_F(GapLogTest, TellsWhereTheOpenGapBegins) {
  EXPECT_EQ(*log_->open_since("front"), std::nullopt);
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kCameraLost, "lost"}));
  EXPECT_EQ(*log_->open_since("front"), kStart);
  EXPECT_EQ(*log_->open_since("back"), std::nullopt);
  ASSERT_TRUE(log_->end("front", kStart + seconds(10), seconds(2)));
  EXPECT_EQ(*log_->open_since("front"), std::nullopt);
}

TEST_F(GapLogTest, TotalsCountWhatStillLastsUpToNow) {
  ASSERT_TRUE(log_->begin("front", {kStart, std::nullopt, RunReason::kCameraLost, "lost"}));
  ASSERT_TRUE(log_->end("front", kStart + seconds(10), seconds(2)));
  ASSERT_TRUE(log_->begin("front", {kStart + seconds(60), std::nullopt, RunReason::kCameraLost, "lost"}));
  ASSERT_TRUE(log_->begin("back", {kStart, std::nullopt, RunReason::kDisk, "full"}));
  const auto totals = log_->totals(kStart + seconds(90));
  ASSERT_TRUE(totals);
  ASSERT_EQ(totals->size(), 2U);
  EXPECT_EQ((*totals)[0].camera, "back");
  EXPECT_EQ((*totals)[0].duration, seconds(90));
  EXPECT_EQ((*totals)[1].reason, RunReason::kCameraLost);
  EXPECT_EQ((*totals)[1].gaps, 2U);
  EXPECT_EQ((*totals)[1].duration, seconds(40));
}

TEST(GapLog, AFileThatIsNoDatabaseIsAnError) {
  test::TempDir folder;
  const std::string text(5000, 'x');
  ASSERT_TRUE(base::write_file(folder.path() / "miharu.db", base::as_bytes(text)));
  const auto log = GapLog::open(folder.path() / "miharu.db");
  ASSERT_FALSE(log.has_value());
  EXPECT_NE(log.error().text.find("gap log"), std::string::npos);
}

}  // namespace
}  // namespace miharu::record
