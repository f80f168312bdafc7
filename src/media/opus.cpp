#include "media/opus.h"

#include <array>

namespace miharu::media::opus {

base::Result<uint32_t> packet_samples(base::ByteView packet) {
  if (packet.empty()) return base::fail(base::Errc::kTruncated, "Opus packet is empty", 0);
  const auto toc = std::to_integer<uint8_t>(packet[0]);
  const unsigned config = toc >> 3;
  // Table 2: SILK 10, 20, 40, 60 ms; hybrid 10, 20 ms; CELT 2.5, 5, 10, 20 ms.
  uint32_t samples = 0;
  if (config < 12) {
    constexpr std::array<uint32_t, 4> kSilk = {480, 960, 1920, 2880};
    samples = kSilk[config & 3];
  } else if (config < 16) {
    samples = (config & 1) != 0 ? 960 : 480;
  } else {
    samples = 120U << (config & 3);
  }
  uint32_t frames = 2;
  if ((toc & 3) == 0) frames = 1;
  if ((toc & 3) == 3) {
    if (packet.size() < 2) return base::fail(base::Errc::kTruncated, "Opus packet has no frame count", 1);
    frames = std::to_integer<uint32_t>(packet[1]) & 0x3f;
  }
  if (frames == 0 || samples * frames > kMaxPacketSamples) {
    return base::fail(base::Errc::kMalformed, "Opus packet claims no sound or more than 120 ms of it", 1);
  }
  return samples * frames;
}

base::ByteVector write_dops(uint8_t channels, uint16_t pre_skip, uint32_t input_sample_rate) {
  base::ByteVector out;
  base::ByteWriter writer(out);
  writer.u8(0);  // version
  writer.u8(channels);
  writer.u16(pre_skip);
  writer.u32(input_sample_rate);
  writer.u16(0);  // output gain
  writer.u8(0);   // channel mapping family
  return out;
}

TrackConfigPtr make_track_config(uint8_t channels) {
  TrackConfig config;
  config.codec = Codec::kOpus;
  config.clock_rate = kClockRate;
  // A live stream is joined in its middle: there is no start of the encoder to skip.
  config.codec_private = write_dops(channels, 0, kClockRate);
  config.codec_string = "opus";
  config.sample_rate = kClockRate;
  config.channels = channels;
  return std::make_shared<const TrackConfig>(std::move(config));
}

}  // namespace miharu::media::opus
