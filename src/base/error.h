// Errors by value. A function that can fail returns Result<T>; nothing that handles remote bytes throws.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace miharu::base {

// What kind of thing went wrong: the label of counters and the choice of an exit status or HTTP status.
enum class Errc : uint8_t {
  kMalformed,    // bytes or text that break their format
  kTruncated,    // input ended before its format said so
  kUnsupported,  // well-formed, but not something that we handle
  kLimit,        // a cap of docs/limits.md was reached
  kInvalid,      // a caller or user gave a wrong value
  kNotFound,
  kExists,
  kUnauthorized,  // credentials missing or refused
  kForbidden,
  kTimeout,
  kClosed,   // the other side ended the connection
  kRefused,  // the other side said no
  kIo,       // the operating system said no, other than the following
  kNoSpace,
  kReadOnly,
  kStalled,  // the disk or link does not keep up
  kInternal,
};

// Stable lower-case name, used in metrics and JSON ("no_space").
std::string_view name_of(Errc code);

struct Error {
  Errc code = Errc::kInternal;
  std::string text;     // for a person: what, where, and what to do about it
  int64_t offset = -1;  // place in the input in bytes, -1 where there is none

  // The same error with "context: " put before its text.
  [[nodiscard]] Error in(std::string_view context) &&;
  [[nodiscard]] std::string to_string() const;  // "text (code, at byte N)"
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string text, int64_t offset = -1) {
  return tl::unexpected<Error>(Error{code, std::move(text), offset});
}
// The error of a failed system call: `what` names the call and the thing ("open /data/x"). Reads errno at the
// call.
[[nodiscard]] Error system_error(std::string_view what);
[[nodiscard]] Error system_error(std::string_view what, int error_number);
[[nodiscard]] inline tl::unexpected<Error> fail_system(std::string_view what) {
  return tl::unexpected<Error>(system_error(what));
}

}  // namespace miharu::base
