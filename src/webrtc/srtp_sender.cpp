#include "webrtc/srtp_sender.h"

#include "base/check.h"
#include "webrtc/srtp_cipher.h"
#include "webrtc/srtp_key_derivation.h"

namespace miharu::webrtc {
namespace {

// RFC 3550 section 5.1, of a packet that we made.
size_t rtp_header_bytes(base::ByteView packet) {
  base::ByteReader in(packet);
  const unsigned first = in.u8();
  in.skip(11 + size_t{first & 15} * 4);
  if ((first & 0x10) != 0) {
    in.skip(2);
    in.skip(size_t{in.u16()} * 4);
  }
  CHECK(in.ok());
  return in.position();
}

}  // namespace

struct SrtpSender::State {
  State(SrtpProfile profile, const SrtpMaster& master)
      : rtp(profile, derive_session_keys(master, SrtpStream::kRtp)),
        rtcp(profile, derive_session_keys(master, SrtpStream::kRtcp)) {}

  SrtpCipher rtp;
  SrtpCipher rtcp;
  // RFC 3711 section 9.2 allows 2^31 for a key; at one in a millisecond that would be 24 days of RTCP.
  uint32_t rtcp_index = 0;
};

SrtpSender::SrtpSender(SrtpProfile profile, const SrtpMaster& send)
    : state_(std::make_unique<State>(profile, send)) {}
SrtpSender::SrtpSender(SrtpSender&&) noexcept = default;
SrtpSender& SrtpSender::operator=(SrtpSender&&) noexcept = default;
SrtpSender::~SrtpSender() = default;

size_t SrtpSender::rtp_overhead() const {
  return state_->rtp.tag_bytes();
}
size_t SrtpSender::rtcp_overhead() const {
  return state_->rtcp.tag_bytes() + SrtpCipher::kRtcpIndexBytes;
}

size_t SrtpSender::protect(uint64_t extended_sequence, base::ByteView header, base::ByteView payload,
                           std::span<std::byte> out) {
  return state_->rtp.protect_rtp(extended_sequence, header, payload, out);
}

size_t SrtpSender::protect(uint64_t extended_sequence, std::span<std::byte> buffer, size_t packet_bytes) {
  const base::ByteView packet = buffer.first(packet_bytes);
  const size_t header_bytes = rtp_header_bytes(packet);
  return protect(extended_sequence, packet.first(header_bytes), packet.subspan(header_bytes), buffer);
}

size_t SrtpSender::protect_rtcp(std::span<std::byte> buffer, size_t packet_bytes) {
  return state_->rtcp.protect_rtcp(state_->rtcp_index++, buffer, packet_bytes);
}

}  // namespace miharu::webrtc
