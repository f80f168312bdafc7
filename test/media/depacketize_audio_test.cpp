#include <map>

#include "media/aac.h"
#include "media/opus.h"
#include "rtp_test_support.h"

namespace miharu::media {
namespace {

std::unique_ptr<Depacketizer> make(FrameSink& sink, const std::string& encoding, uint32_t clock,
                                   std::map<std::string, std::string> parameters) {
  SdpMedia media;
  media.kind = "audio";
  media.protocol = "RTP/AVP";
  auto made = make_depacketizer(media, {97, encoding, clock, 1, std::move(parameters)}, sink);
  EXPECT_TRUE(made.has_value());
  return made ? std::move(*made) : nullptr;
}

void push(Depacketizer& depacketizer, const std::string& payload, int64_t timestamp, bool marker = true,
          bool lost_before = false) {
  const auto bytes = hex(payload);
  RtpPacket packet;
  packet.marker = marker;
  packet.payload = bytes;
  depacketizer.push({packet, timestamp, base::SteadyTime{}, lost_before});
}

TEST(AacDepacketizer, GivesTheAccessUnits) {
  const auto data = read_json("rtp/payloads.json");
  int count = 0;
  for (const auto& c : data.at("cases").as_array()) {
    if (text_of(c.at("codec")) != "AAC") continue;
    ++count;
    const std::string name = text_of(c.at("name"));
    std::map<std::string, std::string> parameters = {{"config", "1190"}};
    for (const char* key : {"sizelength", "indexlength", "indexdeltalength"}) {
      parameters[key] = std::to_string(c.at(key).to_number<int>());
    }
    RecordingSink sink;
    const auto depacketizer = make(sink, "MPEG4-GENERIC", 48000, parameters);
    for (const auto& packet : c.at("packets").as_array()) {
      push(*depacketizer, text_of(packet.at("payload")), packet.at("ts").to_number<int64_t>(),
           packet.at("marker").as_bool());
    }
    const auto& expected = c.at("access_units").as_array();
    ASSERT_EQ(sink.frames.size(), expected.size()) << name;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(sink.payload(i), text_of(expected[i])) << name;
      EXPECT_EQ(sink.frames[i]->pts, static_cast<int64_t>(i) * 1024) << name;
    }
    EXPECT_TRUE(sink.drops.empty()) << name;
  }
  EXPECT_GE(count, 9);
}

struct AacCase {
  const char* what;
  std::map<std::string, std::string> parameters;
  std::vector<std::pair<std::string, int64_t>>
      packets;  // payload ("-" in front: no marker, "!": lost before), timestamp
  const char* out;
};

TEST(AacDepacketizer, IsLenient) {
  const AacCase cases[] = {
      {"RFC fragments tell the size of the whole",
       {{"config", "1190"}},
       {{"-00100030aabbcc", 0}, {"00100030ddeeff", 0}},
       "aabbccddeeff@0 "},
      {"no marker on whole frames",
       {{"config", "1190"}},
       {{"-00100010aabb", 0}, {"-00100010ccdd", 1024}},
       "aabb@0 ccdd@1024 "},
      {"a lost fragment costs the frame",
       {{"config", "1190"}},
       {{"-00100030aabbcc", 0}, {"!00100010aabb", 1024}, {"00100010ccdd", 2048}},
       "aabb@1024 ccdd@2048 "},
      {"sizes above what is there",
       {{"config", "1190"}},
       {{"0020001000f0aabbcc", 0}, {"00100010aabb", 2048}},
       "aabb@0 aabb@2048 "},
      {"a size above what is there",
       {{"config", "1190"}},
       {{"001000f0aabb", 0}, {"00100010aabb", 1024}},
       "aabb@1024 "},
      {"ADTS in an AU", {{"config", "1190"}}, {{"00100048fff14c80013ffcaabb", 0}}, "aabb@0 "},
      {"ADTS without AU headers and config",
       {},
       {{"fff14c80013ffcaabbfff14c80013ffcccdd", 0}},
       "aabb@0 ccdd@1024 "},
      {"no config and no ADTS", {}, {{"00100010aabb", 0}}, ""},
      {"mode AAC-lbr", {{"config", "1190"}, {"mode", "AAC-lbr"}}, {{"000808aabb", 0}}, "aabb@0 "},
      {"garbage", {{"config", "1190"}}, {{"", 0}, {"00", 0}, {"0000", 0}, {"ffffffff", 0}}, ""},
  };
  for (const auto& c : cases) {
    RecordingSink sink;
    const auto depacketizer = make(sink, "MPEG4-GENERIC", 48000, c.parameters);
    for (const auto& [text, timestamp] : c.packets) {
      const bool unmarked = text[0] == '-';
      const bool lost = text[0] == '!';
      push(*depacketizer, text.substr(unmarked || lost ? 1 : 0), timestamp, !unmarked, lost);
    }
    depacketizer->flush();
    std::string out;
    for (size_t i = 0; i < sink.frames.size(); ++i)
      out += sink.payload(i) + "@" + std::to_string(sink.frames[i]->pts) + " ";
    EXPECT_EQ(out, c.out) << c.what;
  }
}

TEST(AacDepacketizer, CountsInTheClockOfTheSdp) {
  RecordingSink sink;
  const auto depacketizer = make(sink, "MPEG4-GENERIC", 90000, {{"config", "1190"}});
  push(*depacketizer, "002000100010aabbccdd", 90000);
  ASSERT_EQ(sink.frames.size(), 2U);
  EXPECT_EQ(sink.frames[1]->pts - sink.frames[0]->pts, 1920);
  EXPECT_EQ(sink.frames[0]->config->clock_rate, 90000U);
  EXPECT_EQ(sink.frames[0]->config->sample_rate, 48000U);
  EXPECT_EQ(sink.frames[0]->config->channels, 2U);
}

TEST(Aac, ReadsConfigs) {
  const auto data = read_json("codec/bitstream.json");
  for (const auto& c : data.at("asc").as_array()) {
    const std::string text = text_of(c.at("config"));
    const auto config = aac::parse_config(hex(text));
    ASSERT_TRUE(config.has_value()) << text;
    EXPECT_EQ(config->sample_rate, c.at("rate").to_number<uint32_t>()) << text;
    EXPECT_EQ(config->channels, c.at("channels").to_number<uint32_t>()) << text;
    if (const auto* type = c.as_object().if_contains("object_type")) {
      EXPECT_EQ(config->object_type, type->to_number<int>());
    }
    if (text.size() == 4) {
      EXPECT_EQ(base::to_hex(aac::write_config(*config)), text) << text;
    }
  }
  for (const char* bad : {"", "11", "07", "0000", "1780", "2dff16"})
    EXPECT_FALSE(aac::parse_config(hex(bad)).has_value()) << bad;
}

TEST(Aac, ReadsAndWritesAdts) {
  const auto data = read_json("codec/bitstream.json");
  for (const auto& c : data.at("adts").as_array()) {
    const auto bytes = hex(text_of(c.at("adts")));
    base::ByteView rest = bytes;
    base::ByteVector again;
    for (const auto& expected : c.at("frames").as_array()) {
      const auto frame = aac::parse_adts(rest);
      ASSERT_TRUE(frame.has_value()) << text_of(c.at("name")) << frame.error().to_string();
      EXPECT_EQ(frame->config.sample_rate, expected.at("rate").to_number<uint32_t>());
      EXPECT_EQ(frame->config.channels, expected.at("channels").to_number<uint32_t>());
      EXPECT_EQ(base::to_hex(frame->payload), text_of(expected.at("au")));
      aac::append_adts_header(again, frame->config, frame->payload.size());
      again.insert(again.end(), frame->payload.begin(), frame->payload.end());
      rest = rest.subspan(frame->size_bytes);
    }
    EXPECT_TRUE(rest.empty());
    EXPECT_EQ(base::to_hex(again), text_of(c.at("adts"))) << text_of(c.at("name"));
  }
}

TEST(SimpleDepacketizer, TakesEveryPacketAsAFrame) {
  RecordingSink sink;
  const auto pcmu = make(sink, "PCMU", 8000, {});
  push(*pcmu, "ff7f", 160);
  push(*pcmu, "", 300);
  push(*pcmu, "7f7f", 320, false);
  ASSERT_EQ(sink.frames.size(), 2U);
  EXPECT_EQ(sink.payload(1), "7f7f");
  EXPECT_EQ(sink.frames[1]->pts, 320);
  EXPECT_EQ(sink.frames[0]->config->codec, Codec::kPcmu);

  sink = RecordingSink();
  const auto opus = make(sink, "OPUS", 48000, {});
  push(*opus, "fc01", 0);
  push(*opus, "ff", 960);  // code 3 without a frame count
  EXPECT_EQ(sink.frames.size(), 1U);
  EXPECT_EQ(sink.drops.size(), 1U);
  EXPECT_EQ(base::to_hex(sink.frames[0]->config->codec_private), "000200000000bb80000000");
}

TEST(Opus, TellsDurations) {
  const struct {
    const char* packet;
    uint32_t samples;  // 0: error
  } cases[] = {
      {"00", 480},    {"08", 960}, {"10", 1920}, {"18", 2880}, {"60", 480},
      {"68", 960},    {"80", 120}, {"98", 960},  {"99", 1920}, {"fb03", 2880},
      {"1b02", 5760}, {"1b03", 0}, {"fb00", 0},  {"fb", 0},    {"", 0},
  };
  for (const auto& c : cases)
    EXPECT_EQ(opus::packet_samples(hex(c.packet)).value_or(0), c.samples) << c.packet;
}

TEST(Seeds, AudioDoesNotCrash) {
  RecordingSink sink;
  const auto depacketizer = make(sink, "MPEG4-GENERIC", 48000, {{"config", "1190"}});
  int64_t timestamp = 0;
  for_each_seed("rtp-aac.jsonl", [&](const std::string&, base::ByteView input) {
    push(*depacketizer, base::to_hex(input), timestamp, false);
    push(*depacketizer, base::to_hex(input), ++timestamp, true);
  });
  for_each_seed("aac.jsonl", [](const std::string&, base::ByteView input) {
    (void)aac::parse_config(input);
    (void)aac::parse_adts(input);
  });
  for_each_seed("opus.jsonl",
                [](const std::string&, base::ByteView input) { (void)opus::packet_samples(input); });
}

}  // namespace
}  // namespace miharu::media
