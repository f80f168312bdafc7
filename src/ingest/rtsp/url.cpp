#include "ingest/rtsp/url.h"

#include <algorithm>

#include "base/text.h"

namespace miharu::ingest::rtsp {

using base::Errc;
using base::fail;
using base::starts_with_ignoring_case;

namespace {

constexpr size_t kMaxUrlBytes = 4096;

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// Takes "rtsp://" or "rtsps://" off the front.
bool take_scheme(std::string_view& text, bool& tls) {
  for (const auto& [scheme, secure] :
       {std::pair<std::string_view, bool>{"rtsp://", false}, {"rtsps://", true}}) {
    if (starts_with_ignoring_case(text, scheme)) {
      text.remove_prefix(scheme.size());
      tls = secure;
      return true;
    }
  }
  return false;
}

base::Result<Url> parse_after_scheme(std::string_view rest, bool tls) {
  Url url;
  url.tls = tls;
  url.port = tls ? 322 : 554;
  const size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, authority_end);
  const std::string_view path = rest.substr(authority_end);
  // The last '@': passwords with a bare '@' are common and a host has none.
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    std::string_view credentials = authority.substr(0, at);
    url.user = base::percent_decode(base::take_until(credentials, ':'));
    url.password = base::percent_decode(credentials);
    if (has_control_characters(url.user))
      return fail(Errc::kInvalid, "the user name in the URL has control characters");
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  bool bracketed = false;
  if (!authority.empty() && authority.front() == '[') {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return fail(Errc::kInvalid, "the URL has '[' without ']'");
    url.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    bracketed = true;
  } else if (std::count(authority.begin(), authority.end(), ':') > 1) {
    url.host = authority;  // an IPv6 address without brackets has no room for a port
    bracketed = true;
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  if (url.host.empty()) return fail(Errc::kInvalid, "the URL names no host");
  if (!port.empty() && port != ":") {
    const auto number = base::parse_number<uint16_t>(port.substr(1));
    if (port.front() != ':' || !number || *number == 0)
      return fail(
          Errc::kInvalid,
          "the URL has a wrong port (a \"/\", \"?\" or \"#\" in a password is written %2F, %3F, %23)");
    url.port = *number;
  }
  url.request = tls ? "rtsps://" : "rtsp://";
  url.request += bracketed ? "[" + url.host + "]" : url.host;
  url.request += port == ":" ? std::string_view{} : port;
  // A URL without a path keeps none: cameras compare it with what DESCRIBE's reply repeats.
  url.request += path;
  return url;
}

base::Status check_text(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return fail(Errc::kLimit, "the URL is longer than 4096 bytes");
  if (has_control_characters(text) || text.find(' ') != std::string_view::npos) {
    return fail(Errc::kInvalid, "the URL has blanks or control characters: write them as %20 and the like");
  }
  return {};
}

}  // namespace

std::string Url::host_and_port() const {
  const bool ipv6 = host.find(':') != std::string::npos;
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

base::Result<Url> parse_url(std::string_view text) {
  text = base::trim(text);
  if (auto status = check_text(text); !status) return tl::unexpected(status.error());
  bool tls = false;
  if (!take_scheme(text, tls)) return fail(Errc::kInvalid, "a camera URL begins with rtsp:// or rtsps://");
  return parse_after_scheme(text, tls);
}

}  // namespace miharu::ingest::rtsp
