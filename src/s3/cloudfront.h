// What opens private files at Amazon CloudFront: a policy signed with RSA and SHA-1, as cookies or in the
// query (Amazon CloudFront Developer Guide, "Serve private content with signed URLs and signed cookies").
// Pure functions but for the key.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"

struct evp_pkey_st;

namespace miharu::s3 {

// The three texts as they stand in cookies and in queries.
struct CloudFrontGrant {
  std::string policy;
  std::string signature;
  std::string key_id;

  // "Policy=...&Signature=...&Key-Pair-Id=..."
  [[nodiscard]] std::string query() const;
};

// One statement: that resource ("https://site/media/*"; * and ? stand for anything) until that time, to the
// second.
std::string cloudfront_policy(std::string_view resource, base::UtcTime until);

// Immutable, thread-safe.
class CloudFrontSigner {
 public:
  // `key_id` is CloudFront's name of the public key. kInvalid when `pem` is no RSA private key.
  static base::Result<CloudFrontSigner> make(std::string key_id, const base::Secret& pem);
  // Half a millisecond for 2048 bits.
  [[nodiscard]] base::Result<CloudFrontGrant> grant(std::string_view resource, base::UtcTime until) const;

 private:
  std::string key_id_;
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace miharu::s3
