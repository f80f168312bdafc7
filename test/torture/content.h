// Payloads that say which frame they are and prove every byte of themselves.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace miharu::torture {

struct FrameId {
  uint8_t camera = 0;
  bool video = true;
  uint32_t number = 0;      // counts per camera and track, without a hole
  uint32_t size_bytes = 0;  // of the payload
  bool operator==(const FrameId&) const = default;
};

inline constexpr std::string_view kMagic = "\x7fmihTRT\x7e";
inline constexpr size_t kHeadBytes = kMagic.size() + 2 + 5 + 4;

// No byte is below 0x10: nothing in it looks like a start code or a box.
base::ByteVector make_payload(const FrameId& id);

// Frames of the camera in the order in which they lie in `bytes`; `broken` says what is there and is no whole
// frame.
std::vector<FrameId> find_payloads(base::ByteView bytes, std::vector<std::string>* broken);
// Only their heads: of a fragment in MPEG-TS, whose payloads are cut into packets.
std::vector<FrameId> find_heads(base::ByteView bytes);

// The elementary streams of an MPEG-TS object, one behind the other. Own code: what is tested must not judge
// itself.
base::ByteVector unpack_mpegts(base::ByteView object, std::vector<std::string>* broken);

}  // namespace miharu::torture
