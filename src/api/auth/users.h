// Users and their sessions, kept in the database.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth/passwords.h"
#include "base/clock.h"

namespace miharu::api {

class Database;

struct User {
  std::string name;
  std::string role;  // "admin"
  base::UtcTime created;
};

struct Session {
  std::string user;
  std::string role;
  base::UtcTime expires;
};

// Thread-safe. All but find_session() write to disk or take Argon2id's time: not for the control thread.
// Virtual, so that a program without a database is linked without SQLite.
class Users {
 public:
  static constexpr std::chrono::hours kSessionLife{30 * 24};

  // Both must outlive it.
  Users(Database& database, const base::Clock& clock, PasswordCost cost = {});
  virtual ~Users() = default;

  // Makes the user "admin" when there is no user at all, and returns the generated password: the only time it
  // is to be had.
  virtual base::Result<std::optional<std::string>> create_first();
  virtual base::Status add(std::string_view name, std::string_view password);
  virtual base::Status set_password(std::string_view name,
                                    std::string_view password);  // ends the user's sessions
  virtual base::Status remove(std::string_view name);            // and the user's sessions; not the last user
  virtual base::Result<std::vector<User>> list();
  // Takes as long for a name that does not exist.
  virtual base::Result<bool> verify(std::string_view name, std::string_view password);

  // The id is the cookie's value: 256 random bits, of which only a hash is stored.
  virtual base::Result<std::string> open_session(std::string_view name);
  virtual std::optional<Session> find_session(std::string_view id);  // nothing when unknown or expired
  virtual base::Status renew_session(std::string_view id);           // expires kSessionLife from now
  virtual base::Status end_session(std::string_view id);

 private:
  Database& database_;
  const base::Clock& clock_;
  const PasswordCost cost_;
  const std::string decoy_hash_;
};

}  // namespace miharu::api
