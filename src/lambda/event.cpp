#include "lambda/event.h"

#include <algorithm>
#include <future>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/gzip.h"
#include "base/text.h"
#include "net/http_target.h"

namespace miharu::lambda {
namespace {

namespace json = boost::json;
using base::Errc;
using base::fail;

constexpr size_t kLeastCompressed = 1024;
constexpr uint64_t kPieceBytes = 1 << 20;

const json::value* member(const json::value* object, std::string_view name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  return object->get_object().if_contains(json::string_view(name.data(), name.size()));
}

std::string text_of(const json::value* value) {
  if (value == nullptr || !value->is_string()) return {};
  return std::string(value->get_string());
}

bool is_field_text(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

base::Result<std::string> body_of_event(const json::value& event) {
  std::string text = text_of(member(&event, "body"));
  const json::value* encoded = member(&event, "isBase64Encoded");
  if (encoded != nullptr && encoded->is_bool() && encoded->get_bool()) {
    const auto bytes = base::from_base64(text);
    if (!bytes) return fail(Errc::kMalformed, "The body is no base64.");
    text = base::as_text(*bytes);
  }
  if (text.size() > kMostBodyBytes)
    return fail(Errc::kLimit, fmt::format("The body is longer than {} bytes.", kMostBodyBytes));
  return text;
}

std::string& header_in(net::HttpHeaders& headers, std::string_view name) {
  for (auto& [key, value] : headers) {
    if (base::equals_ignoring_case(key, name)) return value;
  }
  return headers.emplace_back(name, "").second;
}

// Types that JSON can hold as they are.
bool is_text(std::string_view type) {
  return type.starts_with("text/") || type.starts_with("application/json") ||
         type.starts_with("application/problem+json") || type.starts_with("application/vnd.apple.mpegurl") ||
         type.starts_with("image/svg+xml");
}

// RFC 3629: JSON can hold nothing else.
bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(at);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || at + length > text.size()) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xC0) != 0x80) return false;
    }
    // Overlong forms, surrogates, and what is beyond Unicode.
    if ((lead == 0xE0 && byte(at + 1) < 0xA0) || (lead == 0xED && byte(at + 1) > 0x9F) ||
        (lead == 0xF0 && byte(at + 1) < 0x90) || (lead == 0xF4 && byte(at + 1) > 0x8F))
      return false;
    at += length;
  }
  return true;
}

base::Result<std::string> fetched(const net::PulledBody& body) {
  std::string out;
  while (out.size() < body.length) {
    std::promise<base::Result<std::string>> promise;
    body.pull(body.offset + out.size(), std::min(kPieceBytes, body.length - out.size()),
              [&promise](base::Result<std::string> piece) { promise.set_value(std::move(piece)); });
    auto piece = promise.get_future().get();
    if (!piece) return piece;
    if (piece->empty())
      return fail(Errc::kTruncated, "the store has less of this object than its name tells");
    out += *piece;
  }
  return out;
}

net::HttpResponse too_long(uint64_t bytes) {
  return net::problem(
      501, fmt::format("This answer has {:.1f} MB, and a function can send 6 MB (4.7 MB of media): ask for a "
                       "shorter interval, or for a range of the object; or let media come from the bucket "
                       "(MIHARU_DELIVERY=cdn or presigned), or use miharu serve.",
                       static_cast<double>(bytes) / 1e6));
}

struct Body {
  std::string text;
  bool encoded = false;
};

// Moves the body out of the response; one that is too long replaces the response.
Body take_body(const net::HttpRequest& request, net::HttpResponse& response) {
  Body body;
  const auto refuse = [&](net::HttpResponse other) {
    response = std::move(other);
    body.text = std::get<std::string>(response.body);
    return body;
  };
  if (request.method == "HEAD") return body;
  constexpr uint64_t kMostRawBytes = kMostAnswerBytes / 4 * 3;
  if (auto* own = std::get_if<std::string>(&response.body)) {
    body.text = std::move(*own);
  } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) {
    body.text = **shared;
  } else if (auto* pulled = std::get_if<net::PulledBody>(&response.body)) {
    if (pulled->length > kMostRawBytes) return refuse(too_long(pulled->length));
    auto bytes = fetched(*pulled);
    if (!bytes) return refuse(net::problem(502, bytes.error().text));
    body.text = std::move(*bytes);
  } else if (std::holds_alternative<std::vector<net::FileBody>>(response.body)) {
    return refuse(net::problem(500, "A function has no files."));
  }
  std::string& type = header_in(response.headers, "Content-Type");
  const bool text = is_text(type);
  bool compressed = !header_in(response.headers, "Content-Encoding").empty();
  if (text && !compressed && body.text.size() >= kLeastCompressed && api::accepts_gzip(request)) {
    body.text = api::gzip(body.text);
    header_in(response.headers, "Content-Encoding") = "gzip";
    header_in(response.headers, "Vary") = "Accept-Encoding";
    compressed = true;
  }
  if (!body.text.empty() && (compressed || !text || !is_utf8(body.text))) {
    if (body.text.size() > kMostRawBytes) return refuse(too_long(body.text.size()));
    body.text = base::to_base64(base::as_bytes(body.text));
    body.encoded = true;
  }
  return body;
}

}  // namespace

base::Result<net::HttpRequest> request_of(std::string_view event) {
  json::error_code ec;
  const json::value value = json::parse(json::string_view(event.data(), event.size()), ec);
  const auto malformed = [] {
    return fail(Errc::kMalformed, "This is no event of a function URL (payload format 2.0).");
  };
  if (ec || text_of(member(&value, "version")) != "2.0") return malformed();
  const json::value* http = member(member(&value, "requestContext"), "http");
  net::HttpRequest request;
  request.method = text_of(member(http, "method"));
  request.remote = text_of(member(http, "sourceIp"));
  if (request.method.empty() || !member(&value, "rawPath")) return malformed();

  const std::string query = text_of(member(&value, "rawQueryString"));
  auto target = net::parse_target(text_of(member(&value, "rawPath")) + (query.empty() ? "" : "?" + query));
  if (!target) return tl::unexpected(std::move(target.error()));
  request.path = std::move(target->path);
  request.query = std::move(target->query);

  if (const json::value* headers = member(&value, "headers"); headers != nullptr && headers->is_object()) {
    for (const auto& [name, field] : headers->get_object()) {
      std::string text = text_of(&field);
      const std::string key(name);
      if (!is_field_text(text) || !is_field_text(key)) return malformed();
      // Those of the client are in `cookies`.
      if (!base::equals_ignoring_case(key, "Cookie")) request.headers.emplace_back(key, std::move(text));
    }
  }
  if (const json::value* cookies = member(&value, "cookies"); cookies != nullptr && cookies->is_array()) {
    std::string all;
    for (const json::value& cookie : cookies->get_array()) {
      const std::string text = text_of(&cookie);
      if (!is_field_text(text)) return malformed();
      all += (all.empty() ? "" : "; ") + text;
    }
    if (!all.empty()) request.headers.emplace_back("Cookie", std::move(all));
  }
  auto body = body_of_event(value);
  if (!body) return tl::unexpected(std::move(body.error()));
  request.body = std::move(*body);
  // Function URLs and CDNs speak TLS; who says otherwise is in front of a test.
  request.secure = request.header("X-Forwarded-Proto") != "http";
  return request;
}

std::string answer_to(const net::HttpRequest& request, net::HttpResponse response) {
  Body body = take_body(request, response);
  json::object answer;
  json::object headers;
  json::array cookies;
  for (const auto& [name, value] : response.headers) {
    if (value.empty()) continue;
    if (base::equals_ignoring_case(name, "Set-Cookie")) {
      cookies.emplace_back(value);
      continue;
    }
    json::value& field = headers[base::to_lower(name)];
    field = field.is_string() ? std::string(field.get_string()) + ", " + value : value;
  }
  answer["statusCode"] = response.status;
  answer["headers"] = std::move(headers);
  if (!cookies.empty()) answer["cookies"] = std::move(cookies);
  answer["isBase64Encoded"] = body.encoded;
  answer["body"] = std::move(body.text);
  std::string text = json::serialize(answer);
  if (text.size() <= kMostAnswerBytes) return text;
  return answer_to(request, too_long(text.size()));
}

}  // namespace miharu::lambda
