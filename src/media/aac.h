// AAC: AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) and ADTS (1.A.3.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "media/track.h"

namespace miharu::media::aac {

inline constexpr uint32_t kSamplesPerFrame = 1024;
inline constexpr size_t kAdtsHeaderBytes = 7;  // without CRC
inline constexpr size_t kMaxAdtsFrameBytes = 8191;

struct AudioSpecificConfig {
  uint8_t object_type = 2;   // 2 = AAC LC
  uint32_t sample_rate = 0;  // of the core coder
  uint32_t channels = 0;     // 0: a program config element in the stream says it
  uint8_t channel_configuration = 0;
  uint32_t samples_per_frame =
      kSamplesPerFrame;  // 960 with frameLengthFlag; 512 or 480 in low-delay profiles

  [[nodiscard]] std::string codec_string() const;  // "mp4a.40.2"
};

// Explicit SBR/PS signalling (object types 5 and 29) is read through to the core coder.
base::Result<AudioSpecificConfig> parse_config(base::ByteView bytes);
// Of object_type, sample_rate and channel_configuration.
base::ByteVector write_config(const AudioSpecificConfig& config);
// AAC LC with that rate and number of channels; an error when AAC has no such thing.
base::Result<AudioSpecificConfig> make_config(uint32_t sample_rate, uint32_t channels);
// codec_private = `bytes`. Object types that we cannot carry are kUnsupported.
base::Result<TrackConfigPtr> make_track_config(base::ByteView bytes);

struct AdtsFrame {
  AudioSpecificConfig config;
  base::ByteView payload;  // one raw_data_block, without header and CRC
  size_t size_bytes = 0;   // of the whole frame with its header
};
// The frame at the start of `bytes`.
base::Result<AdtsFrame> parse_adts(base::ByteView bytes);
// Whether an ADTS header may begin here (sync word, layer 0).
bool looks_like_adts(base::ByteView bytes);
// The header for a frame of `payload_bytes` (< 8185). Object types 1..4 only: others are written as LC.
void append_adts_header(base::ByteVector& out, const AudioSpecificConfig& config, size_t payload_bytes);

}  // namespace miharu::media::aac
