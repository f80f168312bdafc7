// What a server without a database knows of users and tokens: the files of the store, read again and again.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "api/auth/access_files.h"

namespace miharu::api {

// Thread-safe. Blocks for the store where the lists are due, and for Argon2id.
class StoreAccess {
 public:
  // A user who is removed and a token that is revoked are let in no longer than this.
  static constexpr base::seconds kRefresh{20};
  // A store that cannot be read for so long lets nobody in.
  static constexpr base::seconds kStale{60};
  static constexpr std::chrono::hours kSessionLife{12};

  // All must outlive it.
  StoreAccess(store::ObjectStore& store, const base::Clock& clock, PasswordCost cost = {});

  // The user, if that is his password. Takes as long for a name that does not exist.
  base::Result<std::optional<StoredUser>> verify(std::string_view name, std::string_view password);
  // Of claims whose signature is good: kUnauthorized says why they do not hold any more.
  base::Status check(const TokenClaims& claims);
  // Whether there is anybody who could sign in.
  base::Result<bool> has_users();
  // The claims of a session that begins now, of a user as verify() gave him.
  [[nodiscard]] TokenClaims session_of(const StoredUser& user) const;

 private:
  struct Lists {
    std::vector<StoredUser> users;
    std::unordered_set<std::string> revoked;  // ids
    base::SteadyTime read;
  };
  using ListsPtr = std::shared_ptr<const Lists>;
  base::Result<ListsPtr> lists();
  base::Result<ListsPtr> read();

  store::ObjectStore& store_;
  const base::Clock& clock_;
  const std::string decoy_hash_;
  std::mutex reading_;  // one thread reads; the others use what is there if it is not stale
  std::mutex mutex_;    // guards latest_
  ListsPtr latest_;
};

}  // namespace miharu::api
