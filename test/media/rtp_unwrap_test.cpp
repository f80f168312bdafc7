#include <gtest/gtest.h>

#include "media/reorder_buffer.h"
#include "media/rtp.h"

namespace miharu::media {
namespace {

TEST(Unwrapper, PeekingDoesNotMoveIt) {
  TimestampUnwrapper unwrapper;
  EXPECT_EQ(unwrapper.peek(5), 5) << "before the first value";
  EXPECT_EQ(unwrapper.unwrap(0xffffff00), 0xffffff00);
  EXPECT_EQ(unwrapper.peek(0x10), 0x100000010);
  EXPECT_EQ(unwrapper.peek(0xfffffe00), 0xfffffe00);
  EXPECT_EQ(unwrapper.last(), 0xffffff00);
  EXPECT_EQ(unwrapper.unwrap(0x10), 0x100000010);
  unwrapper.reset();
  EXPECT_EQ(unwrapper.unwrap(3), 3);
}

struct Sequences final : ReorderSink {
  void on_ordered_packet(const RtpPacket& packet, base::SteadyTime, uint32_t lost_before) override {
    text +=
        std::to_string(packet.sequence) + (lost_before > 0 ? "(" + std::to_string(lost_before) + ") " : " ");
  }
  std::string text;
};

TEST(ReorderBuffer, AResetForgetsWhatWaits) {
  Sequences out;
  ReorderBuffer buffer(out);
  const auto push = [&](uint16_t sequence) {
    RtpPacket packet;
    packet.sequence = sequence;
    buffer.push(packet, {});
  };
  push(1);
  push(3);
  push(4);
  buffer.reset();
  EXPECT_FALSE(buffer.deadline());
  push(60'000);
  push(60'001);
  EXPECT_EQ(out.text, "1 60000 60001 ");
  push(60'003);
  buffer.flush();
  EXPECT_EQ(out.text, "1 60000 60001 60003(1) ");
}

}  // namespace
}  // namespace miharu::media
