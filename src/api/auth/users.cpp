#include "api/auth/users.h"

#include <array>

#include <fmt/format.h>
#include <sodium.h>

#include "api/auth/database.h"
#include "base/bytes.h"

namespace miharu::api {

using base::Errc;
using base::fail;

namespace {

std::string stored_form(std::string_view session_id) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash{};
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(session_id.data()),
                     session_id.size());
  return base::to_hex(std::as_bytes(std::span(hash)));
}

int64_t count_of(SQLite::Database& db, const char* sql, const std::string& argument) {
  SQLite::Statement query(db, sql);
  query.bind(1, argument);
  return query.executeStep() ? query.getColumn(0).getInt64() : 0;
}

}  // namespace

Users::Users(Database& database, const base::Clock& clock, PasswordCost cost)
    : database_(database), clock_(clock), cost_(cost), decoy_hash_(decoy_hash(cost)) {}

base::Result<std::optional<std::string>> Users::create_first() {
  const auto users = list();
  if (!users) return tl::unexpected(users.error());
  if (!users->empty()) return std::nullopt;
  std::string password = generate_password();
  if (auto added = add("admin", password); !added) return tl::unexpected(added.error());
  return password;
}

base::Status Users::add(std::string_view name, std::string_view password) {
  if (auto ok = check_user_name(name); !ok) return ok;
  if (auto ok = check_password(password); !ok) return ok;
  const auto hash = hash_password(password, cost_);
  if (!hash) return tl::unexpected(hash.error());
  bool exists = false;
  auto status = database_.write([&](SQLite::Database& db) {
    SQLite::Statement insert(
        db, "INSERT OR IGNORE INTO users(name, hash, role, created) VALUES(?, ?, 'admin', ?)");
    insert.bind(1, std::string(name));
    insert.bind(2, *hash);
    insert.bind(3, base::to_unix_ms(clock_.utc()));
    exists = insert.exec() == 0;
  });
  if (status && exists) return fail(Errc::kExists, fmt::format("there is a user {} already", name));
  return status;
}

base::Status Users::set_password(std::string_view name, std::string_view password) {
  if (auto ok = check_password(password); !ok) return ok;
  const auto hash = hash_password(password, cost_);
  if (!hash) return tl::unexpected(hash.error());
  bool found = false;
  auto status = database_.write([&](SQLite::Database& db) {
    SQLite::Statement update(db, "UPDATE users SET hash = ? WHERE name = ?");
    update.bind(1, *hash);
    update.bind(2, std::string(name));
    found = update.exec() > 0;
    SQLite::Statement end(db, "DELETE FROM sessions WHERE user = ?");
    end.bind(1, std::string(name));
    end.exec();
  });
  if (status && !found) return fail(Errc::kNotFound, fmt::format("there is no user {}", name));
  return status;
}

base::Status Users::remove(std::string_view name) {
  int64_t others = 0;
  bool found = false;
  auto status = database_.write([&](SQLite::Database& db) {
    others = count_of(db, "SELECT count(*) FROM users WHERE name != ?", std::string(name));
    if (others == 0) return;
    SQLite::Statement remove(db, "DELETE FROM users WHERE name = ?");
    remove.bind(1, std::string(name));
    found = remove.exec() > 0;
  });
  if (!status) return status;
  if (others == 0)
    return fail(Errc::kInvalid, "the last user cannot be removed: nobody could sign in any more");
  if (!found) return fail(Errc::kNotFound, fmt::format("there is no user {}", name));
  return {};
}

base::Result<std::vector<User>> Users::list() {
  std::vector<User> users;
  auto status = database_.read([&](SQLite::Database& db) {
    SQLite::Statement query(db, "SELECT name, role, created FROM users ORDER BY name");
    while (query.executeStep()) {
      users.push_back({query.getColumn(0).getString(), query.getColumn(1).getString(),
                       base::from_unix_ms(query.getColumn(2).getInt64())});
    }
  });
  if (!status) return tl::unexpected(status.error());
  return users;
}

base::Result<bool> Users::verify(std::string_view name, std::string_view password) {
  std::string hash;
  auto status = database_.read([&](SQLite::Database& db) {
    SQLite::Statement query(db, "SELECT hash FROM users WHERE name = ?");
    query.bind(1, std::string(name));
    if (query.executeStep()) hash = query.getColumn(0).getString();
  });
  if (!status) return tl::unexpected(status.error());
  const bool matches = verify_password(hash.empty() ? decoy_hash_ : hash, password);
  return matches && !hash.empty();
}

base::Result<std::string> Users::open_session(std::string_view name) {
  std::array<unsigned char, 32> random{};
  randombytes_buf(random.data(), random.size());
  std::string id = base::to_base64url(std::as_bytes(std::span(random)));
  const base::UtcTime now = clock_.utc();
  auto status = database_.write([&](SQLite::Database& db) {
    SQLite::Statement clean(db, "DELETE FROM sessions WHERE expires <= ?");
    clean.bind(1, base::to_unix_ms(now));
    clean.exec();
    SQLite::Statement insert(db, "INSERT INTO sessions(hash, user, created, expires) VALUES(?, ?, ?, ?)");
    insert.bind(1, stored_form(id));
    insert.bind(2, std::string(name));
    insert.bind(3, base::to_unix_ms(now));
    insert.bind(4, base::to_unix_ms(now + kSessionLife));
    insert.exec();
  });
  if (!status) return tl::unexpected(status.error());
  return id;
}

std::optional<Session> Users::find_session(std::string_view id) {
  std::optional<Session> session;
  const auto status = database_.read([&](SQLite::Database& db) {
    SQLite::Statement query(
        db,
        "SELECT s.user, u.role, s.expires FROM sessions s JOIN users u ON u.name = s.user "
        "WHERE s.hash = ? AND s.expires > ?");
    query.bind(1, stored_form(id));
    query.bind(2, base::to_unix_ms(clock_.utc()));
    if (query.executeStep()) {
      session = Session{query.getColumn(0).getString(), query.getColumn(1).getString(),
                        base::from_unix_ms(query.getColumn(2).getInt64())};
    }
  });
  return status ? session : std::nullopt;
}

base::Status Users::renew_session(std::string_view id) {
  return database_.write([&](SQLite::Database& db) {
    SQLite::Statement update(db, "UPDATE sessions SET expires = ? WHERE hash = ?");
    update.bind(1, base::to_unix_ms(clock_.utc() + kSessionLife));
    update.bind(2, stored_form(id));
    update.exec();
  });
}

base::Status Users::end_session(std::string_view id) {
  return database_.write([&](SQLite::Database& db) {
    SQLite::Statement remove(db, "DELETE FROM sessions WHERE hash = ?");
    remove.bind(1, stored_form(id));
    remove.exec();
  });
}

}  // namespace miharu::api
