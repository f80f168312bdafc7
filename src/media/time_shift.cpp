#include "media/time_shift.h"

#include <map>
#include <optional>
#include <vector>

#include "media/mp4_boxes.h"
#include "media/mpegts_packet.h"
#include "media/muxer.h"
#include "media/scan.h"

namespace miharu::media {
namespace {

using base::Errc;
using base::fail;
using base::Status;

uint64_t read(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (const std::byte each : bytes) value = value << 8 | std::to_integer<uint64_t>(each);
  return value;
}

void write(std::span<std::byte> bytes, uint64_t value) {
  for (size_t i = bytes.size(); i > 0; --i, value >>= 8) bytes[i - 1] = static_cast<std::byte>(value);
}

// Calls visit(type, body) for each box.
template <class Visit>
Status for_each_box(std::span<std::byte> bytes, Visit visit) {
  constexpr size_t kHeader = 8;
  while (!bytes.empty()) {
    if (bytes.size() < kHeader) return fail(Errc::kMalformed, "half a box");
    const uint64_t size = read(bytes.first(4));
    if (size < kHeader || size > bytes.size()) return fail(Errc::kMalformed, "a box of no possible size");
    const auto type = static_cast<uint32_t>(read(bytes.subspan(4, 4)));
    if (Status done = visit(type, bytes.subspan(kHeader, size - kHeader)); !done) return done;
    bytes = bytes.subspan(size);
  }
  return {};
}

// A fragment whose checksum is right, and so has to be right again; any other stays as wrong as it is.
struct Summed {
  std::span<std::byte> before;  // of its bytes, those before the checksum and behind it
  std::span<std::byte> checksum;
  std::span<std::byte> behind;

  [[nodiscard]] uint32_t sum() const { return base::crc32c(base::crc32c(0, before), behind); }
  [[nodiscard]] bool is_right() const { return read(checksum) == sum(); }
};

bool is_mark(std::span<const std::byte> bytes, std::string_view mark) {
  return bytes.size() >= mark.size() + 4 && base::as_text(bytes.first(mark.size())) == mark;
}

base::Result<std::vector<Summed>> find_checksums(std::span<std::byte> object) {
  constexpr size_t kHeader = 8;
  std::vector<Summed> found;
  std::optional<size_t> start;
  std::optional<size_t> checksum;
  const Status done = for_each_box(object, [&](uint32_t type, std::span<std::byte> body) -> Status {
    const auto at = static_cast<size_t>(body.data() - object.data());
    const bool is_checksum =
        type == fourcc("free") && body.size() == kChecksumBoxBytes - kHeader && is_mark(body, kChecksumMark);
    if (is_checksum) checksum = at;
    if (type == fourcc("styp") || is_checksum) start = start.value_or(at - kHeader);
    if (type != fourcc("mdat")) return {};
    if (checksum) {
      const size_t rest = *checksum + kChecksumBoxBytes - kHeader;
      const Summed summed{object.subspan(*start, *checksum - kHeader - *start), object.subspan(rest - 4, 4),
                          object.subspan(rest, at + body.size() - rest)};
      if (summed.is_right()) found.push_back(summed);
    }
    start.reset();
    checksum.reset();
    return {};
  });
  if (!done) return tl::unexpected(done.error());
  return found;
}

void write_checksums(const std::vector<Summed>& fragments) {
  for (const Summed& fragment : fragments) write(fragment.checksum, fragment.sum());
}

Status shift_fragment(std::span<std::byte> traf, const std::map<uint64_t, int64_t>& ticks_of_track) {
  uint64_t track = 0;
  return for_each_box(traf, [&](uint32_t type, std::span<std::byte> body) -> Status {
    if (type == fourcc("tfhd") && body.size() >= 8) track = read(body.subspan(4, 4));
    if (type != fourcc("tfdt")) return {};
    const auto ticks = ticks_of_track.find(track);
    if (body.size() != 12 || body[0] != std::byte{1} || ticks == ticks_of_track.end())
      return fail(Errc::kMalformed, "a fragment whose time is not as we write it");
    const std::span<std::byte> time = body.subspan(4, 8);
    write(time, read(time) + static_cast<uint64_t>(ticks->second));
    return {};
  });
}

// PTS and DTS (ISO/IEC 13818-1 2.4.3.7): 33 bits with marker bits in five bytes.
void shift_timestamp(std::span<std::byte> bytes, int64_t ticks) {
  const uint64_t raw = read(bytes.first(5));
  uint64_t value = (raw >> 33 & 7) << 30 | (raw >> 17 & 0x7FFF) << 15 | (raw >> 1 & 0x7FFF);
  value = (value + static_cast<uint64_t>(ticks)) & mpegts::kTimestampMask;
  constexpr uint64_t kKept = uint64_t{0xF} << 36 | uint64_t{1} << 32 | uint64_t{1} << 16 | 1;
  write(bytes.first(5),
        (raw & kKept) | (value >> 30) << 33 | (value >> 15 & 0x7FFF) << 17 | (value & 0x7FFF) << 1);
}

// Each fragment is closed by a null packet with the checksum of all before, that packet's mark included.
std::vector<Summed> find_packet_checksums(std::span<std::byte> object) {
  constexpr size_t kMarkAt = 4;
  std::vector<Summed> found;
  size_t start = 0;
  for (size_t at = 0; at < object.size(); at += mpegts::kPacketBytes) {
    const std::span<std::byte> packet = object.subspan(at, mpegts::kPacketBytes);
    if ((read(packet.subspan(1, 2)) & 0x1FFF) != mpegts::kNullPid) continue;
    const std::span<std::byte> behind = packet.subspan(kMarkAt + 1);
    if (is_mark(behind, mpegts::kChecksumMark)) {
      const Summed summed{object.subspan(start, at + kMarkAt + 1 - start),
                          behind.subspan(mpegts::kChecksumMark.size(), 4),
                          {}};
      if (summed.is_right()) found.push_back(summed);
    }
    start = at + mpegts::kPacketBytes;
  }
  return found;
}

}  // namespace

Status shift_fmp4(std::span<std::byte> object, base::nanoseconds by) {
  const auto scan = scan_fmp4(object);
  if (!scan) return tl::unexpected(scan.error());
  std::map<uint64_t, int64_t> ticks_of_track;
  const auto ticks = [by](uint32_t rate) { return to_ticks(base::UtcTime(by), rate); };
  if (scan->video) ticks_of_track[kVideoTrackId] = ticks(scan->video->clock_rate);
  if (scan->audio) ticks_of_track[kAudioTrackId] = ticks(scan->audio->clock_rate);
  const auto checksums = find_checksums(object);
  if (!checksums) return tl::unexpected(checksums.error());
  auto shifted = for_each_box(object, [&](uint32_t outer, std::span<std::byte> fragment) -> Status {
    if (outer != fourcc("moof")) return {};
    return for_each_box(fragment, [&](uint32_t type, std::span<std::byte> traf) -> Status {
      return type == fourcc("traf") ? shift_fragment(traf, ticks_of_track) : Status{};
    });
  });
  write_checksums(*checksums);
  return shifted;
}

Status shift_mpegts(std::span<std::byte> object, base::nanoseconds by) {
  constexpr size_t kHeader = 4;
  const int64_t ticks = to_ticks(base::UtcTime(by), 90'000);
  if (object.size() % mpegts::kPacketBytes != 0) return fail(Errc::kMalformed, "half a packet");
  const std::vector<Summed> checksums = find_packet_checksums(object);
  for (; !object.empty(); object = object.subspan(mpegts::kPacketBytes)) {
    const std::span<std::byte> packet = object.first(mpegts::kPacketBytes);
    if (packet[0] != std::byte{mpegts::kSyncByte})
      return fail(Errc::kMalformed, "a packet without its sync byte");
    const uint64_t pid = read(packet.subspan(1, 2)) & 0x1FFF;
    if (pid != mpegts::kVideoPid && pid != mpegts::kAudioPid) continue;
    const bool starts = (packet[1] & std::byte{0x40}) != std::byte{};
    const bool has_payload = (packet[3] & std::byte{0x10}) != std::byte{};
    size_t payload = kHeader;
    if ((packet[3] & std::byte{0x20}) != std::byte{}) {
      const auto length = std::to_integer<size_t>(packet[kHeader]);
      payload += 1 + length;
      if (payload > packet.size())
        return fail(Errc::kMalformed, "an adaptation field longer than its packet");
      if (length >= 7 && (packet[kHeader + 1] & std::byte{0x10}) != std::byte{}) {
        // program_clock_reference_base: the upper 33 bits of 48.
        const std::span<std::byte> clock = packet.subspan(kHeader + 2, 6);
        const uint64_t raw = read(clock);
        const uint64_t base = ((raw >> 15) + static_cast<uint64_t>(ticks)) & mpegts::kTimestampMask;
        write(clock, base << 15 | (raw & 0x7FFF));
      }
    }
    if (!starts || !has_payload) continue;
    // packet_start_code_prefix, stream_id, length, flags, flags, header length, timestamps.
    constexpr size_t kPesHeader = 9;
    const std::span<std::byte> pes = packet.subspan(payload);
    if (pes.size() < kPesHeader || read(pes.first(3)) != 1) return fail(Errc::kMalformed, "no PES packet");
    const auto flags = std::to_integer<unsigned>(pes[7]) >> 6;
    const size_t wanted = kPesHeader + (flags >= 2 ? 5 : 0) + (flags == 3 ? 5 : 0);
    if (pes.size() < wanted) return fail(Errc::kMalformed, "a PES header longer than its packet");
    if (flags >= 2) shift_timestamp(pes.subspan(kPesHeader), ticks);
    if (flags == 3) shift_timestamp(pes.subspan(kPesHeader + 5), ticks);
  }
  write_checksums(checksums);
  return {};
}

}  // namespace miharu::media
