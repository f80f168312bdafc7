#include "record/gap_log.h"

#include "record/sqlite.h"

namespace miharu::record {
namespace {

constexpr std::string_view kWhat = "gap log";

}  // namespace

GapLog::GapLog(std::unique_ptr<SQLite::Database> database) : database_(std::move(database)) {}
GapLog::~GapLog() = default;

base::Result<std::unique_ptr<GapLog>> GapLog::open(const std::filesystem::path& path) {
  return guarded(kWhat, [&] {
    auto database = open_database(path);
    database->exec(
        "CREATE TABLE IF NOT EXISTS gaps (camera TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER, "
        "reason TEXT NOT NULL, text TEXT NOT NULL)");
    database->exec("CREATE INDEX IF NOT EXISTS gaps_by_time ON gaps (camera, start_ms)");
    return std::unique_ptr<GapLog>(new GapLog(std::move(database)));
  });
}

base::Status GapLog::begin(const std::string& camera, const Gap& gap) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement widen(
        *database_, "UPDATE gaps SET start_ms = min(start_ms, ?2) WHERE camera = ?1 AND end_ms IS NULL");
    widen.bind(1, camera);
    widen.bind(2, base::to_unix_ms(gap.start));
    widen.exec();
    SQLite::Statement insert(
        *database_,
        "INSERT INTO gaps (camera, start_ms, end_ms, reason, text) SELECT ?1, ?2, NULL, ?3, ?4 "
        "WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE camera = ?1 AND end_ms IS NULL)");
    insert.bind(1, camera);
    insert.bind(2, base::to_unix_ms(gap.start));
    insert.bind(3, std::string(1, static_cast<char>(gap.reason)));
    insert.bind(4, gap.text);
    insert.exec();
  });
}

base::Status GapLog::end(const std::string& camera, base::UtcTime end, base::nanoseconds least) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    const int64_t end_ms = base::to_unix_ms(end);
    SQLite::Statement forget(*database_,
                             "DELETE FROM gaps WHERE camera = ? AND end_ms IS NULL AND start_ms > ?");
    forget.bind(1, camera);
    forget.bind(2, end_ms - std::chrono::duration_cast<base::milliseconds>(least).count());
    forget.exec();
    SQLite::Statement update(*database_, "UPDATE gaps SET end_ms = ? WHERE camera = ? AND end_ms IS NULL");
    update.bind(1, end_ms);
    update.bind(2, camera);
    update.exec();
  });
}

base::Status GapLog::add(const std::string& camera, const Gap& gap) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement insert(
        *database_, "INSERT INTO gaps (camera, start_ms, end_ms, reason, text) VALUES (?, ?, ?, ?, ?)");
    insert.bind(1, camera);
    insert.bind(2, base::to_unix_ms(gap.start));
    insert.bind(3, base::to_unix_ms(gap.end.value_or(gap.start)));
    insert.bind(4, std::string(1, static_cast<char>(gap.reason)));
    insert.bind(5, gap.text);
    insert.exec();
  });
}

base::Result<std::optional<base::UtcTime>> GapLog::open_since(const std::string& camera) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&]() -> std::optional<base::UtcTime> {
    SQLite::Statement select(*database_,
                             "SELECT min(start_ms) FROM gaps WHERE camera = ? AND end_ms IS NULL");
    select.bind(1, camera);
    if (!select.executeStep() || select.getColumn(0).isNull()) return std::nullopt;
    return base::from_unix_ms(select.getColumn(0).getInt64());
  });
}

base::Status GapLog::shift(const std::string& camera, base::UtcTime from, base::UtcTime to,
                           base::nanoseconds by, base::nanoseconds least) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    const auto run = [&](const char* text) {
      SQLite::Statement statement(*database_, text);
      statement.bind(1, camera);
      statement.bind(2, base::to_unix_ms(from));
      statement.bind(3, base::to_unix_ms(to) + 1);
      statement.bind(4, std::chrono::duration_cast<base::milliseconds>(by).count());
      statement.exec();
    };
    run("UPDATE gaps SET end_ms = end_ms + ?4 WHERE camera = ?1 AND end_ms BETWEEN ?2 AND ?3");
    run("UPDATE gaps SET start_ms = start_ms + ?4 WHERE camera = ?1 AND start_ms BETWEEN ?2 AND ?3");
    SQLite::Statement forget(*database_, "DELETE FROM gaps WHERE camera = ? AND end_ms <= start_ms + ?");
    forget.bind(1, camera);
    forget.bind(2, std::chrono::duration_cast<base::milliseconds>(least).count());
    forget.exec();
  });
}

base::Result<std::vector<Gap>> GapLog::find(std::string_view camera, base::UtcTime from,
                                            base::UtcTime to) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement select(
        *database_,
        "SELECT start_ms, end_ms, reason, text FROM gaps WHERE camera = ? AND start_ms < ? AND "
        "(end_ms IS NULL OR end_ms > ?) ORDER BY start_ms");
    select.bind(1, std::string(camera));
    select.bind(2, base::to_unix_ms(to));
    select.bind(3, base::to_unix_ms(from));
    std::vector<Gap> gaps;
    while (select.executeStep()) {
      Gap gap;
      gap.start = base::from_unix_ms(select.getColumn(0).getInt64());
      if (!select.getColumn(1).isNull()) gap.end = base::from_unix_ms(select.getColumn(1).getInt64());
      const std::string letter = select.getColumn(2).getString();
      if (!letter.empty()) gap.reason = static_cast<store::RunReason>(letter.front());
      gap.text = select.getColumn(3).getString();
      gaps.push_back(std::move(gap));
    }
    return gaps;
  });
}

base::Result<std::vector<GapTotal>> GapLog::totals(base::UtcTime now) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement select(*database_,
                             "SELECT camera, reason, count(*), sum(max(0, ifnull(end_ms, ?) - start_ms)) "
                             "FROM gaps GROUP BY camera, reason");
    select.bind(1, base::to_unix_ms(now));
    std::vector<GapTotal> totals;
    while (select.executeStep()) {
      const std::string letter = select.getColumn(1).getString();
      if (letter.empty()) continue;
      totals.push_back({select.getColumn(0).getString(), static_cast<store::RunReason>(letter.front()),
                        static_cast<uint64_t>(select.getColumn(2).getInt64()),
                        base::milliseconds(select.getColumn(3).getInt64())});
    }
    return totals;
  });
}

}  // namespace miharu::record
