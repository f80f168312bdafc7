#include "container_support.h"

namespace miharu::media {
namespace {

using namespace testing;

// Recorded objects, and the file made of them.
class Export {
 public:
  explicit Export(UtcTime from, UtcTime to, Mp4Gaps gaps = Mp4Gaps::kClosed) : writer_(from, to, gaps) {}

  void add_run(const Encoded& encoded, bool mpegts, bool continues = false) {
    const auto muxer = mpegts ? make_mpegts_muxer(encoded.video, encoded.audio)
                              : make_fmp4_muxer(encoded.video, encoded.audio);
    objects_.push_back({make_object(*muxer, encoded.stream), mpegts});
    const ByteVector& bytes = objects_.back().bytes;
    const auto scan =
        mpegts ? scan_mpegts(bytes, to_ticks(encoded.stream.video.front().dts, 90000)) : scan_fmp4(bytes);
    ASSERT_TRUE(scan) << scan.error().to_string();
    writer_.begin_run(scan->video, scan->audio, continues);
    const auto object = static_cast<uint32_t>(objects_.size() - 1);
    for (const ScannedSample& sample : all_samples(*scan, TrackKind::kVideo))
      writer_.add_video({object, sample});
    for (const ScannedSample& sample : all_samples(*scan, TrackKind::kAudio))
      writer_.add_audio({object, sample});
  }

  ByteVector make() {
    ByteVector file;
    const auto size = writer_.prepare();
    EXPECT_TRUE(size) << size.error().to_string();
    if (!size) return file;
    ByteVector extracted;
    const auto status = writer_.write(
        [&](TrackKind kind, const Mp4Sample& sample) -> base::Result<ByteView> {
          const Object& object = objects_[sample.object];
          if (!object.mpegts)
            return ByteView(object.bytes).subspan(sample.scanned.offset, sample.scanned.size_bytes);
          auto payload = extract_sample(object.bytes, sample.scanned,
                                        kind == TrackKind::kVideo ? Codec::kH264 : Codec::kAac);
          if (!payload) return tl::unexpected(payload.error());
          extracted = std::move(*payload);
          return ByteView(extracted);
        },
        [&](ByteView bytes) -> base::Status {
          file.insert(file.end(), bytes.begin(), bytes.end());
          return {};
        });
    EXPECT_TRUE(status) << status.error().to_string();
    EXPECT_EQ(file.size(), *size);
    return file;
  }

  Mp4FileWriter& writer() { return writer_; }

 private:
  struct Object {
    ByteVector bytes;
    bool mpegts;
  };
  Mp4FileWriter writer_;
  std::vector<Object> objects_;
};

size_t pictures_within(const Stream& stream, UtcTime from, UtcTime to) {
  return static_cast<size_t>(
      std::count_if(stream.video.begin(), stream.video.end(), [&](const Sample& sample) {
        return to_ticks(sample.pts, 90000) >= to_ticks(from, 90000) &&
               to_ticks(sample.pts, 90000) < to_ticks(to, 90000);
      }));
}

std::string probe(const std::string& file, const std::string& entries) {
  return run("ffprobe -v error -select_streams v -show_entries " + entries + " -of csv=p=0 '" + file + "'");
}

double number_of(const std::string& text) {
  return std::strtod(text.c_str(), nullptr);
}

TEST(Mp4File, ShowsExactlyTheInterval) {
  const TempDirectory directory;
  const Encoded encoded = encode(directory);
  ASSERT_EQ(encoded.stream.video.size(), 120U);
  const UtcTime first = encoded.stream.video.front().pts;
  struct Case {
    const char* name;
    base::nanoseconds from;
    base::nanoseconds to;
  };
  for (const bool mpegts : {false, true}) {
    for (const Case& c :
         {Case{"all", -1s, 10s}, Case{"inside", 1500ms, 3210ms}, Case{"at a key frame", 2s, 3s},
          Case{"one picture", 1700ms, 1720ms}, Case{"odd", 1234567891ns, 2345678912ns}}) {
      Export file(first + c.from, first + c.to);
      file.add_run(encoded, mpegts);
      const std::string path = directory.file("export.mp4");
      write(path, file.make());
      const size_t pictures = pictures_within(encoded.stream, first + c.from, first + c.to);
      ASSERT_GT(pictures, 0U);
      EXPECT_EQ(ffmpeg_complaints(path), "") << c.name;
      EXPECT_EQ(count_frames(path, "v"), std::to_string(pictures)) << c.name << (mpegts ? " ts" : " fmp4");
      EXPECT_LT(std::abs(number_of(
                    run("ffprobe -v error -select_streams v -show_frames -show_entries frame=pts_time "
                        "-of csv=p=0 '" +
                        path + "' | head -1"))),
                0.001)
          << c.name;
      const double seconds = number_of(probe(path, "stream=duration"));
      EXPECT_NEAR(seconds, static_cast<double>(pictures) / 30, 0.034) << c.name;
      const double sound = number_of(
          run("ffprobe -v error -select_streams a -show_entries stream=duration -of csv=p=0 '" + path + "'"));
      EXPECT_NEAR(sound, seconds, 0.05) << c.name;
    }
  }
}

TEST(Mp4File, MoovComesFirst) {
  const TempDirectory directory;
  const Encoded encoded = encode(directory);
  Export file(kStart, kStart + 10s);
  file.add_run(encoded, false);
  const std::string text(base::as_text(file.make()));
  EXPECT_LT(text.find("moov"), text.find("mdat"));
  EXPECT_EQ(text.find("ftyp"), 4U);
}

// Two runs with a gap of a minute and other parameters: two sample descriptions, the gap closed or kept.
TEST(Mp4File, ParametersChangeAndGaps) {
  const TempDirectory directory;
  const Encoded one = encode(directory);
  const Encoded two = encode(directory, "160x96", kStart + 60s);
  ASSERT_EQ(one.stream.video.size() + two.stream.video.size(), 240U);
  const UtcTime from = one.stream.video.front().pts + 1500ms;
  const UtcTime to = two.stream.video.front().pts + 2500ms;
  for (const Mp4Gaps gaps : {Mp4Gaps::kClosed, Mp4Gaps::kKept}) {
    Export file(from, to, gaps);
    file.add_run(one, false);
    file.add_run(two, true);
    const std::string path = directory.file("export.mp4");
    const ByteVector bytes = file.make();
    write(path, bytes);
    EXPECT_EQ(ffmpeg_complaints(path), "");
    const size_t pictures = pictures_within(one.stream, from, to) + pictures_within(two.stream, from, to);
    EXPECT_EQ(count_frames(path, "v"), std::to_string(pictures));
    const double seconds = number_of(probe(path, "stream=duration"));
    EXPECT_NEAR(seconds, gaps == Mp4Gaps::kClosed ? 5.0 : 61.0, 0.1);
    const std::string widths =
        run("ffprobe -v error -select_streams v -show_entries frame=width -of csv=p=0 '" + path +
            "' | tr -d ',' | grep . | uniq | tr '\n' ' '");
    EXPECT_EQ(widths, "320 160 ");
    // Sound stays with its pictures: its second run begins where that of the pictures does.
    const std::string text(base::as_text(bytes));
    const size_t stsd = text.find("stsd");
    EXPECT_EQ(text.substr(stsd + 8, 4), std::string("\0\0\0\2", 4));
  }
}

TEST(Mp4File, OffsetsAbove4GB) {
  Mp4FileWriter writer(kStart, kStart + 100s);
  writer.begin_run(video_config(), nullptr);
  const int64_t start = to_ticks(kStart, 90000);
  for (uint32_t i = 0; i < 50; ++i) {
    Mp4Sample sample;
    sample.scanned = {0, 100'000'000, start + i * 90000, start + i * 90000, 90000, true};
    writer.add_video(sample);
  }
  const auto size = writer.prepare();
  ASSERT_TRUE(size);
  EXPECT_GT(*size, 5'000'000'000U);
  const ByteVector payload(100'000'000);
  uint64_t written = 0;
  std::string head;
  ASSERT_TRUE(
      writer.write([&](TrackKind, const Mp4Sample&) -> base::Result<ByteView> { return ByteView(payload); },
                   [&](ByteView bytes) -> base::Status {
                     if (written == 0) head = std::string(base::as_text(bytes));
                     written += bytes.size();
                     return {};
                   }));
  EXPECT_EQ(written, *size);
  const size_t co64 = head.find("co64");
  ASSERT_NE(co64, std::string::npos);
  base::ByteReader in(base::as_bytes(head).subspan(co64 + 8));
  ASSERT_EQ(in.u32(), 50U);
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(in.u64(), head.size() + i * 100'000'000);
}

TEST(Mp4File, Refusals) {
  const int64_t start = to_ticks(kStart, 90000);
  const auto sample = [&](int64_t dts, bool key) {
    return Mp4Sample{0, {0, 5, start + dts, start + dts, 3000, key}};
  };
  {
    Mp4FileWriter nothing(kStart, kStart + 1s);
    EXPECT_EQ(nothing.prepare().error().code, base::Errc::kNotFound);
  }
  {
    Mp4FileWriter no_key(kStart, kStart + 1s);
    no_key.begin_run(video_config(), nullptr);
    no_key.add_video(sample(0, false));
    EXPECT_EQ(no_key.prepare().error().code, base::Errc::kNotFound);
  }
  {
    Mp4FileWriter elsewhere(kStart + 10s, kStart + 20s);
    elsewhere.begin_run(video_config(), nullptr);
    elsewhere.add_video(sample(0, true));
    EXPECT_EQ(elsewhere.prepare().error().code, base::Errc::kNotFound);
  }
  {
    Mp4FileWriter disordered(kStart, kStart + 20s);
    disordered.begin_run(video_config(), nullptr);
    disordered.add_video(sample(3000, true));
    disordered.add_video(sample(0, true));
    EXPECT_EQ(disordered.prepare().error().code, base::Errc::kMalformed);
  }
  Mp4FileWriter changed(kStart, kStart + 20s);
  changed.begin_run(video_config(), nullptr);
  changed.add_video(sample(0, true));
  ASSERT_TRUE(changed.prepare());
  const ByteVector other(4);
  const auto status =
      changed.write([&](TrackKind, const Mp4Sample&) -> base::Result<ByteView> { return ByteView(other); },
                    [](ByteView) -> base::Status { return {}; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, base::Errc::kInvalid);
}

// A timescale is whatever an object says: times of a rate beyond any real one would overflow.
TEST(Mp4File, RefusesRatesThatNothingHas) {
  for (const uint32_t rate : {0U, (1U << 24) + 1, UINT32_MAX}) {
    auto config = std::make_shared<TrackConfig>(*video_config());
    config->clock_rate = rate;
    Mp4FileWriter writer(kStart, kStart + 1s);
    writer.begin_run(config, nullptr);
    writer.add_video({0, {0, 5, INT64_MAX, INT64_MIN, 0, true}});
    const auto size = writer.prepare();
    ASSERT_FALSE(size) << rate;
    EXPECT_EQ(size.error().code, base::Errc::kInvalid) << size.error().to_string();
  }
  auto fastest = std::make_shared<TrackConfig>(*video_config());
  fastest->clock_rate = 1U << 24;
  Mp4FileWriter writer(kStart, kStart + 1s);
  writer.begin_run(fastest, nullptr);
  const int64_t start = to_ticks(kStart, fastest->clock_rate);
  writer.add_video({0, {0, 5, start, start, 1 << 20, true}});
  EXPECT_TRUE(writer.prepare());
}

}  // namespace
}  // namespace miharu::media
