// Method and path to handler, with the checks that come before every handler: credentials, rights, same
// origin.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/auth/auth.h"
#include "net/http.h"

namespace miharu::api {

struct RequestContext {
  net::HttpRequest request;
  Access access;
  std::vector<std::pair<std::string, std::string>> params;
  [[nodiscard]] std::string_view param(
      std::string_view name) const;  // empty if the pattern has none of that name
};

using Exchange = std::shared_ptr<net::HttpExchange>;
using Handler = std::function<void(RequestContext context, Exchange exchange)>;

// What a route asks of who asks.
struct Need {
  enum class Kind : uint8_t { kNothing, kSignedIn, kAdmin, kRight, kRightNow };
  Kind kind;
  Right right = Right::kLive;

  static constexpr Need nothing() { return {Kind::kNothing}; }
  static constexpr Need signed_in() { return {Kind::kSignedIn}; }  // a user or a token
  static constexpr Need admin() { return {Kind::kAdmin}; }
  // The right to {camera} of the pattern at some time: the handler must still hold what it sends to the
  // interval (may, clamp).
  static constexpr Need of(Right right) { return {Kind::kRight, right}; }
  // The right to {camera}, and the present moment is within the interval: for what is live.
  static constexpr Need now(Right right) { return {Kind::kRightNow, right}; }
};

// Add the routes first; handle() then is for the control thread. Patterns: "/hls/{camera}/vod.m3u8"; a last
// "{name*}" takes the rest of the path, slashes included, and may be empty. The first route added that fits
// wins. GET routes answer HEAD.
class Router {
 public:
  explicit Router(Auth& auth) : auth_(auth) {}

  void add(std::string_view method, std::string_view pattern, Need need, Handler handler);
  void handle(net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange);
  // For HttpServer; the router must outlive it.
  net::HttpHandler handler();

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    Need need;
    Handler handler;
  };
  Auth& auth_;
  std::vector<Route> routes_;
};

// The HTTP status that an error's code means (404 for kNotFound ...), as problem+json with its text.
net::HttpResponse problem_of(const base::Error& error);
net::HttpResponse json_response(unsigned status, std::string json);
// The Set-Cookie value of a session; an empty `value` removes it.
std::string session_cookie(const net::HttpRequest& request, std::string_view value,
                           std::chrono::seconds max_age);

}  // namespace miharu::api
