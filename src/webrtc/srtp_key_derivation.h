// Session keys from master keys (RFC 3711 section 4.3, key derivation rate 0; RFC 7714 section 11).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "webrtc/srtp_keys.h"

namespace miharu::webrtc {

enum class SrtpStream : uint8_t { kRtp, kRtcp };

struct SrtpSessionKeys {
  std::array<std::byte, 16> cipher{};
  std::array<std::byte, 20> authentication{};  // AES_CM_128_HMAC_SHA1_80 only
  std::array<std::byte, 14> salt{};            // AES-GCM uses the first 12 bytes

  SrtpSessionKeys() = default;
  SrtpSessionKeys(const SrtpSessionKeys&) = default;
  SrtpSessionKeys& operator=(const SrtpSessionKeys&) = default;
  ~SrtpSessionKeys();  // wipes them
};

SrtpSessionKeys derive_session_keys(const SrtpMaster& master, SrtpStream stream);

}  // namespace miharu::webrtc
