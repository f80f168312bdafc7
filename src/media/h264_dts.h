// Decoding times of H.264 access units, of which RTP tells only the presentation times.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "media/h264.h"

namespace miharu::media::h264 {

// Looks at the picture order count (ITU-T H.264 8.2.1) to learn whether pictures that are shown earlier are
// still to come. None (always so without B-frames): dts = pts, without delay. Some: the way from the last dts
// to the time of the earliest of them is shared out evenly among this picture and those. Not thread-safe.
//
// The distance of the count from picture to picture (2 by the standard, 1 or 4 with some encoders, quirk C10)
// and pictures shown before an IDR that they follow are learned: the first time, they are refused or nudged.
class DtsExtractor {
 public:
  struct Picture {
    SliceHeader slice;  // of the first slice
    bool idr = false;
    bool reference = true;  // nal_ref_idc of the first slice is not 0
  };
  struct Times {
    int64_t pts = 0;  // as given, or the least later one that is possible
    int64_t dts = 0;
    bool nudged = false;  // pts was changed
  };
  // dts is greater than the one before and <= pts. An error (kMalformed): the picture would have to be
  // decoded before what was already told, and nothing refers to it, so that it is best left out.
  base::Result<Times> extract(const Picture& picture, const Sps& sps, int64_t pts);
  // For a picture of which no slice header can be read.
  Times without_order(int64_t pts);
  void reset();

 private:
  int64_t picture_order_count(const Picture& picture, const Sps& sps);
  int64_t place_in_order(int64_t poc, bool idr);
  void mark_arrived(int64_t place, uint32_t reorder_frames);
  [[nodiscard]] int64_t missing_before(int64_t place) const;
  base::Result<Times> conflict(const Picture& picture, int64_t poc, int64_t pts);

  std::optional<int64_t> last_dts_;
  bool distrust_reorder_ = false;  // the SPS says that nothing is reordered, and it is

  // 8.2.1.1, of the previous reference picture.
  int64_t previous_poc_msb_ = 0;
  int64_t previous_poc_lsb_ = 0;

  int64_t poc_step_ = 2;
  int64_t poc_gcd_ = 0;         // of all counts since the last IDR
  uint32_t gave_up_ = 0;        // pictures awaited in vain since the last IDR
  int64_t leading_ = 0;         // how many pictures may be shown before the IDR that they follow
  int64_t next_shown_ = 0;      // place of the first picture not arrived, in the order of showing
  std::vector<int64_t> ahead_;  // places after it that have arrived, sorted
  std::optional<int64_t> last_place_;
  int64_t last_pts_ = 0;
  int64_t ticks_a_place_ = 0;
};

}  // namespace miharu::media::h264
