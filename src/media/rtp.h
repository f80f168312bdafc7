// RTP packets as they come from a camera (RFC 3550 section 5.1), and the way out of their 16 and 32 bit
// counters.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace miharu::media {

// Views into the datagram or interleaved frame that was parsed; valid as long as that is.
struct RtpPacket {
  uint8_t payload_type = 0;
  bool marker = false;
  uint16_t sequence = 0;
  uint32_t timestamp = 0;
  uint32_t ssrc = 0;
  base::ByteView payload;  // without CSRC list, header extension and padding; may be empty
};

// Errors (the packet is to be dropped and counted, quirk P7): version other than 2, shorter than its header,
// extension past the end, more padding than there is payload.
base::Result<RtpPacket> parse_rtp(base::ByteView bytes);

// Turns a counter that wraps into one that does not, by the shortest way from the value before: a step of
// less than half the range either way is taken as such. The first value keeps its number.
template <class Counter, class Signed>
class Unwrapper {
 public:
  int64_t unwrap(Counter value) {
    if (!last_) {
      last_ = value;
    } else {
      *last_ += static_cast<Signed>(static_cast<Counter>(value - static_cast<Counter>(*last_)));
    }
    return *last_;
  }
  // What unwrap() would return, without becoming the value before.
  [[nodiscard]] int64_t peek(Counter value) const {
    if (!last_) return value;
    return *last_ + static_cast<Signed>(static_cast<Counter>(value - static_cast<Counter>(*last_)));
  }
  [[nodiscard]] std::optional<int64_t> last() const { return last_; }
  void reset() { last_.reset(); }

 private:
  std::optional<int64_t> last_;
};

using SequenceUnwrapper = Unwrapper<uint16_t, int16_t>;
using TimestampUnwrapper = Unwrapper<uint32_t, int32_t>;

}  // namespace miharu::media
