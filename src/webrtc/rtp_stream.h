// One track to one viewer: numbers, stamps and encrypts packets whose payload is shared, and remembers what
// it sent, so that it can be sent again.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "media/rtcp.h"
#include "webrtc/packet_batch.h"
#include "webrtc/srtp_sender.h"
#include "webrtc/unit_ring.h"

namespace miharu::webrtc {

struct RtpStreamOptions {
  uint32_t ssrc = 0;
  uint8_t payload_type = 0;
  struct Rtx {  // RFC 4588
    uint32_t ssrc = 0;
    uint8_t payload_type = 0;
  };
  std::optional<Rtx> rtx;
  uint32_t clock_rate = kVideoClockRate;
  // Random (RFC 3550 5.1): the RTP time of the steady clock's zero, and the first sequence numbers (below
  // 2^15: a receiver that misses the first packets guesses the roll-over counter right).
  uint32_t timestamp_offset = 0;
  uint16_t first_sequence = 0;
  uint16_t rtx_first_sequence = 0;
  // The abs-capture-time extension; none was negotiated where it is 0.
  uint8_t capture_time_id = 0;
  // NTP time (32.32) of the steady clock's zero: one for both tracks of a viewer and for its whole life.
  uint64_t ntp_of_zero = 0;
};

uint64_t to_ntp(base::nanoseconds time);  // a duration in 32.32 fixed point
// NTP time (RFC 5905) of the steady clock's zero.
uint64_t ntp_of_steady_zero(const base::Clock& clock);

struct RtpCounters {
  uint64_t packets = 0;  // repairs too
  uint64_t bytes = 0;    // of them, UDP payload
};

// Not thread-safe. `srtp` must outlive it.
class RtpStream {
 public:
  // Without RTX the very same packet is sent again, which only is one for the receiver's replay window if it
  // is not too old.
  static constexpr uint64_t kSameAgain = 512;

  RtpStream(const RtpStreamOptions& options, SrtpSender& srtp);

  [[nodiscard]] uint32_t timestamp(int64_t ticks) const {
    return options_.timestamp_offset + static_cast<uint32_t>(ticks);
  }
  // The packets from `first` on of a unit, at most so many that their payloads stay within `budget_bytes`,
  // but one at least. Returns the index behind the last that was sent. `number` is that of the ring, by which
  // a retransmission finds the unit; sound has none.
  size_t send(const RtpUnit& unit, uint64_t number, uint32_t timestamp, size_t first, size_t budget_bytes,
              PacketBatch& batch);
  // Whether the packet of this sequence number can be sent again.
  [[nodiscard]] bool holds(uint16_t sequence, const UnitRing& ring) const {
    return find(sequence, ring).has_value();
  }
  // Sends the packet of this sequence number again. Returns its bytes, 0 when it is not to be had any more.
  size_t resend(uint16_t sequence, const UnitRing& ring, PacketBatch& batch);

  // RFC 3550 6.4.1, for a report made at `now`.
  [[nodiscard]] media::RtcpSenderReport report(base::SteadyTime now) const;

  [[nodiscard]] const RtpStreamOptions& options() const { return options_; }
  [[nodiscard]] uint64_t packets() const { return packets_; }
  [[nodiscard]] const RtpCounters& counters() const { return counters_; }
  [[nodiscard]] bool started() const { return packets_ > 0; }

 private:
  // Packets of one unit with sequence numbers in succession.
  struct Sent {
    uint64_t sequence = 0;
    uint64_t unit = 0;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t timestamp = 0;
  };
  struct Place {
    const Sent* sent = nullptr;
    uint64_t sequence = 0;
    const RtpUnit* unit = nullptr;
  };
  [[nodiscard]] std::optional<Place> find(uint16_t sequence, const UnitRing& ring) const;
  void remember(const Sent& sent);
  size_t write(const RtpUnit& unit, size_t index, uint32_t timestamp, uint64_t sequence, PacketBatch& batch);
  std::span<std::byte> take(size_t size, PacketBatch& batch);
  size_t write_header(std::span<std::byte, kMaxRtpHeaderBytes> out, uint8_t payload_type, bool marker,
                      uint64_t sequence, uint32_t timestamp, uint32_t ssrc, base::SteadyTime capture) const;

  RtpStreamOptions options_;
  SrtpSender& srtp_;
  uint64_t next_;
  uint64_t rtx_next_;
  std::deque<Sent> sent_;
  uint64_t packets_ = 0;
  uint64_t octets_ = 0;
  RtpCounters counters_;
};

}  // namespace miharu::webrtc
