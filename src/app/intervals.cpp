#include "app/intervals.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "store/object_name.h"

namespace miharu::app {

base::Result<Interval> parse_interval(const IntervalArguments& what, std::string_view default_from) {
  const base::UtcTime now = base::system_clock().utc();
  if (auto good = store::check_camera_name(what.camera); !good) return tl::unexpected(good.error());
  const auto from = base::parse_time(what.from.empty() ? default_from : std::string_view(what.from), now);
  if (!from) return tl::unexpected(base::Error(from.error()).in("--from"));
  const auto to =
      base::parse_time(what.to.empty() ? std::string_view("now") : std::string_view(what.to), now);
  if (!to) return tl::unexpected(base::Error(to.error()).in("--to"));
  if (*to <= *from) return base::fail(base::Errc::kInvalid, "--to must be later than --from");
  return Interval{*from, *to};
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

void show_progress(const std::string& text) {
  if (::isatty(STDERR_FILENO)) fmt::print(stderr, "\r\033[K{}", text);
}

}  // namespace miharu::app
