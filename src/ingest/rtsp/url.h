// RTSP URLs as users write them. How cameras repeat them (Content-Base, control) is media/sdp.h's matter.
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::ingest::rtsp {

struct Url {
  bool tls = false;      // rtsps
  std::string user;      // percent-decoded once (quirk A6)
  std::string password;  // the same
  std::string host;      // without brackets
  uint16_t port = 554;   // 322 for rtsps (RFC 7826 section 22)
  std::string request;   // the URL without credentials and otherwise byte for byte: what goes on the wire

  [[nodiscard]] std::string host_and_port() const;
};

// What a user gives: the scheme must be rtsp or rtsps, the host must be there.
base::Result<Url> parse_url(std::string_view text);

}  // namespace miharu::ingest::rtsp
