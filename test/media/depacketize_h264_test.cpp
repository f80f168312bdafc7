#include <map>

#include "media/h264.h"
#include "rtp_test_support.h"

namespace miharu::media {
namespace {

const std::string kSps = "6742c028d900780227e584000003000400000300f03c60c920";
const std::string kOtherSps = "67420032e9005001e342000007d20000ea9c0800";
const std::string kPps = "68ce3c80";
// first_mb 0, type I or P, pps 0; then anything that holds no start code.
const std::string kIdr =
    "65b8"
    "1122334455667788";
const std::string kP =
    "41e0"
    "8899aabbccddeeff";
const std::string kSecondSliceIdr =
    "6548"
    "11"
    "55667788";  // first_mb 1
const std::string kSecondSliceP =
    "4148"
    "11"
    "55667788";
const std::string kRecoverySei = "060601c480";
const std::string kOtherSei =
    "0605021122"
    "80";

std::string prefixed(const std::string& nal) {
  base::ByteVector length;
  base::ByteWriter(length).u32(nal.size() / 2);
  return base::to_hex(length) + nal;
}

struct Packet {
  std::string payload;
  int64_t timestamp;
  bool marker;
  bool lost_before = false;
};

class H264DepacketizerTest : public testing::Test {
 protected:
  void make(std::map<std::string, std::string> parameters) {
    SdpMedia media;
    media.kind = "video";
    media.protocol = "RTP/AVP";
    SdpFormat format{96, "H264", 90000, 0, std::move(parameters)};
    auto made = make_depacketizer(media, format, sink);
    ASSERT_TRUE(made.has_value()) << made.error().text;
    depacketizer = std::move(*made);
  }
  void make_with_sprop() {
    make({{"sprop-parameter-sets", base::to_base64(hex(kSps)) + "," + base::to_base64(hex(kPps))}});
  }
  void push(const Packet& p) {
    const auto bytes = hex(p.payload);
    RtpPacket packet;
    packet.marker = p.marker;
    packet.timestamp = static_cast<uint32_t>(p.timestamp);
    packet.payload = bytes;
    depacketizer->push({packet, p.timestamp, base::SteadyTime{}, p.lost_before});
  }
  void push_all(const std::vector<Packet>& packets) {
    for (const Packet& p : packets) push(p);
    depacketizer->flush();
  }
  // Key frames as K, others as P, with ! for damaged ones and their pts.
  std::string summary() const {
    std::string text;
    for (const auto& frame : sink.frames) {
      text += (frame->key ? "K" : "P") + std::string(frame->damaged ? "!" : "") + std::to_string(frame->pts) +
              " ";
    }
    return text;
  }

  RecordingSink sink;
  std::unique_ptr<Depacketizer> depacketizer;
};

TEST_F(H264DepacketizerTest, EndsUnitsAtMarkersAndTimestamps) {
  const struct {
    const char* what;
    std::vector<Packet> in;
    const char* out;
  } cases[] = {
      {"one packet a unit", {{kIdr, 0, true}, {kP, 3000, true}, {kP, 6000, true}}, "K0 P3000 P6000 "},
      {"no markers", {{kIdr, 0, false}, {kP, 3000, false}, {kP, 6000, false}}, "K0 P3000 P6000 "},
      {"marker on every slice",
       {{kIdr, 0, true},
        {kSecondSliceIdr, 0, true},
        {kP, 3000, true},
        {kSecondSliceP, 3000, true},
        {kP, 6000, true}},
       "K0 P3000 P6000 "},
      {"marker on parameter sets and SEI",
       {{kIdr, 0, true},
        {kP, 1, true},
        {kSps, 9, true},
        {kPps, 9, true},
        {kOtherSei, 9, true},
        {kIdr, 9, true}},
       "K0 P1 K9 "},
      {"parameter sets under their own timestamp",
       {{kSps, 0, true}, {kPps, 0, true}, {kIdr, 5, true}, {kP, 6, true}},
       "K5 P6 "},
      {"pictures before the key frame",
       {{kP, 0, true}, {kP, 1, true}, {kIdr, 2, true}, {kP, 3, true}},
       "K2 P3 "},
      {"recovery point", {{kP, 0, true}, {kRecoverySei, 1, false}, {kP, 1, true}, {kP, 2, true}}, "K1 P2 "},
      {"marker in the middle of a fragmented unit",
       {{kIdr, 0, true},
        {kP, 1, true},
        {"5c81e088", 2, true},
        {"5c01aabb", 2, true},
        {"5c41ccdd", 2, true},
        {kP, 3, true}},
       "K0 P1 P2 P3 "},
  };
  for (const auto& c : cases) {
    sink = RecordingSink();
    make_with_sprop();
    push_all(c.in);
    EXPECT_EQ(summary(), c.out) << c.what;
  }
}

TEST_F(H264DepacketizerTest, GivesFramesAtTheirMarkerWithoutWaiting) {
  make_with_sprop();
  push({kIdr, 0, true});
  push({kP, 3000, true});
  push({kP, 6000, true});
  EXPECT_EQ(summary(), "K0 P3000 P6000 ");
  EXPECT_TRUE(sink.oddities.empty());
}

TEST_F(H264DepacketizerTest, LearnsOfLyingMarkersLate) {
  make_with_sprop();
  push_all({{kIdr, 0, true},
            {kP, 1, true},
            {kP, 2, true},
            {kSecondSliceP, 2, true},
            {kP, 3, true},
            {kSecondSliceP, 3, true}});
  EXPECT_EQ(summary(), "K0 P1 P2 P!3 ");
  EXPECT_EQ(sink.payload(3), prefixed(kP) + prefixed(kSecondSliceP));
  EXPECT_TRUE(sink.saw("P6"));
}

TEST_F(H264DepacketizerTest, KeepsLossToItsUnit) {
  const struct {
    const char* what;
    std::vector<Packet> in;
    const char* out;
  } cases[] = {
      {"second slice lost",
       {{kIdr, 0, true}, {kP, 1, false}, {kP, 2, true, true}, {kP, 3, true}},
       "K0 P!1 P2 P3 "},
      {"in the middle of a unit",
       {{kIdr, 0, true}, {kP, 1, false}, {kSecondSliceP, 1, true, true}, {kP, 2, true}},
       "K0 P!1 P2 "},
      {"first slice lost",
       {{kIdr, 0, true}, {kP, 1, true}, {kSecondSliceP, 2, true, true}, {kP, 3, true}},
       "K0 P1 P!2 P3 "},
      {"whole unit lost",
       {{kIdr, 0, true}, {kP, 1, true}, {kP, 3, true, true}, {kP, 4, true}},
       "K0 P1 P!3 P4 "},
      {"whole unit lost before a key frame",
       {{kIdr, 0, true}, {kP, 1, true}, {kIdr, 3, true, true}, {kP, 4, true}},
       "K0 P1 K!3 P4 "},
      {"end of a fragmented unit",
       {{kIdr, 0, true}, {kP, 1, true}, {"5c81e088", 2, false}, {kP, 3, true, true}, {kP, 4, true}},
       "K0 P1 P!3 P4 "},
      {"start of a fragmented unit",
       {{kIdr, 0, true}, {kP, 1, true}, {"5c41ccdd", 2, true, true}, {kP, 3, true}, {kP, 4, true}},
       "K0 P1 P!3 P4 "},
      {"a fragment between",
       {{kIdr, 0, true}, {kP, 1, false}, {"5c8148aa", 1, false}, {"5c41ccdd", 1, true, true}, {kP, 3, true}},
       "K0 P!1 P3 "},
  };
  for (const auto& c : cases) {
    sink = RecordingSink();
    make_with_sprop();
    push({kIdr, -200, true});
    push({kP, -100, true});
    sink.frames.clear();
    push_all(c.in);
    EXPECT_EQ(summary(), c.out) << c.what;
  }
}

TEST_F(H264DepacketizerTest, LossBeforeTheFirstKeyFrameIsNone) {
  make_with_sprop();
  push_all({{kP, 0, true, true},
            {"5c41ccdd", 1, true, true},
            {kP, 2, true, true},
            {kIdr, 3, true},
            {kP, 4, true}});
  EXPECT_EQ(summary(), "K3 P4 ");
}

TEST_F(H264DepacketizerTest, NewSequenceLosesNothingThatIsWhole) {
  make_with_sprop();
  depacketizer->push({{}, 0, {}, false, true});
  push({kIdr, 0, true});
  for (const auto& [payload, timestamp, marker, damaged] :
       {std::tuple{kP, 1, true, false}, {kSecondSliceP, 2, true, true}, {kIdr, 3, true, false}}) {
    const auto bytes = hex(payload);
    RtpPacket packet;
    packet.marker = marker;
    packet.payload = bytes;
    depacketizer->push({packet, timestamp, {}, false, true});
    depacketizer->flush();
    EXPECT_EQ(sink.frames.back()->damaged, damaged) << timestamp;
  }
  EXPECT_EQ(summary(), "K0 P1 P!2 K3 ");
}

TEST_F(H264DepacketizerTest, WhatIsCutByTheEndOfTheSessionIsNoPicture) {
  make_with_sprop();
  push_all({{kIdr, 0, true}});
  EXPECT_EQ(summary(), "K0 ") << "whole, as well as can be known";
  push_all({{kP, 1, true}, {kP, 2, true}, {kP, 3, false}});
  EXPECT_EQ(summary(), "K0 P1 P2 ") << "markers are believed, and its marker has not come";
  EXPECT_EQ(sink.drops.size(), 1U);
  make_with_sprop();
  push_all({{kIdr, 10, true}, {kP, 11, false}, {"5c81e0", 11, false}});
  EXPECT_EQ(summary(), "K0 P1 P2 K10 ") << "a slice in pieces";
}

TEST_F(H264DepacketizerTest, WritesAvccWithoutParameterSets) {
  make({});
  // STAP-A of AUD, SPS, PPS; then SEI, IDR and filler.
  push_all({{"78"
             "0002"
             "09f0"
             "0019" +
                 kSps + "0004" + kPps,
             0, false},
            {kOtherSei, 0, false},
            {kIdr, 0, false},
            {"0cffffff80", 0, true},
            {kP, 1, true}});
  ASSERT_EQ(summary(), "K0 P1 ");
  EXPECT_EQ(sink.payload(0), prefixed(kOtherSei) + prefixed(kIdr));
  const auto& config = *sink.frames[0]->config;
  EXPECT_EQ(config.codec_string, "avc1.42c028");
  EXPECT_EQ(config.width, 1920U);
  EXPECT_EQ(config.height, 1080U);
  EXPECT_EQ(base::to_hex(config.codec_private), "0142c028ffe10019" + kSps + "010004" + kPps);
}

TEST_F(H264DepacketizerTest, SplitsStartCodesInPayloads) {
  make({});
  push_all({{"00000001" + kSps + "00000001" + kPps + "00000001" + kIdr, 0, true}, {kP, 1, true}});
  ASSERT_EQ(summary(), "K0 P1 ");
  EXPECT_EQ(sink.payload(0), prefixed(kIdr));
  EXPECT_TRUE(sink.saw("C1"));
}

TEST_F(H264DepacketizerTest, ChangesTheConfigurationAtTheKeyFrame) {
  make_with_sprop();
  push_all({{kIdr, 0, true},
            {kP, 1, true},
            {kOtherSps, 2, false},
            {kPps, 2, false},
            {kP, 2, true},
            {kOtherSps, 3, false},
            {kIdr, 3, true},
            {kP, 4, true}});
  ASSERT_EQ(summary(), "K0 P1 P2 K3 P4 ");
  EXPECT_EQ(sink.frames[2]->config, sink.frames[0]->config);
  EXPECT_NE(sink.frames[3]->config, sink.frames[0]->config);
  EXPECT_EQ(sink.frames[3]->config->width, 2560U);
  EXPECT_EQ(sink.frames[4]->config, sink.frames[3]->config);
}

TEST_F(H264DepacketizerTest, WaitsForParameterSets) {
  make({});
  push_all({{kIdr, 0, true}, {kP, 1, true}, {kSps, 2, false}, {kPps, 2, false}, {kIdr, 2, true}});
  EXPECT_EQ(summary(), "K2 ");
  EXPECT_GE(sink.drops.size(), 2U);
}

TEST_F(H264DepacketizerTest, BoundsUnits) {
  make_with_sprop();
  push({kIdr, 0, true});
  const std::string part = "5c01" + std::string(120000, 'a');
  push({"5c81e0", 1, false});
  for (int i = 0; i < 200; ++i) push({part, 1, false});
  push_all({{"5c41aa", 1, true}, {kP, 2, true}, {kIdr, 3, true}, {kP, 4, true}});
  EXPECT_EQ(summary(), "K0 K!3 P4 ");
  EXPECT_TRUE(sink.saw("C14"));
}

TEST_F(H264DepacketizerTest, StartsAgainAfterReset) {
  make_with_sprop();
  push_all({{kIdr, 1000, true}, {kP, 2000, true}});
  depacketizer->reset();
  sink.frames.clear();
  push_all({{kP, 5, true}, {kIdr, 6, true}, {kP, 7, true}});
  EXPECT_EQ(summary(), "K6 P7 ");
}

TEST_F(H264DepacketizerTest, SeedsDoNotCrash) {
  make_with_sprop();
  int64_t timestamp = 0;
  for_each_seed("rtp-h264.jsonl", [&](const std::string&, base::ByteView input) {
    push({base::to_hex(input), timestamp++, false});
    if (input.size() > 4) push({base::to_hex(input.subspan(4)), timestamp, true});
  });
  depacketizer->flush();
}

}  // namespace
}  // namespace miharu::media
