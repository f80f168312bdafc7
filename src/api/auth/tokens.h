// Signed tokens: credentials that carry what they allow, so that a stateless server can check them with the
// key alone.
//   m1.<base64url of JSON claims>.<base64url of HMAC-SHA-256 over "m1.<claims>">
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth/rights.h"
#include "base/clock.h"
#include "base/error.h"

namespace miharu::api {

class Database;

struct TokenClaims {
  std::string id;
  std::vector<std::string> cameras;  // "*" is every camera
  Rights rights = 0;
  std::optional<Interval> interval;
  base::UtcTime expires;
  // Of a session: who signed in, and which of his passwords that was: when it was set, by the clock of who
  // set it. Empty and 1970 for what was handed out.
  std::string user{};
  base::UtcTime password_set{};
};

// Immutable, thread-safe.
class TokenKey {
 public:
  using Bytes = std::array<unsigned char, 32>;
  explicit TokenKey(const Bytes& bytes) : bytes_(bytes) {}

  // Reads the file (base64url text of 32 bytes); makes it with a random key and mode 0600 when there is none.
  static base::Result<TokenKey> load_or_create(const std::filesystem::path& path);
  static base::Result<TokenKey> load(const std::filesystem::path& path);
  // Of that text. kInvalid when it is none.
  static base::Result<TokenKey> parse(std::string_view text);

  [[nodiscard]] std::string sign(const TokenClaims& claims) const;
  // Signature first, in constant time; then claims and expiry. All errors are kUnauthorized.
  [[nodiscard]] base::Result<TokenClaims> verify(std::string_view token, base::UtcTime now) const;

 private:
  Bytes bytes_;
};

std::string new_token_id();

// JSON of the claims, as signed and as listed.
std::string to_json(const TokenClaims& claims);
base::Result<TokenClaims> claims_from_json(std::string_view json);

struct TokenRecord {
  TokenClaims claims;
  base::UtcTime created;
  std::string created_by;
  bool revoked = false;
};

// The tokens that this installation has issued, in the database. Thread-safe; add() and revoke() write to
// disk. Virtual, so that a program without a database is linked without SQLite.
class TokenList {
 public:
  explicit TokenList(Database& database) : database_(database) {}
  virtual ~TokenList() = default;
  virtual base::Status add(const TokenClaims& claims, std::string_view created_by, base::UtcTime now);
  virtual base::Status revoke(std::string_view id);  // kNotFound
  virtual base::Result<std::vector<TokenRecord>> list();
  virtual bool is_revoked(std::string_view id);  // true as well when the database cannot tell

 private:
  Database& database_;
};

}  // namespace miharu::api
