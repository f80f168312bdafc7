// What a placer or filler hands on, with the promises of PlacedListener checked at every call.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "stream/placer.h"

namespace miharu::stream {

class PlacedCollector final : public PlacedListener {
 public:
  struct Run {
    RunStart start;
    std::vector<PlacedFrame> video;
    std::vector<PlacedFrame> audio;
    std::vector<base::UtcTime> all;  // dts of both, as they came
    bool ended = false;
    store::RunReason end_reason{};
    std::string end_detail;
  };
  std::vector<Run> runs;

  void on_run_start(const RunStart& start) override {
    if (!runs.empty()) {
      EXPECT_TRUE(runs.back().ended);
    }
    EXPECT_TRUE(start.video);
    runs.push_back({start, {}, {}, {}, false, {}, {}});
  }
  void on_placed(const PlacedFrame& placed) override {
    ASSERT_FALSE(runs.empty());
    Run& run = runs.back();
    EXPECT_FALSE(run.ended);
    run.all.push_back(placed.dts);
    if (placed.frame->is_video()) {
      EXPECT_EQ(*placed.frame->config, *run.start.video);
      EXPECT_GE(placed.pts, placed.dts);
      if (run.video.empty()) {
        EXPECT_NE(placed.frame->key, run.start.dependent);
      } else {
        EXPECT_GT(placed.dts, run.video.back().dts);
      }
      run.video.push_back(placed);
      return;
    }
    ASSERT_TRUE(run.start.audio);
    ASSERT_FALSE(run.video.empty()) << "sound before the first picture";
    EXPECT_EQ(*placed.frame->config, *run.start.audio);
    if (!run.audio.empty()) {
      EXPECT_GT(placed.dts, run.audio.back().dts);
    }
    run.audio.push_back(placed);
  }
  void on_run_end(store::RunReason reason, const std::string& detail) override {
    ASSERT_FALSE(runs.empty());
    EXPECT_FALSE(runs.back().ended);
    runs.back().ended = true;
    runs.back().end_reason = reason;
    runs.back().end_detail = detail;
  }
};

}  // namespace miharu::stream
