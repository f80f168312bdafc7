// Who wants to see which camera live: control/<relay>/wanted.json of a bucket, written by who serves the bucket
// and read by the recorder. And where the recorder puts what was wished for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace miharu::store {

inline constexpr size_t kMaxWishesBytes = 64 << 10;
inline constexpr size_t kMaxWishes = 256;
inline constexpr size_t kMaxSessionLength = 32;

struct Wish {
  std::string camera;
  std::string session;  // chosen by who wished first: the folder of its pictures
  base::UtcTime until;  // by the store's clock, to the millisecond
  bool operator==(const Wish&) const = default;
};

// {"cameras":{"front":{"session":"s0123456789abcdef","until":1795287600123}}}; {} is no wish. Members that are
// not known are skipped, and so is a camera whose wish is not as above. kMalformed, kLimit: the whole is not.
base::Result<std::vector<Wish>> parse_wishes(std::string_view text);
std::string format_wishes(const std::vector<Wish>& wishes);

// Lower-case letters, digits and -, at most kMaxSessionLength: part of keys.
bool is_session(std::string_view text);

std::string wishes_key(std::string_view relay);  // "control/r1/wanted.json"
// "r1/live/front/s0123456789abcdef/"
std::string live_folder(std::string_view relay, std::string_view camera, std::string_view session);
inline constexpr std::string_view kLivePlaylist = "live.m3u8";  // in that folder

}  // namespace miharu::store
