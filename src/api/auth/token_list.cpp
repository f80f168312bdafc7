#include <fmt/format.h>

#include "api/auth/database.h"
#include "api/auth/tokens.h"

namespace miharu::api {

using base::Errc;
using base::fail;

base::Status TokenList::add(const TokenClaims& claims, std::string_view created_by, base::UtcTime now) {
  return database_.write([&](SQLite::Database& db) {
    SQLite::Statement insert(
        db, "INSERT INTO tokens(id, claims, created, expires, created_by) VALUES(?, ?, ?, ?, ?)");
    insert.bind(1, claims.id);
    insert.bind(2, to_json(claims));
    insert.bind(3, base::to_unix_ms(now));
    insert.bind(4, base::to_unix_ms(claims.expires));
    insert.bind(5, std::string(created_by));
    insert.exec();
  });
}

base::Status TokenList::revoke(std::string_view id) {
  bool found = false;
  auto status = database_.write([&](SQLite::Database& db) {
    SQLite::Statement update(db, "UPDATE tokens SET revoked = 1 WHERE id = ?");
    update.bind(1, std::string(id));
    found = update.exec() > 0;
  });
  if (status && !found) return fail(Errc::kNotFound, fmt::format("there is no token {}", id));
  return status;
}

base::Result<std::vector<TokenRecord>> TokenList::list() {
  std::vector<TokenRecord> records;
  auto status = database_.read([&](SQLite::Database& db) {
    SQLite::Statement query(db,
                            "SELECT claims, created, created_by, revoked FROM tokens ORDER BY created, id");
    while (query.executeStep()) {
      auto claims = claims_from_json(query.getColumn(0).getString());
      if (!claims) continue;
      records.push_back({std::move(*claims), base::from_unix_ms(query.getColumn(1).getInt64()),
                         query.getColumn(2).getString(), query.getColumn(3).getInt() != 0});
    }
  });
  if (!status) return tl::unexpected(status.error());
  return records;
}

bool TokenList::is_revoked(std::string_view id) {
  bool revoked = false;
  const auto status = database_.read([&](SQLite::Database& db) {
    SQLite::Statement query(db, "SELECT revoked FROM tokens WHERE id = ?");
    query.bind(1, std::string(id));
    revoked = query.executeStep() && query.getColumn(0).getInt() != 0;
  });
  return revoked || !status;
}

}  // namespace miharu::api
