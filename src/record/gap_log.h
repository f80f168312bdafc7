// Why nothing was recorded: details of gaps, in SQLite. Losing this file loses no footage and no gap, only
// words: the listing itself shows the gap and the letter of its reason.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "store/object_name.h"

namespace SQLite {
class Database;
}

namespace miharu::record {

struct Gap {
  base::UtcTime start;
  std::optional<base::UtcTime> end;  // none: it still lasts
  store::RunReason reason = store::RunReason::kRestart;
  std::string text;  // for a person
};

// All gaps of one camera with one reason; one that still lasts counts up to now.
struct GapTotal {
  std::string camera;
  store::RunReason reason = store::RunReason::kRestart;
  uint64_t gaps = 0;
  base::nanoseconds duration{};
};

// "camera_lost", "disk" ...: the reason's name in JSON, metrics and `ls`.
inline std::string_view name_of(store::RunReason reason) {
  switch (reason) {
    case store::RunReason::kRestart:
      return "restart";
    case store::RunReason::kCameraLost:
      return "camera_lost";
    case store::RunReason::kParameters:
      return "parameters";
    case store::RunReason::kClockStep:
      return "clock_step";
    case store::RunReason::kDisk:
      return "disk";
    case store::RunReason::kQueue:
      return "queue";
    case store::RunReason::kOperator:
      return "operator";
  }
  return "unknown";
}

// Thread-safe; blocking, so not for media threads.
class GapLog {
 public:
  static base::Result<std::unique_ptr<GapLog>> open(const std::filesystem::path& database);
  ~GapLog();

  // A gap that is open already keeps its first reason; it begins where the earlier one of both does.
  base::Status begin(const std::string& camera, const Gap& gap);
  // Ends the open gap; one shorter than `least` is forgotten.
  base::Status end(const std::string& camera, base::UtcTime end, base::nanoseconds least);
  // One that is over; what the log has of that time stays.
  base::Status add(const std::string& camera, const Gap& gap);
  // Where the gap without an end begins; none where there is none.
  [[nodiscard]] base::Result<std::optional<base::UtcTime>> open_since(const std::string& camera) const;
  // What was recorded in [from, to] now lies `by` later: ends of gaps in there go with it. Gaps of which
  // no more than `least` is left are forgotten.
  base::Status shift(const std::string& camera, base::UtcTime from, base::UtcTime to, base::nanoseconds by,
                     base::nanoseconds least);
  [[nodiscard]] base::Result<std::vector<Gap>> find(std::string_view camera, base::UtcTime from,
                                                    base::UtcTime to) const;
  [[nodiscard]] base::Result<std::vector<GapTotal>> totals(base::UtcTime now) const;

 private:
  explicit GapLog(std::unique_ptr<SQLite::Database> database);

  mutable std::mutex mutex_;
  std::unique_ptr<SQLite::Database> database_;  // guarded by mutex_
};

}  // namespace miharu::record
