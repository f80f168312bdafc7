#include "upload/live_cutter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace miharu::upload {
namespace {

using base::milliseconds;
using base::seconds;
using record::RecentChunk;
using store::RunReason;
using testing::ElementsAre;

const base::UtcTime kStart = base::from_unix_ms(1795231259123);
constexpr store::Run kRun{5, RunReason::kRestart};

// Parts of half a second; finished with the eighth, or as told.
RecentChunk chunk(uint64_t seq, size_t parts = 8, bool key = true, store::Run run = kRun) {
  RecentChunk made;
  made.run = run;
  made.seq = seq;
  made.start = kStart + seconds(4) * seq;
  made.finished = parts == 8;
  for (size_t i = 0; i < parts; ++i)
    made.parts.push_back({seq, 5000 + i * 1000, 1000, 500'000, key && i == 0});
  made.duration_ms = static_cast<uint32_t>(500 * parts);
  return made;
}

std::vector<std::string> names(const std::vector<LivePiece>& pieces) {
  std::vector<std::string> all;
  for (const LivePiece& each : pieces)
    all.push_back(each.name() + (each.key ? " key" : "") + (each.discontinuity ? " break" : ""));
  return all;
}

TEST(LiveCutter, BeginsWithTheLatestKeyFrameAndGoesOnPartByPart) {
  LiveCutter cutter;
  EXPECT_TRUE(cutter.cut({}).empty());
  EXPECT_TRUE(cutter.cut({chunk(1, 8, false)}).empty());
  std::vector<RecentChunk> chunks = {chunk(1), chunk(2), chunk(3, 3)};
  const auto first = cutter.cut(chunks);
  EXPECT_THAT(names(first), ElementsAre("5r_3_0.mp4 key"));
  EXPECT_EQ(first[0].start, kStart + seconds(12));
  EXPECT_EQ(first[0].duration, seconds(1));
  EXPECT_EQ(first[0].offset, 5000U);
  EXPECT_EQ(first[0].size_bytes, 2000U);
  EXPECT_TRUE(cutter.cut(chunks).empty());
  chunks[2] = chunk(3, 4);
  const auto second = cutter.cut(chunks);
  EXPECT_THAT(names(second), ElementsAre("5r_3_2.mp4"));
  EXPECT_EQ(second[0].start, kStart + seconds(13));
  EXPECT_EQ(second[0].offset, 7000U);
  chunks = {chunk(2), chunk(3), chunk(4, 2)};
  EXPECT_THAT(names(cutter.cut(chunks)), ElementsAre("5r_3_4.mp4", "5r_3_6.mp4", "5r_4_0.mp4 key"));
  EXPECT_TRUE(cutter.cut({chunk(3), chunk(4, 2)}).empty());
}

TEST(LiveCutter, EndsAPieceWithItsChunk) {
  LiveCutter cutter;
  RecentChunk odd = chunk(1, 3);
  odd.finished = true;
  EXPECT_THAT(names(cutter.cut({odd})), ElementsAre("5r_1_0.mp4 key", "5r_1_2.mp4"));
  // The next one is not there yet.
  EXPECT_TRUE(cutter.cut({odd}).empty());
  EXPECT_THAT(names(cutter.cut({odd, chunk(2, 2)})), ElementsAre("5r_2_0.mp4 key"));
}

// What leans on pictures before it follows them.
TEST(LiveCutter, GoesThroughDependentChunks) {
  LiveCutter cutter;
  EXPECT_THAT(
      names(cutter.cut({chunk(1), chunk(2, 4, false)})),
      ElementsAre("5r_1_0.mp4 key", "5r_1_2.mp4", "5r_1_4.mp4", "5r_1_6.mp4", "5r_2_0.mp4", "5r_2_2.mp4"));
}

TEST(LiveCutter, ARunThatFollowsIsADiscontinuity) {
  LiveCutter cutter;
  cutter.cut({chunk(1, 2)});
  RecentChunk cut = chunk(1, 3);
  cut.finished = true;
  EXPECT_THAT(names(cutter.cut({cut, chunk(2, 2, true, {6, RunReason::kCameraLost})})),
              ElementsAre("5r_1_2.mp4", "6c_2_0.mp4 key break"));
}

// The disk gave up a chunk, and its number is that of another one.
TEST(LiveCutter, BeginsAnewWhereChunksAreMissing) {
  const store::Run again{6, RunReason::kDisk};
  {
    LiveCutter cutter;
    EXPECT_EQ(cutter.cut({chunk(1), chunk(2, 4)}).size(), 2U);
    EXPECT_TRUE(cutter.cut({chunk(1)}).empty());
    EXPECT_THAT(names(cutter.cut({chunk(1), chunk(2, 2, true, again)})), ElementsAre("6d_2_0.mp4 key break"));
  }
  LiveCutter cutter;
  EXPECT_EQ(cutter.cut({chunk(1), chunk(2, 4)}).size(), 2U);
  EXPECT_THAT(names(cutter.cut({chunk(7), chunk(8, 2, false)})),
              ElementsAre("5r_7_0.mp4 key break", "5r_7_2.mp4", "5r_7_4.mp4", "5r_7_6.mp4", "5r_8_0.mp4"));
}

TEST(LiveCutter, SkipsToTheLatestKeyFrame) {
  LiveCutter cutter;
  EXPECT_EQ(cutter.cut({chunk(1, 4)}).size(), 2U);
  EXPECT_FALSE(cutter.skip({chunk(1, 4)}, 1));
  const std::vector<RecentChunk> chunks = {chunk(1), chunk(2), chunk(3, 2)};
  EXPECT_EQ(cutter.cut(chunks).size(), 7U);
  EXPECT_TRUE(cutter.skip(chunks, 1));
  EXPECT_THAT(names(cutter.cut(chunks)), ElementsAre("5r_3_0.mp4 key break"));
  EXPECT_FALSE(cutter.skip(chunks, 3));
}

// Of another recording, whose numbers tell nothing of those before.
TEST(LiveCutter, WhatBeginsAnewIsADiscontinuity) {
  LiveCutter cutter;
  cutter.begin_anew();
  EXPECT_THAT(names(cutter.cut({chunk(7, 2)})), ElementsAre("5r_7_0.mp4 key"));
  cutter.begin_anew();
  const store::Run other{1'795'230'000'000, RunReason::kRestart};
  EXPECT_THAT(names(cutter.cut({chunk(0, 8, true, other), chunk(1, 2, true, other)})),
              ElementsAre("mwptl9c0r_1_0.mp4 key break"));
}

TEST(LiveCutter, MpegTs) {
  RecentChunk ts = chunk(1, 2);
  ts.container = store::Container::kMpegTs;
  EXPECT_THAT(names(LiveCutter().cut({ts})), ElementsAre("5r_1_0.ts key"));
}

}  // namespace
}  // namespace miharu::upload
