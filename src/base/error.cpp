#include "base/error.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace miharu::base {

std::string_view name_of(Errc code) {
  switch (code) {
    case Errc::kMalformed:
      return "malformed";
    case Errc::kTruncated:
      return "truncated";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kLimit:
      return "limit";
    case Errc::kInvalid:
      return "invalid";
    case Errc::kNotFound:
      return "not_found";
    case Errc::kExists:
      return "exists";
    case Errc::kUnauthorized:
      return "unauthorized";
    case Errc::kForbidden:
      return "forbidden";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kClosed:
      return "closed";
    case Errc::kRefused:
      return "refused";
    case Errc::kIo:
      return "io";
    case Errc::kNoSpace:
      return "no_space";
    case Errc::kReadOnly:
      return "read_only";
    case Errc::kStalled:
      return "stalled";
    case Errc::kInternal:
      return "internal";
  }
  return "internal";
}

Error Error::in(std::string_view context) && {
  text = fmt::format("{}: {}", context, text);
  return std::move(*this);
}

std::string Error::to_string() const {
  if (offset >= 0) return fmt::format("{} ({}, at byte {})", text, name_of(code), offset);
  return fmt::format("{} ({})", text, name_of(code));
}

Error system_error(std::string_view what) {
  return system_error(what, errno);
}

Error system_error(std::string_view what, int error_number) {
  Errc code = Errc::kIo;
  switch (error_number) {
    case ENOENT:
      code = Errc::kNotFound;
      break;
    case EEXIST:
      code = Errc::kExists;
      break;
    case ENOSPC:
    case EDQUOT:
      code = Errc::kNoSpace;
      break;
    case EROFS:
      code = Errc::kReadOnly;
      break;
    case EACCES:
    case EPERM:
      code = Errc::kForbidden;
      break;
    case ETIMEDOUT:
      code = Errc::kTimeout;
      break;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
      code = Errc::kRefused;
      break;
    case ECONNRESET:
    case EPIPE:
      code = Errc::kClosed;
      break;
    default:
      break;
  }
  char buffer[128];
  return Error{code, fmt::format("{}: {}", what, strerror_r(error_number, buffer, sizeof buffer)), -1};
}

}  // namespace miharu::base
