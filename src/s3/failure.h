// What a store's refusal means, and what to do about it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "net/http_client.h"

namespace miharu::s3 {

enum class Fault : uint8_t {
  kNetwork,    // no answer, or half of one
  kBusy,       // 503 SlowDown, 5xx, 429: later
  kConflict,   // 409: another request for the same key is under way
  kExists,     // 412: the key is taken
  kNoKey,      // there is no such object
  kNoBucket,   // there is no such bucket
  kForbidden,  // the credentials do not allow it. Without the right to list, AWS says so of missing keys too
  kCredentials,  // the credentials themselves are wrong or expired
  kSkew,         // our clock is too far from the store's
  kChecksum,     // the body is not what was signed
  kRegion,       // the bucket is elsewhere
  kFull,         // quota
  kOther,
};
std::string_view name_of(Fault fault);  // lower case, for metrics and JSON

struct Failure {
  Fault fault = Fault::kOther;
  unsigned status = 0;                // 0: no answer
  std::string code;                   // as the store names it: "SlowDown"
  std::string message;                // the store's words, or those of the failed connection
  std::string request_id;             // for the store's operator
  std::string region;                 // where the bucket is, when the store says so
  std::optional<base::UtcTime> date;  // the store's clock

  // Worth trying again without anybody doing anything.
  [[nodiscard]] bool passes_by_itself() const;
  // For a person: what happened, and what to do.
  [[nodiscard]] base::Error error() const;
};

template <class T>
using Outcome = tl::expected<T, Failure>;

// Of a reply whose status is not what was hoped for: by status, then by the code in its body.
Failure classify(const net::HttpReply& reply);
Failure classify(const base::Error& error);  // no reply

// "Sat, 21 Nov 2026 15:50:59 GMT" (RFC 9110 section 5.6.7; the preferred form alone).
std::optional<base::UtcTime> parse_http_date(std::string_view text);

}  // namespace miharu::s3
