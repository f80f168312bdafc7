#include "app/cost.h"

#include <gtest/gtest.h>
#include <boost/json.hpp>

namespace miharu::app {
namespace {

// The figures of the design, "Cost": one camera, 30 days, 2 Mbit/s.
class CostTest : public ::testing::Test {
 protected:
  CostTest() { use_.bits_per_second = use_.live_bits_per_second = 2e6; }
  const Prices aws_ = price_table().find("aws-s3").value();
  CameraUse use_;
};

TEST_F(CostTest, StorageIsBilledByGib) {
  EXPECT_NEAR(cost_of(use_, aws_).storage, 13.88, 0.005);
  EXPECT_NEAR(cost_of(use_, price_table().find("r2").value()).storage, 9, 0.1);
  use_.keep = std::chrono::hours(24);
  EXPECT_NEAR(cost_of(use_, aws_).storage, 13.88 / 30, 0.005);
  EXPECT_NEAR(cost_of(use_, aws_).undo, 7 * 13.88 / 30, 0.005);
  // It has no versions to have anything back from.
  EXPECT_EQ(cost_of(use_, price_table().find("r2").value()).undo, 0);
}

TEST_F(CostTest, PutsByTheLengthOfSegments) {
  for (const auto& [seconds, dollars] : {std::pair{1, 12.96}, std::pair{4, 3.24}, std::pair{10, 1.30},
                                         std::pair{30, 0.43}, std::pair{60, 0.22}}) {
    use_.segment = base::seconds(seconds);
    EXPECT_NEAR(cost_of(use_, aws_).puts, dollars, 0.005) << seconds;
  }
}

TEST_F(CostTest, WatchingAndAsking) {
  EXPECT_NEAR(polling_cost(aws_), 0.10, 0.005);
  use_.live_hours = 1;
  EXPECT_NEAR(cost_of(use_, aws_).live, 2 * 0.018 + 0.08, 0.006);
  use_.live_bits_per_second = 0;
  EXPECT_NEAR(cost_of(use_, aws_).live, 2 * 0.018, 1e-9);
  use_.playlists = 1;
  EXPECT_NEAR(cost_of(use_, aws_).lists, 0.00013, 0.00001);
  use_.playback_hours = 1;
  EXPECT_NEAR(cost_of(use_, aws_).playback, 0.08, 0.006);
}

TEST_F(CostTest, TheTotalIsTheSumOfAllCamerasAndTheRecorder) {
  use_.camera = "front";
  const std::vector<CameraUse> uses{use_, use_};
  const auto json = boost::json::parse(cost_json(uses, aws_, price_table())).as_object();
  EXPECT_EQ(json.at("cameras").as_array().size(), 2U);
  EXPECT_NEAR(json.at("total").as_double(), 2 * cost_of(use_, aws_).total() + polling_cost(aws_), 1e-9);
  EXPECT_EQ(json.at("prices_of").as_string(), price_table().date);
  EXPECT_NE(cost_text(uses, aws_, price_table()).find(price_table().date), std::string::npos);
}

TEST_F(CostTest, AnUnknownProviderIsToldWhichThereAre) {
  const auto found = price_table().find("nobody");
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().text.find("r2"), std::string::npos);
}

}  // namespace
}  // namespace miharu::app
