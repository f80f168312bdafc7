#include "webrtc/unit_ring.h"

#include "webrtc/media_test_support.h"

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::seconds;

class UnitRingTest : public testing::Test {
 protected:
  void push(bool key, base::nanoseconds time, size_t bytes = 1000) {
    ring.push(make_unit(key, at(time), bytes), at(time) + milliseconds(70));
  }
  UnitRing ring;
};

TEST_F(UnitRingTest, IsEmptyAtFirst) {
  EXPECT_EQ(ring.end(), 0U);
  EXPECT_FALSE(ring.key());
  EXPECT_FALSE(ring.whole());
  EXPECT_EQ(ring.unit(0), nullptr);
  EXPECT_EQ(ring.bits_per_second(), 0);
  EXPECT_EQ(ring.gop(), seconds(0));
}

TEST_F(UnitRingTest, NumbersCountFromZeroAndTheLatestKeyFrameIsKnown) {
  push(false, milliseconds(0));
  EXPECT_FALSE(ring.key());
  push(true, milliseconds(40));
  push(false, milliseconds(80));
  EXPECT_EQ(ring.end(), 3U);
  EXPECT_EQ(ring.key(), 1U);
  EXPECT_TRUE(ring.whole());
  EXPECT_EQ(ring.unit(1)->time, at(milliseconds(40)));
  EXPECT_EQ(ring.unit(3), nullptr);
  EXPECT_EQ(ring.gop(), seconds(0));
  push(true, milliseconds(120));
  EXPECT_EQ(ring.key(), 3U);
  EXPECT_EQ(ring.gop(), milliseconds(80));
}

TEST_F(UnitRingTest, OneSecondBeforeAKeyFrameIsKept) {
  for (int i = 0; i < 100; ++i) push(i == 0, milliseconds(40 * i));
  EXPECT_EQ(ring.begin(), 0U);  // the group is whole, whatever its age
  push(true, milliseconds(4000));
  EXPECT_EQ(ring.begin(), 75U);  // that of 3000 ms
  EXPECT_EQ(ring.unit(74), nullptr);
  EXPECT_EQ(ring.unit(75)->time, at(seconds(3)));
  EXPECT_TRUE(ring.whole());
}

TEST_F(UnitRingTest, BeyondTheCapTheOldestGoButTheKeyFrameStays) {
  push(true, milliseconds(0), 100'000);
  for (int i = 1; ring.begin() == 0; ++i) {
    EXPECT_TRUE(ring.whole());
    push(false, milliseconds(40 * i), 100'000);
    ASSERT_LE(ring.bytes(), UnitRing::kMaxBytes);
    ASSERT_LT(i, 100);
  }
  push(false, seconds(8), 100'000);
  EXPECT_FALSE(ring.whole());
  EXPECT_EQ(ring.key(), 0U);
  ASSERT_NE(ring.unit(0), nullptr);
  EXPECT_TRUE(ring.unit(0)->key);
  EXPECT_EQ(ring.unit(1), nullptr);
  EXPECT_NE(ring.unit(ring.begin()), nullptr);
  EXPECT_GT(ring.bytes(), UnitRing::kMaxBytes - 200'000);
  push(true, seconds(9), 100'000);
  EXPECT_TRUE(ring.whole());
  EXPECT_EQ(ring.gop(), seconds(9));
  EXPECT_EQ(ring.unit(0), nullptr);
}

TEST_F(UnitRingTest, AMissedPieceLastsUntilTheNextKeyFrame) {
  push(true, milliseconds(0));
  ring.miss();
  push(false, milliseconds(40));
  EXPECT_FALSE(ring.whole());
  EXPECT_EQ(ring.key(), 0U);
  push(true, milliseconds(80));
  EXPECT_TRUE(ring.whole());
}

TEST_F(UnitRingTest, AnInterruptionLeavesNowhereToBeginButRepairs) {
  push(true, milliseconds(0));
  push(false, milliseconds(40));
  ring.interrupt();
  EXPECT_FALSE(ring.key());
  EXPECT_FALSE(ring.whole());
  EXPECT_NE(ring.unit(1), nullptr);
  push(false, seconds(5));
  EXPECT_FALSE(ring.key());
  push(true, seconds(6));
  EXPECT_EQ(ring.key(), 3U);
  // The time without a camera is no group of pictures.
  EXPECT_EQ(ring.gop(), seconds(0));
}

TEST_F(UnitRingTest, KnowsTheRateAndWhatIsLive) {
  for (int i = 0; i <= 50; ++i) push(i == 0, milliseconds(40 * i), 5000);
  EXPECT_NEAR(ring.bits_per_second(), 51 * 5000 * 8 / 2.0, 51 * 5000 * 8 * 0.01);
  // The last one came 70 ms after it was made.
  EXPECT_EQ(ring.live_time(at(seconds(3))), at(seconds(3)) - milliseconds(70));
}

// A clock that is corrected may put a picture after the time at which it came.
TEST_F(UnitRingTest, LiveIsNeverAheadOfNow) {
  ring.push(make_unit(true, at(seconds(1)), 100), at(milliseconds(900)));
  EXPECT_EQ(ring.live_time(at(seconds(2))), at(seconds(2)));
}

}  // namespace
}  // namespace miharu::webrtc
