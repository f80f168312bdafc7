// The machine-readable frame number in the picture of a demo camera. docs/demo-camera.md describes the
// layout; readers are test/tools/frame_number.h, test/tools/frame_number.py and web/src/frame_number.ts.
#pragma once

#include <array>
#include <cstdint>

namespace miharu::ingest::demo {

inline constexpr uint32_t kStripColumns = 24;
inline constexpr uint32_t kStripRows = 2;
inline constexpr uint32_t kStripHeightParts = 15;  // a cell is 1/24 of the width and 1/15 of the height
inline constexpr uint8_t kStripSync = 0b1110'0101;
inline constexpr uint8_t kLumaBlack = 16;  // ITU-R BT.709 limited range
inline constexpr uint8_t kLumaWhite = 235;

// CRC-8 with polynomial x^8+x^2+x+1, started at 0xff so that an all-black strip is no frame 0.
constexpr uint8_t strip_crc(uint32_t number) {
  uint32_t crc = 0xff;
  for (int shift = 24; shift >= 0; shift -= 8) {
    crc ^= (number >> shift) & 0xff;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x80) != 0 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
  }
  return static_cast<uint8_t>(crc);
}

// Row by row, left to right; true is white: sync, number, CRC, each most significant bit first.
constexpr std::array<bool, kStripColumns * kStripRows> strip_cells(uint32_t number) {
  const uint64_t bits = uint64_t{kStripSync} << 40 | uint64_t{number} << 8 | strip_crc(number);
  std::array<bool, kStripColumns * kStripRows> cells{};
  for (uint32_t i = 0; i < cells.size(); ++i) cells[i] = (bits >> (cells.size() - 1 - i) & 1) != 0;
  return cells;
}

}  // namespace miharu::ingest::demo
