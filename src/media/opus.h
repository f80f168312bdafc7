// Opus packets (RFC 6716) and their description in ISO-BMFF ("Encapsulation of Opus in ISO Base Media File
// Format" 4.3.2).
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "media/track.h"

namespace miharu::media::opus {

inline constexpr uint32_t kClockRate = 48000;
inline constexpr uint32_t kMaxPacketSamples = 5760;  // 120 ms

// RFC 6716 section 3.1: samples at 48 kHz in the packet. Errors: empty, bad frame count, above 120 ms.
base::Result<uint32_t> packet_samples(base::ByteView packet);

// The body of a dOps box; channels 1 or 2 (mapping family 0).
base::ByteVector write_dops(uint8_t channels, uint16_t pre_skip, uint32_t input_sample_rate);
TrackConfigPtr make_track_config(uint8_t channels);

}  // namespace miharu::media::opus
