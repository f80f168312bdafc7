// The sound of a demo camera: a quiet tone, and a beep in the first tenth of every second of UTC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace miharu::ingest::demo {

class Tone {
 public:
  static constexpr uint32_t kSampleRate = 48000;

  Tone();
  // The samples from `position` on, counted from the Unix epoch; -1 to 1.
  void read(int64_t position, std::span<float> samples) const;

 private:
  std::vector<float> second_;  // both tones make whole periods in a second
};

}  // namespace miharu::ingest::demo
