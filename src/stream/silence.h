// Silent AAC frames, for holes in the sound.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/error.h"
#include "media/frame.h"

namespace miharu::stream {

// Encoded once; each frame copies some bytes. Not thread-safe; any thread.
class Silence {
 public:
  // `aac`: AAC with frames of 1024 samples and 1 to 6 channels, else kUnsupported. With HE-AAC the core coder
  // is silent, which is silence.
  static base::Result<std::unique_ptr<Silence>> make(media::TrackConfigPtr aac);

  // `pts` in ticks of the configuration's clock.
  [[nodiscard]] media::FramePtr frame(int64_t pts, base::SteadyTime arrival);
  // The frames that fit into [from, to) one after the other from `from` on; gives the pts after the last one.
  int64_t fill(int64_t from, int64_t to, base::SteadyTime arrival,
               const std::function<void(media::FramePtr)>& output);

 private:
  Silence() = default;

  media::TrackConfigPtr config_;
  uint32_t core_rate_ = 0;
  base::ByteVector payload_;
  media::FrameBuilder builder_;
};

}  // namespace miharu::stream
