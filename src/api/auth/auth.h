// Who asks, and what they may do. Closed from the start: only AuthMode::kOpen lets anybody in without
// credentials.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "api/auth/rights.h"
#include "api/auth/store_access.h"
#include "api/auth/tokens.h"
#include "api/auth/users.h"
#include "net/event_loop.h"
#include "net/http.h"

namespace miharu::api {

enum class AuthMode : uint8_t {
  kUsers,   // users, sessions and tokens
  kTokens,  // no database: tokens, and the users of a store (`serve` and Lambda)
  kOpen,    // everybody is let in; the caller must see to it that the server listens on loopback only
};

struct AuthOptions {
  AuthMode mode = AuthMode::kUsers;
  std::filesystem::path database;   // kUsers
  std::filesystem::path token_key;  // made when missing, except for kTokens
  PasswordCost password_cost;
  StoreAccess* store_access = nullptr;  // kTokens: must outlive the Auth
};

// Counts failures in a window of time. Bounded; thread-safe.
class FailureLimiter {
 public:
  FailureLimiter(unsigned limit, std::chrono::seconds window) : limit_(limit), window_(window) {}
  // Counts an attempt before its outcome is known, so that attempts in parallel count too. Returns how long
  // to wait when there were too many, else zero.
  std::chrono::seconds begin(const std::string& key, base::SteadyTime now);
  void succeeded(const std::string& key);

 private:
  struct Entry {
    base::SteadyTime since;
    unsigned count = 0;
  };
  static constexpr size_t kMaxKeys = 4096;
  const unsigned limit_;
  const std::chrono::seconds window_;
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
};

// Thread-safe. Must outlive the router that uses it.
class Auth {
 public:
  static constexpr std::string_view kCookie = "miharu_session";

  // `clock` must outlive it. Makes the first user when there is none.
  static base::Result<std::unique_ptr<Auth>> open(AuthOptions options, const base::Clock& clock);
  // For who serves a store and has no database.
  static std::unique_ptr<Auth> of_store(const TokenKey& key, StoreAccess& access, const base::Clock& clock);
  ~Auth();

  // The generated password of the user "admin", when this start made that user.
  [[nodiscard]] const std::optional<std::string>& first_password() const { return first_password_; }

  // Credentials in order: path prefix /t/{token} (which is taken off request.path), Authorization: Bearer,
  // cookie. None, or a cookie that has ended, gives Kind::kNone; a token that does not hold is kUnauthorized.
  // In mode kOpen a Host that is not a loopback name is kForbidden: a page elsewhere could reach us by DNS
  // rebinding.
  base::Result<Access> authenticate(net::HttpRequest& request);

  // Runs `work` (password hashing, database writes) off the control thread. False when too much is waiting.
  bool run(std::function<void()> work);

  [[nodiscard]] AuthMode mode() const { return options_.mode; }
  [[nodiscard]] const base::Clock& clock() const { return clock_; }
  Users* users() { return users_.get(); }                        // null without a database
  StoreAccess* store_access() { return options_.store_access; }  // null with a database
  TokenList* tokens() { return tokens_.get(); }                  // null without a database
  const TokenKey& key() const { return key_; }
  base::Result<Access> access_of_token(std::string_view token);

  FailureLimiter failures_of_remote{10, std::chrono::minutes(10)};
  FailureLimiter failures_of_user{30, std::chrono::minutes(10)};

 private:
  Auth(AuthOptions options, const base::Clock& clock, const TokenKey& key);
  Access access_of_session(std::string_view id);

  static constexpr size_t kMaxWaiting = 16;
  const AuthOptions options_;
  const base::Clock& clock_;
  const TokenKey key_;
  std::shared_ptr<Database> database_;  // shared: its type is not known here
  std::unique_ptr<Users> users_;
  std::unique_ptr<TokenList> tokens_;
  std::optional<std::string> first_password_;
  std::atomic<size_t> waiting_{0};
  net::EventLoop worker_{"auth"};  // last: its thread uses the above
};

// The value of a cookie of the request; empty if there is none.
std::string_view cookie_of(const net::HttpRequest& request, std::string_view name);

// Whether a request that changes something may count credentials that a browser sends by itself:
// Sec-Fetch-Site, else the host of Origin, must say that it is our own page. Requests with neither are not
// from a browser.
bool is_same_origin(const net::HttpRequest& request);

}  // namespace miharu::api
