// What a DTLS handshake leaves for SRTP (RFC 5764 section 4.2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace miharu::webrtc {

enum class SrtpProfile : uint8_t {
  kAeadAes128Gcm,    // RFC 7714: 16 bytes of tag on RTP
  kAesCm128Sha1_80,  // RFC 3711: 10 bytes
};
// The names of RFC 5764 and RFC 7714, as OpenSSL spells them.
constexpr std::string_view name_of(SrtpProfile profile) {
  return profile == SrtpProfile::kAeadAes128Gcm ? "SRTP_AEAD_AES_128_GCM" : "SRTP_AES128_CM_SHA1_80";
}
constexpr size_t salt_bytes(SrtpProfile profile) {
  return profile == SrtpProfile::kAeadAes128Gcm ? 12 : 14;
}

// One direction. Of a salt for AES-GCM the last two bytes are zero: RFC 7714 section 11 derives from it so.
struct SrtpMaster {
  std::array<std::byte, 16> key{};
  std::array<std::byte, 14> salt{};

  bool operator==(const SrtpMaster&) const = default;
};

struct SrtpKeys {
  SrtpProfile profile = SrtpProfile::kAeadAes128Gcm;
  SrtpMaster send;
  SrtpMaster receive;
};

}  // namespace miharu::webrtc
