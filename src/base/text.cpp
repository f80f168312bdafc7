#include "base/text.h"

namespace miharu::base {

std::string redact_urls(std::string_view text) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t scheme = text.find("://", at);
    if (scheme == std::string_view::npos) break;
    const size_t authority = scheme + 3;
    const std::string_view url = text.substr(0, text.find_first_of(" \t\r\n\"'<>", authority));
    const size_t end = std::min(url.find_first_of("/?#", authority), url.size());
    // A '/' in a password should be escaped and often is not. What stands before an '@' with a ':' may be
    // one: better to hide a port and a path than to show a password.
    const bool colon = url.substr(authority, end - authority).find(':') != std::string_view::npos;
    const size_t sign = (colon ? url : url.substr(0, end)).rfind('@');
    out.append(text.substr(at, authority - at));
    at = authority;
    if (sign != std::string_view::npos && sign >= authority) {
      out.append("***");
      at = sign;
    }
  }
  out.append(text.substr(at));
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      if (const auto value = parse_number<uint8_t>(text.substr(i + 1, 2), 16)) {
        out.push_back(static_cast<char>(*value));
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out.push_back(c);
      continue;
    }
    out.push_back('%');
    out.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}

}  // namespace miharu::base
