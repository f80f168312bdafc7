#include "base/clock.h"

#include <sys/timex.h>

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace miharu::base {
namespace {

class SystemClock final : public Clock {
 public:
  UtcTime utc() const override { return std::chrono::system_clock::now(); }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
  bool synchronised() const override {
    timex query{};
    return adjtimex(&query) != TIME_ERROR;
  }
};

// Reads exactly `digits` decimal digits from the front of `text`.
std::optional<int> take_digits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

// The digits of a decimal fraction, after its point, as nanoseconds.
std::optional<nanoseconds> take_fraction(std::string_view& text) {
  int64_t value = 0;
  int64_t scale = 1'000'000'000;
  size_t digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (scale > 1) {
      scale /= 10;
      value += (text.front() - '0') * scale;
    }
    text.remove_prefix(1);
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  return nanoseconds(value);
}

// Nanoseconds in 64 bits reach from 1678 into 2262.
constexpr std::chrono::sys_seconds kFirstSecond{std::chrono::sys_days{std::chrono::year{1678} / 1 / 1}};
constexpr std::chrono::sys_seconds kLastSecond{std::chrono::sys_days{std::chrono::year{2262} / 1 / 1}};

Result<UtcTime> utc_of(std::chrono::sys_seconds time, nanoseconds fraction, std::string_view whole) {
  if (time < kFirstSecond || time >= kLastSecond)
    return fail(Errc::kInvalid, fmt::format("\"{}\" is not between the years 1678 and 2261", whole));
  return UtcTime(time) + fraction;
}

struct Rfc3339 {
  std::chrono::sys_seconds time;
  nanoseconds fraction;
};

std::optional<Rfc3339> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const auto y = take_digits(text, 4);
  if (!y || !take_char(text, "-")) return std::nullopt;
  const auto mo = take_digits(text, 2);
  if (!mo || !take_char(text, "-")) return std::nullopt;
  const auto d = take_digits(text, 2);
  if (!d || !take_char(text, "Tt ")) return std::nullopt;
  const auto h = take_digits(text, 2);
  if (!h || !take_char(text, ":")) return std::nullopt;
  const auto mi = take_digits(text, 2);
  if (!mi || !take_char(text, ":")) return std::nullopt;
  const auto s = take_digits(text, 2);
  if (!s) return std::nullopt;
  nanoseconds fraction{0};
  if (take_char(text, ".")) {
    const auto f = take_fraction(text);
    if (!f) return std::nullopt;
    fraction = *f;
  }
  minutes offset{0};
  if (!take_char(text, "Zz")) {
    if (text.empty()) return std::nullopt;
    const int sign = text.front() == '-' ? -1 : 1;
    if (!take_char(text, "+-")) return std::nullopt;
    const auto oh = take_digits(text, 2);
    if (!oh || !take_char(text, ":")) return std::nullopt;
    const auto om = take_digits(text, 2);
    if (!om || *oh > 23 || *om > 59) return std::nullopt;
    offset = minutes(sign * (*oh * 60 + *om));
  }
  const year_month_day date{year{*y}, month{static_cast<unsigned>(*mo)}, day{static_cast<unsigned>(*d)}};
  if (!text.empty() || !date.ok() || *h > 23 || *mi > 59 || *s > 60) return std::nullopt;
  return Rfc3339{sys_days{date} + hours(*h) + minutes(*mi) + std::chrono::seconds(*s) - offset, fraction};
}

// Sums "1d12h30m", the unit being required on each number.
Result<nanoseconds> parse_units(std::string_view text, std::string_view whole) {
  constexpr int64_t kMaxSeconds = int64_t{100} * 366 * 86400;
  nanoseconds total{0};
  if (text.empty())
    return fail(Errc::kInvalid,
                fmt::format("\"{}\" is not a duration; write for example 30s, 5m, 2h or 7d", whole));
  while (!text.empty()) {
    int64_t number = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc{} || number < 0) break;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    int64_t unit_ns = 0;
    size_t length = 1;
    if (text.starts_with("ms")) {
      unit_ns = 1'000'000;
      length = 2;
    } else if (text.starts_with('s')) {
      unit_ns = 1'000'000'000;
    } else if (text.starts_with('m')) {
      unit_ns = int64_t{60} * 1'000'000'000;
    } else if (text.starts_with('h')) {
      unit_ns = int64_t{3600} * 1'000'000'000;
    } else if (text.starts_with('d')) {
      unit_ns = int64_t{86400} * 1'000'000'000;
    } else {
      break;
    }
    text.remove_prefix(length);
    if (number > kMaxSeconds * 1'000'000'000 / unit_ns) {
      return fail(Errc::kInvalid, fmt::format("\"{}\" is longer than a hundred years", whole));
    }
    total += nanoseconds(number * unit_ns);
    if (total > std::chrono::seconds(kMaxSeconds)) {
      return fail(Errc::kInvalid, fmt::format("\"{}\" is longer than a hundred years", whole));
    }
    if (text.empty()) return total;
  }
  return fail(Errc::kInvalid,
              fmt::format("\"{}\" is not a duration; write for example 500ms, 30s, 5m, 2h or 7d", whole));
}

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

nanoseconds utc_minus_steady(const Clock& clock) {
  constexpr nanoseconds kTogether = microseconds(100);
  constexpr int kTries = 5;
  nanoseconds difference{};
  nanoseconds least = nanoseconds::max();
  SteadyTime before = clock.steady();
  for (int i = 0; i < kTries && least > kTogether; ++i) {
    const UtcTime utc = clock.utc();
    const SteadyTime after = clock.steady();
    if (after - before < least) {
      least = after - before;
      difference = utc.time_since_epoch() - (before.time_since_epoch() + least / 2);
    }
    before = after;
  }
  return difference;
}

std::string format_rfc3339(UtcTime time) {
  using namespace std::chrono;
  const auto ms = floor<milliseconds>(time);
  const auto date = floor<days>(ms);
  const year_month_day ymd{date};
  const hh_mm_ss tod{ms - date};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(ymd.year()),
                     static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
                     tod.hours().count(), tod.minutes().count(), tod.seconds().count(),
                     tod.subseconds().count());
}

Result<UtcTime> parse_time(std::string_view text, UtcTime now) {
  const std::string_view whole = text;
  if (text == "now") return now;
  if (text.starts_with("now")) text.remove_prefix(3);
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    const bool back = text.front() == '-';
    const auto length = parse_units(text.substr(1), whole);
    if (!length) return tl::unexpected(length.error());
    return back ? now - *length : now + *length;
  }
  if (const auto time = parse_rfc3339(text)) return utc_of(time->time, time->fraction, whole);
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits > 0 && digits <= 15) {
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + digits, number);
    std::string_view tail = text.substr(digits);
    if (digits >= 12 && tail.empty()) {
      return utc_of(std::chrono::sys_seconds(seconds(number / 1000)), milliseconds(number % 1000), whole);
    }
    const std::chrono::sys_seconds time{seconds(number)};
    if (digits < 12 && tail.empty()) return utc_of(time, {}, whole);
    if (digits < 12 && take_char(tail, ".")) {
      const auto fraction = take_fraction(tail);
      if (fraction && tail.empty()) return utc_of(time, *fraction, whole);
    }
  }
  return fail(
      Errc::kInvalid,
      fmt::format(
          "\"{}\" is not a time; write 2026-11-21T03:20:59Z, Unix seconds or milliseconds, now, or -2h",
          whole));
}

Result<nanoseconds> parse_duration(std::string_view text) {
  return parse_units(text, text);
}

}  // namespace miharu::base
