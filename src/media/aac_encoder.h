// AAC-LC through libavcodec, with the encoder's priming taken out of the times.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>

#include "media/audio_encoder.h"
#include "media/av_handles.h"

namespace miharu::media {

// About 100 kB of memory.
class AacEncoder final : public AudioEncoder {
 public:
  static constexpr size_t kSamplesPerFrame = 1024;

  // channels: 1 to 6, in the order of ISO/IEC 14496-3 table 1.19 channel configurations.
  static base::Result<std::unique_ptr<AacEncoder>> make(uint32_t sample_rate, uint32_t channels,
                                                        uint32_t bits_per_second);

  [[nodiscard]] const TrackConfigPtr& config() const override { return config_; }
  [[nodiscard]] size_t samples_per_frame() const override { return kSamplesPerFrame; }
  // The frame comes out two calls later or at flush(): a transform spans two frames and the encoder looks one
  // ahead. The priming frame that would come first is left out, so the first frame fades in.
  base::Status encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                      const Output& output) override;
  base::Status flush(const Output& output) override;

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
