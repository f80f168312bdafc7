// Reads the frame number off a picture of a demo camera: docs/demo-camera.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "ingest/demo/frame_number.h"

namespace miharu::test {

// `luma`: rows of 8-bit brightness, `stride` bytes apart, of the whole picture at any scale.
inline std::optional<uint32_t> read_frame_number(const uint8_t* luma, uint32_t width, uint32_t height,
                                                 size_t stride) {
  using namespace ingest::demo;
  constexpr uint32_t kCells = kStripColumns * kStripRows;
  std::array<uint32_t, kCells> means{};
  for (uint32_t i = 0; i < kCells; ++i) {
    // The middle half of the cell: scaling and compression blur its edges.
    const uint32_t column = 4 * (i % kStripColumns);
    const uint32_t row = 4 * (i / kStripColumns);
    const uint32_t left = width * (column + 1) / (4 * kStripColumns);
    const uint32_t right = std::max(left + 1, width * (column + 3) / (4 * kStripColumns));
    const uint32_t top = height * (row + 1) / (4 * kStripHeightParts);
    const uint32_t bottom = std::max(top + 1, height * (row + 3) / (4 * kStripHeightParts));
    uint32_t sum = 0;
    for (uint32_t y = top; y < bottom; ++y) {
      for (uint32_t x = left; x < right; ++x) sum += luma[y * stride + x];
    }
    means[i] = sum / ((right - left) * (bottom - top));
  }
  uint32_t darkest_white = 255;
  uint32_t brightest_black = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    if ((kStripSync >> (7 - i) & 1) != 0) {
      darkest_white = std::min(darkest_white, means[i]);
    } else {
      brightest_black = std::max(brightest_black, means[i]);
    }
  }
  if (darkest_white < brightest_black + 64) return std::nullopt;
  const uint32_t threshold = (darkest_white + brightest_black) / 2;
  uint64_t bits = 0;
  for (const uint32_t mean : means) bits = bits << 1 | (mean > threshold ? 1 : 0);
  const auto number = static_cast<uint32_t>(bits >> 8);
  if (static_cast<uint8_t>(bits) != strip_crc(number)) return std::nullopt;
  return number;
}

}  // namespace miharu::test
