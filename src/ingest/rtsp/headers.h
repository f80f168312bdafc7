// Values of RTSP headers as cameras write them. Pure; tolerant in reading, bounded in size.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace miharu::ingest::rtsp {

// "key=value" or "key" parts between `separator`s; keys in lower case, quotes taken off, separators inside
// quotes are text. At most 64 parts.
std::vector<std::pair<std::string, std::string>> parse_key_values(std::string_view text, char separator);

// RFC 2326 section 12.39, and what is made of it (quirks T1, P1).
struct Transport {
  using Ports = std::pair<uint16_t, uint16_t>;
  bool tcp = false;     // by `interleaved=` as well as by "/TCP"
  bool secure = false;  // RTP/SAVP
  bool multicast = false;
  std::optional<std::pair<uint8_t, uint8_t>> interleaved;  // of RTP and RTCP; a single n means n and n+1
  std::optional<Ports> client_port;
  std::optional<Ports> server_port;
  std::optional<Ports> port;  // multicast
  std::string source;
  std::string destination;
  std::optional<uint32_t> ssrc;  // a hint at most
  std::optional<unsigned> ttl;
  std::string mode;  // "play" or "record"
};
base::Result<Transport> parse_transport(std::string_view text);

// RFC 2326 section 12.37. A timeout that is not a number counts as absent.
struct SessionHeader {
  std::string id;
  std::optional<uint32_t> timeout_s;
};
base::Result<SessionHeader> parse_session(std::string_view text);

// RFC 2326 section 12.33. A hint at most (quirk P3).
struct RtpInfo {
  std::string url;
  std::optional<uint16_t> sequence;
  std::optional<uint32_t> rtp_time;
  std::optional<uint32_t> ssrc;
};
std::vector<RtpInfo> parse_rtp_info(std::string_view text);  // at most 16

// The methods of a Public header, in upper case; at most 32.
std::vector<std::string> parse_public(std::string_view text);

// One offer of a WWW-Authenticate header (RFC 7616 section 3.3, RFC 7617); a header may hold several (quirk
// A4).
struct Challenge {
  std::string scheme;  // lower case: "basic", "digest", or one that we do not know
  std::string realm;   // as between the quotes: escapes are left, so that it can be repeated
  std::string nonce;
  std::optional<std::string> opaque;
  std::optional<std::string> algorithm;  // as written
  bool qop_auth = false;
  bool stale = false;
};
std::vector<Challenge> parse_challenges(std::string_view header);  // at most 8

}  // namespace miharu::ingest::rtsp
