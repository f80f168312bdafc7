// The live playlist that a recorder puts beside its parts into a bucket (RFC 8216): a short window of segments of
// about a second, text that is replaced each time one is added. Text out: no I/O, no clock.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "base/clock.h"

namespace miharu::hls {

struct RollingSegment {
  std::string name;  // beside the playlist
  std::string init;  // initialization part, likewise; empty in MPEG-TS
  base::UtcTime start;
  base::microseconds duration{};
  bool key = false;            // begins with a key frame
  bool discontinuity = false;  // does not go on where the one before it ended
};

struct RollingPlaylist {
  // Of past that is listed, and from there to the key frame before.
  static constexpr base::seconds kWindow{12};
  // Of a camera whose key frames are minutes apart.
  static constexpr size_t kMostSegments = 120;
  // Players begin with the latest key frame that is so far from the end, for they need something in reserve.
  static constexpr base::seconds kReserve{2};

  std::deque<RollingSegment> segments;
  uint64_t media_sequence = 0;          // number of the first
  uint64_t discontinuity_sequence = 0;  // discontinuities before the first
  bool ended = false;

  void add(RollingSegment segment);  // and drops what has left the window
  [[nodiscard]] std::string text() const;

 private:
  void drop(size_t count);
};

}  // namespace miharu::hls
