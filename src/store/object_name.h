// The name of a recorded object is its index entry (docs/formats.md): nothing else has to be read to build
// playlists.
//   <start>_<run>_<seq>_<table>.<ext>     20261121T032059.123Z_2fr_1a2b3c_AAEC...9x.mp4
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "media/track.h"

namespace miharu::store {

enum class Container : uint8_t { kFmp4, kMpegTs };

// Why a run began: the letter behind the run number.
enum class RunReason : char {
  kRestart = 'r',
  kCameraLost = 'c',
  kParameters = 'p',
  kClockStep = 't',
  kDisk = 'd',
  kQueue = 'q',
  kOperator = 'o',
};

// Continuity of a recording: one number per unbroken stretch of one camera, kept counting over restarts.
struct Run {
  uint64_t number = 0;
  RunReason reason = RunReason::kRestart;
  bool operator==(const Run&) const = default;
};
std::string format_run(Run run);  // "2fr": base 36, then the letter
base::Result<Run> parse_run(std::string_view text);
std::string format_base36(uint64_t value);
base::Result<uint64_t> parse_base36(std::string_view text);

// The unit of seeking and the media segment of HLS: begins with a key frame, or is flagged dependent.
struct Chunk {
  uint32_t duration_ms = 0;  // up to an hour
  uint32_t size_bytes = 0;
  uint32_t key_bytes = 0;  // of the fragment with the key frame alone, at the chunk's front; 0 = dependent
  bool damaged = false;
  bool operator==(const Chunk&) const = default;
};

struct ObjectName {
  base::UtcTime start;  // of the first frame shown, whole milliseconds
  Run run;
  uint64_t seq = 0;  // number of the first chunk; chunks of a camera are numbered without a hole
  Container container = Container::kFmp4;
  bool encrypted = false;
  bool has_video = true;  // always, so far: another value is refused
  bool has_audio = false;
  media::Codec video = media::Codec::kH264;
  media::Codec audio = media::Codec::kAac;  // kAac where there is none
  uint32_t init_bytes =
      0;  // of the initialization part at the object's front, up to 1 MiB; 0 in MPEG-TS and only there
  std::vector<Chunk> chunks;
  uint32_t crc = 0;  // CRC-32C of the whole object

  [[nodiscard]] base::milliseconds duration() const;
  [[nodiscard]] base::UtcTime end() const { return start + duration(); }
  [[nodiscard]] uint64_t size_bytes() const;  // what the whole object measures
  bool operator==(const ObjectName&) const = default;
};

inline constexpr size_t kMaxNameLength = 240;
// What a name can tell: start is in [kEarliestStart, kLatestStart), 1970 to 2261 (nanoseconds in 64 bits end
// in 2262).
inline constexpr base::UtcTime kEarliestStart{};
inline constexpr base::UtcTime kLatestStart{std::chrono::sys_days{std::chrono::year{2262} / 1 / 1}};

// Durations are rounded as cumulative times by the caller, so that their sum is true. kLimit when longer than
// `max_length` (240 at most), kInvalid when the object breaks a rule above.
base::Result<std::string> encode_name(const ObjectName& name, size_t max_length = kMaxNameLength);
// Strict: what it accepts, encode_name writes again byte for byte. Errors carry the place in the name.
base::Result<ObjectName> decode_name(std::string_view file_name);

// "rec/<camera>/2026/11/21/03/" for the hour (UTC) that holds `time`.
std::string hour_prefix(std::string_view camera, base::UtcTime time);
// What stands behind the last '/' of a key, for decode_name; a view into it.
std::string_view file_name_of(std::string_view key);
// hour_prefix + encoded name.
base::Result<std::string> object_key(std::string_view camera, const ObjectName& name);
// [a-z0-9][a-z0-9-]{0,31}; the error says so.
base::Status check_camera_name(std::string_view camera);

}  // namespace miharu::store
