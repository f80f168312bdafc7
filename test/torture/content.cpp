#include "torture/content.h"

#include <algorithm>
#include <string>

#include <fmt/format.h>

namespace miharu::torture {
namespace {

std::byte digit(uint32_t value) {
  return static_cast<std::byte>(0x10 + (value & 0x7F));
}

std::optional<FrameId> read_head(base::ByteView bytes) {
  if (bytes.size() < kHeadBytes) return std::nullopt;
  const auto at = [&](size_t i) { return std::to_integer<uint32_t>(bytes[kMagic.size() + i]); };
  for (size_t i = 0; i < 11; ++i) {
    if (at(i) < 0x10 || at(i) > 0x8F) return std::nullopt;
  }
  FrameId id;
  id.camera = static_cast<uint8_t>(at(0) - 0x10);
  id.video = at(1) == 0x11;
  for (size_t i = 5; i-- > 0;) id.number = id.number << 7 | (at(2 + i) - 0x10);
  for (size_t i = 4; i-- > 0;) id.size_bytes = id.size_bytes << 7 | (at(7 + i) - 0x10);
  return id;
}

template <class Found>
void search(base::ByteView bytes, Found found) {
  const std::string_view text = base::as_text(bytes);
  for (size_t at = text.find(kMagic); at != std::string_view::npos; at = text.find(kMagic, at + 1)) found(at);
}

}  // namespace

base::ByteVector make_payload(const FrameId& id) {
  base::ByteVector bytes;
  bytes.reserve(id.size_bytes);
  const auto magic = base::as_bytes(kMagic);
  bytes.insert(bytes.end(), magic.begin(), magic.end());
  bytes.push_back(digit(id.camera));
  bytes.push_back(digit(id.video ? 1 : 0));
  for (unsigned i = 0; i < 5; ++i) bytes.push_back(digit(i < 4 ? id.number >> 7 * i : id.number >> 28));
  for (unsigned i = 0; i < 4; ++i) bytes.push_back(digit(id.size_bytes >> 7 * i));
  // xorshift64*, seeded by all of the identity.
  uint64_t state =
      (uint64_t{id.camera} << 56 | uint64_t{id.video} << 55 | uint64_t{id.number} << 20 | id.size_bytes) *
          0x9E3779B97F4A7C15U |
      1;
  while (bytes.size() < id.size_bytes) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    const uint64_t word = state * 0x2545F4914F6CDD1DU;
    for (unsigned i = 0; i < 8 && bytes.size() < id.size_bytes; ++i)
      bytes.push_back(static_cast<std::byte>((word >> 8 * i & 0x7F) + 0x80));
  }
  return bytes;
}

std::vector<FrameId> find_payloads(base::ByteView bytes, std::vector<std::string>* broken) {
  std::vector<FrameId> ids;
  search(bytes, [&](size_t at) {
    const auto id = read_head(bytes.subspan(at));
    if (!id || id->size_bytes > bytes.size() - at) {
      broken->push_back(fmt::format("half a frame at byte {}", at));
      return;
    }
    const base::ByteVector wanted = make_payload(*id);
    if (!std::equal(wanted.begin(), wanted.end(), bytes.begin() + static_cast<ptrdiff_t>(at))) {
      broken->push_back(
          fmt::format("{} frame {} is not what was recorded", id->video ? "video" : "audio", id->number));
      return;
    }
    ids.push_back(*id);
  });
  return ids;
}

std::vector<FrameId> find_heads(base::ByteView bytes) {
  std::vector<FrameId> ids;
  search(bytes, [&](size_t at) {
    if (const auto id = read_head(bytes.subspan(at))) ids.push_back(*id);
  });
  return ids;
}

base::ByteVector unpack_mpegts(base::ByteView object, std::vector<std::string>* broken) {
  base::ByteVector streams[2];
  if (object.size() % 188 != 0) broken->push_back("is not whole packets");
  for (size_t at = 0; at + 188 <= object.size(); at += 188) {
    const auto byte = [&](size_t i) { return std::to_integer<unsigned>(object[at + i]); };
    if (byte(0) != 0x47) {
      broken->push_back(fmt::format("no packet at byte {}", at));
      break;
    }
    const unsigned pid = (byte(1) & 0x1F) << 8 | byte(2);
    if (pid != 0x100 && pid != 0x101) continue;
    if ((byte(3) & 0x10) == 0) continue;
    size_t payload = 4;
    if (byte(3) & 0x20) payload += 1 + byte(4);
    if (byte(1) & 0x40) payload += 9 + (payload + 8 < 188 ? byte(payload + 8) : 0);
    if (payload > 188) {
      broken->push_back(fmt::format("a packet without room for its header at byte {}", at));
      break;
    }
    base::ByteVector& out = streams[pid - 0x100];
    out.insert(out.end(), object.begin() + static_cast<ptrdiff_t>(at + payload),
               object.begin() + static_cast<ptrdiff_t>(at + 188));
  }
  streams[0].insert(streams[0].end(), streams[1].begin(), streams[1].end());
  return std::move(streams[0]);
}

}  // namespace miharu::torture
