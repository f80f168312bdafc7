// Basic (RFC 7617) and Digest (RFC 7616, RFC 2069) for RTSP. Pure but for the client nonce's randomness.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "ingest/rtsp/headers.h"

namespace miharu::ingest::rtsp {

// One connection's credentials and what the camera asked for last. The password leaves it inside
// authorization() only.
class Authenticator {
 public:
  Authenticator(std::string user, std::string password)
      : user_(std::move(user)), password_(std::move(password)) {}

  [[nodiscard]] bool has_credentials() const { return !user_.empty() || !password_.empty(); }

  // Chooses the strongest offer that we know of all WWW-Authenticate headers of a reply (quirk A1): Digest
  // SHA-256, Digest MD5, Basic. An error (kUnsupported) names what was offered.
  base::Status accept(const std::vector<std::string_view>& headers);
  // The password goes over the wire as it is; on a connection without TLS that is worth telling (quirk A1).
  [[nodiscard]] bool is_basic() const { return challenge_ && challenge_->scheme == "basic"; }
  [[nodiscard]] const std::optional<Challenge>& challenge() const { return challenge_; }

  // The Authorization header's value for a request, whose URL goes in exactly as on the request line (quirk
  // A3). Empty while the camera has asked for nothing.
  std::string authorization(std::string_view method, std::string_view request_url);

  // For tests: the next client nonce.
  void set_client_nonce(std::function<std::string()> make) { make_client_nonce_ = std::move(make); }

 private:
  std::string user_;
  std::string password_;
  std::optional<Challenge> challenge_;
  uint32_t nonce_count_ = 0;
  std::function<std::string()> make_client_nonce_;
};

}  // namespace miharu::ingest::rtsp
