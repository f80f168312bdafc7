#include "net/http.h"

#include <fmt/format.h>
#include <boost/beast/http/status.hpp>

#include "base/text.h"

namespace miharu::net {

namespace {

std::string json_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (base::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

// '+' stays '+': these are URLs (RFC 3986), and "from=+5m" or an unescaped UTC offset is what people type.
std::string HttpRequest::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    std::string_view value = base::take_until(rest, '&');
    if (base::percent_decode(base::take_until(value, '=')) == name) return base::percent_decode(value);
  }
  return {};
}

HttpResponse problem(unsigned status, std::string_view detail) {
  const auto reason = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "application/problem+json"}, {"Cache-Control", "no-store"}};
  response.body = fmt::format(R"({{"type":"about:blank","title":"{}","status":{},"detail":"{}"}})",
                              std::string_view(reason.data(), reason.size()), status, json_escape(detail));
  return response;
}

}  // namespace miharu::net
