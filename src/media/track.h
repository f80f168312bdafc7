// What a track carries: one video and at most one audio track a camera.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace miharu::media {

enum class TrackKind : uint8_t { kVideo, kAudio };
enum class Codec : uint8_t { kH264, kAac, kPcmu, kPcma, kOpus };

constexpr TrackKind kind_of(Codec codec) {
  return codec == Codec::kH264 ? TrackKind::kVideo : TrackKind::kAudio;
}
std::string_view name_of(Codec codec);     // "h264", "aac", "pcmu", "pcma", "opus"
std::string_view name_of(TrackKind kind);  // "video", "audio"

// Immutable once made; shared by every frame that it describes and by every consumer on any thread.
struct TrackConfig {
  Codec codec = Codec::kH264;
  uint32_t clock_rate = 90000;  // ticks a second of Frame::pts and dts

  // H.264: an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1). AAC: an AudioSpecificConfig (ISO/IEC
  // 14496-3 1.6.2.1). Opus: the body of a dOps box (channels, pre-skip ...). G.711: empty.
  base::ByteVector codec_private;
  std::string
      codec_string;  // RFC 6381, from the parameter sets and never from the SDP: "avc1.64001f", "mp4a.40.2"

  uint32_t width = 0;  // pixels shown, after cropping
  uint32_t height = 0;
  uint32_t sample_rate = 0;  // of the sound as played
  uint32_t channels = 0;

  bool operator==(const TrackConfig&) const = default;
};

// shared_ptr: frames of several threads hold it, the last one frees it.
using TrackConfigPtr = std::shared_ptr<const TrackConfig>;

}  // namespace miharu::media
