// A 5x7 bitmap font of printable ASCII.
#pragma once

#include <array>
#include <cstdint>

namespace miharu::ingest::demo {

inline constexpr uint32_t kGlyphColumns = 5;
inline constexpr uint32_t kGlyphRows = 7;

// Five columns from left to right, the lowest bit of each is the top pixel. '?' for what is not printable
// ASCII.
const std::array<uint8_t, kGlyphColumns>& glyph(char c);

}  // namespace miharu::ingest::demo
