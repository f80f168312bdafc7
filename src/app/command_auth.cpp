// user and token: who may sign in, and signed links. They work on the database of a running miharu too.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include <fmt/format.h>

#include "api/auth/auth.h"
#include "app/commands.h"
#include "store/object_name.h"

namespace miharu::app {
namespace {

struct Access {
  std::unique_ptr<api::Database> database;
  std::unique_ptr<api::Users> users;
  std::unique_ptr<api::TokenList> tokens;
};

base::Result<Access> open_access(const std::filesystem::path& data) {
  if (!std::filesystem::exists(data)) {
    return base::fail(
        base::Errc::kNotFound,
        fmt::format("there is no data folder {}; start `miharu run` once, or give another --data",
                    data.string()));
  }
  Access access;
  auto database = api::Database::open(data / "miharu.db");
  if (!database) return tl::unexpected(database.error());
  access.database = std::move(*database);
  access.users = std::make_unique<api::Users>(*access.database, base::system_clock());
  access.tokens = std::make_unique<api::TokenList>(*access.database);
  return access;
}

// From standard input when something is piped in, else made here and printed once.
std::string read_or_make_password(bool& made) {
  std::string password;
  made = ::isatty(STDIN_FILENO) != 0 || !std::getline(std::cin, password) || password.empty();
  return made ? api::generate_password() : password;
}

}  // namespace

int user_command(const std::filesystem::path& data, const std::string& verb, const std::string& name) {
  auto access = open_access(data);
  if (!access) return report_error(access.error());
  if (verb == "list") {
    const auto users = access->users->list();
    if (!users) return report_error(users.error());
    for (const api::User& user : *users)
      fmt::print("{}  {}  since {}\n", user.name, user.role, base::format_rfc3339(user.created));
    return kDone;
  }
  if (verb == "remove") {
    if (auto removed = access->users->remove(name); !removed) return report_error(removed.error());
    fmt::print("{} was removed\n", name);
    return kDone;
  }
  bool made = false;
  const std::string password = read_or_make_password(made);
  const auto done =
      verb == "add" ? access->users->add(name, password) : access->users->set_password(name, password);
  if (!done) return report_error(done.error());
  fmt::print("{} {}\n", name, verb == "add" ? "may sign in" : "has a new password");
  if (made) fmt::print("Password (shown this once): {}\n", password);
  return kDone;
}

int token_command(const std::filesystem::path& data, const std::string& verb,
                  const TokenArguments& arguments) {
  auto access = open_access(data);
  if (!access) return report_error(access.error());
  const base::UtcTime now = base::system_clock().utc();
  if (verb == "list") {
    const auto records = access->tokens->list();
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
    if (auto revoked = access->tokens->revoke(arguments.id); !revoked) return report_error(revoked.error());
    fmt::print("{} is revoked\n", arguments.id);
    return kDone;
  }
  api::TokenClaims claims;
  claims.id = api::TokenList::new_id();
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
  const auto key = api::TokenKey::load_or_create(data / "token.key");
  if (!key) return report_error(key.error());
  if (auto added = access->tokens->add(claims, "command line", now); !added)
    return report_error(added.error());
  fmt::print("{}\n", key->sign(claims));
  fmt::print(stderr,
             "Token {} is valid until {}. Players take it in the address: "
             "http://HOST:8080/t/TOKEN/hls/{}/live.m3u8\n",
             claims.id, base::format_rfc3339(claims.expires),
             claims.cameras.front() == "*" ? "CAMERA" : claims.cameras.front());
  return kDone;
}

}  // namespace miharu::app
