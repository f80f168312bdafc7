#include "webrtc/line_pace.h"

#include <gtest/gtest.h>

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::SteadyTime;

constexpr SteadyTime kStart{std::chrono::hours(1)};
constexpr double kRate = 16e6;
constexpr milliseconds kTrip{40};

TEST(LinePaceTest, ABurstThatWaitedTellsWhatTheLineCarries) {
  LinePace line;
  EXPECT_EQ(line.limit(), LinePace::kMostBitsPerSecond);
  // 100 KB in 20 ms, that is 40 Mbit/s; the line took 80 ms.
  line.on_burst(100'000, milliseconds(20), milliseconds(60), false);
  EXPECT_DOUBLE_EQ(line.limit(), 10e6 * LinePace::kUsed);
  line.on_burst(200'000, milliseconds(40), milliseconds(40), true);
  EXPECT_DOUBLE_EQ(line.limit(), 20e6 * LinePace::kUsed) << "faster than thought";
  line.on_burst(300'000, milliseconds(60), milliseconds(180), true);
  EXPECT_DOUBLE_EQ(line.limit(), 20e6 * LinePace::kUsed) << "somebody was busy";
  line.on_burst(100'000, milliseconds(20), milliseconds(60), false);
  EXPECT_DOUBLE_EQ(line.limit(), 10e6 * LinePace::kUsed) << "another burst";
}

TEST(LinePaceTest, ABurstThatDidNotWaitRaisesTheLimitStepByStep) {
  LinePace line;
  line.on_burst(100'000, milliseconds(20), milliseconds(60), false);
  const double before = line.limit();
  line.on_burst(100'000, milliseconds(80), LinePace::kQueued - milliseconds(1), false);
  EXPECT_DOUBLE_EQ(line.limit(), before * LinePace::kUp);
  line.on_burst(200'000, milliseconds(160), {}, true);
  EXPECT_DOUBLE_EQ(line.limit(), before * LinePace::kUp) << "once a burst";
  for (int i = 0; i < 20; ++i) line.on_burst(100'000, milliseconds(80), {}, false);
  EXPECT_DOUBLE_EQ(line.limit(), LinePace::kMostBitsPerSecond);
}

TEST(LinePaceTest, TheLimitHasALeast) {
  LinePace line;
  line.on_burst(1'000, milliseconds(20), base::seconds(10), false);
  EXPECT_DOUBLE_EQ(line.limit(), LinePace::kLeastBitsPerSecond);
  for (int i = 0; i < 10; ++i) line.on_lost(kStart + i * base::seconds(1), 100, kRate, kTrip);
  EXPECT_DOUBLE_EQ(line.limit(), LinePace::kLeastBitsPerSecond);
}

TEST(LinePaceTest, ManyLostAtOnceHalveThePaceTheyWereSentAt) {
  LinePace line;
  line.on_sent(kStart, 100);
  EXPECT_FALSE(line.on_lost(kStart, 9, kRate, kTrip));
  EXPECT_FALSE(line.on_lost(kStart, 5, kRate, kTrip)) << "14 of 100";
  EXPECT_TRUE(line.on_lost(kStart, 1, kRate, kTrip));
  EXPECT_DOUBLE_EQ(line.limit(), kRate / 2);
  // What is told now was sent before.
  EXPECT_TRUE(line.is_recovering(kStart + milliseconds(100)));
  EXPECT_FALSE(line.on_lost(kStart + milliseconds(100), 100, kRate, kTrip));
  const SteadyTime later = kStart + LinePace::kQueue + kTrip;
  EXPECT_FALSE(line.is_recovering(later));
  line.on_sent(later, 20);
  EXPECT_TRUE(line.on_lost(later, 10, kRate, kTrip));
  EXPECT_DOUBLE_EQ(line.limit(), kRate / 4) << "half of the limit where that is less";
}

TEST(LinePaceTest, LossesThatAreSpreadThinlyAreNoMatter) {
  LinePace line;
  for (int i = 0; i < 1000; ++i) {
    const SteadyTime now = kStart + i * milliseconds(20);
    line.on_sent(now, 20);
    EXPECT_FALSE(line.on_lost(now, 2, kRate, kTrip)) << i;
  }
  EXPECT_EQ(line.limit(), LinePace::kMostBitsPerSecond);
}

// The many packets of an hour do not hide a line that became narrow.
TEST(LinePaceTest, TheLastMomentsCount) {
  LinePace line;
  SteadyTime now = kStart;
  for (int i = 0; i < 1000; ++i) line.on_sent(now += milliseconds(20), 20);
  line.on_sent(now += base::seconds(2), 20);
  EXPECT_TRUE(line.on_lost(now, 10, kRate, kTrip));
}

}  // namespace
}  // namespace miharu::webrtc
