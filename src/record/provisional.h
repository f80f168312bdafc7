// Recordings made while the machine's clock was not synchronised: remembered, and put at their right time
// once it is (docs/decisions/011).
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/event_loop.h"
#include "record/disk.h"
#include "record/gap_log.h"
#include "store/directory_store.h"

namespace miharu::record {

// Thread-safe, blocking: for the disk thread, and holds() for any.
class ProvisionalRuns {
 public:
  // Less than this is not worth writing objects anew.
  static constexpr base::milliseconds kLeastError{50};

  // `boot`: which start of the machine this is; the steady clock counts from it, so that runs of an earlier
  // one can never be put right and are forgotten. All must outlive this.
  static base::Result<std::unique_ptr<ProvisionalRuns>> open(const std::filesystem::path& database,
                                                             std::string boot, store::DirectoryStore& store,
                                                             Disk& disk, GapLog& gaps);
  ~ProvisionalRuns();

  // Before the first object of a run gets its name: its start, and what places it.
  base::Status mark(const std::string& camera, uint64_t run, base::UtcTime start,
                    base::nanoseconds utc_minus_steady);
  [[nodiscard]] bool holds(const std::string& camera, uint64_t run) const;
  // This run of the camera is being recorded now; 0: none. It is not moved.
  void grows(const std::string& camera, uint64_t run);
  // That have marked runs.
  [[nodiscard]] std::set<std::string> cameras() const;
  // Marked, and the clock was set since: its objects are about to be moved, and their age means nothing. On a
  // machine that nobody ever synchronises, ages are as good as any.
  [[nodiscard]] bool misplaced(const std::string& camera, uint64_t run,
                               base::nanoseconds utc_minus_steady) const;

  // The run's names are about to be told to others and must stand: one that is marked, whose clock was not
  // set since, is taken as it is from now on. False while its objects are about to be moved.
  base::Result<bool> accept(const std::string& camera, uint64_t run, base::nanoseconds utc_minus_steady);
  // Told of each object that was moved, on the thread that moves.
  void set_on_moved(std::function<void(const std::string& camera, const store::ObjectName& name)> on_moved) {
    on_moved_ = std::move(on_moved);
  }

  // The clock is synchronised: puts the next object of the camera's marked runs at its right time and forgets
  // runs that are done; true while there may be more. The run that grows is let go on and only forgotten if
  // its times are right.
  base::Result<bool> correct_next(const std::string& camera, base::UtcTime now,
                                  base::nanoseconds utc_minus_steady);
  // Somebody begins to put all of the camera's runs right: false when another one is at it.
  bool begin_correction(const std::string& camera);
  void end_correction(const std::string& camera);

 private:
  struct Mark {
    uint64_t run = 0;
    base::UtcTime start;
    base::nanoseconds utc_minus_steady{};
    uint64_t next_seq = 0;  // objects of the run before it were moved
  };
  ProvisionalRuns(std::unique_ptr<SQLite::Database> database, std::string boot, store::DirectoryStore& store,
                  Disk& disk, GapLog& gaps);
  base::Status remember(const std::string& camera, uint64_t run, uint64_t next_seq);
  base::Status forget(const std::string& camera, const Mark& mark);
  // False when no object of the run lies between the two times any more.
  base::Result<bool> move_one(const std::string& camera, const Mark& mark, base::UtcTime until,
                              base::nanoseconds by);

  mutable std::mutex mutex_;
  std::unique_ptr<SQLite::Database> database_;  // guarded by mutex_
  // UTC minus steady clock at the mark, by camera and run; guarded by mutex_
  std::map<std::pair<std::string, uint64_t>, base::nanoseconds> marked_;
  std::set<std::pair<std::string, uint64_t>> accepted_;  // guarded by mutex_
  std::map<std::string, uint64_t> growing_;              // runs, by camera; guarded by mutex_
  std::set<std::string> correcting_;                     // guarded by mutex_
  std::function<void(const std::string&, const store::ObjectName&)> on_moved_;
  const std::string boot_;
  store::DirectoryStore& store_;
  Disk& disk_;
  GapLog& gaps_;
};

// Puts all marked runs of the camera right, object by object on the disk thread, so that recording goes on
// between them. All must outlive the loop's queue.
void correct_provisional(ProvisionalRuns& runs, net::EventLoop& disk_loop, const base::Clock& clock,
                         const std::string& camera);
// Those of all cameras, if the clock is synchronised.
void correct_all_provisional(ProvisionalRuns& runs, net::EventLoop& disk_loop, const base::Clock& clock);

// Of the running kernel; empty where it does not say.
std::string boot_id();

}  // namespace miharu::record
