// What a `demo:` URL asks for. docs/demo-camera.md is the manual.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"

namespace miharu::ingest {

struct DemoOptions {
  std::string name = "demo";                 // shown in the picture; ASCII, the rest is shown as '?'
  uint32_t width = 640;                      // even, 384 to 1920
  uint32_t height = 360;                     // even, 240 to 1088
  uint32_t fps = 25;                         // 1 to 60
  base::nanoseconds gop = base::seconds(2);  // 100 ms to 30 s, rounded to whole frames
  bool audio = true;
  // Number of the first frame; without it frames are numbered by UTC.
  std::optional<uint32_t> start_frame;

  [[nodiscard]] int64_t gop_frames() const;  // at least 1
};

// `demo:` or `demo:?size=1280x720&fps=30&gop=2s&audio=0&start_frame=0`. The name is not part of the URL.
base::Result<DemoOptions> parse_demo_url(std::string_view url);

}  // namespace miharu::ingest
