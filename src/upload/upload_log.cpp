#include "upload/upload_log.h"

#include <algorithm>

#include "base/log.h"
#include "record/sqlite.h"

namespace miharu::upload {
namespace {

using record::guarded;

constexpr std::string_view kWhat = "upload log";

// Of a row. What is neither is in `uploads_gone`.
constexpr int kRecorded = 0;
constexpr int kUploaded = 1;
constexpr int kUnverified = 2;

// Neighbours with less between them are one span.
constexpr int64_t kJoinedMs = 1000;

constexpr size_t kPieceRows = 500;

// Of what was evicted, and is in the bucket since before any attempt of ours.
constexpr const char* kNotCompared = "never compared with the bucket";

int64_t number(uint64_t value) {
  return static_cast<int64_t>(value);
}

}  // namespace

UploadLog::UploadLog(std::unique_ptr<SQLite::Database> database) : database_(std::move(database)) {}
UploadLog::~UploadLog() = default;

base::Result<std::unique_ptr<UploadLog>> UploadLog::open(const std::filesystem::path& path) {
  return guarded(kWhat, [&] {
    auto database = record::open_database(path);
    database->exec(
        "CREATE TABLE IF NOT EXISTS uploads (camera TEXT NOT NULL, seq INTEGER NOT NULL, start_ms INTEGER "
        "NOT NULL, "
        "end_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, attempts INTEGER "
        "NOT NULL "
        "DEFAULT 0, found INTEGER NOT NULL DEFAULT 0, key TEXT, PRIMARY KEY (camera, seq)) WITHOUT ROWID");
    database->exec("CREATE INDEX IF NOT EXISTS uploads_pending ON uploads (start_ms) WHERE state = 0");
    database->exec("CREATE INDEX IF NOT EXISTS uploads_oldest ON uploads (camera, start_ms) WHERE state = 0");
    database->exec("CREATE INDEX IF NOT EXISTS uploads_by_time ON uploads (camera, start_ms, state, end_ms)");
    // What is no longer on the disk, neighbours in one row.
    database->exec(
        "CREATE TABLE IF NOT EXISTS uploads_gone (camera TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms "
        "INTEGER NOT "
        "NULL, bytes INTEGER NOT NULL, objects INTEGER NOT NULL, lost INTEGER NOT NULL, reason TEXT NOT "
        "NULL)");
    database->exec("CREATE INDEX IF NOT EXISTS uploads_gone_by_time ON uploads_gone (camera, start_ms)");
    std::unique_ptr<UploadLog> log(new UploadLog(std::move(database)));
    SQLite::Statement count(
        *log->database_, "SELECT camera, count(*), sum(bytes) FROM uploads WHERE state = 0 GROUP BY camera");
    while (count.executeStep()) {
      log->pending_[count.getColumn(0).getString()] = {static_cast<uint64_t>(count.getColumn(1).getInt64()),
                                                       static_cast<uint64_t>(count.getColumn(2).getInt64())};
    }
    return log;
  });
}

UploadLog::Count UploadLog::insert(const std::string& camera, const store::ObjectName& name, bool found) {
  const auto key = store::object_key(camera, name);
  if (!key) return {};
  SQLite::Statement insert(
      *database_,
      "INSERT INTO uploads (camera, seq, start_ms, end_ms, bytes, key, found) VALUES (?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT DO NOTHING");
  SQLite::Statement update(
      *database_,
      "UPDATE uploads SET start_ms = ?3, end_ms = ?4, key = ?6 WHERE camera = ?1 AND seq = ?2 AND "
      "state = 0 AND key <> ?6");
  for (SQLite::Statement* each : {&insert, &update}) {
    each->bind(1, camera);
    each->bind(2, number(name.seq));
    each->bind(3, base::to_unix_ms(name.start));
    each->bind(4, base::to_unix_ms(name.end()));
    if (each == &insert) {
      each->bind(5, number(name.size_bytes()));
      each->bind(7, found ? 1 : 0);
    }
    each->bind(6, *key);
  }
  if (insert.exec() > 0) return {1, name.size_bytes()};
  update.exec();
  return {};
}

void UploadLog::count_pending(const std::string& camera, const Count& more) {
  Count& count = pending_[camera];
  count.objects += more.objects;
  count.bytes += more.bytes;
}

base::Status UploadLog::add(const std::string& camera, const store::ObjectName& name) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] { count_pending(camera, insert(camera, name, false)); });
}

base::Result<std::vector<Pending>> UploadLog::newest(size_t count,
                                                     const std::function<bool(const Pending&)>& skip) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    std::vector<Pending> found;
    SQLite::Statement select(
        *database_,
        "SELECT camera, seq, key, attempts, found FROM uploads WHERE state = 0 ORDER BY start_ms DESC");
    while (found.size() < count && select.executeStep()) {
      Pending each{select.getColumn(0).getString(), static_cast<uint64_t>(select.getColumn(1).getInt64()),
                   select.getColumn(2).getString(), static_cast<uint64_t>(select.getColumn(3).getInt64()),
                   select.getColumn(4).getInt() != 0};
      if (!skip(each)) found.push_back(std::move(each));
    }
    return found;
  });
}

base::Status UploadLog::attempt(const std::string& camera, uint64_t seq) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement update(*database_,
                             "UPDATE uploads SET attempts = attempts + 1 WHERE camera = ? AND seq = ?");
    update.bind(1, camera);
    update.bind(2, number(seq));
    update.exec();
  });
}

base::Status UploadLog::attempt_failed(const std::string& camera, uint64_t seq) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement update(
        *database_, "UPDATE uploads SET attempts = max(attempts - 1, 0) WHERE camera = ? AND seq = ?");
    update.bind(1, camera);
    update.bind(2, number(seq));
    update.exec();
  });
}

base::Status UploadLog::uploaded(const std::string& camera, uint64_t seq, bool verified) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement update(*database_,
                             "UPDATE uploads SET state = ?3, key = NULL WHERE camera = ?1 AND seq = ?2 AND "
                             "state = 0 RETURNING bytes");
    update.bind(1, camera);
    update.bind(2, number(seq));
    update.bind(3, verified ? kUploaded : kUnverified);
    if (!update.executeStep()) return;
    const auto bytes = static_cast<uint64_t>(update.getColumn(0).getInt64());
    while (update.executeStep()) continue;
    Count& count = pending_[camera];
    count.objects -= 1;
    count.bytes -= bytes;
  });
}

void UploadLog::forget(const std::string& camera, uint64_t seq, const std::string& why) {
  SQLite::Statement remove(
      *database_,
      "DELETE FROM uploads WHERE camera = ? AND seq = ? RETURNING start_ms, end_ms, bytes, state");
  remove.bind(1, camera);
  remove.bind(2, number(seq));
  if (!remove.executeStep()) return;
  const int64_t start = remove.getColumn(0).getInt64();
  const int64_t end = remove.getColumn(1).getInt64();
  const int64_t bytes = remove.getColumn(2).getInt64();
  const int state = remove.getColumn(3).getInt();
  const bool lost = state == kRecorded;
  while (remove.executeStep()) continue;
  const std::string reason = lost ? why : state == kUnverified ? kNotCompared : "";
  SQLite::Statement widen(
      *database_,
      "UPDATE uploads_gone SET end_ms = ?3, bytes = bytes + ?4, objects = objects + 1 WHERE rowid = "
      "(SELECT rowid FROM uploads_gone WHERE camera = ?1 AND lost = ?5 AND reason = ?6 AND end_ms "
      "BETWEEN ?2 - ?7 AND ?2 + ?7 ORDER BY start_ms DESC LIMIT 1)");
  SQLite::Statement insert(
      *database_,
      "INSERT INTO uploads_gone (camera, start_ms, end_ms, bytes, objects, lost, reason) VALUES "
      "(?1, ?2, ?3, ?4, 1, ?5, ?6)");
  for (SQLite::Statement* each : {&widen, &insert}) {
    each->bind(1, camera);
    each->bind(2, start);
    each->bind(3, end);
    each->bind(4, bytes);
    each->bind(5, lost ? 1 : 0);
    each->bind(6, reason);
  }
  widen.bind(7, kJoinedMs);
  if (widen.exec() == 0) insert.exec();
  if (!lost) return;
  Count& count = pending_[camera];
  count.objects -= 1;
  count.bytes -= static_cast<uint64_t>(bytes);
}

base::Result<uint64_t> UploadLog::reconcile(const std::string& camera,
                                            const std::function<base::Status(const Take&)>& walk) {
  std::vector<uint64_t> known;  // sorted
  {
    const std::lock_guard lock(mutex_);
    auto read = guarded(kWhat, [&] {
      SQLite::Statement select(*database_, "SELECT seq FROM uploads WHERE camera = ? ORDER BY seq");
      select.bind(1, camera);
      while (select.executeStep()) known.push_back(static_cast<uint64_t>(select.getColumn(0).getInt64()));
    });
    if (!read) return tl::unexpected(read.error());
  }
  std::vector<bool> there(known.size());
  uint64_t added = 0;
  const Take take = [&](std::span<const store::ObjectName> names) -> base::Status {
    for (const store::ObjectName& name : names) {
      const auto at = std::ranges::lower_bound(known, name.seq);
      if (at != known.end() && *at == name.seq) {
        there[static_cast<size_t>(at - known.begin())] = true;
      } else {
        added += 1;
      }
    }
    // Others write to this database, and ask this log, meanwhile: none waits for more than a piece.
    for (size_t at = 0; at < names.size(); at += kPieceRows) {
      const std::lock_guard lock(mutex_);
      auto done = guarded(kWhat, [&] {
        SQLite::Transaction transaction(*database_);
        Count more;
        for (const store::ObjectName& name : names.subspan(at, std::min(kPieceRows, names.size() - at))) {
          const Count each = insert(camera, name, true);
          more.objects += each.objects;
          more.bytes += each.bytes;
        }
        transaction.commit();
        // Only what is kept: a full disk takes all of it back.
        count_pending(camera, more);
      });
      if (!done) return done;
    }
    return {};
  };
  if (auto walked = walk(take); !walked) return tl::unexpected(std::move(walked.error()));
  const uint64_t new_ones = added;
  // An object that was moved to its right time meanwhile may have gone to where the walk had been already.
  if (std::ranges::find(there, false) != there.end()) {
    if (auto walked = walk(take); !walked) return tl::unexpected(std::move(walked.error()));
  }
  for (size_t i = 0; i < known.size(); ++i) {
    if (there[i]) continue;
    const std::lock_guard lock(mutex_);
    auto done =
        guarded(kWhat, [&] { forget(camera, known[i], "it was gone from the disk before it was uploaded"); });
    if (!done) return tl::unexpected(done.error());
  }
  return new_ones;
}

base::Status UploadLog::erase(const std::string& camera, base::UtcTime from, base::UtcTime to) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    const auto bound = [&](const char* text) {
      auto statement = std::make_unique<SQLite::Statement>(*database_, text);
      statement->bind(1, camera);
      statement->bind(2, base::to_unix_ms(from));
      statement->bind(3, base::to_unix_ms(to));
      return statement;
    };
    SQLite::Transaction transaction(*database_);
    Count gone;
    const auto remove = bound(
        "DELETE FROM uploads WHERE camera = ?1 AND start_ms >= ?2 AND end_ms <= ?3 RETURNING state, bytes");
    while (remove->executeStep()) {
      if (remove->getColumn(0).getInt() != kRecorded) continue;
      gone.objects += 1;
      gone.bytes += static_cast<uint64_t>(remove->getColumn(1).getInt64());
    }
    // What is left of a row on either side keeps its share of the bytes.
    bound(
        "INSERT INTO uploads_gone SELECT camera, ?3, end_ms, bytes * (end_ms - ?3) / (end_ms - start_ms), "
        "objects, 0, reason FROM uploads_gone WHERE camera = ?1 AND lost = 0 AND start_ms < ?3 AND end_ms > "
        "?3")
        ->exec();
    bound(
        "UPDATE uploads_gone SET bytes = bytes * (?2 - start_ms) / (end_ms - start_ms), end_ms = ?2 WHERE "
        "camera = ?1 AND lost = 0 AND start_ms < ?2 AND end_ms > ?2 AND start_ms < ?3")
        ->exec();
    bound("DELETE FROM uploads_gone WHERE camera = ?1 AND lost = 0 AND start_ms >= ?2 AND end_ms <= ?3")
        ->exec();
    transaction.commit();
    Count& count = pending_[camera];
    count.objects -= gone.objects;
    count.bytes -= gone.bytes;
  });
}

base::Result<std::vector<std::string>> UploadLog::cameras() const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    std::vector<std::string> names;
    SQLite::Statement select(*database_, "SELECT DISTINCT camera FROM uploads ORDER BY camera");
    while (select.executeStep()) names.push_back(select.getColumn(0).getString());
    return names;
  });
}

base::Result<std::vector<PlacedSpan>> UploadLog::find(std::string_view camera, base::UtcTime from,
                                                      base::UtcTime to) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    std::vector<PlacedSpan> spans;
    const auto run = [&](const char* text, base::UtcTime since, const auto& take) {
      SQLite::Statement select(*database_, text);
      select.bind(1, std::string(camera));
      select.bind(2, base::to_unix_ms(since));
      select.bind(3, base::to_unix_ms(to));
      select.bind(4, base::to_unix_ms(from));
      while (select.executeStep()) {
        spans.push_back({base::from_unix_ms(select.getColumn(0).getInt64()),
                         base::from_unix_ms(select.getColumn(1).getInt64()),
                         static_cast<uint64_t>(select.getColumn(2).getInt64()),
                         Place::kLocal,
                         {}});
        take(select, spans.back());
      }
    };
    // Objects last minutes: the index finds them by their start.
    run("SELECT start_ms, end_ms, bytes, state FROM uploads WHERE camera = ?1 AND start_ms >= ?2 AND "
        "start_ms < ?3 AND "
        "end_ms > ?4",
        from - std::chrono::hours(1), [](SQLite::Statement& row, PlacedSpan& span) {
          span.place = row.getColumn(3).getInt() == kRecorded ? Place::kLocal : Place::kUploaded;
        });
    run("SELECT start_ms, end_ms, bytes, lost, reason FROM uploads_gone WHERE camera = ?1 AND start_ms >= ?2 "
        "AND "
        "start_ms < ?3 AND end_ms > ?4",
        base::UtcTime{}, [](SQLite::Statement& row, PlacedSpan& span) {
          span.place = row.getColumn(3).getInt() != 0 ? Place::kLost : Place::kEvicted;
          span.reason = row.getColumn(4).getString();
        });
    std::ranges::stable_sort(spans, {}, &PlacedSpan::start);
    return spans;
  });
}

base::Result<std::map<std::string, CameraUploads>> UploadLog::totals() const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    std::map<std::string, CameraUploads> totals;
    SQLite::Statement oldest(
        *database_, "SELECT start_ms FROM uploads WHERE camera = ? AND state = 0 ORDER BY start_ms LIMIT 1");
    SQLite::Statement newest(
        *database_,
        "SELECT end_ms FROM uploads WHERE camera = ? AND state > 0 ORDER BY start_ms DESC LIMIT 1");
    SQLite::Statement gone(
        *database_, "SELECT camera, sum(lost * objects), max(end_ms) FROM uploads_gone GROUP BY camera");
    while (gone.executeStep()) {
      CameraUploads& each = totals[gone.getColumn(0).getString()];
      each.lost_objects = static_cast<uint64_t>(gone.getColumn(1).getInt64());
      each.safe_until = base::from_unix_ms(gone.getColumn(2).getInt64());
    }
    for (const auto& [camera, count] : pending_) {
      CameraUploads& each = totals[camera];
      each.pending_objects = count.objects;
      each.pending_bytes = count.bytes;
      SQLite::Statement& select = count.objects > 0 ? oldest : newest;
      select.reset();
      select.bind(1, camera);
      if (select.executeStep()) each.safe_until = base::from_unix_ms(select.getColumn(0).getInt64());
    }
    return totals;
  });
}

record::SecondCopy::State UploadLog::state_of(const std::string& camera,
                                              const store::ObjectName& name) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat,
                 [&] {
                   SQLite::Statement select(*database_,
                                            "SELECT state FROM uploads WHERE camera = ? AND seq = ?");
                   select.bind(1, camera);
                   select.bind(2, number(name.seq));
                   if (!select.executeStep() || select.getColumn(0).getInt() == kRecorded)
                     return State::kNone;
                   return select.getColumn(0).getInt() == kUploaded ? State::kVerified : State::kUnverified;
                 })
      .value_or(State::kNone);
}

bool UploadLog::any(const std::string& camera, base::UtcTime from, base::UtcTime to, State least) const {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat,
                 [&] {
                   SQLite::Statement select(
                       *database_,
                       "SELECT 1 FROM uploads WHERE camera = ? AND start_ms >= ? AND start_ms < ? AND "
                       "state BETWEEN ? AND ? LIMIT 1");
                   select.bind(1, camera);
                   select.bind(2, base::to_unix_ms(from));
                   select.bind(3, base::to_unix_ms(to));
                   select.bind(4, kUploaded);
                   select.bind(5, least == State::kVerified ? kUploaded : kUnverified);
                   return select.executeStep();
                 })
      .value_or(false);
}

void UploadLog::deleted(const std::string& camera, const store::ObjectName& name, const std::string& why) {
  const std::lock_guard lock(mutex_);
  const auto done = guarded(kWhat, [&] { forget(camera, name.seq, why); });
  if (!done) spdlog::warn("{}", done.error().to_string());
}

}  // namespace miharu::upload
