// The SQLite database of users, sessions and tokens (miharu.db). Other processes (`miharu user`) may have it
// open as well.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>

#include <SQLiteCpp/SQLiteCpp.h>

#include "base/error.h"

namespace miharu::api {

// Thread-safe. Reads have a connection of their own: in WAL mode they never wait for a writer, so that the
// control thread may read a row for each request. Writes sync to disk and belong on another thread.
class Database {
 public:
  // Creates the file (mode 0600) and its tables.
  static base::Result<std::unique_ptr<Database>> open(const std::filesystem::path& path);

  // SQLite's exceptions become errors; `function` returns nothing and leaves its result in captures. A write
  // is one transaction, undone when `function` throws.
  base::Status read(const std::function<void(SQLite::Database&)>& function);
  base::Status write(const std::function<void(SQLite::Database&)>& function);

 private:
  explicit Database(const std::filesystem::path& path);

  std::mutex write_mutex_, read_mutex_;
  SQLite::Database writer_, reader_;
};

}  // namespace miharu::api
