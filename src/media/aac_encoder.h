// AAC-LC through libavcodec, with the encoder's priming taken out of the times.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>

#include "base/error.h"
#include "media/av_handles.h"
#include "media/frame.h"

namespace miharu::media {

// Not thread-safe; may move between threads. About 100 kB of memory.
class AacEncoder {
 public:
  static constexpr size_t kSamplesPerFrame = 1024;
  using Output = std::function<void(FramePtr)>;

  // channels: 1 to 6, in the order of ISO/IEC 14496-3 table 1.19 channel configurations.
  static base::Result<std::unique_ptr<AacEncoder>> make(uint32_t sample_rate, uint32_t channels,
                                                        uint32_t bits_per_second);

  // clock_rate is the sample rate; the same pointer for every frame.
  [[nodiscard]] const TrackConfigPtr& config() const { return config_; }

  // `samples`: kSamplesPerFrame floats of the first channel, then of the second and so on. The AAC frame that
  // a decoder turns into these samples comes out, with this pts, two calls later or at flush(): a transform
  // spans two frames and the encoder looks one ahead. The priming frame that would come first is left out, so
  // the first frame fades in.
  base::Status encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                      const Output& output);
  // Lets the last frames out. encode() must not be called after it.
  base::Status flush(const Output& output);

 private:
  struct Pending {
    int64_t pts = 0;
    base::SteadyTime arrival{};
  };
  AacEncoder() = default;
  base::Status receive(const Output& output);

  AvPtr<AVCodecContext> context_;
  AvPtr<AVFrame> input_;
  AvPtr<AVPacket> packet_;
  TrackConfigPtr config_;
  FrameBuilder builder_;
  std::deque<Pending> pending_;  // frames given whose packets are still to come, at most three
  bool primed_ = false;
};

}  // namespace miharu::media
