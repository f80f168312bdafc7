// The forms that values of miharu.toml have inside their quotes.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::app {

// A camera's address: one of the schemes we know, with a host where the scheme has one. User and password in
// it are refused, and no error shows it: it may hold a password in a place where we do not look for one.
base::Status check_camera_url(std::string_view url);
// SHA-256 in hex; colons and blanks between the digits are allowed.
base::Status check_fingerprint(std::string_view text);
// Takes "user:password@" out of `url`, percent-decoded. Both stay empty when there is none.
void take_credentials(std::string& url, std::string& user, std::string& password);
// "/cameras"; "" and "/" become "".
base::Result<std::string> parse_base_path(std::string_view text);
base::Status check_address(std::string_view text);     // IPv4 or IPv6
base::Status check_network(std::string_view text);     // the same, or with a prefix length: 10.0.0.0/8
base::Status check_store_url(std::string_view text);   // s3://bucket/prefix
base::Status check_relay_name(std::string_view text);  // a folder of the bucket that is not miharu's own
base::Status check_http_url(std::string_view text);    // https://host[:port]
// "stun:host:port" for scheme "stun"; also "stuns", and the same for "turn".
base::Status check_ice_url(std::string_view text, std::string_view scheme);

}  // namespace miharu::app
