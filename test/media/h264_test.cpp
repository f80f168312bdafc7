#include "media/h264.h"

#include "media/h264_dts.h"
#include "media/h264_packets.h"
#include "rtp_test_support.h"

namespace miharu::media::h264 {
namespace {

TEST(H264, ReadsSps) {
  const auto data = read_json("codec/sps.json");
  for (const auto& value : data.at("h264").as_array()) {
    const auto& c = value.as_object();
    const std::string name = text_of(c.at("name"));
    const auto sps = parse_sps(hex(text_of(c.at("sps"))));
    ASSERT_TRUE(sps.has_value()) << name << sps.error().to_string();
    EXPECT_EQ(sps->width, c.at("width").to_number<uint32_t>()) << name;
    EXPECT_EQ(sps->height, c.at("height").to_number<uint32_t>()) << name;
    EXPECT_EQ(sps->profile_idc, c.at("profile_idc").to_number<int>()) << name;
    EXPECT_EQ(sps->level_idc, c.at("level_idc").to_number<int>()) << name;
    EXPECT_EQ(sps->frame_mbs_only, c.at("frame_mbs_only").to_number<int>() != 0) << name;
    const auto& fps = c.at("fps");
    EXPECT_NEAR(sps->frames_per_second(), fps.is_null() ? 0 : fps.to_number<double>(), 0.01) << name;
  }
}

TEST(H264, KeepsTheSizeWhenTheVuiIsCutOff) {
  const auto whole = hex("6742c028d900780227e584000003000400000300f03c60c920");
  const auto cut = parse_sps(base::ByteView(whole).first(13));
  ASSERT_TRUE(cut.has_value()) << cut.error().to_string();
  EXPECT_EQ(cut->width, 1920U);
  EXPECT_EQ(cut->frames_per_second(), 0);
  EXPECT_FALSE(parse_sps(base::ByteView(whole).first(6)).has_value());
}

TEST(H264, FindsStartCodesAtEveryPlace) {
  const std::byte code[] = {std::byte{0}, std::byte{0}, std::byte{1}};
  for (const unsigned fill : {0xffU, 0x01U, 0x03U}) {
    for (size_t size = 3; size < 200; ++size) {
      base::ByteVector bytes(size, static_cast<std::byte>(fill));
      EXPECT_EQ(find_start_code(bytes), kNoStartCode);
      for (size_t at = 0; at + 3 <= size; ++at) {
        base::ByteVector with = bytes;
        std::copy(std::begin(code), std::end(code), with.begin() + static_cast<ptrdiff_t>(at));
        ASSERT_EQ(find_start_code(with), at) << size;
        ASSERT_EQ(find_start_code(with, at), at) << size;
        ASSERT_EQ(find_start_code(with, at + 1), kNoStartCode) << size;
        with[at + 2] = std::byte{3};
        ASSERT_EQ(find_start_code(with), kNoStartCode) << size;
      }
    }
  }
}

TEST(H264, SplitsByteStreams) {
  const auto data = read_json("codec/bitstream.json");
  for (const auto& c : data.at("annexb").as_array()) {
    const auto bytes = hex(text_of(c.at("annexb")));
    const auto nals = split_annexb(bytes);
    const auto& expected = c.at("nals").as_array();
    ASSERT_EQ(nals.size(), expected.size()) << text_of(c.at("name"));
    for (size_t i = 0; i < nals.size(); ++i) EXPECT_EQ(base::to_hex(nals[i]), text_of(expected[i]));
  }
}

TEST(H264, BuildsAndReadsAvcc) {
  const auto data = read_json("codec/bitstream.json");
  for (const auto& c : data.at("avcc").as_array()) {
    const auto sps = hex(text_of(c.at("sps")));
    const auto pps = hex(text_of(c.at("pps")));
    const auto given = hex(text_of(c.at("avcc")));
    const auto parsed = parse_avcc(given);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(base::to_hex(parsed->sps.at(0)), text_of(c.at("sps")));
    EXPECT_EQ(base::to_hex(parsed->pps.at(0)), text_of(c.at("pps")));
    const base::ByteView sps_view = sps;
    const base::ByteView pps_view = pps;
    const auto built = build_avcc({&sps_view, 1}, {&pps_view, 1});
    ASSERT_TRUE(built.has_value());
    // High profile has four more bytes than the sample.
    EXPECT_EQ(base::to_hex(*built), text_of(c.at("avcc")) + "fdf8f800");
  }
}

TEST(H264, CleansSprop) {
  const std::string sps = base::to_base64(hex("6742c028d900780227e584000003000400000300f03c60c920"));
  const std::string annexb = base::to_base64(
      hex("000000016742c028d900780227e584000003000400000300f03c60c9200000000168ce3c80000000"));
  const std::string pps = base::to_base64(hex("68ce3c80"));
  const struct {
    std::string text;
    size_t sps;
    size_t pps;
    bool repaired;
  } cases[] = {
      {sps + "," + pps, 1, 1, false}, {pps + "," + sps + ",", 1, 1, false},
      {annexb, 1, 1, true},           {"", 0, 0, false},
      {sps + ",", 1, 0, false},       {",,!!," + pps, 0, 1, true},
      {"AAAA", 0, 0, true},
  };
  for (const auto& c : cases) {
    const auto sets = parse_sprop(c.text);
    EXPECT_EQ(sets.sps.size(), c.sps) << c.text;
    EXPECT_EQ(sets.pps.size(), c.pps) << c.text;
    EXPECT_EQ(sets.repaired, c.repaired) << c.text;
    for (const auto& set : sets.pps) EXPECT_EQ(base::to_hex(set), "68ce3c80");
  }
}

TEST(H264, TellsRealChangesFromNoise) {
  using Change = ParameterSets::Change;
  ParameterSets sets;
  auto sps = hex("6742c028d900780227e584000003000400000300f03c60c920");
  EXPECT_EQ(sets.config(0, 90000), nullptr);
  EXPECT_EQ(sets.add(sps), Change::kChanged);
  EXPECT_FALSE(sets.complete());
  EXPECT_EQ(sets.add(hex("68ce3c80")), Change::kChanged);
  EXPECT_TRUE(sets.complete());
  const auto first = sets.config(0, 90000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->codec_string, "avc1.42c028");
  EXPECT_EQ(sets.add(sps), Change::kNone);
  EXPECT_EQ(sets.add(hex("68ce3c8000")), Change::kNone);
  // The same with another frame rate: time_scale is in the bytes 03 c6.
  sps[20] = std::byte{0xa0};
  EXPECT_EQ(parse_sps(sps)->width, 1920U);
  EXPECT_NE(parse_sps(sps)->time_scale, 60U);
  EXPECT_EQ(sets.add(sps), Change::kNoise);
  EXPECT_EQ(sets.config(0, 90000), first);
  EXPECT_EQ(sets.add(hex("67420032e9005001e342000007d20000ea9c0800")), Change::kChanged);
  const auto second = sets.config(0, 90000);
  EXPECT_NE(second, first);
  EXPECT_EQ(second->width, 2560U);
}

TEST(H264, FindsRecoveryPoints) {
  EXPECT_TRUE(has_recovery_point(hex("060601c480")));
  EXPECT_TRUE(
      has_recovery_point(hex("0605021122060184"
                             "80")));
  EXPECT_FALSE(has_recovery_point(hex("06000783ec7700")));
  EXPECT_FALSE(has_recovery_point(hex("06ffffff")));
  EXPECT_FALSE(has_recovery_point(hex("06")));
}

struct NalRecorder final : NalHandler {
  bool on_nal(base::ByteView nal) override {
    nals.push_back(base::to_hex(nal));
    return true;
  }
  void on_damage(base::Error) override { ++damages; }
  void on_oddity(std::string_view) override {}
  std::vector<std::string> nals;
  int damages = 0;
};

TEST(H264Packets, GiveTheNalUnits) {
  const auto data = read_json("rtp/payloads.json");
  int count = 0;
  for (const auto& c : data.at("cases").as_array()) {
    if (text_of(c.at("codec")) != "H264") continue;
    ++count;
    FrameBuilder builder;
    NalRecorder recorder;
    NalAssembler assembler(builder, recorder);
    for (const auto& packet : c.at("packets").as_array()) assembler.push(hex(text_of(packet.at("payload"))));
    const auto& expected = c.at("nal_units").as_array();
    ASSERT_EQ(recorder.nals.size(), expected.size()) << text_of(c.at("name"));
    std::string avcc;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(recorder.nals[i], text_of(expected[i])) << text_of(c.at("name"));
      base::ByteVector length;
      base::ByteWriter(length).u32(recorder.nals[i].size() / 2);
      avcc += base::to_hex(length) + recorder.nals[i];
    }
    EXPECT_EQ(base::to_hex(builder.data()), avcc) << text_of(c.at("name"));
  }
  EXPECT_GE(count, 11);
}

// The mandatory rules for every case; equality where nothing is reordered.
TEST(H264Dts, IsMonotonousAndNotAfterPts) {
  const auto data = read_json("codec/dts.json");
  for (const auto& c : data.at("cases").as_array()) {
    if (text_of(c.at("codec")) != "H264") continue;
    const std::string name = text_of(c.at("name"));
    ParameterSets sets;
    sets.add(hex("68ce3c80"));
    DtsExtractor extractor;
    std::optional<int64_t> last;
    int refused = 0;
    int pictures = 0;
    bool reordered = false;
    int64_t last_pts = INT64_MIN;
    for (const auto& sample : c.at("samples").as_array()) {
      std::optional<DtsExtractor::Picture> picture;
      const Sps* sps = nullptr;
      for (const auto& value : sample.at("nals").as_array()) {
        const auto nal = hex(text_of(value));
        sets.add(nal);
        if (!is_slice(nal_type(nal)) || picture) continue;
        sps = sets.sps_of(0);
        ASSERT_NE(sps, nullptr) << name;
        const auto slice = parse_slice_header(nal, *sps, *sets.pps(0));
        ASSERT_TRUE(slice.has_value()) << name << slice.error().to_string();
        picture = {*slice, nal_type(nal) == NalType::kIdr, (std::to_integer<int>(nal[0]) & 0x60) != 0};
      }
      if (!picture) continue;
      ++pictures;
      const auto pts = sample.at("pts").to_number<int64_t>();
      reordered = reordered || pts < last_pts || pts != sample.at("dts").to_number<int64_t>();
      last_pts = pts;
      const auto times = extractor.extract(*picture, *sps, pts);
      if (!times) {
        ++refused;
        continue;
      }
      if (last) {
        EXPECT_GT(times->dts, *last) << name;
      }
      EXPECT_LE(times->dts, times->pts) << name;
      if (!reordered) {
        EXPECT_EQ(times->dts, pts) << name;
      }
      last = times->dts;
    }
    // Pictures before the first one shown, and the one by which the step of the count is learned.
    EXPECT_LE(refused, name.find("B-frames after IDR") != std::string::npos ? 3 : 1) << name;
    EXPECT_GT(pictures, 1) << name;
  }
}

DtsExtractor::Picture picture(uint32_t poc_lsb, bool idr, bool reference) {
  DtsExtractor::Picture out;
  out.slice.poc_lsb = poc_lsb;
  out.idr = idr;
  out.reference = reference;
  return out;
}

struct Order {
  const char* what;
  std::vector<int> shown;  // place of each picture of a GOP in the order of showing, in decoding order
  uint32_t step;
};

TEST(H264Dts, FollowsRegularGops) {
  Sps sps;
  sps.profile_idc = 100;
  sps.log2_max_poc_lsb = 6;
  sps.max_num_ref_frames = 4;
  const Order orders[] = {
      {"no B", {0, 1, 2, 3, 4, 5, 6, 7}, 2},          {"no B, step 1", {0, 1, 2, 3, 4, 5, 6, 7}, 1},
      {"one B", {0, 2, 1, 4, 3, 6, 5, 7}, 2},         {"two B", {0, 3, 1, 2, 6, 4, 5, 7}, 2},
      {"pyramid", {0, 4, 2, 1, 3, 8, 6, 5, 7, 9}, 2},
  };
  for (const Order& order : orders) {
    DtsExtractor extractor;
    int64_t last = -1;
    int64_t gop_start = 0;
    for (int gop = 0; gop < 20; ++gop) {
      for (size_t i = 0; i < order.shown.size(); ++i) {
        const int place = order.shown[i];
        // Cameras stamp with a jitter.
        const int64_t jitter = (place * 7919) % 300 - 150;
        const int64_t pts = gop_start + place * 3600 + (gop == 0 && place == 0 ? 0 : jitter) + 1000;
        const bool is_reference = i == 0 || place > order.shown[i - 1];
        const auto times = extractor.extract(
            picture(static_cast<uint32_t>(place) * order.step % 64, i == 0, is_reference), sps, pts);
        ASSERT_TRUE(times.has_value()) << order.what << " " << gop << " " << i;
        EXPECT_GT(times->dts, last) << order.what;
        EXPECT_LE(times->dts, pts) << order.what;
        EXPECT_FALSE(times->nudged) << order.what;
        if (order.what[0] == 'n') {
          EXPECT_EQ(times->dts, pts);
        }
        last = times->dts;
      }
      gop_start += static_cast<int64_t>(order.shown.size()) * 3600;
    }
  }
}

TEST(H264Dts, HealsAfterLossAndLearnsTheStep) {
  Sps sps;
  sps.profile_idc = 100;
  sps.log2_max_poc_lsb = 8;
  sps.max_num_ref_frames = 2;
  DtsExtractor extractor;
  // Counts by 4 without B-frames: behind by some at first, exact from the second IDR on.
  for (int gop = 0; gop < 3; ++gop) {
    for (uint32_t i = 0; i < 50; ++i) {
      if (gop == 2 && i > 10 && i < 14) continue;
      const int64_t pts = (gop * 50 + i) * 3600;
      const auto times = extractor.extract(picture(i * 4 % 256, i == 0, true), sps, pts);
      ASSERT_TRUE(times.has_value());
      if (gop == 1 || (gop == 2 && (i <= 10 || i > 18))) {
        EXPECT_EQ(times->dts, pts) << gop << " " << i;
      }
    }
  }
}

TEST(Seeds, H264DoesNotCrash) {
  Sps sps;
  sps.frame_mbs_only = false;
  Pps pps;
  pps.bottom_field_pic_order_in_frame_present = true;
  for_each_seed("h264.jsonl", [&](const std::string&, base::ByteView input) {
    (void)parse_sps(input);
    (void)parse_pps(input);
    (void)parse_avcc(input);
    (void)parse_slice_header(input, sps, pps);
    (void)has_recovery_point(input);
    base::ByteVector as_sps = hex("67");
    as_sps.insert(as_sps.end(), input.begin(), input.end());
    (void)parse_sps(as_sps);
    ParameterSets sets;
    for (const base::ByteView nal : split_annexb(input)) {
      sets.add(nal);
      (void)sets.config(0, 90000);
    }
  });
}

}  // namespace
}  // namespace miharu::media::h264
