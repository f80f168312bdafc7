// What the tables of this layer share of SQLite.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <type_traits>

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>

#include "base/error.h"

namespace miharu::record {

// SQLiteCpp reports by exceptions; they end here. `what` begins the error's text.
template <class Function>
auto guarded(std::string_view what, Function&& function) -> base::Result<decltype(function())> {
  try {
    if constexpr (std::is_void_v<decltype(function())>) {
      function();
      return {};
    } else {
      return function();
    }
  } catch (const SQLite::Exception& error) {
    return base::fail(base::Errc::kIo, fmt::format("{}: {}", what, error.what()));
  }
}

// Made where there is none; throws as SQLiteCpp does. Another process may hold it for two seconds.
inline std::unique_ptr<SQLite::Database> open_database(const std::filesystem::path& path) {
  auto database =
      std::make_unique<SQLite::Database>(path.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, 2000);
  database->exec("PRAGMA journal_mode=WAL");
  database->exec("PRAGMA synchronous=NORMAL");
  return database;
}

}  // namespace miharu::record
