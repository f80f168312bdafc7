// user and token: who may sign in, and signed links. They work on the database of a running miharu too.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include <fmt/format.h>

#include "api/auth/auth.h"
#include "api/auth/database.h"
#include "app/commands.h"
#include "app/store_access.h"
#include "store/object_name.h"

namespace miharu::app {
namespace {

constexpr std::string_view kCreatedBy = "command line";

// Users and tokens, wherever they are kept.
class AccessLists {
 public:
  virtual ~AccessLists() = default;
  virtual base::Result<std::vector<api::User>> users() = 0;
  virtual base::Status add_user(const std::string& name, const std::string& password) = 0;
  virtual base::Status set_password(const std::string& name, const std::string& password) = 0;
  virtual base::Status remove_user(const std::string& name) = 0;
  virtual base::Result<std::vector<api::TokenRecord>> tokens() = 0;
  virtual base::Status add_token(const api::TokenClaims& claims, base::UtcTime now) = 0;
  virtual base::Status revoke_token(const std::string& id) = 0;
  virtual base::Result<api::TokenKey> key() = 0;
};

class DatabaseLists final : public AccessLists {
 public:
  DatabaseLists(std::filesystem::path data, std::unique_ptr<api::Database> database)
      : data_(std::move(data)),
        database_(std::move(database)),
        users_(*database_, base::system_clock()),
        tokens_(*database_) {}

  base::Result<std::vector<api::User>> users() override { return users_.list(); }
  base::Status add_user(const std::string& name, const std::string& password) override {
    return users_.add(name, password);
  }
  base::Status set_password(const std::string& name, const std::string& password) override {
    return users_.set_password(name, password);
  }
  base::Status remove_user(const std::string& name) override { return users_.remove(name); }
  base::Result<std::vector<api::TokenRecord>> tokens() override { return tokens_.list(); }
  base::Status add_token(const api::TokenClaims& claims, base::UtcTime now) override {
    return tokens_.add(claims, kCreatedBy, now);
  }
  base::Status revoke_token(const std::string& id) override { return tokens_.revoke(id); }
  base::Result<api::TokenKey> key() override { return api::TokenKey::load_or_create(data_ / "token.key"); }

 private:
  std::filesystem::path data_;
  std::unique_ptr<api::Database> database_;
  api::Users users_;
  api::TokenList tokens_;
};

class StoreLists final : public AccessLists {
 public:
  explicit StoreLists(std::unique_ptr<store::ObjectStore> store)
      : store_(std::move(store)), admin_(*store_, base::system_clock()) {}

  base::Result<std::vector<api::User>> users() override {
    const auto stored = api::read_users(*store_);
    if (!stored) return tl::unexpected(stored.error());
    std::vector<api::User> users;
    for (const api::StoredUser& user : *stored) users.push_back({user.name, user.role, user.created});
    return users;
  }
  base::Status add_user(const std::string& name, const std::string& password) override {
    return admin_.add_user(name, password);
  }
  base::Status set_password(const std::string& name, const std::string& password) override {
    return admin_.set_password(name, password);
  }
  base::Status remove_user(const std::string& name) override { return admin_.remove_user(name); }
  base::Result<std::vector<api::TokenRecord>> tokens() override { return api::read_tokens(*store_); }
  base::Status add_token(const api::TokenClaims& claims, base::UtcTime) override {
    return admin_.add_token(claims, kCreatedBy);
  }
  base::Status revoke_token(const std::string& id) override { return admin_.revoke_token(id); }
  base::Result<api::TokenKey> key() override {
    const auto file = token_key_file();
    if (!file) return tl::unexpected(file.error());
    return api::TokenKey::load_or_create(*file);
  }

 private:
  std::unique_ptr<store::ObjectStore> store_;
  api::AccessAdmin admin_;
};

base::Result<std::unique_ptr<AccessLists>> open_access(const AccessArguments& where) {
  if (!where.store.empty()) {
    auto store = open_store(where.store);
    if (!store) return tl::unexpected(store.error());
    return std::make_unique<StoreLists>(std::move(*store));
  }
  const std::filesystem::path& data = where.data;
  if (!std::filesystem::exists(data)) {
    return base::fail(
        base::Errc::kNotFound,
        fmt::format("there is no data folder {}; start `miharu run` once, or give another --data",
                    data.string()));
  }
  auto database = api::Database::open(data / "miharu.db");
  if (!database) return tl::unexpected(database.error());
  return std::make_unique<DatabaseLists>(data, std::move(*database));
}

// From standard input when something is piped in, else made here and printed once.
std::string read_or_make_password(bool& made) {
  std::string password;
  made = ::isatty(STDIN_FILENO) != 0 || !std::getline(std::cin, password) || password.empty();
  return made ? api::generate_password() : password;
}

}  // namespace

int user_command(const AccessArguments& where, const std::string& verb, const std::string& name) {
  const auto opened = open_access(where);
  if (!opened) return report_error(opened.error());
  AccessLists& access = **opened;
  if (verb == "list") {
    const auto users = access.users();
    if (!users) return report_error(users.error());
    for (const api::User& user : *users)
      fmt::print("{}  {}  since {}\n", user.name, user.role, base::format_rfc3339(user.created));
    return kDone;
  }
  if (verb == "remove") {
    if (auto removed = access.remove_user(name); !removed) return report_error(removed.error());
    fmt::print("{} was removed\n", name);
    return kDone;
  }
  bool made = false;
  const std::string password = read_or_make_password(made);
  const auto done = verb == "add" ? access.add_user(name, password) : access.set_password(name, password);
  if (!done) return report_error(done.error());
  fmt::print("{} {}\n", name, verb == "add" ? "may sign in" : "has a new password");
  if (made) fmt::print("Password (shown this once): {}\n", password);
  return kDone;
}

int token_command(const AccessArguments& where, const std::string& verb, const TokenArguments& arguments) {
  const auto opened = open_access(where);
  if (!opened) return report_error(opened.error());
  AccessLists& access = **opened;
  const base::UtcTime now = base::system_clock().utc();
  if (verb == "list") {
    const auto records = access.tokens();
    if (!records) return report_error(records.error());
    for (const api::TokenRecord& record : *records) {
      const char* state = record.revoked ? "revoked" : record.claims.expires <= now ? "expired" : "valid";
      fmt::print("{}  {}  until {}  cameras {}  rights {}\n", record.claims.id, state,
                 base::format_rfc3339(record.claims.expires), fmt::join(record.claims.cameras, ","),
                 fmt::join(api::names_of(record.claims.rights), ","));
    }
    return kDone;
  }
  if (verb == "revoke") {
    if (auto revoked = access.revoke_token(arguments.id); !revoked) return report_error(revoked.error());
    fmt::print("{} is revoked\n", arguments.id);
    return kDone;
  }
  api::TokenClaims claims;
  claims.id = api::new_token_id();
  claims.cameras = arguments.cameras;
  for (const std::string& camera : claims.cameras) {
    if (camera == "*") continue;
    if (auto good = store::check_camera_name(camera); !good) return report_error(good.error());
  }
  for (const std::string& right : arguments.rights) {
    const auto known = api::right_of(right);
    if (!known)
      return report_error(
          {base::Errc::kInvalid,
           fmt::format("--rights: \"{}\" is none of live, playback, export, snapshot", right)});
    claims.rights = static_cast<api::Rights>(claims.rights | static_cast<api::Rights>(*known));
  }
  const auto life = base::parse_duration(arguments.expires);
  if (!life) return report_error(base::Error(life.error()).in("--expires"));
  claims.expires = now + *life;
  if (!arguments.from.empty() || !arguments.to.empty()) {
    const auto from = base::parse_time(arguments.from.empty() ? "1970-01-01T00:00:00Z" : arguments.from, now);
    if (!from) return report_error(base::Error(from.error()).in("--from"));
    const auto to = base::parse_time(arguments.to.empty() ? "2261-12-31T00:00:00Z" : arguments.to, now);
    if (!to) return report_error(base::Error(to.error()).in("--to"));
    claims.interval = api::Interval{*from, *to};
  }
  const auto key = access.key();
  if (!key) return report_error(key.error());
  if (auto added = access.add_token(claims, now); !added) return report_error(added.error());
  fmt::print("{}\n", key->sign(claims));
  fmt::print(stderr,
             "Token {} is valid until {}. Players take it in the address: "
             "http://HOST:8080/t/TOKEN/hls/{}/{}\n",
             claims.id, base::format_rfc3339(claims.expires),
             claims.cameras.front() == "*" ? "CAMERA" : claims.cameras.front(),
             where.store.empty() ? "live.m3u8" : "vod.m3u8?from=-1h");
  return kDone;
}

}  // namespace miharu::app
