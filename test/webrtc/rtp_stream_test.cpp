#include "webrtc/rtp_stream.h"

#include <random>

#include "support/manual_clock.h"
#include "webrtc/media_receiver.h"

namespace miharu::webrtc {
namespace {

using base::ByteVector;
using base::milliseconds;
using base::seconds;

constexpr uint32_t kSsrc = 0x11223344;
constexpr uint32_t kRtxSsrc = 0x55667788;
constexpr size_t kAll = SIZE_MAX;

RtpStreamOptions options(bool rtx = true) {
  RtpStreamOptions made;
  made.ssrc = kSsrc;
  made.payload_type = 102;
  if (rtx) made.rtx = {kRtxSsrc, 103};
  made.timestamp_offset = 0xFFFF0000;
  made.first_sequence = 32760;
  made.rtx_first_sequence = 77;
  made.capture_time_id = 5;
  made.ntp_of_zero = uint64_t{0xE0000000} << 32;
  return made;
}

class RtpStreamTest : public testing::Test {
 protected:
  void make(const RtpStreamOptions& with, SrtpProfile profile = SrtpProfile::kAeadAes128Gcm) {
    srtp.emplace(profile, test_master());
    stream.emplace(with, *srtp);
    receiver.emplace(profile);
  }
  // Its number in the ring.
  uint64_t picture(size_t bytes = 3000, bool key = false) {
    time += milliseconds(40);
    ring.push(make_unit(key, time, bytes, static_cast<unsigned>(ring.end())), time);
    return ring.end() - 1;
  }
  size_t send(uint64_t number, size_t first = 0, size_t budget = kAll) {
    const RtpUnit& unit = *ring.unit(number);
    const size_t next = stream->send(unit, number, stream->timestamp(unit.ticks), first, budget, *batch);
    batch->flush();
    return next;
  }
  size_t resend(uint16_t sequence) {
    const size_t bytes = stream->resend(sequence, ring, *batch);
    batch->flush();
    return bytes;
  }
  std::vector<ByteVector> take_raw() {
    std::vector<ByteVector> all;
    for (auto& each : sink.datagrams) all.push_back(std::move(each.bytes));
    sink.datagrams.clear();
    return all;
  }
  std::vector<ReceivedRtp> take() {
    std::vector<ReceivedRtp> all;
    for (const ByteVector& each : take_raw()) {
      EXPECT_LE(each.size(), kMaxPacketBytes);
      auto packet = receiver->take(each);
      EXPECT_TRUE(packet) << "libsrtp2: " << receiver->status();
      if (packet) all.push_back(std::move(*packet));
    }
    return all;
  }

  base::SteadyTime time = at({});
  RecordingSink sink;
  std::unique_ptr<PacketBatch> batch = std::make_unique<PacketBatch>(sink);
  UnitRing ring;
  std::optional<SrtpSender> srtp;
  std::optional<RtpStream> stream;
  std::optional<MediaReceiver> receiver;
};

TEST_F(RtpStreamTest, NumbersStampsAndMarks) {
  for (const auto profile : {SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAesCm128Sha1_80}) {
    make(options(), profile);
    uint16_t expected = 32760;
    for (int i = 0; i < 10; ++i) {
      const uint64_t number = picture(3000, i == 0);
      const RtpUnit& unit = *ring.unit(number);
      EXPECT_EQ(send(number), unit.packets());
      const auto packets = take();
      ASSERT_EQ(packets.size(), unit.packets());
      for (size_t k = 0; k < packets.size(); ++k) {
        EXPECT_EQ(packets[k].sequence, expected++);
        EXPECT_EQ(packets[k].ssrc, kSsrc);
        EXPECT_EQ(packets[k].payload_type, 102);
        EXPECT_EQ(packets[k].timestamp, 0xFFFF0000U + static_cast<uint32_t>(unit.ticks));
        EXPECT_EQ(packets[k].marker, k + 1 == packets.size());
        EXPECT_EQ(base::to_hex(packets[k].payload), base::to_hex(unit.payload(k)));
      }
    }
  }
}

TEST_F(RtpStreamTest, SoundIsNotMarked) {
  auto with = options(false);
  with.clock_rate = 8000;
  make(with);
  media::FrameBuilder builder;
  builder.append(bytes_of("0102"));
  auto config = std::make_shared<media::TrackConfig>();
  config->codec = media::Codec::kPcmu;
  const UnitPtr unit = packetize_audio(*builder.finish({config}), at({}), 160);
  stream->send(*unit, 0, stream->timestamp(unit->ticks), 0, unit->bytes.size(), *batch);
  batch->flush();
  const auto packets = take();
  ASSERT_EQ(packets.size(), 1U);
  EXPECT_FALSE(packets[0].marker);
  EXPECT_EQ(packets[0].timestamp, 0xFFFF0000U + 160);
  // A picture of the same number is not sent in its place.
  picture();
  EXPECT_EQ(resend(32760), 0U);
}

TEST_F(RtpStreamTest, TheBudgetIsKeptButForOnePacket) {
  make(options());
  const uint64_t number = picture(12000);
  const RtpUnit& unit = *ring.unit(number);
  const size_t one = unit.payload(0).size();
  EXPECT_EQ(send(number, 0, 1), 1U);
  EXPECT_EQ(send(number, 1, 3 * one), 4U);
  EXPECT_EQ(send(number, 4, 3 * one - 1), 6U);
  EXPECT_EQ(send(number, 6, kAll), unit.packets());
  const auto packets = take();
  ASSERT_EQ(packets.size(), unit.packets());
  for (size_t k = 0; k < packets.size(); ++k) {
    EXPECT_EQ(packets[k].sequence, 32760 + k);
    EXPECT_EQ(packets[k].marker, k + 1 == packets.size());
  }
  // Pieces of a unit are found again, each.
  for (size_t k = 0; k < packets.size(); ++k) {
    EXPECT_GT(resend(static_cast<uint16_t>(32760 + k)), 0U);
    const auto repaired = take();
    ASSERT_EQ(repaired.size(), 1U);
    EXPECT_EQ(base::to_hex(base::ByteView(repaired[0].payload).subspan(2)), base::to_hex(unit.payload(k)));
  }
}

TEST_F(RtpStreamTest, NumbersWrapAndTheReceiverFollows) {
  make(options());
  uint16_t expected = 32760;
  size_t wraps = 0;
  while (wraps < 2) {
    send(picture(20000));
    for (const ReceivedRtp& packet : take()) {
      ASSERT_EQ(packet.sequence, expected);
      if (++expected == 0) ++wraps;
    }
  }
  // Also for what was sent before the wrap: the last number of all is 65535 now.
  ASSERT_NE(resend(65535), 0U);
  const auto repaired = take();
  ASSERT_EQ(repaired.size(), 1U);
  EXPECT_EQ(base::to_hex(base::ByteView(repaired[0].payload).first(2)), "ffff");
}

TEST_F(RtpStreamTest, CaptureTimeIsInEveryPacketOfOneSize) {
  make(options());
  const uint64_t number = picture(3000);
  send(number);
  const uint64_t ntp = ((uint64_t{0xE0000000} + 3600) << 32) + (uint64_t{40} << 32) / 1000;
  ByteVector expected = bytes_of("bede000357");
  base::ByteWriter(expected).u64(ntp);
  base::ByteWriter(expected).zeros(3);
  for (const ReceivedRtp& packet : take()) EXPECT_EQ(base::to_hex(packet.extension), base::to_hex(expected));
}

TEST_F(RtpStreamTest, NoExtensionWhereNoneWasNegotiated) {
  auto with = options();
  with.capture_time_id = 0;
  make(with);
  send(picture(3000));
  for (const ReceivedRtp& packet : take()) EXPECT_TRUE(packet.extension.empty());
}

// RFC 4588: own SSRC and numbers, the original number before the payload, the original stamp and marker.
TEST_F(RtpStreamTest, RepairsByRtx) {
  make(options());
  const uint64_t number = picture(3000);
  send(number);
  const auto originals = take();
  uint16_t expected = 77;
  for (const size_t k : {size_t{2}, size_t{0}, size_t{0}}) {
    const size_t bytes = resend(originals[k].sequence);
    ASSERT_EQ(sink.datagrams.size(), 1U);
    EXPECT_EQ(bytes, sink.datagrams[0].bytes.size());
    const auto repaired = take();
    ASSERT_EQ(repaired.size(), 1U);
    EXPECT_EQ(repaired[0].ssrc, kRtxSsrc);
    EXPECT_EQ(repaired[0].payload_type, 103);
    EXPECT_EQ(repaired[0].sequence, expected++);
    EXPECT_EQ(repaired[0].timestamp, originals[k].timestamp);
    EXPECT_EQ(repaired[0].marker, originals[k].marker);
    EXPECT_EQ(repaired[0].extension, originals[k].extension);
    ByteVector payload;
    base::ByteWriter(payload).u16(originals[k].sequence);
    payload.insert(payload.end(), originals[k].payload.begin(), originals[k].payload.end());
    EXPECT_EQ(base::to_hex(repaired[0].payload), base::to_hex(payload));
  }
  // The stream itself goes on where it was.
  send(picture(100));
  EXPECT_EQ(take().at(0).sequence, originals.back().sequence + 1);
}

TEST_F(RtpStreamTest, TheLargestPacketHasRoomForARepair) {
  make(options());
  const uint64_t number = picture(kMaxPayloadBytes);
  ASSERT_EQ(ring.unit(number)->payload(0).size(), kMaxPayloadBytes);
  send(number);
  EXPECT_EQ(resend(32760), kMaxPacketBytes);
}

TEST_F(RtpStreamTest, WithoutRtxTheVerySameBytesWithinTheWindow) {
  make(options(false));
  const uint64_t first = picture(3000);
  send(first);
  const auto originals = take_raw();
  ASSERT_EQ(resend(32761), originals[1].size());
  EXPECT_EQ(take_raw().at(0), originals[1]);
  size_t sent = originals.size();
  while (sent < RtpStream::kSameAgain) {
    send(picture(500));
    ++sent;
  }
  take_raw();
  ASSERT_EQ(sent, RtpStream::kSameAgain);
  EXPECT_NE(resend(32760), 0U);
  EXPECT_EQ(take_raw().at(0), originals[0]);
  send(picture(500));
  take_raw();
  EXPECT_EQ(resend(32760), 0U);
  EXPECT_NE(resend(32761), 0U);
}

TEST_F(RtpStreamTest, WhatWasNeverSentOrIsGoneIsNotSentAgain) {
  make(options());
  EXPECT_EQ(resend(32760), 0U);
  send(picture(3000));
  take_raw();
  EXPECT_EQ(resend(32759), 0U);
  EXPECT_EQ(resend(32763), 0U);
  EXPECT_EQ(resend(0), 0U);
  for (int i = 0; i < 30; ++i) picture(100);
  picture(100, true);  // the ring forgets what is more than a second older
  EXPECT_EQ(resend(32760), 0U);
  EXPECT_TRUE(sink.datagrams.empty());
}

TEST_F(RtpStreamTest, ReportsWhatWasSentOnTheSameTimeLine) {
  auto with = options();
  make(with);
  EXPECT_FALSE(stream->started());
  const uint64_t number = picture(3000);
  send(number);
  resend(32760);
  EXPECT_TRUE(stream->started());
  const auto report = stream->report(at(seconds(2)));
  EXPECT_EQ(report.ssrc, kSsrc);
  EXPECT_EQ(report.packets, ring.unit(number)->packets());
  EXPECT_EQ(report.octets, ring.unit(number)->bytes.size());
  EXPECT_EQ(report.ntp, uint64_t{0xE0000000 + 3602} << 32);
  EXPECT_EQ(report.rtp_timestamp, 0xFFFF0000U + 3602U * 90000U);
}

TEST(RtpTime, NtpOfTheSteadyClocksZero) {
  // 2026-11-21 00:00:00 is 3'972'672'000 s of NTP; the steady clock of the test begins at one hour.
  const test::ManualClock clock(base::UtcTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)));
  EXPECT_EQ(ntp_of_steady_zero(clock) >> 32, 1795219200U + 2208988800U - 3600U);
  EXPECT_EQ(to_ntp(milliseconds(1500)), (uint64_t{1} << 32) + (uint64_t{1} << 31));
}

// One number under one key with two contents breaks AES-GCM for the whole session (RFC 7714 section 9.1).
TEST_F(RtpStreamTest, NoNumberIsEverUsedForTwoContents) {
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    std::mt19937 random(seed);
    ring = UnitRing();
    time = at({});
    make(options(seed % 2 == 0));
    std::map<std::pair<uint32_t, uint16_t>, std::pair<uint64_t, ByteVector>> seen;
    uint64_t datagrams = 0;
    uint64_t again = 0;
    std::vector<uint16_t> sent;
    const auto look = [&] {
      for (ByteVector& bytes : take_raw()) {
        base::ByteReader in(bytes);
        in.skip(2);
        const uint16_t sequence = in.u16();
        in.skip(4);
        const uint32_t ssrc = in.u32();
        if (ssrc == kSsrc) sent.push_back(sequence);
        auto& before = seen[{ssrc, sequence}];
        // 2^15 packets later it is another number of 48 bits.
        if (!before.second.empty() && datagrams - before.first < 0x8000) {
          ASSERT_EQ(before.second, bytes) << "seed " << seed << " ssrc " << ssrc << " number " << sequence;
          ++again;
        }
        before = {datagrams++, std::move(bytes)};
      }
    };
    while (datagrams < 70000) {
      const auto choice = random() % 16;
      if (choice < 8 || ring.end() == 0) {
        picture(50 + random() % 4000, ring.end() == 0 || random() % 60 == 0);
        if (random() % 4 == 0) continue;  // this viewer skips it
        const uint64_t number = ring.end() - 1;
        size_t next = 0;
        while (next < ring.unit(number)->packets()) next = send(number, next, random() % 5000);
      } else if (choice == 8 && ring.key()) {
        // From the cache once more, with another stamp.
        const RtpUnit& unit = *ring.unit(*ring.key());
        stream->send(unit, *ring.key(), static_cast<uint32_t>(random()), 0, kAll, *batch);
        batch->flush();
      } else if (choice == 9) {
        ring.interrupt();
      } else if (!sent.empty()) {
        const size_t back = std::min<size_t>(sent.size(), 1 + random() % (random() % 2 ? 600 : 40000));
        for (int k = 0; k < 5; ++k) resend(static_cast<uint16_t>(sent[sent.size() - back] + k));
        resend(static_cast<uint16_t>(random()));
      }
      look();
      if (HasFatalFailure()) return;
    }
    if (seed % 2 != 0) {
      EXPECT_GT(again, 100U);
    }
  }
}

}  // namespace
}  // namespace miharu::webrtc
