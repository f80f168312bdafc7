// AAC packets that break RFC 3640: dropped with a reason, and the next good one goes on.
#include <gmock/gmock.h>

#include "rtp_test_support.h"

namespace miharu::media {
namespace {

using testing::HasSubstr;

class AacFaults : public testing::Test {
 protected:
  void make(std::map<std::string, std::string> parameters) {
    SdpMedia media;
    media.kind = "audio";
    media.protocol = "RTP/AVP";
    depacketizer =
        std::move(*make_depacketizer(media, {97, "MPEG4-GENERIC", 48000, 2, std::move(parameters)}, sink));
  }
  void push(base::ByteView payload, bool marker = true) {
    RtpPacket packet;
    packet.marker = marker;
    packet.payload = payload;
    depacketizer->push({packet, timestamp, base::SteadyTime{}, false});
    timestamp += 1024;
  }
  void push(const std::string& payload, bool marker = true) { push(hex(payload), marker); }

  RecordingSink sink;
  std::unique_ptr<Depacketizer> depacketizer;
  int64_t timestamp = 0;
};

TEST_F(AacFaults, EachIsDroppedWithItsReason) {
  struct Case {
    const char* name;
    std::map<std::string, std::string> parameters;
    const char* payload;
    const char* reason;
  };
  for (const Case& c : {
           Case{"nothing", {}, "", "shorter than its header"},
           Case{"one byte", {}, "00", "shorter than its header"},
           Case{"headers beyond the end", {}, "01000018aabbcc", "no valid AU headers"},
           Case{"no header at all", {}, "0000aabbcc", "no valid AU headers"},
           Case{"less than announced", {}, "002000180018aabb", "less than its AU headers say"},
           Case{"auxiliary section beyond the end",
                {{"auxiliarydatasizelength", "8"}},
                "00100018ffaabbcc",
                "invalid auxiliary section"},
           Case{"not even its length",
                {{"auxiliarydatasizelength", "32"}},
                "00100018aabbcc",
                "invalid auxiliary section"},
           Case{"an optional field beyond the headers",
                {{"ctsdeltalength", "32"}},
                "0011001880aabbcc",
                "headers that are cut off"},
           Case{"several blocks in ADTS", {}, "fff14c80011c03aa", "several raw data blocks"},
           Case{"ADTS in a unit, cut off", {}, "00100040fff14c8001ffffaa", ""},
       }) {
    SCOPED_TRACE(c.name);
    sink = {};
    timestamp = 0;
    auto parameters = c.parameters;
    parameters["config"] = "1190";
    make(parameters);
    push(c.payload);
    EXPECT_TRUE(sink.frames.empty());
    ASSERT_FALSE(sink.drops.empty());
    EXPECT_THAT(sink.drops[0].text, HasSubstr(c.reason));
  }
}

TEST_F(AacFaults, AnAuxiliarySectionIsSkipped) {
  make({{"config", "1190"}, {"auxiliarydatasizelength", "8"}});
  push("0010001808ffaabbcc");  // its 8 bits follow the length
  ASSERT_EQ(sink.frames.size(), 1U);
  EXPECT_EQ(sink.payload(0), "aabbcc");
  push("0010001800aabbcc");
  ASSERT_EQ(sink.frames.size(), 2U);
  EXPECT_EQ(sink.payload(1), "aabbcc");
  EXPECT_TRUE(sink.drops.empty());
}

TEST_F(AacFaults, AConfigThatCannotBeCarriedIsNotUsed) {
  for (const char* config : {"", "zz", "f8e0", "00"}) {
    SCOPED_TRACE(config);
    sink = {};
    make({{"config", config}});
    EXPECT_TRUE(sink.saw("S9"));
    push("00100018aabbcc");
    EXPECT_TRUE(sink.frames.empty()) << "nothing describes it";
  }
}

TEST_F(AacFaults, AFrameInPiecesHasABound) {
  // Sizes of 32 bits, as a fmtp may ask for them; the real ones have 13.
  make({{"config", "1190"}, {"sizelength", "32"}, {"indexlength", "0"}, {"indexdeltalength", "0"}});
  base::ByteVector payload = hex("002000ffffff");
  payload.resize(60'000, std::byte{7});
  push(payload, false);
  EXPECT_TRUE(sink.frames.empty());
  ASSERT_EQ(sink.drops.size(), 1U);
  EXPECT_THAT(sink.drops[0].text, HasSubstr("not whole"));
  push("002000000003aabbcc");
  ASSERT_EQ(sink.frames.size(), 1U) << "the next one is received";
  EXPECT_EQ(sink.payload(0), "aabbcc");
}

TEST_F(AacFaults, AfterAResetPiecesOfBeforeAreForgotten) {
  make({{"config", "1190"}});
  push("00100030aabbcc", false);
  depacketizer->reset();
  timestamp = 0;
  push("00100018ddeeff");
  ASSERT_EQ(sink.frames.size(), 1U);
  EXPECT_EQ(sink.payload(0), "ddeeff");
  EXPECT_EQ(sink.frames[0]->pts, 0) << "times may go back";
}

}  // namespace
}  // namespace miharu::media
