#include "media/rtp.h"

#include "media/reorder_buffer.h"
#include "media/rtcp.h"
#include "rtp_test_support.h"

namespace miharu::media {
namespace {

using base::Errc;
using base::milliseconds;
using base::SteadyTime;

TEST(Rtp, ReadsHeaderExtensionAndPadding) {
  const auto bytes =
      hex("b2e0123400000064deadbeef"
          "0000000100000002"
          "bede0001aabbccdd"
          "0102030000000004");
  const auto packet = parse_rtp(bytes);
  ASSERT_TRUE(packet.has_value()) << packet.error().to_string();
  EXPECT_EQ(packet->payload_type, 96);
  EXPECT_TRUE(packet->marker);
  EXPECT_EQ(packet->sequence, 0x1234);
  EXPECT_EQ(packet->timestamp, 100U);
  EXPECT_EQ(packet->ssrc, 0xdeadbeefU);
  EXPECT_EQ(base::to_hex(packet->payload), "01020300");
}

TEST(Rtp, RefusesBrokenPackets) {
  const struct {
    const char* what;
    const char* bytes;
    Errc code;
  } cases[] = {
      {"empty", "", Errc::kTruncated},
      {"cut off", "80600001000000000000", Errc::kTruncated},
      {"version 1", "406000010000000000000000ff", Errc::kMalformed},
      {"CSRC past the end", "8f6000010000000000000000ff", Errc::kTruncated},
      {"extension past the end", "906000010000000000000000bede0009aabbccdd", Errc::kTruncated},
      {"padding of zero", "a060000100000000000000000100", Errc::kMalformed},
      {"padding too long", "a060000100000000000000000109", Errc::kMalformed},
      {"padding of nothing", "a06000010000000000000000", Errc::kMalformed},
  };
  for (const auto& c : cases) {
    const auto packet = parse_rtp(hex(c.bytes));
    ASSERT_FALSE(packet.has_value()) << c.what;
    EXPECT_EQ(packet.error().code, c.code) << c.what;
  }
}

TEST(Rtp, UnwrapsByTheShortestWay) {
  SequenceUnwrapper sequence;
  EXPECT_EQ(sequence.unwrap(65534), 65534);
  EXPECT_EQ(sequence.unwrap(1), 65537);
  EXPECT_EQ(sequence.peek(65535), 65535);
  EXPECT_EQ(sequence.unwrap(65535), 65535);
  TimestampUnwrapper timestamp;
  EXPECT_EQ(timestamp.unwrap(0xfffffff0U), 0xfffffff0LL);
  EXPECT_EQ(timestamp.unwrap(0x10U), 0x100000010LL);
  EXPECT_EQ(timestamp.unwrap(0xfffffff0U), 0xfffffff0LL);
  timestamp.reset();
  EXPECT_EQ(timestamp.unwrap(5), 5);
}

struct OrderedSink final : ReorderSink {
  void on_ordered_packet(const RtpPacket& packet, SteadyTime, uint32_t lost_before) override {
    text +=
        std::to_string(packet.sequence) + (lost_before != 0 ? "!" + std::to_string(lost_before) : "") + " ";
    EXPECT_EQ(std::to_integer<uint8_t>(packet.payload[0]), packet.sequence & 0xff);
  }
  std::string text;
};

void push(ReorderBuffer& buffer, uint16_t sequence, SteadyTime now) {
  const auto mark = static_cast<std::byte>(sequence & 0xff);
  RtpPacket packet;
  packet.sequence = sequence;
  packet.payload = {&mark, 1};
  buffer.push(packet, now);
}

TEST(ReorderBuffer, PutsPacketsInOrder) {
  const struct {
    const char* what;
    std::vector<uint16_t> in;
    const char* out;
    const char* flushed;
  } cases[] = {
      {"in order", {1, 2, 3}, "1 2 3 ", ""},
      {"swapped", {1, 3, 2, 4}, "1 2 3 4 ", ""},
      {"duplicates", {1, 2, 2, 4, 4, 3}, "1 2 3 4 ", ""},
      {"over the wrap", {65534, 0, 65535, 1}, "65534 65535 0 1 ", ""},
      {"lost", {1, 4, 5}, "1 ", "4!2 5 "},
      {"late", {5, 3, 6}, "5 6 ", ""},
      {"64 ahead gives up on what lacks", {1, 3, 70}, "1 3!1 ", "70!66 "},
      {"a jump needs two", {1, 20000, 2, 20001, 20002}, "1 2 ", ""},
      {"a jump with two in sequence", {1, 20000, 20001, 20002}, "1 20000!1 20001 20002 ", ""},
      {"a jump in another order", {1, 20001, 20000, 20003, 20002}, "1 20000!1 20001 20002 20003 ", ""},
      {"a jump, every packet twice", {1, 20000, 20000, 20001, 20001}, "1 20000!1 20001 ", ""},
      {"a jump back behind strays", {20000, 7, 9000, 30000, 9, 10}, "20000 9!1 10 ", ""},
  };
  for (const auto& c : cases) {
    OrderedSink sink;
    ReorderBuffer buffer(sink);
    for (const uint16_t sequence : c.in) push(buffer, sequence, SteadyTime{});
    if (std::string_view(c.what) == "a jump needs two") {
      EXPECT_EQ(sink.text, "1 2 20001!1 20002 ") << c.what;
      continue;
    }
    EXPECT_EQ(sink.text, c.out) << c.what;
    sink.text.clear();
    buffer.flush();
    EXPECT_EQ(sink.text, c.flushed) << c.what;
  }
}

TEST(ReorderBuffer, GivesUpAfterTheWindow) {
  OrderedSink sink;
  ReorderBuffer buffer(sink);
  const SteadyTime start{};
  EXPECT_FALSE(buffer.deadline());
  push(buffer, 10, start);
  push(buffer, 12, start + milliseconds(5));
  push(buffer, 14, start + milliseconds(20));
  ASSERT_TRUE(buffer.deadline());
  EXPECT_EQ(*buffer.deadline(), start + milliseconds(55));
  buffer.advance(start + milliseconds(54));
  EXPECT_EQ(sink.text, "10 ");
  buffer.advance(start + milliseconds(55));
  EXPECT_EQ(sink.text, "10 12!1 ");
  push(buffer, 13, start + milliseconds(56));
  EXPECT_EQ(sink.text, "10 12!1 13 14 ");
  EXPECT_EQ(buffer.lost(), 1U);
  EXPECT_FALSE(buffer.deadline());
}

struct RtcpRecorder final : RtcpListener {
  void on_sender_report(const RtcpSenderReport& report) override {
    text += "SR " + std::to_string(report.ssrc) + " " + std::to_string(report.ntp >> 32) + " " +
            std::to_string(report.rtp_timestamp) + ";";
  }
  void on_receiver_report(uint32_t ssrc) override { text += "RR " + std::to_string(ssrc) + ";"; }
  void on_report_block(uint32_t, const RtcpReportBlock& block) override {
    text += "block " + std::to_string(block.ssrc) + " " + std::to_string(block.cumulative_lost) + ";";
  }
  void on_cname(uint32_t, std::string_view cname) override { text += "cname " + std::string(cname) + ";"; }
  void on_bye(uint32_t ssrc) override { text += "bye " + std::to_string(ssrc) + ";"; }
  std::string text;
};

TEST(Rtcp, ReadsCompoundPackets) {
  RtcpRecorder listener;
  const auto status = parse_rtcp(hex("80c80006"
                                     "00000007"
                                     "0000000580000000"
                                     "00000064"
                                     "00000001"
                                     "00000002"
                                     "80cc0001"
                                     "00000009"  // APP, skipped
                                     "81cb0001"
                                     "00000007"),
                                 listener);
  EXPECT_TRUE(status.has_value());
  EXPECT_EQ(listener.text, "SR 7 5 100;bye 7;");
}

TEST(Rtcp, ReportsWhatItWrote) {
  base::ByteVector out;
  RtcpReportBlock block;
  block.ssrc = 9;
  block.cumulative_lost = -3;
  for (const std::string cname : {"", "a", "ab", "abc", "miharu@host"}) {
    out.clear();
    append_receiver_report(out, 5, {&block, 1}, cname);
    append_bye(out, 5);
    EXPECT_EQ(out.size() % 4, 0U);
    RtcpRecorder listener;
    ASSERT_TRUE(parse_rtcp(out, listener).has_value()) << cname;
    EXPECT_EQ(listener.text, "RR 5;block 9 -3;cname " + cname + ";bye 5;");
  }
}

TEST(Rtcp, RefusesBrokenPackets) {
  for (const char* bytes : {"", "80", "80c8000600000007",
                            "00c90001"
                            "00000001",
                            "80c80001"
                            "00000001",
                            "a0c90001"
                            "000000ff"}) {
    RtcpRecorder listener;
    EXPECT_FALSE(parse_rtcp(hex(bytes), listener).has_value()) << bytes;
  }
}

TEST(ReceptionStats, CountsLossAndJitter) {
  ReceptionStats stats(7, 8000);
  RtpPacket packet;
  SteadyTime now{};
  // 20 ms apart, one of four lost, over the wrap; every second one 10 ms late.
  for (uint32_t i = 0; i < 400; ++i) {
    packet.sequence = static_cast<uint16_t>(65400 + i);
    packet.timestamp = i * 160;
    if (i % 4 != 1) stats.on_packet(packet, now + milliseconds(i % 2 == 0 ? 0 : 10));
    now += milliseconds(20);
  }
  RtcpSenderReport report;
  report.ntp = 0x1122334455667788;
  stats.on_sender_report(report, now);
  const auto block = stats.report(now + milliseconds(500));
  EXPECT_EQ(block.ssrc, 7U);
  EXPECT_EQ(block.cumulative_lost, 100);
  EXPECT_EQ(block.fraction_lost, 64);
  EXPECT_EQ(block.highest_sequence, 65400U + 399U);
  EXPECT_EQ(block.last_sr, 0x33445566U);
  EXPECT_EQ(block.delay_since_last_sr, 32768U);
  // Two of three steps are of 80 ticks.
  EXPECT_GT(block.jitter, 40U);
  EXPECT_LE(block.jitter, 80U);
  EXPECT_EQ(stats.report(now).fraction_lost, 0);
}

TEST(Seeds, RtcpDoesNotCrash) {
  for_each_seed("rtcp.jsonl", [](const std::string&, base::ByteView input) {
    RtcpRecorder listener;
    (void)parse_rtcp(input, listener);
  });
}

}  // namespace
}  // namespace miharu::media
