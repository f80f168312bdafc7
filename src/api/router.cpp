#include "api/router.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::api {

using net::HttpResponse;

namespace {

// Video players build blob: URLs for media and workers.
constexpr std::string_view kPagePolicy =
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; "
    "frame-ancestors 'none'";

using Params = std::vector<std::pair<std::string, std::string>>;

std::optional<Params> match(const std::vector<std::string>& segments, std::string_view path) {
  Params params;
  std::string_view rest = path.substr(1);
  bool at_end = false;  // no further segment, not even an empty one
  for (const std::string& segment : segments) {
    if (segment.size() > 3 && segment.front() == '{' && segment.substr(segment.size() - 2) == "*}") {
      params.emplace_back(segment.substr(1, segment.size() - 3), rest);
      return params;
    }
    if (at_end) return std::nullopt;
    at_end = rest.find('/') == std::string_view::npos;
    const std::string_view part = base::take_until(rest, '/');
    if (segment.size() > 2 && segment.front() == '{') {
      if (part.empty()) return std::nullopt;
      params.emplace_back(segment.substr(1, segment.size() - 2), part);
    } else if (part != segment) {
      return std::nullopt;
    }
  }
  if (!at_end) return std::nullopt;
  return params;
}

void add_security_headers(net::HttpHeaders& headers, const std::string& cookie) {
  bool page = false;
  bool has_policy = false;
  for (const auto& [name, value] : headers) {
    page |= base::equals_ignoring_case(name, "Content-Type") &&
            base::starts_with_ignoring_case(value, "text/html");
    has_policy |= base::equals_ignoring_case(name, "Content-Security-Policy");
  }
  headers.emplace_back("X-Content-Type-Options", "nosniff");
  headers.emplace_back("Referrer-Policy", "no-referrer");
  if (page && !has_policy) headers.emplace_back("Content-Security-Policy", kPagePolicy);
  if (!cookie.empty()) headers.emplace_back("Set-Cookie", cookie);
}

class SecuredExchange final : public net::HttpExchange {
 public:
  SecuredExchange(std::shared_ptr<net::HttpExchange> inner, std::string cookie)
      : inner_(std::move(inner)), cookie_(std::move(cookie)) {}
  void respond(HttpResponse response) override {
    add_security_headers(response.headers, cookie_);
    inner_->respond(std::move(response));
  }
  std::shared_ptr<Stream> stream(unsigned status, net::HttpHeaders headers) override {
    add_security_headers(headers, cookie_);
    return inner_->stream(status, std::move(headers));
  }

 private:
  const std::shared_ptr<net::HttpExchange> inner_;
  const std::string cookie_;
};

HttpResponse unauthorized(std::string_view detail) {
  HttpResponse response = net::problem(401, detail);
  response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

std::optional<HttpResponse> refusal(const Need& need, const RequestContext& context, base::UtcTime now) {
  if (need.kind == Need::Kind::kNothing) return std::nullopt;
  const Access& access = context.access;
  if (access.kind == Access::Kind::kNone) return unauthorized("Sign in, or send a token.");
  if (need.kind == Need::Kind::kAdmin && !access.admin)
    return net::problem(403, "This is for administrators.");
  if (need.kind == Need::Kind::kRight || need.kind == Need::Kind::kRightNow) {
    const auto camera = context.param("camera");
    const bool allowed = need.kind == Need::Kind::kRight ? may_at_some_time(access, camera, need.right)
                                                         : may(access, camera, need.right, {now, now});
    if (!allowed) return net::problem(403, "These credentials do not allow this for this camera.");
  }
  return std::nullopt;
}

}  // namespace

std::string_view RequestContext::param(std::string_view name) const {
  for (const auto& [key, value] : params) {
    if (key == name) return value;
  }
  return {};
}

void Router::add(std::string_view method, std::string_view pattern, Need need, Handler handler) {
  Route route{std::string(method), {}, need, std::move(handler)};
  std::string_view rest = pattern.substr(1);
  for (;;) {
    const bool last = rest.find('/') == std::string_view::npos;
    route.segments.emplace_back(base::take_until(rest, '/'));
    if (last) break;
  }
  routes_.push_back(std::move(route));
}

net::HttpHandler Router::handler() {
  return [this](net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
    handle(std::move(request), std::move(exchange));
  };
}

void Router::handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> raw) {
  auto access = auth_.authenticate(request);
  std::string cookie;
  // On media the cookie would make immutable answers differ; every page loads something of the API.
  if (access && access->renew && request.path.substr(0, 5) == "/api/") {
    const bool queued =
        auth_.run([&auth = auth_, id = access->session] { (void)auth.users()->renew_session(id); });
    if (queued) cookie = session_cookie(request, access->session, Users::kSessionLife);
  }
  const auto exchange = std::make_shared<SecuredExchange>(std::move(raw), std::move(cookie));
  if (!access) {
    return exchange->respond(access.error().code == base::Errc::kForbidden
                                 ? net::problem(403, access.error().text)
                                 : unauthorized(access.error().text));
  }
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const Route* found = nullptr;
  std::optional<Params> params;
  std::vector<std::string_view> allowed;
  for (const Route& route : routes_) {
    auto matched = match(route.segments, request.path);
    if (!matched) continue;
    if (route.method == method || route.method == request.method) {
      found = &route;
      params = std::move(matched);
      break;
    }
    if (std::find(allowed.begin(), allowed.end(), route.method) == allowed.end())
      allowed.push_back(route.method);
  }
  if (found == nullptr && allowed.empty())
    return exchange->respond(net::problem(404, "There is nothing at this address."));
  if (found == nullptr) {
    HttpResponse response = net::problem(405, "This address does not take that method.");
    response.headers.emplace_back("Allow", fmt::format("{}", fmt::join(allowed, ", ")));
    return exchange->respond(std::move(response));
  }
  RequestContext context{std::move(request), std::move(*access), std::move(*params)};
  const bool safe = method == "GET" || method == "OPTIONS";
  // Whatever a browser would send by itself: a cookie, the right of an open server, or nothing yet (signing
  // in).
  const bool ambient = context.access.by_cookie || context.access.kind != Access::Kind::kToken;
  if (!safe && ambient && !is_same_origin(context.request)) {
    return exchange->respond(net::problem(403, "The request comes from a page of another site."));
  }
  if (auto refused = refusal(found->need, context, auth_.clock().utc()))
    return exchange->respond(std::move(*refused));
  found->handler(std::move(context), exchange);
}

HttpResponse problem_of(const base::Error& error) {
  using base::Errc;
  switch (error.code) {
    case Errc::kMalformed:
    case Errc::kTruncated:
    case Errc::kUnsupported:
    case Errc::kInvalid:
      return net::problem(400, error.text);
    case Errc::kUnauthorized:
      return unauthorized(error.text);
    case Errc::kForbidden:
      return net::problem(403, error.text);
    case Errc::kNotFound:
      return net::problem(404, error.text);
    case Errc::kExists:
      return net::problem(409, error.text);
    case Errc::kLimit:
      return net::problem(413, error.text);
    case Errc::kTimeout:
    case Errc::kClosed:
    case Errc::kRefused:
      return net::problem(502, error.text);
    case Errc::kNoSpace:
    case Errc::kReadOnly:
    case Errc::kStalled:
      return net::problem(503, error.text);
    case Errc::kIo:
    case Errc::kInternal:
      break;
  }
  return net::problem(500, error.text);
}

HttpResponse json_response(unsigned status, std::string json) {
  HttpResponse response;
  response.status = status;
  response.headers = {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}};
  response.body = std::move(json);
  return response;
}

std::string session_cookie(const net::HttpRequest& request, std::string_view value,
                           std::chrono::seconds max_age) {
  return fmt::format("{}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", Auth::kCookie, value,
                     value.empty() ? 0 : max_age.count(), request.secure ? "; Secure" : "");
}

}  // namespace miharu::api
