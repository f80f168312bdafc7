// Members of JSON objects, as credentials are written. Internal to src/api/auth.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "base/clock.h"

namespace miharu::api {

// Nothing when it is not there or is of another type.
inline std::optional<std::string> text_in(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

// Milliseconds since 1970 that fit a UtcTime's nanoseconds.
inline std::optional<base::UtcTime> time_in(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  constexpr int64_t kLimit = 9'214'646'399'999;  // the end of 2261: nanoseconds in 64 bits reach no further
  if (value->get_int64() < 0 || value->get_int64() > kLimit) return std::nullopt;
  return base::from_unix_ms(value->get_int64());
}

}  // namespace miharu::api
