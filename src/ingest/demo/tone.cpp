#include "ingest/demo/tone.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace miharu::ingest::demo {
namespace {

constexpr double kQuietHertz = 220;
constexpr double kQuietLevel = 0.015;
constexpr double kBeepHertz = 880;
constexpr double kBeepLevel = 0.2;
constexpr double kBeepSeconds = 0.1;
constexpr double kRampSeconds = 0.005;  // without it the beep would click

}  // namespace

Tone::Tone() : second_(kSampleRate) {
  for (size_t i = 0; i < second_.size(); ++i) {
    const double t = static_cast<double>(i) / kSampleRate;
    double value = kQuietLevel * std::sin(2 * std::numbers::pi * kQuietHertz * t);
    if (t < kBeepSeconds) {
      const double ramp = std::min({t / kRampSeconds, (kBeepSeconds - t) / kRampSeconds, 1.0});
      value += kBeepLevel * ramp * std::sin(2 * std::numbers::pi * kBeepHertz * t);
    }
    second_[i] = static_cast<float>(value);
  }
}

void Tone::read(int64_t position, std::span<float> samples) const {
  auto at = static_cast<size_t>(position % kSampleRate);
  for (float& sample : samples) {
    sample = second_[at];
    at = at + 1 == second_.size() ? 0 : at + 1;
  }
}

}  // namespace miharu::ingest::demo
