// Fingerprint of a certificate as in SDP: "sha-256 AB:CD:..." (RFC 8122 section 5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

namespace miharu::webrtc {

struct Fingerprint {
  enum class Hash : uint8_t { kSha256, kSha384, kSha512 };
  Hash hash = Hash::kSha256;
  base::ByteVector digest;

  // What follows "a=fingerprint:". Letters of either case. SHA-1 and older are refused (kUnsupported), so
  // that whoever offers several can be asked for the next one.
  static base::Result<Fingerprint> parse(std::string_view text);
  // Of a certificate in DER.
  static Fingerprint of(base::ByteView certificate, Hash hash = Hash::kSha256);

  [[nodiscard]] std::string to_string() const;
  bool operator==(const Fingerprint&) const = default;
};

}  // namespace miharu::webrtc
