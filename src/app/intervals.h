// Intervals and amounts as commands read and show them.
#pragma once

#include <string>
#include <string_view>

#include "app/commands.h"
#include "base/clock.h"

namespace miharu::app {

struct Interval {
  base::UtcTime from;
  base::UtcTime to;
};
// `default_from`: what an empty --from means; an empty --to means now.
base::Result<Interval> parse_interval(const IntervalArguments& what, std::string_view default_from);

std::string megabytes(uint64_t bytes);
// On standard error where that is a terminal; "" takes it away.
void show_progress(const std::string& text);

}  // namespace miharu::app
