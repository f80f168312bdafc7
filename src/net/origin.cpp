#include <fmt/format.h>

#include "base/text.h"
#include "net/http_client.h"

namespace miharu::net {

base::Result<Origin> parse_origin(std::string_view url) {
  constexpr std::string_view kWanted = "must be https://host, http://host, with :port if it is another one";
  Origin origin;
  if (base::starts_with_ignoring_case(url, "https://")) {
    url.remove_prefix(8);
  } else if (base::starts_with_ignoring_case(url, "http://")) {
    url.remove_prefix(7);
    origin.tls = false;
    origin.port = 80;
  } else {
    return base::fail(base::Errc::kInvalid, std::string(kWanted));
  }
  if (url.ends_with('/')) url.remove_suffix(1);
  const size_t close = url.starts_with('[') ? url.find(']') : 0;
  if (close == std::string_view::npos) return base::fail(base::Errc::kInvalid, std::string(kWanted));
  const size_t colon = url.find(':', close);
  origin.host = base::to_lower(close > 0 ? url.substr(1, close - 1) : url.substr(0, colon));
  if (close > 0 && colon != close + 1 && url.size() != close + 1)
    return base::fail(base::Errc::kInvalid, std::string(kWanted));
  if (colon != std::string_view::npos) {
    const auto port = base::parse_number<uint16_t>(url.substr(colon + 1));
    if (!port || *port == 0) return base::fail(base::Errc::kInvalid, "the port must be 1 to 65535");
    origin.port = *port;
  }
  const bool strange =
      origin.host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_:%") != std::string::npos;
  if (origin.host.empty() || strange) return base::fail(base::Errc::kInvalid, std::string(kWanted));
  return origin;
}

std::string host_field(const Origin& origin) {
  const std::string host = origin.host.find(':') == std::string::npos ? origin.host : "[" + origin.host + "]";
  return origin.port == (origin.tls ? 443 : 80) ? host : fmt::format("{}:{}", host, origin.port);
}

std::string format_origin(const Origin& origin) {
  return (origin.tls ? "https://" : "http://") + host_field(origin);
}

}  // namespace miharu::net
