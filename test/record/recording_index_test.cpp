#include "record/recording_index.h"

#include <gtest/gtest.h>

namespace miharu::record {
namespace {

using base::milliseconds;
using base::seconds;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);
constexpr store::Run kRun{7, store::RunReason::kCameraLost};

class RecordingIndexTest : public ::testing::Test {
 protected:
  void begin(base::UtcTime start, store::Run run = kRun) {
    store::ObjectName name;
    name.start = start;
    name.run = run;
    name.seq = next_seq_;
    name.init_bytes = 700;
    offset_ = 700;
    file_ = std::make_shared<const base::File>();
    index_.begin("front", name, file_);
  }
  void part(base::UtcTime start, bool starts_chunk, uint64_t bytes = 1000) {
    Part part;
    part.seq = next_seq_;
    part.starts_chunk = part.independent = starts_chunk;
    part.key_bytes = starts_chunk ? 300 : 0;
    part.start = start;
    part.end = start + seconds(1);
    part.size_bytes = bytes;
    index_.part("front", part, offset_);
    offset_ += bytes;
  }
  // A chunk of two parts of a second.
  void chunk(base::UtcTime start) {
    part(start, true);
    part(start + seconds(1), false);
    index_.chunk_end("front", {2000, 2000, 300, false});
    ++next_seq_;
  }

  RecordingIndex index_;
  std::shared_ptr<const base::File> file_;
  uint64_t next_seq_ = 100;
  uint64_t offset_ = 0;
};

TEST_F(RecordingIndexTest, NothingIsKnownOfAnUnknownCamera) {
  EXPECT_TRUE(index_.recent("front").empty());
  EXPECT_TRUE(index_.growing("front").empty());
  EXPECT_EQ(index_.chunk("front", kRun, 1).error().code, base::Errc::kNotFound);
  EXPECT_EQ(index_.init("front", kRun).error().code, base::Errc::kNotFound);
}

TEST_F(RecordingIndexTest, AChunkCanBeReadWhileItGrows) {
  begin(kStart);
  EXPECT_TRUE(index_.growing("front").empty()) << "without a part there is nothing to play";
  part(kStart, true);
  auto location = index_.chunk("front", kRun, 100);
  ASSERT_TRUE(location);
  EXPECT_TRUE(location->growing);
  EXPECT_EQ(location->offset, 700U);
  EXPECT_EQ(location->length, 1000U);
  part(kStart + seconds(1), false, 500);
  location = index_.chunk("front", kRun, 100);
  EXPECT_EQ(location->length, 1500U);
  EXPECT_EQ(location->start, kStart);
  EXPECT_EQ(location->end, kStart + seconds(2));
  const auto growing = index_.growing("front");
  ASSERT_EQ(growing.size(), 1U);
  EXPECT_EQ(growing[0].end(), kStart + seconds(2));
  const auto init = index_.init("front", kRun);
  ASSERT_TRUE(init);
  EXPECT_EQ(init->offset, 0U);
  EXPECT_EQ(init->length, 700U);
}

TEST_F(RecordingIndexTest, AFinishedChunkDoesNotGrow) {
  begin(kStart);
  chunk(kStart);
  chunk(kStart + seconds(2));
  part(kStart + seconds(4), true);
  const auto recent = index_.recent("front");
  ASSERT_EQ(recent.size(), 3U);
  EXPECT_TRUE(recent[0].finished);
  EXPECT_TRUE(recent[1].finished);
  EXPECT_FALSE(recent[2].finished);
  EXPECT_EQ(recent[1].seq, 101U);
  ASSERT_EQ(recent[0].parts.size(), 2U);
  EXPECT_EQ(recent[0].parts[1].offset, 1700U);
  EXPECT_EQ(recent[0].parts[1].duration_us, 1'000'000U);
  EXPECT_FALSE(index_.chunk("front", kRun, 101)->growing);
  EXPECT_EQ(index_.chunk("front", kRun, 101)->offset, 2700U);
  EXPECT_EQ(index_.growing("front")[0].chunks.size(), 3U);
}

TEST_F(RecordingIndexTest, AnotherRunIsAnotherAddress) {
  begin(kStart);
  chunk(kStart);
  EXPECT_FALSE(index_.chunk("front", {kRun.number, store::RunReason::kDisk}, 100));
  EXPECT_FALSE(index_.chunk("front", {kRun.number + 1, kRun.reason}, 100));
  EXPECT_FALSE(index_.chunk("front", kRun, 99));
  EXPECT_FALSE(index_.chunk("back", kRun, 100));
}

TEST_F(RecordingIndexTest, AnUnfinishedChunkGoesWithItsObject) {
  begin(kStart);
  chunk(kStart);
  part(kStart + seconds(2), true);
  index_.end("front");
  EXPECT_TRUE(index_.growing("front").empty());
  ASSERT_EQ(index_.recent("front").size(), 1U);
  EXPECT_TRUE(index_.chunk("front", kRun, 100)) << "its file is still open";
}

TEST_F(RecordingIndexTest, TheLastMinutesAreKept) {
  base::UtcTime time = kStart;
  for (int object = 0; object < 40; ++object) {
    begin(time);
    for (int i = 0; i < 5; ++i, time += seconds(2)) chunk(time);
    index_.end("front");
  }
  const auto recent = index_.recent("front");
  EXPECT_LE(recent.back().start - recent.front().start, RecordingIndex::Keep().time);
  EXPECT_GE(recent.back().start - recent.front().start, RecordingIndex::Keep().time - seconds(4));
  EXPECT_EQ(recent.back().seq, next_seq_ - 1);
}

TEST_F(RecordingIndexTest, ChunksOfAGrowingObjectAreKeptHoweverLongItIs) {
  begin(kStart);
  for (int i = 0; i < 200; ++i) chunk(kStart + seconds(2) * i);
  EXPECT_EQ(index_.recent("front").size(), 200U);
}

TEST_F(RecordingIndexTest, AClockThatIsSetBackDoesNotFillMemory) {
  base::UtcTime time = kStart;
  for (int i = 0; i < 20; ++i, time += seconds(2)) {
    begin(time);
    chunk(time);
    index_.end("front");
  }
  time = kStart - std::chrono::hours(24);
  for (int i = 0; i < 500; ++i, time += seconds(2)) {
    begin(time, {8, store::RunReason::kClockStep});
    chunk(time);
    index_.end("front");
  }
  EXPECT_LE(index_.recent("front").size(), 62U);
}

TEST_F(RecordingIndexTest, EveryPartAndChunkEndIsTold) {
  std::vector<std::string> told;
  index_.set_on_change([&](const std::string& camera) {
    told.push_back(camera);
    index_.recent(camera);  // no lock is held
  });
  begin(kStart);
  chunk(kStart);
  EXPECT_EQ(told, std::vector<std::string>(3, "front"));
}

}  // namespace
}  // namespace miharu::record
