#include "webrtc/rtp_unit.h"

#include <numeric>

#include "media/depacketizer.h"
#include "media/h264.h"
#include "webrtc/media_test_support.h"

namespace miharu::webrtc {
namespace {

using base::ByteVector;
using base::ByteView;

struct Frames final : media::FrameSink {
  void on_frame(media::FramePtr frame) override { frames.push_back(std::move(frame)); }
  void on_oddity(std::string_view id) override { oddities.emplace_back(id); }
  void on_drop(base::Error reason) override { drops.push_back(reason.to_string()); }

  std::vector<media::FramePtr> frames;
  std::vector<std::string> oddities;
  std::vector<std::string> drops;
};

// What our own depacketizer, which reads cameras, makes of the packets.
media::FramePtr depacketize(const RtpUnit& unit) {
  Frames sink;
  media::SdpMedia media;
  media.kind = "video";
  media.protocol = "RTP/AVP";
  auto made = media::make_depacketizer(media, {96, "H264", 90000, 0, {{"packetization-mode", "1"}}}, sink);
  EXPECT_TRUE(made.has_value());
  for (size_t i = 0; i < unit.packets(); ++i) {
    media::RtpPacket packet;
    packet.marker = i + 1 == unit.packets();
    packet.payload = unit.payload(i);
    (*made)->push({packet, 0, base::SteadyTime{}, false, false});
  }
  (*made)->flush();
  EXPECT_TRUE(sink.drops.empty()) << sink.drops.front();
  EXPECT_EQ(sink.frames.size(), 1U);
  return sink.frames.empty() ? media::FramePtr() : sink.frames.front();
}

unsigned nal_type(ByteView payload) {
  return std::to_integer<unsigned>(payload[0]) & 0x1f;
}

TEST(RtpUnit, ParameterSetsComeTogetherBeforeAKeyFrame) {
  const UnitPtr unit = make_unit(true, at(base::seconds(2)), 100);
  ASSERT_EQ(unit->packets(), 2U);
  ByteVector expected;
  base::ByteWriter out(expected);
  out.u8(0x60 | 24);
  out.u16(kSpsNal.size());
  out.bytes(kSpsNal);
  out.u16(kPpsNal.size());
  out.bytes(kPpsNal);
  EXPECT_EQ(base::to_hex(unit->payload(0)), base::to_hex(expected));
  EXPECT_EQ(base::to_hex(unit->payload(1)), base::to_hex(make_slice(true, true, 100)));
  EXPECT_TRUE(unit->key);
  EXPECT_EQ(unit->track, media::TrackKind::kVideo);
  EXPECT_EQ(unit->time, at(base::seconds(2)));
  EXPECT_EQ(unit->ticks, int64_t{3602} * 90000);
}

TEST(RtpUnit, NoneBeforeOthers) {
  const UnitPtr unit = make_unit(false, at({}), 100);
  ASSERT_EQ(unit->packets(), 1U);
  EXPECT_FALSE(unit->key);
  EXPECT_EQ(nal_type(unit->payload(0)), 1U);
}

TEST(RtpUnit, ParameterSetsThatDoNotFitTogetherComeOneByOne) {
  std::vector<ByteVector> pps;
  for (unsigned i = 0; i < 3; ++i) {
    pps.push_back(kPpsNal);
    pps.back().resize(500, std::byte{7});
  }
  const UnitPtr unit =
      packetize_h264(*make_picture({make_slice(true, true, 50)}, true, h264_config(kSpsNal, pps)), at({}));
  ASSERT_EQ(unit->packets(), 5U);
  EXPECT_EQ(nal_type(unit->payload(0)), 7U);
  for (size_t i = 1; i <= 3; ++i) EXPECT_EQ(base::to_hex(unit->payload(i)), base::to_hex(pps[i - 1]));
}

// The kernel cuts a buffer into datagrams of one size (UDP_SEGMENT): only the last may be shorter.
TEST(RtpUnit, FragmentsOfANalUnitAreOfOneSizeAndFitIntoAPacket) {
  for (const size_t bytes :
       {kMaxPayloadBytes - 1, kMaxPayloadBytes, kMaxPayloadBytes + 1, 2 * (kMaxPayloadBytes - 2) + 1,
        size_t{2280}, size_t{2281}, size_t{9000}, size_t{120001}}) {
    const ByteVector nal = make_slice(false, true, bytes);
    const UnitPtr unit = packetize_h264(*make_picture({nal}, false), at({}));
    if (bytes <= kMaxPayloadBytes) {
      ASSERT_EQ(unit->packets(), 1U) << bytes;
      EXPECT_EQ(base::to_hex(unit->payload(0)), base::to_hex(nal));
      continue;
    }
    // No more of them than are needed, so the last one is nearly as long as the others.
    const size_t needed = (bytes - 1 + kMaxPayloadBytes - 3) / (kMaxPayloadBytes - 2);
    ASSERT_EQ(unit->packets(), needed) << bytes;
    ByteVector whole{nal[0]};
    for (size_t i = 0; i < unit->packets(); ++i) {
      const ByteView payload = unit->payload(i);
      const bool last = i + 1 == unit->packets();
      EXPECT_LE(payload.size(), kMaxPayloadBytes);
      EXPECT_TRUE(last ? payload.size() <= unit->payload(0).size()
                       : payload.size() == unit->payload(0).size())
          << bytes << " " << i;
      EXPECT_EQ(std::to_integer<unsigned>(payload[0]), 0x40U | 28U);
      EXPECT_EQ(std::to_integer<unsigned>(payload[1]), (i == 0 ? 0x80U : 0U) | (last ? 0x40U : 0U) | 1U);
      whole.insert(whole.end(), payload.begin() + 2, payload.end());
    }
    EXPECT_EQ(whole, nal) << bytes;
  }
}

TEST(RtpUnit, WhatNoDecoderNeedsIsLeftOut) {
  const ByteVector slice = make_slice(true, true, 60);
  const std::vector<ByteVector> nals = {bytes_of("09f0"),
                                        bytes_of("0605021122"
                                                 "80"),
                                        kSpsNal,
                                        kPpsNal,
                                        slice,
                                        bytes_of("0cffffff80"),
                                        bytes_of("0a"),
                                        bytes_of("0b"),
                                        bytes_of("6d1122"),
                                        bytes_of("78112233"),
                                        bytes_of("7c112233"),
                                        ByteVector()};
  const UnitPtr unit = packetize_h264(*make_picture(nals, true), at({}));
  ASSERT_EQ(unit->packets(), 2U);
  EXPECT_EQ(nal_type(unit->payload(0)), 24U);
  EXPECT_EQ(base::to_hex(unit->payload(1)), base::to_hex(slice));
}

TEST(RtpUnit, AFrameWithoutASliceIsNone) {
  EXPECT_EQ(packetize_h264(*make_picture({bytes_of("09f0"), bytes_of("060502112280")}, false), at({})),
            nullptr);
  EXPECT_EQ(packetize_h264(*make_picture({bytes_of("09f0")}, true), at({})), nullptr);
  EXPECT_EQ(packetize_h264(*make_picture({}, false), at({})), nullptr);
}

// A length that leads past the end: what stands before it is sent.
TEST(RtpUnit, ABrokenLengthEndsTheFrame) {
  const ByteVector slice = make_slice(false, true, 60);
  media::FrameBuilder builder;
  builder.append_u32(60);
  builder.append(slice);
  builder.append_u32(61);
  builder.append(slice);
  const UnitPtr unit = packetize_h264(*builder.finish({h264_config()}), at({}));
  ASSERT_EQ(unit->packets(), 1U);
  EXPECT_EQ(base::to_hex(unit->payload(0)), base::to_hex(slice));
}

TEST(RtpUnit, OurOwnDepacketizerMakesTheSameNalUnitsOfIt) {
  for (const size_t slices : {1, 4, 8}) {
    for (const size_t bytes : {size_t{60}, size_t{1138}, size_t{1160}, size_t{5003}, size_t{40000}}) {
      std::vector<ByteVector> nals;
      for (size_t i = 0; i < slices; ++i)
        nals.push_back(make_slice(true, i == 0, bytes + i * 3, static_cast<unsigned>(i)));
      const media::FramePtr sent = make_picture(nals, true);
      const UnitPtr unit = packetize_h264(*sent, at({}));
      for (size_t i = 0; i < unit->packets(); ++i) EXPECT_LE(unit->payload(i).size(), kMaxPayloadBytes);
      const media::FramePtr got = depacketize(*unit);
      ASSERT_TRUE(got);
      EXPECT_TRUE(got->key);
      EXPECT_FALSE(got->damaged);
      EXPECT_EQ(base::to_hex(got->data()), base::to_hex(sent->data())) << slices << " of " << bytes;
      const auto avcc = media::h264::parse_avcc(got->config->codec_private);
      ASSERT_TRUE(avcc);
      EXPECT_EQ(base::to_hex(avcc->sps.at(0)), base::to_hex(kSpsNal));
      EXPECT_EQ(base::to_hex(avcc->pps.at(0)), base::to_hex(kPpsNal));
    }
  }
}

TEST(RtpUnit, TicksSurviveLongUptimesAndNegativeOnes) {
  EXPECT_EQ(to_ticks(base::SteadyTime(base::seconds(2) + base::milliseconds(500)), 90000), 225000);
  // 300 years: times 90000 would not fit into 64 bits of nanoseconds.
  const base::SteadyTime late(std::chrono::hours(24 * 365 * 290) + base::nanoseconds(11112));
  EXPECT_EQ(to_ticks(late, 90000), int64_t{24} * 365 * 290 * 3600 * 90000 + 1);
}

TEST(RtpUnit, SoundIsOnePacket) {
  media::FrameBuilder builder;
  builder.append(bytes_of("0102030405"));
  auto config = std::make_shared<media::TrackConfig>();
  config->codec = media::Codec::kPcmu;
  config->clock_rate = 8000;
  const UnitPtr unit = packetize_audio(*builder.finish({config}), at(base::milliseconds(20)), 777);
  ASSERT_NE(unit, nullptr);
  ASSERT_EQ(unit->packets(), 1U);
  EXPECT_EQ(base::to_hex(unit->payload(0)), "0102030405");
  EXPECT_EQ(unit->track, media::TrackKind::kAudio);
  EXPECT_EQ(unit->ticks, 777);
  EXPECT_EQ(unit->time, at(base::milliseconds(20)));
}

TEST(RtpUnit, SoundThatIsEmptyOrLargerThanAPacketIsNone) {
  auto config = std::make_shared<media::TrackConfig>();
  config->codec = media::Codec::kPcmu;
  for (const size_t bytes : {size_t{0}, kMaxPayloadBytes + 1}) {
    media::FrameBuilder builder;
    builder.append(ByteVector(bytes));
    EXPECT_EQ(packetize_audio(*builder.finish({config}), at({}), 0), nullptr) << bytes;
  }
  media::FrameBuilder builder;
  builder.append(ByteVector(kMaxPayloadBytes));
  EXPECT_NE(packetize_audio(*builder.finish({config}), at({}), 0), nullptr);
}

}  // namespace
}  // namespace miharu::webrtc
