// RTCP (RFC 3550 section 6): what a camera reports, the receiver reports that some cameras need to go on
// sending, and what a viewer asks for (RFC 4585).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "media/rtp.h"

namespace miharu::media {

// RFC 3550 6.4.1, one reception report block.
struct RtcpReportBlock {
  uint32_t ssrc = 0;
  uint8_t fraction_lost = 0;  // of 256, since the report before
  int32_t cumulative_lost = 0;
  uint32_t highest_sequence = 0;     // with the count of cycles in the upper half
  uint32_t jitter = 0;               // ticks
  uint32_t last_sr = 0;              // middle 32 bits of the NTP time of the last sender report, 0 = none
  uint32_t delay_since_last_sr = 0;  // 1/65536 s
};

struct RtcpSenderReport {
  uint32_t ssrc = 0;
  uint64_t ntp = 0;  // seconds since 1900, 32.32 fixed point
  uint32_t rtp_timestamp = 0;
  uint32_t packets = 0;
  uint32_t octets = 0;
};

// Called by parse_rtcp during the call. Views are valid during the call only.
class RtcpListener {
 public:
  virtual ~RtcpListener() = default;
  virtual void on_sender_report(const RtcpSenderReport&) {}
  virtual void on_receiver_report(uint32_t /*reporter_ssrc*/) {}
  virtual void on_report_block(uint32_t /*reporter_ssrc*/, const RtcpReportBlock&) {}
  virtual void on_cname(uint32_t /*ssrc*/, std::string_view /*cname*/) {}
  virtual void on_bye(uint32_t /*ssrc*/) {}
  // RFC 4585 6.2.1: `first` is missing, and first + 1 + i where bit i of `mask` is set.
  virtual void on_nack(uint32_t /*media_ssrc*/, uint16_t /*first*/, uint16_t /*mask*/) {}
  // RFC 4585 6.3.1 (PLI) and RFC 5104 4.3.1 (FIR): the receiver cannot go on without a key frame.
  virtual void on_key_frame_request(uint32_t /*media_ssrc*/) {}
};

// Reads a compound packet. Unknown packet types are skipped. A packet that breaks its format ends the parse
// with an error; those before it have been reported by then.
base::Status parse_rtcp(base::ByteView bytes, RtcpListener& listener);

// Appends a receiver report (at most 31 blocks are taken) and an SDES with the CNAME (at most 255 bytes are
// taken).
void append_receiver_report(base::ByteVector& out, uint32_t own_ssrc, std::span<const RtcpReportBlock> blocks,
                            std::string_view cname);
// Appends a sender report without blocks and an SDES with the CNAME (at most 255 bytes are taken).
void append_sender_report(base::ByteVector& out, const RtcpSenderReport& report, std::string_view cname);
// Appends a BYE for `own_ssrc`.
void append_bye(base::ByteVector& out, uint32_t own_ssrc);

// What one receiver knows of one sender's stream (RFC 3550 A.1, A.3, A.8). Not thread-safe.
class ReceptionStats {
 public:
  // `clock_rate` in ticks a second, not 0.
  ReceptionStats(uint32_t ssrc, uint32_t clock_rate) : ssrc_(ssrc), clock_rate_(clock_rate) {}

  // Every packet as it arrives, duplicates and late ones too.
  void on_packet(const RtpPacket& packet, base::SteadyTime arrival);
  void on_sender_report(const RtcpSenderReport& report, base::SteadyTime arrival);

  [[nodiscard]] uint32_t ssrc() const { return ssrc_; }
  [[nodiscard]] uint64_t received() const { return received_; }
  [[nodiscard]] int64_t lost() const {
    return static_cast<int64_t>(expected()) - static_cast<int64_t>(received_);
  }
  // The block for a report sent now; begins the next interval of `fraction_lost`.
  [[nodiscard]] RtcpReportBlock report(base::SteadyTime now);

 private:
  [[nodiscard]] uint64_t expected() const;

  uint32_t ssrc_;
  uint32_t clock_rate_;
  SequenceUnwrapper sequence_;
  int64_t first_sequence_ = 0;
  int64_t highest_sequence_ = 0;
  uint64_t received_ = 0;
  uint64_t expected_before_ = 0;
  uint64_t received_before_ = 0;
  uint32_t last_transit_ = 0;
  uint32_t jitter_x16_ = 0;
  uint32_t last_sr_ = 0;
  base::SteadyTime last_sr_arrival_{};
};

}  // namespace miharu::media
