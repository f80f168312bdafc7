#include "api/auth/auth.h"

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::api {

using base::Errc;
using base::fail;

namespace {

// A session is renewed in steps of a day, not with every request.
constexpr std::chrono::hours kRenewStep{24};

std::string_view host_without_port(std::string_view host) {
  if (host.substr(0, 1) == "[") return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

bool is_loopback_name(std::string_view host) {
  host = host_without_port(host);
  return base::equals_ignoring_case(host, "localhost") || host == "[::1]" ||
         (host.substr(0, 4) == "127." && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

std::chrono::seconds FailureLimiter::begin(const std::string& key, base::SteadyTime now) {
  std::lock_guard lock(mutex_);
  const auto ended = [&](const Entry& entry) { return now - entry.since >= window_; };
  if (entries_.size() >= kMaxKeys && entries_.count(key) == 0) {
    std::erase_if(entries_, [&](const auto& item) { return ended(item.second); });
    if (entries_.size() >= kMaxKeys) return std::chrono::seconds(60);
  }
  Entry& entry = entries_[key];
  if (entry.count == 0 || ended(entry)) entry = {now, 0};
  if (entry.count >= limit_) {
    return std::chrono::ceil<std::chrono::seconds>(entry.since + window_ - now);
  }
  ++entry.count;
  return std::chrono::seconds(0);
}

void FailureLimiter::succeeded(const std::string& key) {
  std::lock_guard lock(mutex_);
  entries_.erase(key);
}

Auth::Auth(AuthOptions options, const base::Clock& clock, const TokenKey& key)
    : options_(std::move(options)), clock_(clock), key_(key) {
  worker_.start();
}

Auth::~Auth() {
  worker_.stop();
}

std::unique_ptr<Auth> Auth::of_store(const TokenKey& key, StoreAccess& access, const base::Clock& clock) {
  AuthOptions options;
  options.mode = AuthMode::kTokens;
  options.store_access = &access;
  return std::unique_ptr<Auth>(new Auth(std::move(options), clock, key));
}

bool Auth::run(std::function<void()> work) {
  if (waiting_.fetch_add(1) >= kMaxWaiting) {
    waiting_.fetch_sub(1);
    return false;
  }
  worker_.post([this, work = std::move(work)] {
    work();
    waiting_.fetch_sub(1);
  });
  return true;
}

base::Result<Access> Auth::access_of_token(std::string_view token) {
  auto claims = key_.verify(token, clock_.utc());
  if (!claims) return tl::unexpected(claims.error());
  if (tokens_ && tokens_->is_revoked(claims->id)) return fail(Errc::kUnauthorized, "The token was revoked.");
  if (options_.store_access != nullptr) {
    if (auto holds = options_.store_access->check(*claims); !holds) return tl::unexpected(holds.error());
  } else if (!claims->user.empty()) {
    return fail(Errc::kUnauthorized, "The session is of another server.");
  }
  Access access;
  const bool signed_in = !claims->user.empty();
  access.kind = signed_in ? Access::Kind::kUser : Access::Kind::kToken;
  access.admin = signed_in;
  access.name = signed_in ? std::move(claims->user) : std::move(claims->id);
  access.cameras = std::move(claims->cameras);
  access.rights = claims->rights;
  access.interval = claims->interval;
  access.expires = claims->expires;
  return access;
}

Access Auth::access_of_session(std::string_view id) {
  const auto session = users_ ? users_->find_session(id) : std::nullopt;
  if (!session) return {};
  Access access;
  access.kind = Access::Kind::kUser;
  access.name = session->user;
  access.admin = session->role == "admin";
  access.session = std::string(id);
  access.cameras = {"*"};
  access.rights = kAllRights;
  access.renew = session->expires - clock_.utc() < Users::kSessionLife - kRenewStep;
  access.expires = session->expires;
  return access;
}

base::Result<Access> Auth::authenticate(net::HttpRequest& request) {
  std::string_view path = request.path;
  if (path.substr(0, 3) == "/t/") {
    const size_t slash = path.find('/', 3);
    const std::string token(path.substr(3, slash == std::string_view::npos ? slash : slash - 3));
    request.path = slash == std::string_view::npos ? "/" : std::string(path.substr(slash));
    auto access = access_of_token(token);
    if (access) access->path_prefix = "/t/" + token;
    return access;
  }
  if (const auto value = request.header("Authorization"); base::starts_with_ignoring_case(value, "Bearer ")) {
    return access_of_token(base::trim(value.substr(7)));
  }
  if (options_.mode == AuthMode::kOpen) {
    if (!is_loopback_name(request.header("Host"))) {
      return fail(Errc::kForbidden,
                  "Without sign-in this server answers to localhost only; set auth.mode = \"users\".");
    }
    Access access;
    access.kind = Access::Kind::kOpen;
    access.admin = true;
    access.cameras = {"*"};
    access.rights = kAllRights;
    return access;
  }
  const std::string_view cookie = cookie_of(request, kCookie);
  if (cookie.empty()) return Access{};
  // The page swaps the token of a share link for a cookie with the same text.
  Access access =
      cookie.substr(0, 3) == "m1." ? access_of_token(cookie).value_or(Access{}) : access_of_session(cookie);
  access.by_cookie = access.kind != Access::Kind::kNone;
  return access;
}

std::string_view cookie_of(const net::HttpRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (!base::equals_ignoring_case(key, "Cookie")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      std::string_view pair = base::trim(base::take_until(rest, ';'));
      if (base::take_until(pair, '=') == name) return pair;
    }
  }
  return {};
}

bool is_same_origin(const net::HttpRequest& request) {
  const std::string_view site = request.header("Sec-Fetch-Site");
  if (!site.empty()) return site == "same-origin" || site == "none";
  std::string_view origin = request.header("Origin");
  if (origin.empty()) return true;
  const size_t scheme = origin.find("://");
  // The scheme is not compared: a proxy in front of us may speak TLS where we do not.
  return scheme != std::string_view::npos &&
         base::equals_ignoring_case(origin.substr(scheme + 3), request.header("Host"));
}

}  // namespace miharu::api
