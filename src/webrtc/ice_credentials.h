// The name and password of one side of an ICE session (RFC 8445 section 5.3, RFC 8839 section 5.4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"

namespace miharu::webrtc {

struct IceCredentials {
  std::string ufrag;
  base::Secret password;
};

constexpr unsigned kMaxIceOwners = 4096;

// New credentials of ours: a ufrag of 12 characters that carries `owner` (the index of the thread that owns
// the session, below kMaxIceOwners) and 60 random bits, and a password of 24 characters with 144 random bits.
IceCredentials make_ice_credentials(unsigned owner);

// The owner in a ufrag of ours; nothing when it has not the form of one.
std::optional<unsigned> owner_of_ufrag(std::string_view ufrag);

// What a peer's session description may have: ufrag of 4 to 256 characters, password of 22 to 256, all of
// letters, digits, '+' and '/'. Error: kMalformed, without the password in its text.
base::Status check_ice_credentials(const IceCredentials& remote);

}  // namespace miharu::webrtc
