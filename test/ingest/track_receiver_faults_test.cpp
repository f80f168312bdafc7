// Packets of one track in, frames, reports and oddities out: no socket, no clock.
#include "ingest/rtsp/track_receiver.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace miharu::ingest::rtsp {
namespace {

using base::milliseconds;
using base::SteadyTime;

constexpr SteadyTime kStart{std::chrono::hours(1)};
constexpr uint32_t kRate = 8000;

struct Listener final : TrackListener {
  void on_track_frame(media::FramePtr frame) override { frames.push_back(std::move(frame)); }
  void on_track_report(const SenderReport& report) override { reports.push_back(report); }
  void on_track_oddity(std::string_view quirk_id) override { oddities.emplace_back(quirk_id); }
  void on_track_time_jump(const base::Error& error) override { jumps.push_back(error.text); }
  [[nodiscard]] auto count(std::string_view id) const {
    return std::count(oddities.begin(), oddities.end(), id);
  }

  std::vector<media::FramePtr> frames;
  std::vector<SenderReport> reports;
  std::vector<std::string> oddities;
  std::vector<std::string> jumps;
};

// G.711: every packet is a frame.
class TrackReceiverTest : public testing::Test {
 protected:
  explicit TrackReceiverTest(bool reorder = false) {
    media::SdpMedia media;
    media.kind = "audio";
    media.protocol = "RTP/AVP";
    const media::SdpChoice choice{{8, "PCMA", kRate, 1, {}}, media::Codec::kPcma};
    receiver = std::move(*TrackReceiver::make(media::TrackKind::kAudio, media, choice, reorder, listener));
  }
  // 20 ms of sound a packet.
  bool push(uint16_t sequence, uint32_t ssrc, std::optional<uint32_t> timestamp = std::nullopt,
            uint8_t payload_type = 8) {
    base::ByteVector bytes;
    base::ByteWriter out(bytes);
    out.u8(0x80);
    out.u8(payload_type);
    out.u16(sequence);
    out.u32(timestamp.value_or(sequence * 160U));
    out.u32(ssrc);
    out.zeros(160);
    now += milliseconds(20);
    return receiver->on_rtp(bytes, now);
  }
  void push_rtcp(const std::function<void(base::ByteWriter&)>& write) {
    base::ByteVector bytes;
    base::ByteWriter out(bytes);
    write(out);
    receiver->on_rtcp(bytes, now);
  }
  static void write_sender_report(base::ByteWriter& out, uint32_t ssrc, uint32_t timestamp) {
    out.u8(0x80);
    out.u8(200);
    out.u16(6);
    out.u32(ssrc);
    out.u64(0x1234567812345678);
    out.u32(timestamp);
    out.u32(1);
    out.u32(160);
  }
  static void write_bye(base::ByteWriter& out, uint32_t ssrc) {
    out.u8(0x81);
    out.u8(203);
    out.u16(1);
    out.u32(ssrc);
  }

  Listener listener;
  std::unique_ptr<TrackReceiver> receiver;
  SteadyTime now = kStart;
};
class ReorderingTrackReceiverTest : public TrackReceiverTest {
 protected:
  ReorderingTrackReceiverTest() : TrackReceiverTest(true) {}
};

TEST_F(TrackReceiverTest, WhatIsNotOfThisTrackIsRefused) {
  EXPECT_FALSE(push(1, 7, std::nullopt, 96));
  const std::string cut("\x80\x08\x00", 3);
  EXPECT_FALSE(receiver->on_rtp(base::as_bytes(cut), now));
  EXPECT_EQ(listener.count("P7"), 2);
  EXPECT_EQ(receiver->packets(), 0U);
  base::ByteVector report;
  receiver->append_report(report, now);
  EXPECT_TRUE(report.empty()) << "nothing to report on";
  EXPECT_TRUE(push(1, 7));
  receiver->append_report(report, now);
  EXPECT_FALSE(report.empty());
}

TEST_F(TrackReceiverTest, TwoPacketsInARowMakeAChangeOfSsrc) {
  for (uint16_t i = 1; i <= 3; ++i) EXPECT_TRUE(push(i, 7));
  EXPECT_FALSE(push(900, 8)) << "one packet proves nothing";
  EXPECT_TRUE(push(4, 7));
  EXPECT_FALSE(push(901, 8)) << "the one of the same stream came between";
  EXPECT_FALSE(push(950, 8)) << "does not follow";
  EXPECT_EQ(listener.count("P2"), 0);
  EXPECT_TRUE(push(951, 8, 5 * 160));
  EXPECT_TRUE(push(952, 8, 6 * 160));
  EXPECT_EQ(listener.count("P2"), 1);
  EXPECT_EQ(listener.count("T4"), 0);
  EXPECT_FALSE(receiver->mixed_with_another_session());
  EXPECT_EQ(listener.frames.size(), 7U) << "950 was kept until 951 proved it";
}

TEST_F(TrackReceiverTest, TwoStreamsInOneAreTold) {
  for (uint16_t i = 1; i <= 2; ++i) EXPECT_TRUE(push(i, 7));
  for (unsigned change = 0; change < 4; ++change) {
    EXPECT_FALSE(receiver->mixed_with_another_session()) << change;
    const uint32_t ssrc = change % 2 == 0 ? 8 : 7;
    const auto sequence = static_cast<uint16_t>(100 * change);
    push(sequence, ssrc, 320);
    EXPECT_TRUE(push(sequence + 1, ssrc, 320));
  }
  EXPECT_EQ(listener.count("P2"), 4);
  EXPECT_EQ(listener.count("T4"), 3);
  EXPECT_TRUE(receiver->mixed_with_another_session());
}

TEST_F(TrackReceiverTest, SenderReportsOfTheStreamAreHandedOn) {
  push_rtcp([](auto& out) { write_sender_report(out, 7, 160); });
  EXPECT_TRUE(listener.reports.empty()) << "no packet yet that gives its times a meaning";
  push(2, 7);
  push_rtcp([](auto& out) { write_sender_report(out, 9, 160); });
  EXPECT_TRUE(listener.reports.empty()) << "of another stream";
  push_rtcp([](auto& out) { write_sender_report(out, 7, 160); });
  ASSERT_EQ(listener.reports.size(), 1U);
  EXPECT_EQ(listener.reports[0].rtp_time, 160);
  EXPECT_EQ(listener.reports[0].arrival, now);
}

TEST_F(TrackReceiverTest, AByeHoldsUntilTheNextPacket) {
  push(1, 7);
  push_rtcp([](auto& out) { write_bye(out, 9); });
  EXPECT_FALSE(receiver->bye_at());
  push_rtcp([](auto& out) { write_bye(out, 7); });
  EXPECT_EQ(receiver->bye_at(), now);
  EXPECT_EQ(listener.count("U6"), 1);
  push(2, 7);
  EXPECT_FALSE(receiver->bye_at());
}

TEST_F(TrackReceiverTest, ABrokenReportHarmsNothing) {
  push(1, 7);
  push_rtcp([](auto& out) {
    write_sender_report(out, 7, 160);
    out.text("\x80\xc8");  // cut off
  });
  EXPECT_EQ(listener.reports.size(), 1U);
  EXPECT_TRUE(push(2, 7));
}

TEST_F(TrackReceiverTest, SoundWhoseClockJumpsGoesOnWhereItsArrivalPutsIt) {
  push(1, 7);
  push(2, 7);
  push(3, 7, 3 * 160 + 60 * kRate);
  push(4, 7, 4 * 160);
  EXPECT_EQ(listener.count("P5"), 2);
  now += base::seconds(30);
  push(5, 7, 5 * 160 + 30 * kRate);
  EXPECT_EQ(listener.count("P5"), 2) << "the time went by";
  EXPECT_TRUE(listener.jumps.empty()) << "the picture is not cut";
  ASSERT_EQ(listener.frames.size(), 5U);
  for (size_t i = 1; i < 4; ++i)
    EXPECT_EQ(listener.frames.at(i)->pts - listener.frames.at(i - 1)->pts, 160) << i;
  EXPECT_EQ(listener.frames[4]->pts - listener.frames[3]->pts, 160 + 30 * int64_t{kRate});
}

TEST_F(TrackReceiverTest, AClockThatRunsAtAnotherSpeedIsTold) {
  // 8000 samples a second, labelled as 16000: half the ticks.
  for (uint16_t i = 0; i < 50 * 69; ++i) push(i, 7, i * 80U);
  EXPECT_EQ(listener.count("P5"), 0);
  for (uint16_t i = 50 * 69; i < 50 * 140; ++i) push(i, 7, i * 80U);
  EXPECT_EQ(listener.count("P5"), 1);
  ASSERT_TRUE(receiver->rate().wrong());
  EXPECT_NEAR(*receiver->rate().rate(), 0.5, 0.001);
}

TEST_F(TrackReceiverTest, ACacheAndAStallAreNoWrongClock) {
  uint16_t i = 0;
  // Ten seconds of sound at once, then as it is made.
  for (; i < 50 * 10; ++i) {
    now -= milliseconds(20);
    push(i, 7);
  }
  for (; i < 50 * 60; ++i) push(i, 7);
  now += base::seconds(4);
  for (; i < 50 * 64; ++i) {
    now -= milliseconds(20);
    push(i, 7);
  }
  for (; i < 50 * 300; ++i) push(i, 7);
  EXPECT_EQ(listener.count("P5"), 0);
  ASSERT_TRUE(receiver->rate().rate());
  EXPECT_FALSE(receiver->rate().wrong());
  EXPECT_NEAR(*receiver->rate().rate(), 1, 0.001);
}

TEST_F(ReorderingTrackReceiverTest, WaitsForWhatIsLateAndThenGivesUp) {
  push(1, 7);
  push(3, 7);
  EXPECT_EQ(listener.frames.size(), 1U);
  ASSERT_TRUE(receiver->deadline());
  push(2, 7);
  EXPECT_EQ(listener.frames.size(), 3U);
  EXPECT_FALSE(receiver->deadline());
  push(5, 7);
  receiver->advance(*receiver->deadline());
  EXPECT_EQ(listener.frames.size(), 4U);
  EXPECT_EQ(receiver->lost(), 1U);
  push(7, 7);
  receiver->flush();
  EXPECT_EQ(listener.frames.size(), 5U);
  EXPECT_EQ(receiver->lost(), 2U);
}

}  // namespace
}  // namespace miharu::ingest::rtsp
