// RTP headers, and packets in any order through the reorder buffer.
#include <chrono>

#include "media/reorder_buffer.h"

namespace {

using namespace miharu;

struct Sink final : media::ReorderSink {
  void on_ordered_packet(const media::RtpPacket& packet, base::SteadyTime, uint32_t) override {
    sum += packet.payload.empty() ? 0 : std::to_integer<unsigned>(packet.payload.back());
  }
  unsigned sum = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::ByteReader in({reinterpret_cast<const std::byte*>(data), size});
  Sink sink;
  media::ReorderBuffer buffer(sink);
  base::SteadyTime now{};
  while (!in.empty()) {
    const uint8_t head = in.u8();
    const base::ByteView bytes = in.bytes(std::min<size_t>(head & 0x3f, in.remaining()));
    now += base::milliseconds(head >> 6);
    if (const auto packet = media::parse_rtp(bytes)) buffer.push(*packet, now);
    buffer.advance(now);
    if (head == 0xff) buffer.reset();
  }
  buffer.flush();
  if (buffer.deadline()) __builtin_trap();
  return 0;
}
