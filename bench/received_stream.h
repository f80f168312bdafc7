// What one viewer saw of one RTP stream, from the headers of its packets, which are not encrypted.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "media/rtcp.h"

namespace miharu::bench {

// What is counted of all viewers together.
struct Counts {
  uint64_t packets = 0;  // duplicates too
  uint64_t bytes = 0;    // of UDP payload
  uint64_t video_packets = 0;
  int64_t lost = 0;  // as of now: a packet that comes late is no longer lost
  uint64_t duplicate = 0;
  uint64_t reordered = 0;
  uint64_t frames = 0;
  uint64_t gaps_over_200_ms = 0;
  uint64_t freezes_over_500_ms = 0;
  base::SteadyTime::duration longest_gap{};
  uint64_t retransmitted = 0;
  uint64_t checked = 0;
  uint64_t not_authentic = 0;
};

class ReceivedStream {
 public:
  explicit ReceivedStream(uint32_t clock_rate) : clock_rate_(clock_rate) {}

  // False for a duplicate.
  bool on_packet(const media::RtpPacket& packet, base::SteadyTime now, Counts& counts);
  [[nodiscard]] media::ReceptionStats* stats() { return stats_ ? &*stats_ : nullptr; }

 private:
  // Later than this, a packet counts as lost, and as a duplicate when it comes.
  static constexpr int64_t kWindow = 4096;

  uint32_t clock_rate_;
  std::optional<media::ReceptionStats> stats_;
  media::SequenceUnwrapper sequence_;
  int64_t highest_ = -1;
  std::bitset<kWindow> seen_;
};

}  // namespace miharu::bench
