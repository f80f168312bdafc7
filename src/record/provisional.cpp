#include "record/provisional.h"

#include <optional>

#include "base/log.h"
#include "media/time_shift.h"
#include "record/numbering.h"
#include "record/recorder.h"
#include "record/sqlite.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhat = "provisional runs";

void correct(ProvisionalRuns& runs, net::EventLoop& disk_loop, const base::Clock& clock,
             const std::string& camera) {
  const auto more = runs.correct_next(camera, clock.utc(), base::utc_minus_steady(clock));
  if (more && *more)
    return disk_loop.post([&runs, &disk_loop, &clock, camera] { correct(runs, disk_loop, clock, camera); });
  runs.end_correction(camera);
  // Tried again with the next object, or when all cameras are looked through.
  if (!more) spdlog::warn("{}: {}", camera, more.error().to_string());
}

}  // namespace

ProvisionalRuns::ProvisionalRuns(std::unique_ptr<SQLite::Database> database, std::string boot,
                                 store::DirectoryStore& store, Disk& disk, GapLog& gaps)
    : database_(std::move(database)), boot_(std::move(boot)), store_(store), disk_(disk), gaps_(gaps) {}
ProvisionalRuns::~ProvisionalRuns() = default;

base::Result<std::unique_ptr<ProvisionalRuns>> ProvisionalRuns::open(const fs::path& database,
                                                                     std::string boot,
                                                                     store::DirectoryStore& store, Disk& disk,
                                                                     GapLog& gaps) {
  return guarded(kWhat, [&] {
    auto opened = open_database(database);
    opened->exec(
        "CREATE TABLE IF NOT EXISTS provisional (camera TEXT NOT NULL, run INTEGER NOT NULL, boot TEXT NOT "
        "NULL, "
        "start_ms INTEGER NOT NULL, utc_minus_steady INTEGER NOT NULL, next_seq INTEGER NOT NULL, "
        "PRIMARY KEY (camera, run))");
    SQLite::Statement others(*opened, "DELETE FROM provisional WHERE boot <> ?");
    others.bind(1, boot);
    others.exec();
    std::unique_ptr<ProvisionalRuns> runs(
        new ProvisionalRuns(std::move(opened), std::move(boot), store, disk, gaps));
    SQLite::Statement select(*runs->database_, "SELECT camera, run, utc_minus_steady FROM provisional");
    while (select.executeStep()) {
      runs->marked_.emplace(std::pair(select.getColumn(0).getString(), select.getColumn(1).getInt64()),
                            base::nanoseconds(select.getColumn(2).getInt64()));
    }
    return runs;
  });
}

base::Status ProvisionalRuns::mark(const std::string& camera, uint64_t run, base::UtcTime start,
                                   base::nanoseconds utc_minus_steady) {
  const std::lock_guard lock(mutex_);
  if (accepted_.contains({camera, run})) return {};
  if (!marked_.emplace(std::pair(camera, run), utc_minus_steady).second) return {};
  return guarded(kWhat, [&] {
    SQLite::Statement insert(*database_, "INSERT OR REPLACE INTO provisional VALUES (?, ?, ?, ?, ?, 0)");
    insert.bind(1, camera);
    insert.bind(2, static_cast<int64_t>(run));
    insert.bind(3, boot_);
    insert.bind(4, base::to_unix_ms(start));
    insert.bind(5, utc_minus_steady.count());
    insert.exec();
  });
}

bool ProvisionalRuns::holds(const std::string& camera, uint64_t run) const {
  const std::lock_guard lock(mutex_);
  return marked_.contains({camera, run});
}

void ProvisionalRuns::grows(const std::string& camera, uint64_t run) {
  const std::lock_guard lock(mutex_);
  growing_[camera] = run;
}

std::set<std::string> ProvisionalRuns::cameras() const {
  const std::lock_guard lock(mutex_);
  std::set<std::string> names;
  for (const auto& [run, placed] : marked_) names.insert(run.first);
  return names;
}

bool ProvisionalRuns::begin_correction(const std::string& camera) {
  const std::lock_guard lock(mutex_);
  return correcting_.insert(camera).second;
}

void ProvisionalRuns::end_correction(const std::string& camera) {
  const std::lock_guard lock(mutex_);
  correcting_.erase(camera);
}

bool ProvisionalRuns::misplaced(const std::string& camera, uint64_t run,
                                base::nanoseconds utc_minus_steady) const {
  const std::lock_guard lock(mutex_);
  const auto mark = marked_.find({camera, run});
  return mark != marked_.end() && std::chrono::abs(utc_minus_steady - mark->second) >= kLeastError;
}

base::Result<bool> ProvisionalRuns::accept(const std::string& camera, uint64_t run,
                                           base::nanoseconds utc_minus_steady) {
  if (misplaced(camera, run, utc_minus_steady)) return false;
  {
    const std::lock_guard lock(mutex_);
    accepted_.insert({camera, run});
    if (!marked_.contains({camera, run})) return true;
  }
  if (auto done = forget(camera, {run, {}, {}, 0}); !done) return tl::unexpected(done.error());
  return true;
}

base::Status ProvisionalRuns::forget(const std::string& camera, const Mark& mark) {
  const std::lock_guard lock(mutex_);
  marked_.erase({camera, mark.run});
  return guarded(kWhat, [&] {
    SQLite::Statement remove(*database_, "DELETE FROM provisional WHERE camera = ? AND run = ?");
    remove.bind(1, camera);
    remove.bind(2, static_cast<int64_t>(mark.run));
    remove.exec();
  });
}

base::Result<bool> ProvisionalRuns::correct_next(const std::string& camera, base::UtcTime now,
                                                 base::nanoseconds utc_minus_steady) {
  std::vector<Mark> marks;
  uint64_t growing_run = 0;
  {
    const std::lock_guard lock(mutex_);
    if (const auto growing = growing_.find(camera); growing != growing_.end()) growing_run = growing->second;
    auto read = guarded(kWhat, [&] {
      SQLite::Statement select(
          *database_,
          "SELECT run, start_ms, utc_minus_steady, next_seq FROM provisional WHERE camera = ? ORDER BY run");
      select.bind(1, camera);
      while (select.executeStep()) {
        marks.push_back({static_cast<uint64_t>(select.getColumn(0).getInt64()),
                         base::from_unix_ms(select.getColumn(1).getInt64()),
                         base::nanoseconds(select.getColumn(2).getInt64()),
                         static_cast<uint64_t>(select.getColumn(3).getInt64())});
      }
    });
    if (!read) return tl::unexpected(read.error());
  }
  for (const Mark& mark : marks) {
    const base::nanoseconds error = utc_minus_steady - mark.utc_minus_steady;
    const base::nanoseconds by = std::chrono::round<std::chrono::duration<int64_t, std::ratio<1, 50>>>(error);
    static_assert(media::kShiftUnit == std::chrono::duration<int64_t, std::ratio<1, 50>>(1));
    const bool right = std::chrono::abs(error) < kLeastError;
    if (mark.run == growing_run && !right) continue;
    if (!right) {
      const base::UtcTime until = now - error;
      const auto moved = move_one(camera, mark, until, by);
      if (!moved) return tl::unexpected(moved.error());
      if (*moved) return true;
      if (auto done = gaps_.shift(camera, mark.start, until, by, Recorder::kLeastGap); !done)
        return tl::unexpected(done.error());
      spdlog::info("{}: what was recorded before the clock was set is now {:.1f} s {}", camera,
                   std::chrono::duration<double>(std::chrono::abs(by)).count(),
                   by.count() > 0 ? "later" : "earlier");
    }
    if (auto done = forget(camera, mark); !done) return tl::unexpected(done.error());
    return true;
  }
  return false;
}

base::Status ProvisionalRuns::remember(const std::string& camera, uint64_t run, uint64_t next_seq) {
  const std::lock_guard lock(mutex_);
  return guarded(kWhat, [&] {
    SQLite::Statement update(*database_, "UPDATE provisional SET next_seq = ? WHERE camera = ? AND run = ?");
    update.bind(1, static_cast<int64_t>(next_seq));
    update.bind(2, camera);
    update.bind(3, static_cast<int64_t>(run));
    update.exec();
  });
}

base::Result<bool> ProvisionalRuns::move_one(const std::string& camera, const Mark& mark, base::UtcTime until,
                                             base::nanoseconds by) {
  using std::chrono::hours;
  std::string key;
  std::optional<store::ObjectName> next;
  for (auto hour = std::chrono::floor<hours>(mark.start); hour <= until; hour += hours(1)) {
    const auto listing = store_.list(store::hour_prefix(camera, hour), true);
    if (!listing) return tl::unexpected(listing.error());
    for (const store::ListedObject& object : listing->objects) {
      auto name = store::decode_name(store::file_name_of(object.key));
      if (!name || name->run.number != mark.run || name->seq < mark.next_seq) continue;
      // After a crash an object may be there twice: the one that was moved lies in the direction of the way.
      const bool original = next && name->seq == next->seq && (name->start < next->start) == (by.count() > 0);
      if (next && name->seq >= next->seq && !original) continue;
      next = std::move(*name);
      key = object.key;
    }
  }
  if (!next) return false;
  auto bytes = store_.get(key, 0, UINT64_MAX);
  if (!bytes) return tl::unexpected(bytes.error());
  const auto shifted = next->container == store::Container::kFmp4 ? media::shift_fmp4(*bytes, by)
                                                                  : media::shift_mpegts(*bytes, by);
  if (shifted) {
    next->start += by;
    next->crc = base::crc32c(0, *bytes);
    const auto right_key = store::object_key(camera, *next);
    if (!right_key) return tl::unexpected(right_key.error());
    Numbers given;
    given.take(*next);
    if (auto done = raise_numbers(disk_, store_, camera, given); !done) return tl::unexpected(done.error());
    // A second file, so that a crash leaves one or both of them whole and the work is done again.
    const fs::path fresh = store_.root() / "tmp" / (camera + "_shifted.tmp");
    static_cast<void>(disk_.remove(fresh));
    auto file = disk_.create(fresh);
    if (!file) return tl::unexpected(file.error());
    const iovec piece{bytes->data(), bytes->size()};
    if (auto done = (*file)->append({&piece, 1}, bytes->size()); !done) return tl::unexpected(done.error());
    if (auto done = put_in_place(disk_, **file, bytes->size(), fresh, store_.root() / *right_key); !done)
      return tl::unexpected(done.error());
    if (auto done = store_.remove(key); !done) return tl::unexpected(done.error());
    if (on_moved_) on_moved_(camera, *next);
  } else {
    spdlog::warn("{} stays at the time of the clock before it was set: {}", key, shifted.error().to_string());
  }
  if (auto done = remember(camera, mark.run, next->seq + next->chunks.size()); !done)
    return tl::unexpected(done.error());
  return true;
}

void correct_provisional(ProvisionalRuns& runs, net::EventLoop& disk_loop, const base::Clock& clock,
                         const std::string& camera) {
  disk_loop.post([&runs, &disk_loop, &clock, camera] {
    if (runs.begin_correction(camera)) correct(runs, disk_loop, clock, camera);
  });
}

void correct_all_provisional(ProvisionalRuns& runs, net::EventLoop& disk_loop, const base::Clock& clock) {
  if (!clock.synchronised()) return;
  for (const std::string& camera : runs.cameras()) correct_provisional(runs, disk_loop, clock, camera);
}

std::string boot_id() {
  const auto id = base::read_file("/proc/sys/kernel/random/boot_id", 64);
  if (!id) return {};
  std::string text(base::as_text(*id));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace miharu::record
