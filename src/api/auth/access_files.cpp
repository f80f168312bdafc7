#include "api/auth/access_files.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/auth/json_fields.h"
#include "base/bytes.h"

namespace miharu::api {

namespace json = boost::json;
using base::Errc;
using base::fail;

namespace {

// Some thousand users or tokens.
constexpr uint64_t kMaxFileBytes = 4 << 20;
// Tokens that ended so long ago are no longer listed.
constexpr std::chrono::hours kKeptAfterEnd{30 * 24};

tl::unexpected<base::Error> malformed(std::string_view key) {
  return fail(Errc::kMalformed, fmt::format("{} of the store is not what miharu writes", key));
}

// The objects of the list `name` in `text`.
base::Result<std::vector<json::object>> objects_in(std::string_view text, std::string_view name,
                                                   std::string_view key) {
  json::error_code ec;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), ec);
  if (ec || !value.is_object()) return malformed(key);
  const json::value* list = value.get_object().if_contains(json::string_view(name.data(), name.size()));
  if (list == nullptr || !list->is_array()) return malformed(key);
  std::vector<json::object> objects;
  for (const json::value& each : list->get_array()) {
    if (!each.is_object()) return malformed(key);
    objects.push_back(each.get_object());
  }
  return objects;
}

// nullopt: there is none.
base::Result<std::optional<std::string>> read(store::ObjectStore& store, std::string_view key) {
  auto bytes = store.get(key, 0, kMaxFileBytes);
  if (bytes) return std::string(base::as_text(*bytes));
  if (bytes.error().code == Errc::kNotFound) return std::nullopt;
  return tl::unexpected(std::move(bytes.error()));
}

std::vector<StoredUser>::iterator find(std::vector<StoredUser>& users, std::string_view name) {
  return std::ranges::find(users, name, &StoredUser::name);
}

}  // namespace

std::string users_to_json(const std::vector<StoredUser>& users) {
  json::object root;
  json::array& list = root["users"].emplace_array();
  for (const StoredUser& user : users) {
    list.push_back({{"name", user.name},
                    {"hash", user.hash},
                    {"role", user.role},
                    {"created", base::to_unix_ms(user.created)},
                    {"changed", base::to_unix_ms(user.changed)}});
  }
  return json::serialize(root);
}

base::Result<std::vector<StoredUser>> users_from_json(std::string_view text) {
  const auto objects = objects_in(text, "users", kUsersKey);
  if (!objects) return tl::unexpected(objects.error());
  std::vector<StoredUser> users;
  for (const json::object& object : *objects) {
    auto name = text_in(object, "name");
    auto hash = text_in(object, "hash");
    auto role = text_in(object, "role");
    const auto created = time_in(object, "created");
    const auto changed = time_in(object, "changed");
    if (!name || !hash || !role || !created || !changed) return malformed(kUsersKey);
    users.push_back({std::move(*name), std::move(*hash), std::move(*role), *created, *changed});
  }
  return users;
}

std::string tokens_to_json(const std::vector<TokenRecord>& tokens) {
  json::object root;
  json::array& list = root["tokens"].emplace_array();
  for (const TokenRecord& token : tokens) {
    list.push_back({{"claims", json::parse(to_json(token.claims))},
                    {"created", base::to_unix_ms(token.created)},
                    {"created_by", token.created_by},
                    {"revoked", token.revoked}});
  }
  return json::serialize(root);
}

base::Result<std::vector<TokenRecord>> tokens_from_json(std::string_view text) {
  const auto objects = objects_in(text, "tokens", kTokensKey);
  if (!objects) return tl::unexpected(objects.error());
  std::vector<TokenRecord> tokens;
  for (const json::object& object : *objects) {
    const json::value* claims_value = object.if_contains("claims");
    const json::value* revoked = object.if_contains("revoked");
    const auto created = time_in(object, "created");
    auto created_by = text_in(object, "created_by");
    if (claims_value == nullptr || revoked == nullptr || !revoked->is_bool() || !created || !created_by)
      return malformed(kTokensKey);
    auto claims = claims_from_json(json::serialize(*claims_value));
    if (!claims) return malformed(kTokensKey);
    tokens.push_back({std::move(*claims), *created, std::move(*created_by), revoked->get_bool()});
  }
  return tokens;
}

base::Result<std::vector<StoredUser>> read_users(store::ObjectStore& store) {
  const auto text = read(store, kUsersKey);
  if (!text) return tl::unexpected(text.error());
  return *text ? users_from_json(**text) : std::vector<StoredUser>();
}

base::Result<std::vector<TokenRecord>> read_tokens(store::ObjectStore& store) {
  const auto text = read(store, kTokensKey);
  if (!text) return tl::unexpected(text.error());
  return *text ? tokens_from_json(**text) : std::vector<TokenRecord>();
}

base::Status AccessAdmin::add_user(std::string_view name, std::string_view password) {
  if (auto ok = check_user_name(name); !ok) return ok;
  if (auto ok = check_password(password); !ok) return ok;
  auto users = read_users(store_);
  if (!users) return tl::unexpected(users.error());
  if (find(*users, name) != users->end())
    return fail(Errc::kExists, fmt::format("there is a user {} already", name));
  auto hash = hash_password(password, cost_);
  if (!hash) return tl::unexpected(hash.error());
  const base::UtcTime now = clock_.utc();
  users->push_back({std::string(name), std::move(*hash), "admin", now, now});
  return write_users(*users);
}

base::Status AccessAdmin::set_password(std::string_view name, std::string_view password) {
  if (auto ok = check_password(password); !ok) return ok;
  auto users = read_users(store_);
  if (!users) return tl::unexpected(users.error());
  const auto user = find(*users, name);
  if (user == users->end()) return fail(Errc::kNotFound, fmt::format("there is no user {}", name));
  auto hash = hash_password(password, cost_);
  if (!hash) return tl::unexpected(hash.error());
  user->hash = std::move(*hash);
  user->changed = clock_.utc();
  return write_users(*users);
}

base::Status AccessAdmin::remove_user(std::string_view name) {
  auto users = read_users(store_);
  if (!users) return tl::unexpected(users.error());
  const auto user = find(*users, name);
  if (user == users->end()) return fail(Errc::kNotFound, fmt::format("there is no user {}", name));
  users->erase(user);
  return write_users(*users);
}

base::Status AccessAdmin::add_token(const TokenClaims& claims, std::string_view created_by) {
  auto tokens = read_tokens(store_);
  if (!tokens) return tl::unexpected(tokens.error());
  const base::UtcTime now = clock_.utc();
  std::erase_if(*tokens, [&](const TokenRecord& old) { return old.claims.expires < now - kKeptAfterEnd; });
  tokens->push_back({claims, now, std::string(created_by), false});
  return write_tokens(*tokens);
}

base::Status AccessAdmin::revoke_token(std::string_view id) {
  auto tokens = read_tokens(store_);
  if (!tokens) return tl::unexpected(tokens.error());
  const auto token = std::ranges::find(*tokens, id, [](const TokenRecord& each) { return each.claims.id; });
  if (token == tokens->end()) return fail(Errc::kNotFound, fmt::format("there is no token {}", id));
  token->revoked = true;
  return write_tokens(*tokens);
}

base::Status AccessAdmin::write_users(const std::vector<StoredUser>& users) {
  return store_.replace(kUsersKey, base::as_bytes(users_to_json(users)));
}

base::Status AccessAdmin::write_tokens(const std::vector<TokenRecord>& tokens) {
  return store_.replace(kTokensKey, base::as_bytes(tokens_to_json(tokens)));
}

}  // namespace miharu::api
