// Test data and sinks shared by the tests of what comes from a camera.
#pragma once

#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "media/depacketizer.h"
#include "support/data_path.h"

namespace miharu::media {

inline std::string read_text(const std::string& name) {
  std::ifstream in(test::data_path(name), std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline boost::json::value read_json(const std::string& name) {
  return boost::json::parse(read_text(name));
}

inline std::string text_of(const boost::json::value& value) {
  return std::string(value.as_string());
}

inline base::ByteVector hex(std::string_view text) {
  auto bytes = base::from_hex(text);
  EXPECT_TRUE(bytes.has_value()) << text;
  return bytes ? *bytes : base::ByteVector();
}

// Every input of a file of fuzz seeds.
inline void for_each_seed(
    const std::string& name,
    const std::function<void(const std::string& function, base::ByteView input)>& visit) {
  std::istringstream lines(read_text("fuzz-seeds/" + name));
  for (std::string line; std::getline(lines, line);) {
    const auto seed = boost::json::parse(line);
    for (const auto& input : seed.at("in").as_array()) {
      if (!input.is_string()) continue;
      if (const auto bytes = base::from_hex(text_of(input))) visit(text_of(seed.at("fn")), *bytes);
    }
  }
}

struct RecordingSink final : FrameSink {
  void on_frame(FramePtr frame) override {
    EXPECT_LE(frame->dts, frame->pts);
    if (!frames.empty()) {
      EXPECT_LT(frames.back()->dts, frame->dts);
    }
    frames.push_back(std::move(frame));
  }
  void on_oddity(std::string_view quirk_id) override { oddities.emplace_back(quirk_id); }
  void on_drop(base::Error reason) override { drops.push_back(std::move(reason)); }

  [[nodiscard]] std::string payload(size_t i) const { return base::to_hex(frames.at(i)->data()); }
  [[nodiscard]] bool saw(std::string_view id) const {
    for (const auto& oddity : oddities) {
      if (oddity == id) return true;
    }
    return false;
  }

  std::vector<FramePtr> frames;
  std::vector<std::string> oddities;
  std::vector<base::Error> drops;
};

}  // namespace miharu::media
