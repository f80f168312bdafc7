// What somebody may do, with which cameras and when. Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace miharu::api {

enum class Right : uint8_t { kLive = 1, kPlayback = 2, kExport = 4, kSnapshot = 8 };
using Rights = uint8_t;  // a set of Right
constexpr Rights kAllRights = 15;

constexpr bool has(Rights rights, Right right) {
  return (rights & static_cast<Rights>(right)) != 0;
}
std::vector<std::string_view> names_of(Rights rights);  // "live", "playback", "export", "snapshot"
std::optional<Right> right_of(std::string_view name);

// [from, to)
struct Interval {
  base::UtcTime from;
  base::UtcTime to;
};

struct Access {
  enum class Kind : uint8_t {
    kNone,  // no credentials, or a cookie that has ended
    kUser,  // signed in
    kToken,
    kOpen,  // auth mode "none"
  };
  Kind kind = Kind::kNone;
  std::string name;  // of the user, or the token's id
  bool admin = false;
  bool by_cookie = false;
  std::string session;               // the cookie's value, by_cookie only
  std::string path_prefix;           // "/t/{token}" where the token came by the path: addresses begin with it
  bool renew = false;                // the session is due to be renewed
  std::vector<std::string> cameras;  // "*" is every camera
  Rights rights = 0;
  std::optional<Interval> interval;  // nothing recorded outside of it may be seen
  std::optional<base::UtcTime> expires;
};

// Whether the camera and the right are within the credentials, whatever the time: for what has no time of its
// own, and as the first check of what has. The interval must be checked by may() or clamp().
bool may_at_some_time(const Access& access, std::string_view camera, Right right);
// As above, and the whole of `wanted` is within the interval.
bool may(const Access& access, std::string_view camera, Right right, const Interval& wanted);
// The part of `wanted` that the interval allows; nothing when they do not meet.
std::optional<Interval> clamp(const Access& access, const Interval& wanted);

}  // namespace miharu::api
