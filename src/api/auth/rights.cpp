#include "api/auth/rights.h"

#include <algorithm>
#include <array>

namespace miharu::api {

namespace {

struct Named {
  Right right;
  std::string_view name;
};
constexpr std::array<Named, 4> kNames{{{Right::kLive, "live"},
                                       {Right::kPlayback, "playback"},
                                       {Right::kExport, "export"},
                                       {Right::kSnapshot, "snapshot"}}};

}  // namespace

std::vector<std::string_view> names_of(Rights rights) {
  std::vector<std::string_view> names;
  for (const Named& named : kNames) {
    if (has(rights, named.right)) names.push_back(named.name);
  }
  return names;
}

std::optional<Right> right_of(std::string_view name) {
  for (const Named& named : kNames) {
    if (named.name == name) return named.right;
  }
  return std::nullopt;
}

bool may_at_some_time(const Access& access, std::string_view camera, Right right) {
  return has(access.rights, right) &&
         std::any_of(access.cameras.begin(), access.cameras.end(),
                     [&](const auto& allowed) { return allowed == "*" || allowed == camera; });
}

bool may(const Access& access, std::string_view camera, Right right, const Interval& wanted) {
  if (!may_at_some_time(access, camera, right)) return false;
  return !access.interval || (access.interval->from <= wanted.from && wanted.to <= access.interval->to);
}

std::optional<Interval> clamp(const Access& access, const Interval& wanted) {
  if (!access.interval) return wanted;
  const Interval part{std::max(wanted.from, access.interval->from), std::min(wanted.to, access.interval->to)};
  if (part.from >= part.to) return std::nullopt;
  return part;
}

}  // namespace miharu::api
