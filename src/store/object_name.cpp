#include "store/object_name.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::store {
namespace {

using base::Errc;
using base::fail;

constexpr uint64_t kTableVersion = 1;
constexpr uint64_t kMaxChunkMs = 3'600'000;
constexpr uint64_t kMaxInitBytes = 1 << 20;
constexpr size_t kCrcLength = 4;
constexpr std::string_view kReasons = "rcptdqo";
constexpr std::string_view kStartShape = "00000000T000000.000Z";

// The flags of the table: bit 0 MPEG-TS, bit 1 encrypted, bits 2-3 video codec, bits 4-6 audio codec (0 =
// none).
constexpr uint64_t kTsFlag = 1;
constexpr uint64_t kEncryptedFlag = 2;
constexpr unsigned kVideoShift = 2;
constexpr unsigned kAudioShift = 4;
constexpr uint64_t kVideoH264 = 1;
constexpr std::array kAudioCodecs = {media::Codec::kAac, media::Codec::kPcmu, media::Codec::kPcma,
                                     media::Codec::kOpus};

// How a chunk's duration is told, in bits 1-2 of its mark: a steady camera's differ by a rounded millisecond
// at most.
enum DurationCode : uint64_t { kSame = 0, kOneMore = 1, kOneLess = 2, kDifference = 3 };
constexpr unsigned kKeyShift = 3;

void append_digits(std::string& out, uint64_t value, size_t width) {
  const size_t end = out.size() + width;
  out.resize(end);
  for (size_t i = 0; i < width; ++i, value /= 10) out[end - 1 - i] = static_cast<char>('0' + value % 10);
}

struct Civil {
  uint64_t year, month, day, ms_of_day;
};
Civil civil(base::UtcTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  return {static_cast<uint64_t>(static_cast<int>(date.year())), static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          static_cast<uint64_t>(std::chrono::floor<base::milliseconds>(time - day).count())};
}

void append_start(std::string& out, base::UtcTime start) {
  const Civil c = civil(start);
  append_digits(out, c.year, 4);
  append_digits(out, c.month, 2);
  append_digits(out, c.day, 2);
  out.push_back('T');
  append_digits(out, c.ms_of_day / 3'600'000, 2);
  append_digits(out, c.ms_of_day / 60'000 % 60, 2);
  append_digits(out, c.ms_of_day / 1000 % 60, 2);
  out.push_back('.');
  append_digits(out, c.ms_of_day % 1000, 3);
  out.push_back('Z');
}

base::Result<base::UtcTime> parse_start(std::string_view text) {
  if (text.size() != kStartShape.size()) {
    return fail(Errc::kMalformed, "object name: the start is not like 20261121T032059.123Z", 0);
  }
  for (size_t i = 0; i < text.size(); ++i) {
    const bool fits = kStartShape[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == kStartShape[i];
    if (!fits) {
      return fail(Errc::kMalformed, "object name: the start is not like 20261121T032059.123Z",
                  static_cast<int64_t>(i));
    }
  }
  const auto number = [text](size_t at, size_t width) {
    unsigned value = 0;
    for (size_t i = at; i < at + width; ++i) value = value * 10 + static_cast<unsigned>(text[i] - '0');
    return value;
  };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number(0, 4))),
                                         std::chrono::month(number(4, 2)), std::chrono::day(number(6, 2))};
  if (!date.ok() || date.year() < std::chrono::year(1970) || date.year() > std::chrono::year(2261)) {
    return fail(Errc::kMalformed, "object name: the start's date does not exist or is not in 1970 to 2261",
                0);
  }
  if (number(9, 2) > 23 || number(11, 2) > 59 || number(13, 2) > 59) {
    return fail(Errc::kMalformed, "object name: the start's time of day does not exist", 9);
  }
  return base::UtcTime(std::chrono::sys_days(date)) + std::chrono::hours(number(9, 2)) +
         std::chrono::minutes(number(11, 2)) + base::seconds(number(13, 2)) +
         base::milliseconds(number(16, 3));
}

// Strict reader of a decoded table; places are told in characters of the name.
class TableReader {
 public:
  TableReader(base::ByteView bytes, size_t place) : in_(bytes), place_(place) {}

  [[nodiscard]] size_t remaining() const { return in_.remaining(); }
  [[nodiscard]] tl::unexpected<base::Error> error(Errc code, std::string_view text) const {
    return fail(code, fmt::format("object name: table: {}", text),
                static_cast<int64_t>(place_ + in_.position() * 4 / 3));
  }
  base::Result<uint64_t> varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {  // a mark has up to 35 bits
      if (in_.remaining() <= kCrcLength) return error(Errc::kTruncated, "ends too early");
      const uint64_t byte = in_.u8();
      value |= (byte & 0x7F) << shift;
      if (byte >= 0x80) continue;
      if (byte == 0 && shift > 0) return error(Errc::kMalformed, "a number is longer than it needs to be");
      return value;
    }
    return error(Errc::kMalformed, "a number is too large");
  }
  uint32_t crc() { return in_.u32(); }

 private:
  base::ByteReader in_;
  size_t place_;
};

base::Status read_chunk(TableReader& in, uint64_t previous_ms, Chunk& chunk) {
  const auto mark = in.varint();
  if (!mark) return tl::unexpected(mark.error());
  auto duration = static_cast<int64_t>(previous_ms);
  switch (*mark >> 1 & 3) {
    case kSame:
      break;
    case kOneMore:
      ++duration;
      break;
    case kOneLess:
      --duration;
      break;
    default: {
      const auto coded = in.varint();
      if (!coded) return tl::unexpected(coded.error());
      const int64_t difference = base::unzigzag(*coded);
      if (difference >= -1 && difference <= 1)
        return in.error(Errc::kMalformed, "a small difference is written at length");
      duration += difference;
    }
  }
  if (duration < 0 || duration > static_cast<int64_t>(kMaxChunkMs)) {
    return in.error(Errc::kMalformed, "a chunk's duration is negative or above an hour");
  }
  const auto size = in.varint();
  if (!size) return tl::unexpected(size.error());
  if (*size == 0 || *size > std::numeric_limits<uint32_t>::max()) {
    return in.error(Errc::kMalformed, "a chunk has no bytes or 4 GiB and more");
  }
  if (*mark >> kKeyShift > *size) return in.error(Errc::kMalformed, "a key frame is larger than its chunk");
  chunk = {.duration_ms = static_cast<uint32_t>(duration),
           .size_bytes = static_cast<uint32_t>(*size),
           .key_bytes = static_cast<uint32_t>(*mark >> kKeyShift),
           .damaged = (*mark & 1) != 0};
  return {};
}

base::Status read_flags(TableReader& in, ObjectName& name) {
  const auto version = in.varint();
  if (!version) return tl::unexpected(version.error());
  if (*version != kTableVersion) {
    return in.error(Errc::kUnsupported,
                    fmt::format("format version {}, known is {}", *version, kTableVersion));
  }
  const auto flags = in.varint();
  if (!flags) return tl::unexpected(flags.error());
  const uint64_t video = *flags >> kVideoShift & 3;
  const uint64_t audio = *flags >> kAudioShift;
  if (video != kVideoH264 || audio > kAudioCodecs.size())
    return in.error(Errc::kUnsupported, "unknown codec");
  name.container = (*flags & kTsFlag) != 0 ? Container::kMpegTs : Container::kFmp4;
  name.encrypted = (*flags & kEncryptedFlag) != 0;
  name.has_audio = audio != 0;
  if (audio != 0) name.audio = kAudioCodecs[audio - 1];
  const auto init = in.varint();
  if (!init) return tl::unexpected(init.error());
  if (*init > kMaxInitBytes || (*init == 0) != (name.container == Container::kMpegTs)) {
    return in.error(Errc::kMalformed, "the initialization part's length does not fit the container");
  }
  name.init_bytes = static_cast<uint32_t>(*init);
  return {};
}

base::Status read_table(std::string_view text, size_t place, ObjectName& name) {
  auto bytes = base::from_base64url(text);
  if (!bytes) {
    base::Error error = std::move(bytes.error()).in("object name: table");
    error.offset += static_cast<int64_t>(place);
    return tl::unexpected(std::move(error));
  }
  // The last character's bits that belong to no byte must be 0, or one table would have several texts.
  const std::string_view whole = text.size() % 4 == 2 ? "AQgw" : "AEIMQUYcgkosw048";
  if (text.size() % 4 != 0 && whole.find(text.back()) == std::string_view::npos) {
    return fail(Errc::kMalformed, "object name: table: bits left over at the end",
                static_cast<int64_t>(place + text.size() - 1));
  }
  TableReader in(*bytes, place);
  if (auto flags = read_flags(in, name); !flags) return flags;
  if (in.remaining() <= kCrcLength) return in.error(Errc::kTruncated, "no chunk");
  name.chunks.reserve((in.remaining() - kCrcLength) / 6 + 1);
  uint64_t previous_ms = 0;
  while (in.remaining() > kCrcLength) {
    if (auto read = read_chunk(in, previous_ms, name.chunks.emplace_back()); !read) return read;
    previous_ms = name.chunks.back().duration_ms;
  }
  name.crc = in.crc();
  return {};
}

base::Status check_encodable(const ObjectName& name) {
  const auto invalid = [](std::string_view text) {
    return fail(Errc::kInvalid, fmt::format("object to name: {}", text));
  };
  if (name.start < kEarliestStart || name.start >= kLatestStart)
    return invalid("its start is not in 1970 to 2261");
  if (name.start != base::from_unix_ms(base::to_unix_ms(name.start)))
    return invalid("its start is not in whole milliseconds");
  if (kReasons.find(static_cast<char>(name.run.reason)) == std::string_view::npos)
    return invalid("unknown run reason");
  if (name.chunks.empty()) return invalid("no chunk");
  if (name.seq > std::numeric_limits<uint64_t>::max() - name.chunks.size())
    return invalid("its number is too large");
  if (!name.has_video || name.video != media::Codec::kH264) return invalid("no video that can be told");
  if (name.has_audio && std::ranges::find(kAudioCodecs, name.audio) == kAudioCodecs.end())
    return invalid("unknown audio");
  if (name.init_bytes > kMaxInitBytes || (name.init_bytes == 0) != (name.container == Container::kMpegTs)) {
    return invalid("the initialization part's length does not fit the container");
  }
  for (const Chunk& chunk : name.chunks) {
    if (chunk.duration_ms > kMaxChunkMs) return invalid("a chunk is longer than an hour");
    if (chunk.size_bytes == 0) return invalid("a chunk has no bytes");
    if (chunk.key_bytes > chunk.size_bytes) return invalid("a key frame is larger than its chunk");
  }
  return {};
}

base::ByteVector write_table(const ObjectName& name) {
  base::ByteVector out;
  out.reserve(16 + name.chunks.size() * 8);
  uint64_t flags = kVideoH264 << kVideoShift;
  if (name.container == Container::kMpegTs) flags |= kTsFlag;
  if (name.encrypted) flags |= kEncryptedFlag;
  if (name.has_audio) {
    const auto at = std::ranges::find(kAudioCodecs, name.audio) - kAudioCodecs.begin();
    flags |= static_cast<uint64_t>(at + 1) << kAudioShift;
  }
  base::put_varint(out, kTableVersion);
  base::put_varint(out, flags);
  base::put_varint(out, name.init_bytes);
  int64_t previous_ms = 0;
  for (const Chunk& chunk : name.chunks) {
    const int64_t difference = chunk.duration_ms - previous_ms;
    previous_ms = chunk.duration_ms;
    const uint64_t code = difference == 0    ? kSame
                          : difference == 1  ? kOneMore
                          : difference == -1 ? kOneLess
                                             : kDifference;
    base::put_varint(out, uint64_t{chunk.key_bytes} << kKeyShift | code << 1 | (chunk.damaged ? 1 : 0));
    if (code == kDifference) base::put_varint(out, base::zigzag(difference));
    base::put_varint(out, chunk.size_bytes);
  }
  base::ByteWriter(out).u32(name.crc);
  return out;
}

}  // namespace

std::string format_base36(uint64_t value) {
  std::array<char, 13> digits{};
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value, 36);
  return {digits.data(), result.ptr};
}

base::Result<uint64_t> parse_base36(std::string_view text) {
  const bool canonical = !text.empty() && (text.size() == 1 || text[0] != '0') &&
                         std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
  const auto value = canonical ? base::parse_number<uint64_t>(text, 36) : std::nullopt;
  if (!value) return fail(Errc::kMalformed, "not a number in base 36 (0-9 a-z, no leading zero, 64 bits)", 0);
  return *value;
}

std::string format_run(Run run) {
  return format_base36(run.number) + static_cast<char>(run.reason);
}

base::Result<Run> parse_run(std::string_view text) {
  if (text.empty() || kReasons.find(text.back()) == std::string_view::npos) {
    return fail(Errc::kMalformed, fmt::format("a run ends with one of the letters {}", kReasons),
                static_cast<int64_t>(text.empty() ? 0 : text.size() - 1));
  }
  const auto number = parse_base36(text.substr(0, text.size() - 1));
  if (!number) return tl::unexpected(number.error());
  return Run{*number, static_cast<RunReason>(text.back())};
}

base::milliseconds ObjectName::duration() const {
  int64_t sum = 0;
  for (const Chunk& chunk : chunks) sum += chunk.duration_ms;
  return base::milliseconds(sum);
}

uint64_t ObjectName::size_bytes() const {
  uint64_t sum = init_bytes;
  for (const Chunk& chunk : chunks) sum += chunk.size_bytes;
  return sum;
}

base::Result<std::string> encode_name(const ObjectName& name, size_t max_length) {
  if (auto checked = check_encodable(name); !checked) return tl::unexpected(std::move(checked.error()));
  std::string out;
  out.reserve(kMaxNameLength);
  append_start(out, name.start);
  out += '_';
  out += format_run(name.run);
  out += '_';
  out += format_base36(name.seq);
  out += '_';
  out += base::to_base64url(write_table(name));
  out += name.container == Container::kMpegTs ? ".ts" : ".mp4";
  const size_t limit = std::min(max_length, kMaxNameLength);
  if (out.size() > limit) {
    return fail(Errc::kLimit,
                fmt::format("the name of an object with {} chunks has {} characters, more than {}",
                            name.chunks.size(), out.size(), limit));
  }
  return out;
}

base::Result<ObjectName> decode_name(std::string_view file_name) {
  if (file_name.size() > kMaxNameLength) {
    return fail(Errc::kLimit, fmt::format("object name: more than {} characters", kMaxNameLength),
                static_cast<int64_t>(kMaxNameLength));
  }
  std::array<size_t, 3> bars{};
  for (size_t i = 0, from = 0; i < bars.size(); ++i) {
    bars[i] = file_name.find('_', from);
    if (bars[i] == std::string_view::npos) {
      return fail(Errc::kMalformed, "object name: not <start>_<run>_<seq>_<table>.<ext>",
                  static_cast<int64_t>(from));
    }
    from = bars[i] + 1;
  }
  const size_t dot = file_name.rfind('.');
  const std::string_view ext = dot == std::string_view::npos ? std::string_view{} : file_name.substr(dot);
  if (dot < bars[2] || (ext != ".mp4" && ext != ".ts")) {
    return fail(Errc::kMalformed, "object name: does not end in .mp4 or .ts",
                static_cast<int64_t>(std::min(dot, file_name.size())));
  }
  const auto field = [&](size_t first, size_t last) { return file_name.substr(first, last - first); };

  ObjectName name;
  const auto start = parse_start(field(0, bars[0]));
  if (!start) return tl::unexpected(start.error());
  name.start = *start;
  const auto place = [](base::Error error, std::string_view what, size_t offset) {
    error.offset += static_cast<int64_t>(offset);
    return tl::unexpected(std::move(error).in(what));
  };
  auto run = parse_run(field(bars[0] + 1, bars[1]));
  if (!run) return place(std::move(run.error()), "object name: run", bars[0] + 1);
  name.run = *run;
  auto seq = parse_base36(field(bars[1] + 1, bars[2]));
  if (!seq) return place(std::move(seq.error()), "object name: seq", bars[1] + 1);
  name.seq = *seq;
  if (auto table = read_table(field(bars[2] + 1, dot), bars[2] + 1, name); !table) {
    return tl::unexpected(std::move(table.error()));
  }
  if (ext != (name.container == Container::kMpegTs ? ".ts" : ".mp4")) {
    return fail(Errc::kMalformed, "object name: the ending is not that of the container in the table",
                static_cast<int64_t>(dot));
  }
  if (name.seq > std::numeric_limits<uint64_t>::max() - name.chunks.size()) {
    return fail(Errc::kMalformed, "object name: seq is too large", static_cast<int64_t>(bars[1] + 1));
  }
  return name;
}

std::string hour_prefix(std::string_view camera, base::UtcTime time) {
  const Civil c = civil(time);
  std::string out;
  out.reserve(camera.size() + 20);
  out += "rec/";
  out += camera;
  out += '/';
  append_digits(out, c.year, 4);
  out += '/';
  append_digits(out, c.month, 2);
  out += '/';
  append_digits(out, c.day, 2);
  out += '/';
  append_digits(out, c.ms_of_day / 3'600'000, 2);
  out += '/';
  return out;
}

std::string_view file_name_of(std::string_view key) {
  return key.substr(key.rfind('/') + 1);
}

base::Result<std::string> object_key(std::string_view camera, const ObjectName& name) {
  if (auto checked = check_camera_name(camera); !checked) return tl::unexpected(std::move(checked.error()));
  auto file_name = encode_name(name);
  if (!file_name) return file_name;
  return hour_prefix(camera, name.start) + *file_name;
}

base::Status check_camera_name(std::string_view camera) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool good = !camera.empty() && camera.size() <= 32 && alphanumeric(camera[0]) &&
                    std::ranges::all_of(camera, [&](char c) { return alphanumeric(c) || c == '-'; });
  if (!good) {
    return fail(Errc::kInvalid,
                "a camera name has 1 to 32 characters: a-z, 0-9, and after the first also '-' "
                "([a-z0-9][a-z0-9-]{0,31})");
  }
  return {};
}

}  // namespace miharu::store
