// AWS Signature Version 4 (Amazon S3 API Reference, "Authenticating Requests"): who sent a request, and that
// it is whole. Pure functions: no socket, no clock.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/secret.h"

namespace miharu::s3 {

struct Credentials {
  std::string access_key;
  base::Secret secret_key;
  std::string session_token;  // of a role; empty for lasting keys
};

struct SigningScope {
  std::string region;
  std::string service = "s3";
};

using NameValues = std::vector<std::pair<std::string, std::string>>;

// A request as the signer sees it. Paths are not normalised, as S3 wants it.
struct SignedParts {
  std::string method = "GET";
  std::string path = "/";  // percent-encoded, as it goes over the wire
  NameValues query;        // decoded
  NameValues headers;      // all that are to be signed, Host and X-Amz-Date among them
  std::string payload;     // hex SHA-256 of the body, or kUnsignedPayload
};

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";
inline constexpr std::string_view kEmptyPayload =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
// Presigned URLs of S3 hold for so long at most.
inline constexpr std::chrono::seconds kLongestPresigned{7 * 24 * 3600};

std::string sha256_hex(base::ByteView bytes);
std::string amz_date(base::UtcTime time);  // "20150830T123600Z"
// "name=value&...", encoded and sorted as it is signed; servers take it in this order too.
std::string canonical_query(const NameValues& query);
std::string canonical_request(const SignedParts& parts);
// The value of the Authorization field.
std::string authorization(const SignedParts& parts, const SigningScope& scope, const Credentials& credentials,
                          base::UtcTime time);
// The whole query of a presigned URL: `parts` has the query so far and the headers that whoever uses the URL
// will send, Host at least.
std::string presigned_query(const SignedParts& parts, const SigningScope& scope,
                            const Credentials& credentials, base::UtcTime time, std::chrono::seconds expires);

}  // namespace miharu::s3
