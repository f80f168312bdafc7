#include "api/auth/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/file.h"

namespace miharu::api {

namespace {

constexpr int kBusyMs = 2000;

base::Error error_of(const SQLite::Exception& error) {
  const bool full = error.getErrorCode() == SQLITE_FULL;
  return {full ? base::Errc::kNoSpace : base::Errc::kIo, std::string("miharu.db: ") + error.what(), -1};
}

}  // namespace

Database::Database(const std::filesystem::path& path)
    : writer_(path.string(), SQLite::OPEN_READWRITE, kBusyMs),
      reader_(path.string(), SQLite::OPEN_READWRITE, kBusyMs) {
  writer_.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
  writer_.exec(R"(
    CREATE TABLE IF NOT EXISTS users(
      name TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS sessions(
      hash TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users(name) ON DELETE CASCADE,
      created INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS tokens(
      id TEXT PRIMARY KEY, claims TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,
      created_by TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;)");
}

base::Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path) {
  // SQLite would make it readable for all; its -wal and -shm files take their mode from it. A file that is
  // there must not be opened here: closing it again would drop the locks of all of this process's connections
  // to it (POSIX), and another process would take the write-ahead log away from under them.
  if (std::filesystem::exists(path)) {
    for (const char* suffix : {"", "-wal", "-shm"}) ::chmod((path.string() + suffix).c_str(), 0600);
  } else if (auto file = base::File::open(path, O_RDWR | O_CREAT | O_EXCL, 0600); !file) {
    return tl::unexpected(file.error());
  }
  try {
    return std::unique_ptr<Database>(new Database(path));
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(error_of(error).in(path.string()));
  }
}

base::Status Database::read(const std::function<void(SQLite::Database&)>& function) {
  std::lock_guard lock(read_mutex_);
  try {
    function(reader_);
    return {};
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(error_of(error));
  }
}

base::Status Database::write(const std::function<void(SQLite::Database&)>& function) {
  std::lock_guard lock(write_mutex_);
  try {
    SQLite::Transaction transaction(writer_, SQLite::TransactionBehavior::IMMEDIATE);
    function(writer_);
    transaction.commit();
    return {};
  } catch (const SQLite::Exception& error) {
    return tl::unexpected(error_of(error));
  }
}

}  // namespace miharu::api
