#include "ingest/rtsp/auth.h"

#include <array>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"

namespace miharu::ingest::rtsp {

namespace {

std::string hash_hex(const EVP_MD* type, std::string_view text) {
  std::array<std::byte, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(out.data()), &size, type,
                   nullptr) == 1);
  return base::to_hex(base::ByteView(out).first(size));
}

std::string random_nonce() {
  std::array<std::byte, 16> bytes{};
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size())) == 1);
  return base::to_hex(bytes);
}

std::string quoted_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

// 0 = not usable.
int strength(const Challenge& challenge) {
  if (challenge.scheme == "basic") return 1;
  if (challenge.scheme != "digest" || challenge.nonce.empty()) return 0;
  const std::string algorithm = base::to_lower(challenge.algorithm.value_or("MD5"));
  if (algorithm.empty() || algorithm == "md5") return 2;
  return algorithm == "sha-256" || algorithm == "sha256" ? 3 : 0;
}

}  // namespace

base::Status Authenticator::accept(const std::vector<std::string_view>& headers) {
  std::optional<Challenge> best;
  std::string offered;
  for (const std::string_view header : headers) {
    for (Challenge& challenge : parse_challenges(header)) {
      offered += (offered.empty() ? "" : ", ") + challenge.scheme;
      if (challenge.algorithm) offered += " " + *challenge.algorithm;
      if (strength(challenge) > (best ? strength(*best) : 0)) best = std::move(challenge);
    }
  }
  if (!best) {
    return base::fail(base::Errc::kUnsupported,
                      offered.empty()
                          ? "the camera asks for a password but not how to send it"
                          : "the camera asks for a login that is not supported: " + offered.substr(0, 200));
  }
  challenge_ = std::move(best);
  nonce_count_ = 0;
  return {};
}

std::string Authenticator::authorization(std::string_view method, std::string_view request_url) {
  if (!challenge_) return {};
  if (is_basic()) return "Basic " + base::to_base64(base::as_bytes(user_ + ":" + password_));

  const EVP_MD* type = strength(*challenge_) == 3 ? EVP_sha256() : EVP_md5();
  const std::string secret = hash_hex(type, fmt::format("{}:{}:{}", user_, challenge_->realm, password_));
  const std::string request = hash_hex(type, fmt::format("{}:{}", method, request_url));
  std::string tail;
  std::string response;
  if (challenge_->qop_auth) {
    const std::string count = fmt::format("{:08x}", ++nonce_count_);
    const std::string client_nonce = make_client_nonce_ ? make_client_nonce_() : random_nonce();
    response = hash_hex(
        type, fmt::format("{}:{}:{}:{}:auth:{}", secret, challenge_->nonce, count, client_nonce, request));
    tail = fmt::format(", qop=auth, nc={}, cnonce=\"{}\"", count, client_nonce);
  } else {
    response = hash_hex(type, fmt::format("{}:{}:{}", secret, challenge_->nonce, request));
  }
  std::string out =
      fmt::format("Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{}\"",
                  quoted_text(user_), challenge_->realm, challenge_->nonce, request_url, response);
  if (challenge_->opaque) out += fmt::format(", opaque=\"{}\"", *challenge_->opaque);
  if (challenge_->algorithm) out += fmt::format(", algorithm=\"{}\"", *challenge_->algorithm);
  return out + tail;
}

}  // namespace miharu::ingest::rtsp
