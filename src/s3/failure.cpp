#include "s3/failure.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "s3/xml.h"

namespace miharu::s3 {
namespace {

using base::Errc;

struct CodeFault {
  std::string_view code;
  Fault fault;
};
// Codes of AWS, and those that others have in their place.
constexpr std::array kCodes = {
    CodeFault{"RequestTimeTooSkewed", Fault::kSkew},
    CodeFault{"BadDigest", Fault::kChecksum},
    CodeFault{"InvalidDigest", Fault::kChecksum},
    CodeFault{"XAmzContentChecksumMismatch", Fault::kChecksum},
    CodeFault{"XAmzContentSHA256Mismatch", Fault::kChecksum},
    CodeFault{"InvalidAccessKeyId", Fault::kCredentials},
    CodeFault{"InvalidClientTokenId", Fault::kCredentials},
    CodeFault{"SignatureDoesNotMatch", Fault::kCredentials},
    CodeFault{"ExpiredToken", Fault::kCredentials},
    CodeFault{"InvalidToken", Fault::kCredentials},
    CodeFault{"TokenRefreshRequired", Fault::kCredentials},
    CodeFault{"NoSuchBucket", Fault::kNoBucket},
    CodeFault{"InvalidBucketName", Fault::kNoBucket},
    CodeFault{"NoSuchKey", Fault::kNoKey},
    CodeFault{"PreconditionFailed", Fault::kExists},
    CodeFault{"PermanentRedirect", Fault::kRegion},
    CodeFault{"TemporaryRedirect", Fault::kRegion},
    CodeFault{"AuthorizationHeaderMalformed", Fault::kRegion},
    CodeFault{"IllegalLocationConstraintException", Fault::kRegion},
    CodeFault{"QuotaExceeded", Fault::kFull},
    CodeFault{"XMinioStorageFull", Fault::kFull},
    CodeFault{"XMinioAdminBucketQuotaExceeded", Fault::kFull},
    CodeFault{"InsufficientStorage", Fault::kFull},
    CodeFault{"SlowDown", Fault::kBusy},
    CodeFault{"ServiceUnavailable", Fault::kBusy},
    CodeFault{"InternalError", Fault::kBusy},
    CodeFault{"RequestTimeout", Fault::kBusy},
    CodeFault{"IncompleteBody", Fault::kNetwork},
};

Fault by_status(unsigned status) {
  switch (status) {
    case 301:
    case 307:
      return Fault::kRegion;
    case 401:
      return Fault::kCredentials;
    case 403:
      return Fault::kForbidden;
    case 404:
      return Fault::kNoKey;
    case 408:
    case 429:
      return Fault::kBusy;
    case 409:
      return Fault::kConflict;
    case 412:
      return Fault::kExists;
    case 507:
      return Fault::kFull;
    default:
      return status >= 500 ? Fault::kBusy : Fault::kOther;
  }
}

std::string_view advice(const Failure& failure) {
  switch (failure.fault) {
    case Fault::kNetwork:
      return "check this machine's connection, and [cloud] endpoint";
    case Fault::kBusy:
    case Fault::kConflict:
      return "it is tried again by itself";
    case Fault::kExists:
      return "the object is there already; nothing is ever overwritten";
    case Fault::kNoKey:
      return "there is no such object";
    case Fault::kNoBucket:
      return "make the bucket, or put its name right in [cloud] url";
    case Fault::kForbidden:
      return "the credentials do not allow it: give the relay's user the policy that lets it put objects "
             "below its "
             "own folder";
    case Fault::kCredentials:
      return "the credentials are wrong or no longer valid: put them right (environment, AWS files or "
             "[cloud] "
             "credentials_file) and start miharu again";
    case Fault::kSkew:
      return "this machine's clock is wrong: set it, and let NTP keep it";
    case Fault::kChecksum:
      return "the bytes changed on their way or on this disk; if it stays so, run `miharu verify`";
    case Fault::kRegion:
      return "the bucket is in another region: set [cloud] region";
    case Fault::kFull:
      return "the store is full: raise its quota, or delete old recordings there";
    case Fault::kOther:
      return "the store does not take it; ask its operator";
  }
  return {};
}

}  // namespace

std::string_view name_of(Fault fault) {
  constexpr std::array<std::string_view, 13> kNames = {
      "network",     "busy",  "conflict", "exists", "no_key", "no_bucket", "forbidden",
      "credentials", "clock", "checksum", "region", "full",   "other"};
  return kNames[static_cast<size_t>(fault)];
}

bool Failure::passes_by_itself() const {
  return fault == Fault::kNetwork || fault == Fault::kBusy || fault == Fault::kConflict;
}

base::Error Failure::error() const {
  Errc errc = Errc::kRefused;
  switch (fault) {
    case Fault::kNetwork:
    case Fault::kBusy:
    case Fault::kConflict:
      errc = Errc::kTimeout;
      break;
    case Fault::kExists:
      errc = Errc::kExists;
      break;
    case Fault::kNoKey:
    case Fault::kNoBucket:
      errc = Errc::kNotFound;
      break;
    case Fault::kForbidden:
      errc = Errc::kForbidden;
      break;
    case Fault::kCredentials:
      errc = Errc::kUnauthorized;
      break;
    case Fault::kFull:
      errc = Errc::kNoSpace;
      break;
    default:
      break;
  }
  std::string what = message;
  if (status != 0) {
    what = fmt::format("the store answered {}", status);
    if (!code.empty()) what += " " + code;
    if (!message.empty()) what += fmt::format(" (\"{}\")", message);
  }
  std::string to_do(advice(*this));
  if (fault == Fault::kRegion && !region.empty()) to_do += fmt::format(" = \"{}\"", region);
  if (fault == Fault::kSkew && date)
    to_do += fmt::format(" (the store's says {})", base::format_rfc3339(*date));
  return {errc, fmt::format("{}; {}", what, to_do), -1};
}

Failure classify(const net::HttpReply& reply) {
  const ErrorText text = parse_error(reply.body);
  Failure failure;
  failure.status = reply.status;
  failure.fault = by_status(reply.status);
  failure.code = text.code;
  failure.message = text.message;
  failure.request_id =
      text.request_id.empty() ? std::string(reply.header("x-amz-request-id")) : text.request_id;
  failure.region = text.region.empty() ? std::string(reply.header("x-amz-bucket-region")) : text.region;
  failure.date = parse_http_date(reply.header("date"));
  const auto known = std::ranges::find(kCodes, std::string_view(failure.code), &CodeFault::code);
  // A proxy in between may answer 5xx with anything in it: then the status counts.
  if (known != kCodes.end() && (reply.status < 500 || known->fault == Fault::kFull))
    failure.fault = known->fault;
  return failure;
}

Failure classify(const base::Error& error) {
  Failure failure;
  failure.fault =
      error.code == Errc::kTruncated || error.code == Errc::kLimit ? Fault::kOther : Fault::kNetwork;
  failure.message = error.text;
  return failure;
}

std::optional<base::UtcTime> parse_http_date(std::string_view text) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  if (text.size() != 29 || text.substr(3, 2) != ", " || !text.ends_with(" GMT")) return std::nullopt;
  const auto number = [text](size_t at, size_t count) {
    return base::parse_number<unsigned>(text.substr(at, count));
  };
  const auto day = number(5, 2);
  const auto year = number(12, 4);
  const auto hour = number(17, 2);
  const auto minute = number(20, 2);
  const auto second = number(23, 2);
  const auto month = std::ranges::find(kMonths, text.substr(8, 3));
  if (!day || !year || !hour || !minute || !second || month == kMonths.end() || *year < 1970 ||
      *year > 2261 || *hour > 23 || *minute > 59 || *second > 60)
    return std::nullopt;
  const std::chrono::year_month_day date{
      std::chrono::year{static_cast<int>(*year)},
      std::chrono::month{static_cast<unsigned>(month - kMonths.begin()) + 1}, std::chrono::day{*day}};
  if (!date.ok()) return std::nullopt;
  return base::UtcTime(std::chrono::sys_days{date}) + std::chrono::hours(*hour) +
         std::chrono::minutes(*minute) + std::chrono::seconds(*second);
}

}  // namespace miharu::s3
