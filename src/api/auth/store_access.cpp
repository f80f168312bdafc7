#include "api/auth/store_access.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"

namespace miharu::api {

using base::Errc;
using base::fail;

StoreAccess::StoreAccess(store::ObjectStore& store, const base::Clock& clock, PasswordCost cost)
    : store_(store), clock_(clock), decoy_hash_(decoy_hash(cost)) {}

base::Result<StoreAccess::ListsPtr> StoreAccess::lists() {
  const auto latest = [this] {
    const std::lock_guard lock(mutex_);
    return latest_;
  };
  ListsPtr known = latest();
  const auto age = [this](const ListsPtr& lists) { return clock_.steady() - lists->read; };
  if (known && age(known) < kRefresh) return known;
  std::unique_lock turn(reading_, std::defer_lock);
  if (!known || age(known) >= kStale) {
    turn.lock();
    known = latest();
    if (known && age(known) < kRefresh) return known;
  } else if (!turn.try_lock()) {
    return known;
  }
  auto fresh = read();
  if (!fresh) {
    if (!known || age(known) >= kStale) return fresh;
    spdlog::warn("users and tokens of the store cannot be read: {}", fresh.error().text);
    return known;
  }
  const std::lock_guard lock(mutex_);
  latest_ = *fresh;
  return fresh;
}

base::Result<StoreAccess::ListsPtr> StoreAccess::read() {
  auto lists = std::make_shared<Lists>();
  lists->read = clock_.steady();
  auto users = read_users(store_);
  if (!users) return tl::unexpected(users.error());
  lists->users = std::move(*users);
  const auto tokens = read_tokens(store_);
  if (!tokens) return tl::unexpected(tokens.error());
  for (const TokenRecord& token : *tokens) {
    if (token.revoked) lists->revoked.insert(token.claims.id);
  }
  return lists;
}

base::Result<std::optional<StoredUser>> StoreAccess::verify(std::string_view name,
                                                            std::string_view password) {
  const auto known = lists();
  if (!known) return tl::unexpected(known.error());
  const auto user = std::ranges::find((*known)->users, name, &StoredUser::name);
  const bool found = user != (*known)->users.end();
  const bool matches = verify_password(found ? user->hash : decoy_hash_, password);
  return matches && found ? std::optional(*user) : std::nullopt;
}

base::Status StoreAccess::check(const TokenClaims& claims) {
  const auto known = lists();
  if (!known) return tl::unexpected(known.error());
  if ((*known)->revoked.contains(claims.id)) return fail(Errc::kUnauthorized, "The token was revoked.");
  if (claims.user.empty()) return {};
  const auto user = std::ranges::find((*known)->users, claims.user, &StoredUser::name);
  if (user == (*known)->users.end() || claims.password_set < user->changed)
    return fail(Errc::kUnauthorized, "The session has ended.");
  return {};
}

base::Result<bool> StoreAccess::has_users() {
  const auto known = lists();
  if (!known) return tl::unexpected(known.error());
  return !(*known)->users.empty();
}

TokenClaims StoreAccess::session_of(const StoredUser& user) const {
  TokenClaims claims;
  claims.id = new_token_id();
  claims.cameras = {"*"};
  claims.rights = kAllRights;
  claims.user = user.name;
  // Not a time of this machine's clock: passwords are set on another one.
  claims.password_set = user.changed;
  claims.expires = clock_.utc() + kSessionLife;
  return claims;
}

}  // namespace miharu::api
