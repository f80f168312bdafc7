// STUN and TURN servers as viewers are told: Link header fields (WHEP, RFC 9725 section 4.6), with
// credentials that end by themselves (coturn: use-auth-secret).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/secret.h"

namespace miharu::webrtc {

struct TurnCredentials {
  std::string username;   // "<Unix time of the end>:<name>"
  base::Secret password;  // base64 of HMAC-SHA1(secret, username)
};
// `name` tells the TURN server's log who it is; anything but letters, digits, '-', '_' and '.' becomes '_'.
TurnCredentials make_turn_credentials(const base::Secret& secret, std::string_view name,
                                      base::UtcTime expires);

struct IceServers {
  std::vector<std::string> stun;  // "stun:host:port"
  std::vector<std::string> turn;  // "turn:host:port?transport=udp"; all share the secret
  base::Secret turn_secret;
};

// How long a viewer may use the credentials: allocations are refreshed with them, so as long as one watches.
inline constexpr std::chrono::hours kTurnCredentialsLife{12};

// Values of Link fields, one a server.
std::vector<std::string> ice_server_links(const IceServers& servers, std::string_view name,
                                          base::UtcTime now);

}  // namespace miharu::webrtc
