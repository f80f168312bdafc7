// Time. Everything that needs to know what time it is takes a Clock&, so that tests run days in milliseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::base {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// A point of UTC. Nanoseconds, so that cumulative media times in any clock rate survive the way there and
// back.
using UtcTime = std::chrono::sys_time<nanoseconds>;
// A point of the monotonic clock: for durations and deadlines, never for names or playlists.
using SteadyTime = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UtcTime utc() const = 0;
  [[nodiscard]] virtual SteadyTime steady() const = 0;
  // Whether the system says that its UTC is synchronised to a source (adjtimex).
  [[nodiscard]] virtual bool synchronised() const = 0;
};

// UTC minus the steady clock: changes when the wall clock is set, and only then. Both are read at one moment
// even if the thread is put aside between the two.
nanoseconds utc_minus_steady(const Clock& clock);

// The machine's clocks. Thread-safe, lives for the whole process.
const Clock& system_clock();

inline int64_t to_unix_ms(UtcTime time) {
  return std::chrono::floor<milliseconds>(time).time_since_epoch().count();
}
inline UtcTime from_unix_ms(int64_t ms) {
  return UtcTime(milliseconds(ms));
}

// RFC 3339 in UTC with milliseconds: 2026-11-21T03:20:59.123Z
std::string format_rfc3339(UtcTime time);

// What people and URLs may write for a time: RFC 3339 (with Z or an offset), Unix seconds (with or without a
// fraction), Unix milliseconds (12 digits or more), `now`, or relative to `now`: -2h, -90s, -1d12h, +5m,
// now-2h. Units d h m s.
Result<UtcTime> parse_time(std::string_view text, UtcTime now);

// "30s", "7d", "1h30m", "500ms"; a bare number is an error that says which units there are.
Result<nanoseconds> parse_duration(std::string_view text);

}  // namespace miharu::base
