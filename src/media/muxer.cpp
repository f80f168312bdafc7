#include "media/muxer.h"

namespace miharu::media {

int64_t rescale_ticks(int64_t ticks, int64_t from, int64_t to) {
  // Whole seconds apart from the rest: nanoseconds from the epoch times a clock rate do not fit in 64 bits.
  int64_t whole = ticks / from;
  int64_t rest = ticks % from;
  if (rest < 0) {
    rest += from;
    --whole;
  }
  return whole * to + (rest * to + from / 2) / from;
}

}  // namespace miharu::media
