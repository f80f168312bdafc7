// Feeds a depacketizer with packets that are cut out of the input, and checks what every frame must keep to.
#pragma once

#include "media/depacketizer.h"

namespace miharu::fuzz {

class FrameChecker final : public media::FrameSink {
 public:
  void on_frame(media::FramePtr frame) override {
    if (!frame->config || frame->data().empty() || frame->dts > frame->pts || frame->dts <= last_)
      __builtin_trap();
    last_ = frame->dts;
  }
  void on_oddity(std::string_view) override {}
  void on_drop(base::Error) override {}
  void reset() { last_ = INT64_MIN; }

 private:
  int64_t last_ = INT64_MIN;
};

inline void depacketize(const char* kind, const media::SdpFormat& format, base::ByteView input) {
  media::SdpMedia media;
  media.kind = kind;
  media.protocol = "RTP/AVP";
  FrameChecker checker;
  const auto made = media::make_depacketizer(media, format, checker);
  if (!made) __builtin_trap();
  media::Depacketizer& depacketizer = **made;
  base::ByteReader in(input);
  int64_t timestamp = 0;
  while (!in.empty()) {
    const uint8_t head = in.u8();
    const size_t wanted = in.u8();
    media::RtpPacket packet;
    packet.marker = (head & 1) != 0;
    packet.payload = in.bytes(std::min(wanted, in.remaining()));
    timestamp += ((head >> 2) & 7) * 1000;
    if (head >> 6 == 3) timestamp -= 5000;
    depacketizer.push({packet, timestamp, base::SteadyTime{}, (head & 2) != 0});
    if (head == 0xfe) {
      depacketizer.reset();
      checker.reset();
    }
  }
  depacketizer.flush();
}

}  // namespace miharu::fuzz
