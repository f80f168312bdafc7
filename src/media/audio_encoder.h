// What makes coded frames of sound samples.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/error.h"
#include "media/frame.h"

namespace miharu::media {

// Not thread-safe; may move between threads.
class AudioEncoder {
 public:
  using Output = std::function<void(FramePtr)>;
  virtual ~AudioEncoder() = default;

  // clock_rate is the sample rate; the same pointer for every frame.
  [[nodiscard]] virtual const TrackConfigPtr& config() const = 0;
  [[nodiscard]] virtual size_t samples_per_frame() const = 0;
  // `samples`: samples_per_frame() floats of the first channel, then of the second and so on. Frames come out
  // with the pts at which decoding them gives these samples again, now or some calls later.
  virtual base::Status encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                              const Output& output) = 0;
  // Lets the last frames out. encode() must not be called after it.
  virtual base::Status flush(const Output& output) = 0;
};

}  // namespace miharu::media
