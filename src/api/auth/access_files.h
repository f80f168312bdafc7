// Users and tokens of a store, as text below auth/: for `serve` and the function, which have no database. Who
// may write to the store administers them; a server only reads.
//   auth/users.json    {"users": [{"name", "hash", "role", "created", "changed"}]}
//   auth/tokens.json   {"tokens": [{"claims", "created", "created_by", "revoked"}]}   those handed out
// Times are Unix milliseconds. The token itself is nowhere in them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/auth/passwords.h"
#include "api/auth/tokens.h"
#include "api/auth/users.h"
#include "store/object_store.h"

namespace miharu::api {

struct StoredUser {
  std::string name;
  std::string hash;  // Argon2id
  std::string role;
  base::UtcTime created;
  // Of the password, later each time whatever the clocks say: sessions of one before have ended.
  base::UtcTime changed;
};

inline constexpr std::string_view kUsersKey = "auth/users.json";
inline constexpr std::string_view kTokensKey = "auth/tokens.json";

std::string users_to_json(const std::vector<StoredUser>& users);
base::Result<std::vector<StoredUser>> users_from_json(std::string_view text);
std::string tokens_to_json(const std::vector<TokenRecord>& tokens);
base::Result<std::vector<TokenRecord>> tokens_from_json(std::string_view text);

// Nothing is there yet: an empty list.
base::Result<std::vector<StoredUser>> read_users(store::ObjectStore& store);
base::Result<std::vector<TokenRecord>> read_tokens(store::ObjectStore& store);

// What `miharu user` and `miharu token` do with --store: read, change, write. In a bucket no change of
// somebody else at once is lost; in a directory one is. Blocking; each takes as long as the store, and
// Argon2id where there is a password.
class AccessAdmin {
 public:
  // All must outlive it.
  AccessAdmin(store::ObjectStore& store, const base::Clock& clock, PasswordCost cost = {})
      : store_(store), clock_(clock), cost_(cost) {}

  base::Status add_user(std::string_view name, std::string_view password);
  base::Status set_password(std::string_view name, std::string_view password);
  base::Status remove_user(std::string_view name);  // the last one too: then nobody signs in
  base::Status add_token(const TokenClaims& claims, std::string_view created_by);
  base::Status revoke_token(std::string_view id);  // kNotFound

 private:
  base::Status hash_once(std::string_view password, std::string& hash) const;

  store::ObjectStore& store_;
  const base::Clock& clock_;
  const PasswordCost cost_;
};

}  // namespace miharu::api
