#include "api/auth/access_files.h"

#include <algorithm>
#include <functional>
#include <optional>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/auth/json_fields.h"
#include "base/bytes.h"
#include "store/lost_race.h"

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

struct FileText {
  std::optional<std::string> text;     // nothing: there is no such file
  std::optional<std::string> version;  // nothing: this store has none
};

base::Result<FileText> read(store::ObjectStore& store, std::string_view key) {
  if (store.is_bucket()) {
    auto versioned = store.get_versioned(key, kMaxFileBytes);
    if (!versioned) return tl::unexpected(std::move(versioned.error()));
    FileText file{{}, std::move(versioned->version)};
    if (!file.version->empty()) file.text = std::move(versioned->text);
    return file;
  }
  auto bytes = store.get(key, 0, kMaxFileBytes);
  if (bytes) return FileText{std::string(base::as_text(*bytes)), {}};
  if (bytes.error().code == Errc::kNotFound) return FileText{};
  return tl::unexpected(std::move(bytes.error()));
}

template <class Record>
struct ListFile {
  std::string_view key;
  base::Result<std::vector<Record>> (*parse)(std::string_view text);
  std::string (*format)(const std::vector<Record>& records);
};
constexpr ListFile<StoredUser> kUsers{kUsersKey, users_from_json, users_to_json};
constexpr ListFile<TokenRecord> kTokens{kTokensKey, tokens_from_json, tokens_to_json};

template <class Record>
base::Result<std::vector<Record>> parse(const ListFile<Record>& list, const FileText& file) {
  return file.text ? list.parse(*file.text) : std::vector<Record>();
}

// What is there becomes what `change` makes of it, or stays where that says false. Again with what is there
// then when somebody else was quicker, `again`: that may have been an attempt of ours that was not answered.
template <class Record>
base::Status edit(store::ObjectStore& store, const ListFile<Record>& list,
                  const std::function<base::Result<bool>(std::vector<Record>&, bool again)>& change) {
  for (int attempt = 0; attempt < store::kRaces; ++attempt) {
    if (attempt > 0) store::pause_after_lost_race(attempt);
    const auto file = read(store, list.key);
    if (!file) return tl::unexpected(file.error());
    auto records = parse(list, *file);
    if (!records) return tl::unexpected(records.error());
    const auto changed = change(*records, attempt > 0);
    if (!changed) return tl::unexpected(changed.error());
    if (!*changed) return {};
    const std::string text = list.format(*records);
    if (!file->version) return store.replace(list.key, base::as_bytes(text));
    auto done = store.replace_version(list.key, text, *file->version);
    if (done || done.error().code != Errc::kExists) return done;
  }
  return fail(Errc::kTimeout, fmt::format("{} is written by too many at once", list.key));
}

std::vector<StoredUser>::iterator find(std::vector<StoredUser>& users, std::string_view name) {
  return std::ranges::find(users, name, &StoredUser::name);
}

tl::unexpected<base::Error> no_user(std::string_view name) {
  return fail(Errc::kNotFound, fmt::format("there is no user {}", name));
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
  const auto file = read(store, kUsersKey);
  if (!file) return tl::unexpected(file.error());
  return parse(kUsers, *file);
}

base::Result<std::vector<TokenRecord>> read_tokens(store::ObjectStore& store) {
  const auto file = read(store, kTokensKey);
  if (!file) return tl::unexpected(file.error());
  return parse(kTokens, *file);
}

base::Status AccessAdmin::add_user(std::string_view name, std::string_view password) {
  if (auto ok = check_user_name(name); !ok) return ok;
  if (auto ok = check_password(password); !ok) return ok;
  std::string hash;
  return edit<StoredUser>(store_, kUsers, [&](std::vector<StoredUser>& users, bool) -> base::Result<bool> {
    if (const auto user = find(users, name); user != users.end()) {
      if (user->hash == hash) return false;
      return fail(Errc::kExists, fmt::format("there is a user {} already", name));
    }
    if (auto ok = hash_once(password, hash); !ok) return tl::unexpected(ok.error());
    const base::UtcTime now = clock_.utc();
    users.push_back({std::string(name), hash, "admin", now, now});
    return true;
  });
}

base::Status AccessAdmin::set_password(std::string_view name, std::string_view password) {
  if (auto ok = check_password(password); !ok) return ok;
  std::string hash;
  return edit<StoredUser>(store_, kUsers, [&](std::vector<StoredUser>& users, bool) -> base::Result<bool> {
    const auto user = find(users, name);
    if (user == users.end()) return no_user(name);
    if (auto ok = hash_once(password, hash); !ok) return tl::unexpected(ok.error());
    user->hash = hash;
    user->changed = std::max(clock_.utc(), user->changed + base::milliseconds(1));
    return true;
  });
}

base::Status AccessAdmin::remove_user(std::string_view name) {
  return edit<StoredUser>(store_, kUsers,
                          [&](std::vector<StoredUser>& users, bool again) -> base::Result<bool> {
                            const auto user = find(users, name);
                            if (user == users.end() && again) return false;
                            if (user == users.end()) return no_user(name);
                            users.erase(user);
                            return true;
                          });
}

base::Status AccessAdmin::add_token(const TokenClaims& claims, std::string_view created_by) {
  const base::UtcTime now = clock_.utc();
  const auto is_it = [&](const TokenRecord& each) { return each.claims.id == claims.id; };
  return edit<TokenRecord>(
      store_, kTokens, [&](std::vector<TokenRecord>& tokens, bool) -> base::Result<bool> {
        if (std::ranges::any_of(tokens, is_it)) return false;
        std::erase_if(tokens,
                      [&](const TokenRecord& old) { return old.claims.expires < now - kKeptAfterEnd; });
        tokens.push_back({claims, now, std::string(created_by), false});
        return true;
      });
}

base::Status AccessAdmin::revoke_token(std::string_view id) {
  return edit<TokenRecord>(
      store_, kTokens, [&](std::vector<TokenRecord>& tokens, bool) -> base::Result<bool> {
        const auto token =
            std::ranges::find(tokens, id, [](const TokenRecord& each) { return each.claims.id; });
        if (token == tokens.end()) return fail(Errc::kNotFound, fmt::format("there is no token {}", id));
        token->revoked = true;
        return true;
      });
}

// A hash takes long, and its salt tells whose it is.
base::Status AccessAdmin::hash_once(std::string_view password, std::string& hash) const {
  if (!hash.empty()) return {};
  auto made = hash_password(password, cost_);
  if (!made) return tl::unexpected(std::move(made.error()));
  hash = std::move(*made);
  return {};
}

}  // namespace miharu::api
