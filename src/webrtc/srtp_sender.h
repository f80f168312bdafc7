// Protects the RTP and RTCP that we send: SRTP and SRTCP of RFC 3711 with AES_CM_128_HMAC_SHA1_80, and of
// RFC 7714 with AEAD_AES_128_GCM. No MKI, no key derivation rate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/live_count.h"
#include "webrtc/srtp_keys.h"

namespace miharu::webrtc {

// The session keys of one viewer, for any number of SSRCs. Of one thread at a time.
//
// Roll-over counters are the caller's: an extended sequence number is the packet index of RFC 3711 section
// 3.3.1, ROC * 2^16 + SEQ, 48 bits, which begins with a ROC of 0. A packet that is sent again under its
// number becomes the same bytes again. One number of one SSRC must never be given other bytes: that would
// break AES-GCM for the whole session (RFC 7714 section 9.1, nonce reuse).
//
// There are no errors by value: what could fail is a broken promise of the caller (room, sequence number) or
// memory that is not there, and both abort.
class SrtpSender {
 public:
  static constexpr size_t kMostRtpOverhead = 16;
  static constexpr size_t kMostRtcpOverhead = 20;

  SrtpSender(SrtpProfile profile, const SrtpMaster& send);
  SrtpSender(SrtpSender&&) noexcept;
  SrtpSender& operator=(SrtpSender&&) noexcept;
  ~SrtpSender();

  // Bytes that protection adds to a packet.
  [[nodiscard]] size_t rtp_overhead() const;
  [[nodiscard]] size_t rtcp_overhead() const;

  // Writes header, encrypted payload and tag to `out`, which needs room for all three, and returns their
  // size. `header` is the whole of it: fixed part with the low 16 bits of `extended_sequence`, CSRCs and
  // extension. `payload` is read only, so it may be shared by many viewers; it must not overlap `out`, unless
  // it is exactly in its place there, behind the header. The same holds for the header.
  size_t protect(uint64_t extended_sequence, base::ByteView header, base::ByteView payload,
                 std::span<std::byte> out);

  // In place: the packet is the first `packet_bytes` of `buffer`, and room for the tag follows.
  // `packet_bytes` is at least the size of its own header.
  size_t protect(uint64_t extended_sequence, std::span<std::byte> buffer, size_t packet_bytes);

  // In place, a compound or reduced-size RTCP packet of at least 8 bytes; the SRTCP index is counted inside.
  size_t protect_rtcp(std::span<std::byte> buffer, size_t packet_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
  [[no_unique_address]] base::LiveCount<SrtpSender> counted_;
};

}  // namespace miharu::webrtc
