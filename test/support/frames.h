// Made-up frames for tests of what comes behind the depacketizers: true headers, payload of no meaning.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "media/frame.h"

namespace miharu::test {

inline base::ByteVector bytes_of(std::string_view hex) {
  return *base::from_hex(hex);
}

// avcC with the SPS of a 1280x720 baseline stream and a PPS.
inline media::TrackConfigPtr video_config(uint8_t level = 0x1f) {
  auto config = std::make_shared<media::TrackConfig>();
  const base::ByteVector sps = bytes_of("6764001facd9405005bb016c80000003008000001e078c18cb");
  const base::ByteVector pps = bytes_of("68ebe3cb22c0");
  base::ByteWriter out(config->codec_private);
  for (const unsigned byte : {1U, 0x64U, 0U, unsigned{level}, 0xffU, 0xe1U}) out.u8(byte);
  out.u16(sps.size());
  out.bytes(sps);
  out.u8(1);
  out.u16(pps.size());
  out.bytes(pps);
  out.u8(0xfd);
  out.u8(0xf8);
  out.u8(0xf8);
  out.u8(0);
  config->codec = media::Codec::kH264;
  config->codec_string = "avc1.64001f";
  config->width = 1280;
  config->height = 720;
  return config;
}

inline media::TrackConfigPtr aac_config() {
  auto config = std::make_shared<media::TrackConfig>();
  config->codec = media::Codec::kAac;
  config->clock_rate = 48000;
  config->sample_rate = 48000;
  config->channels = 1;
  config->codec_private = bytes_of("1188");
  config->codec_string = "mp4a.40.2";
  return config;
}

inline media::FramePtr make_frame(const media::TrackConfigPtr& config, int64_t dts, bool key,
                                  size_t payload_bytes, base::SteadyTime arrival, int64_t composition = 0) {
  media::FrameBuilder builder;
  if (config->codec == media::Codec::kH264) builder.append_u32(static_cast<uint32_t>(payload_bytes));
  base::ByteVector payload(payload_bytes, static_cast<std::byte>(dts % 251 + 3));
  if (config->codec == media::Codec::kH264 && !payload.empty())
    payload[0] = static_cast<std::byte>(key ? 0x65 : 0x41);
  builder.append(payload);
  return builder.finish({config, dts + composition, dts, arrival, key, false});
}

}  // namespace miharu::test
