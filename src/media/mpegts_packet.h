// What the MPEG-TS muxer and scanner share (ISO/IEC 13818-1).
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace miharu::media::mpegts {

inline constexpr size_t kPacketBytes = 188;
inline constexpr uint8_t kSyncByte = 0x47;
inline constexpr uint64_t kTimestampMask = (uint64_t{1} << 33) - 1;

inline constexpr uint16_t kPatPid = 0;
inline constexpr uint16_t kPmtPid = 0x1000;
inline constexpr uint16_t kVideoPid = 0x100;
inline constexpr uint16_t kAudioPid = 0x101;
inline constexpr uint16_t kNullPid = 0x1FFF;
// First payload byte of the null packet that closes the first fragment of a chunk (scan.h, starts_chunk).
inline constexpr std::byte kChunkMark{'C'};
// Behind it in the same packet, before the CRC-32C of the fragment's bytes up to and with the byte of the
// mark.
inline constexpr std::string_view kChecksumMark = "crc1";

inline constexpr uint8_t kStreamTypeH264 = 0x1B;
inline constexpr uint8_t kStreamTypeAdts = 0x0F;

// CRC of sections (annex A): 0 over a section with its CRC.
uint32_t crc32(base::ByteView bytes);

// Bytes in an AVCC payload that MPEG-TS writes anew: delimiters, parameter sets, filler.
bool is_rewritten_nal(base::ByteView nal);

}  // namespace miharu::media::mpegts
