// The request target of HTTP (RFC 9112 section 3.2): what a client may ask for, as a path that is safe to
// route and to compare.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::net {

struct HttpTarget {
  std::string path;   // percent-decoded once, begins with '/'
  std::string query;  // raw, without the '?'
};

// Origin-form and absolute-form. Refused (kMalformed): malformed escapes, control characters, backslashes, an
// encoded slash, empty segments but for a last one, and the segments "." and "..", however they are written.
base::Result<HttpTarget> parse_target(std::string_view target);

}  // namespace miharu::net
