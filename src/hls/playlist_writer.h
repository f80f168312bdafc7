// Appends playlist lines to a string: hand-made number formatting, a playlist of a week has 150,000 lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace miharu::hls {

class PlaylistWriter {
 public:
  explicit PlaylistWriter(size_t reserve_bytes) { out_.reserve(reserve_bytes); }

  PlaylistWriter& text(std::string_view text) {
    out_ += text;
    return *this;
  }
  PlaylistWriter& number(uint64_t value);
  PlaylistWriter& seconds(uint64_t ms);  // "4.000"
  PlaylistWriter& micros(uint64_t us);   // "0.500000"
  // "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:20:59.123Z" with its line end
  void program_date_time(int64_t unix_ms);
  void extinf(uint64_t ms) { text("#EXTINF:").seconds(ms).text(",\n"); }
  std::string take() && { return std::move(out_); }

 private:
  std::string out_;
  int64_t day_ = INT64_MIN;  // days since the epoch that date_ is of
  std::string date_;
};

}  // namespace miharu::hls
