// Opus (RFC 6716) through libopus, 48 kHz, packets of 20 ms.
#pragma once

#include <memory>
#include <vector>

#include "media/audio_encoder.h"

struct OpusEncoder;

namespace miharu::media::opus {

// Some 30 kB of memory a channel.
class Encoder final : public AudioEncoder {
 public:
  static constexpr size_t kSamplesPerFrame = 960;

  // channels: 1 or 2.
  static base::Result<std::unique_ptr<Encoder>> make(uint32_t channels, uint32_t bits_per_second);

  [[nodiscard]] const TrackConfigPtr& config() const override { return config_; }
  [[nodiscard]] size_t samples_per_frame() const override { return kSamplesPerFrame; }
  // The packet comes out at once; its pts is earlier by what the encoder looks ahead (6.5 ms).
  base::Status encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                      const Output& output) override;
  // Nothing waits inside.
  base::Status flush(const Output& /*output*/) override { return {}; }

 private:
  struct Deleter {
    void operator()(::OpusEncoder* encoder) const;
  };
  Encoder() = default;

  std::unique_ptr<::OpusEncoder, Deleter> encoder_;
  TrackConfigPtr config_;
  int64_t look_ahead_ = 0;  // samples
  std::vector<float> interleaved_;
  FrameBuilder builder_;
};

}  // namespace miharu::media::opus
