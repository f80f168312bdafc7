#include "media/mpegts_packet.h"

#include "media/h264.h"

namespace miharu::media::mpegts {

uint32_t crc32(base::ByteView bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<uint32_t>(byte) << 24;
    for (int i = 0; i < 8; ++i) crc = crc << 1 ^ (crc & 0x80000000 ? 0x04C11DB7U : 0U);
  }
  return crc;
}

bool is_rewritten_nal(base::ByteView nal) {
  switch (h264::nal_type(nal)) {
    case h264::NalType::kAud:
    case h264::NalType::kSps:
    case h264::NalType::kPps:
    case h264::NalType::kFiller:
      return true;
    default:
      return false;
  }
}

}  // namespace miharu::media::mpegts
