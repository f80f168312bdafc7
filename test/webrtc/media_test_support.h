// Pictures, and the end of the wire, for the tests of what sends them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "media/rtp.h"
#include "webrtc/packet_batch.h"
#include "webrtc/rtp_unit.h"

namespace miharu::webrtc {

inline base::ByteVector bytes_of(std::string_view hex) {
  return base::from_hex(hex).value();
}

inline const base::ByteVector kSpsNal = bytes_of("6742c028d900780227e584000003000400000300f03c60c920");
inline const base::ByteVector kPpsNal = bytes_of("68ce3c80");

inline media::TrackConfigPtr h264_config(const base::ByteVector& sps = kSpsNal,
                                         const std::vector<base::ByteVector>& pps = {kPpsNal}) {
  auto config = std::make_shared<media::TrackConfig>();
  base::ByteWriter out(config->codec_private);
  for (const unsigned byte : {1U, 0x42U, 0xc0U, 0x28U, 0xffU, 0xe1U}) out.u8(byte);
  out.u16(sps.size());
  out.bytes(sps);
  out.u8(pps.size());
  for (const base::ByteVector& each : pps) {
    out.u16(each.size());
    out.bytes(each);
  }
  config->codec_string = "avc1.42c028";
  return config;
}

// A slice with a header that makes sense; `seed` makes its bytes, which hold no start code.
inline base::ByteVector make_slice(bool key, bool first_of_picture, size_t bytes, unsigned seed = 0) {
  base::ByteVector nal;
  base::ByteWriter out(nal);
  out.u8(key ? 0x65 : 0x41);
  if (first_of_picture) {
    out.u8(key ? 0xb8 : 0xe0);  // first_mb_in_slice 0, I or P, pps 0
  } else {
    out.u8(key ? 0x4b : 0x4e);  // first_mb_in_slice 1
  }
  while (nal.size() < bytes) out.u8(1 + (nal.size() * 31 + seed * 7) % 250);
  nal.resize(bytes);
  return nal;
}

inline media::FramePtr make_picture(const std::vector<base::ByteVector>& nals, bool key,
                                    const media::TrackConfigPtr& config = h264_config()) {
  media::FrameBuilder builder;
  for (const base::ByteVector& nal : nals) {
    builder.append_u32(static_cast<uint32_t>(nal.size()));
    builder.append(nal);
  }
  media::FrameBuilder::Stamp stamp;
  stamp.config = config;
  stamp.key = key;
  return builder.finish(stamp);
}

inline UnitPtr make_unit(bool key, base::SteadyTime time, size_t bytes, unsigned seed = 0) {
  return packetize_h264(*make_picture({make_slice(key, true, bytes, seed)}, key), time);
}

inline base::SteadyTime at(base::nanoseconds since) {
  return base::SteadyTime(std::chrono::hours(1) + since);
}

// Takes what goes to the kernel, cut into datagrams.
class RecordingSink final : public SegmentSink {
 public:
  struct Call {
    net::UdpPath path;
    size_t bytes = 0;
    size_t segment_bytes = 0;
  };
  struct Datagram {
    base::SteadyTime time;
    base::ByteVector bytes;
  };

  bool send_segments(const net::UdpPath& path, base::ByteView bytes, size_t segment_bytes) override {
    calls.push_back({path, bytes.size(), segment_bytes});
    if (refuses) return false;
    while (!bytes.empty()) {
      const base::ByteView one = bytes.first(std::min(segment_bytes, bytes.size()));
      datagrams.push_back({now, base::ByteVector(one.begin(), one.end())});
      bytes = bytes.subspan(one.size());
    }
    return true;
  }

  base::SteadyTime now{};
  bool refuses = false;
  std::vector<Call> calls;
  std::vector<Datagram> datagrams;
};

}  // namespace miharu::webrtc
