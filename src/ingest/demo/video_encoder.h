// H.264 through x264, one picture in, one frame out.
#pragma once

#include <cstdint>
#include <memory>

#include "base/error.h"
#include "ingest/demo/demo_options.h"
#include "ingest/demo/picture.h"
#include "media/frame.h"

struct x264_t;

namespace miharu::ingest::demo {

// Main profile, no B-frames, no look-ahead, one thread: dts is pts. Not thread-safe; may move between
// threads.
class VideoEncoder {
 public:
  static constexpr uint32_t kClockRate = 90000;

  static base::Result<std::unique_ptr<VideoEncoder>> make(const DemoOptions& options);

  [[nodiscard]] const media::TrackConfigPtr& config() const { return config_; }
  // A key frame is an IDR picture; nothing after it refers to what is before it.
  base::Result<media::FramePtr> encode(Picture& picture, int64_t pts, bool key, const base::Clock& clock);

 private:
  struct Close {
    void operator()(x264_t* encoder) const;
  };
  VideoEncoder() = default;

  std::unique_ptr<x264_t, Close> encoder_;
  media::TrackConfigPtr config_;
  media::FrameBuilder builder_;
  int64_t pictures_ = 0;
};

}  // namespace miharu::ingest::demo
