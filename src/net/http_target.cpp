#include "net/http_target.h"

#include <algorithm>

#include "base/text.h"

namespace miharu::net {

using base::Errc;
using base::fail;

namespace {

bool has_whole_escapes(std::string_view text) {
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (!base::parse_number<uint8_t>(text.substr(at).substr(1, 2), 16) || at + 2 >= text.size()) return false;
  }
  return true;
}

}  // namespace

base::Result<HttpTarget> parse_target(std::string_view target) {
  if (base::starts_with_ignoring_case(target, "http://") ||
      base::starts_with_ignoring_case(target, "https://")) {
    const size_t path = target.find_first_of("/?", target.find("://") + 3);
    if (path == std::string_view::npos || target[path] == '?') {
      return fail(Errc::kMalformed, "The address has no path.");
    }
    target.remove_prefix(path);
  }
  if (target.empty() || target[0] != '/') return fail(Errc::kMalformed, "The path does not begin with '/'.");

  const size_t question = target.find('?');
  const std::string_view raw = target.substr(0, question);
  HttpTarget result;
  if (question != std::string_view::npos) result.query = target.substr(question + 1);

  if (!has_whole_escapes(raw))
    return fail(Errc::kMalformed, "The path has a '%' without two hexadecimal digits.");
  result.path = base::percent_decode(raw);
  for (const char c : result.path) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '\\') {
      return fail(Errc::kMalformed, "The path has a character that is not allowed.");
    }
  }
  // An encoded slash would be one name to the client and two to us.
  if (std::count(raw.begin(), raw.end(), '/') != std::count(result.path.begin(), result.path.end(), '/')) {
    return fail(Errc::kMalformed, "The path has an encoded slash.");
  }
  std::string_view rest = std::string_view(result.path).substr(1);
  while (!rest.empty()) {
    const std::string_view segment = base::take_until(rest, '/');
    if (segment.empty() || segment == "." || segment == "..") {
      return fail(Errc::kMalformed, "The path has an empty, '.' or '..' segment.");
    }
  }
  return result;
}

}  // namespace miharu::net
