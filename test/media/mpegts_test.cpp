#include <boost/json.hpp>

#include "container_support.h"
#include "media/mpegts_packet.h"
#include "support/data_path.h"

namespace miharu::media {
namespace {

using namespace testing;

const int64_t kNear = to_ticks(kStart, 90000);

void expect_equal(const std::vector<Sample>& written, const std::vector<ScannedSample>& read, ByteView object,
                  Codec codec) {
  ASSERT_EQ(written.size(), read.size());
  for (size_t i = 0; i < written.size(); ++i) {
    // Only the first sound of a PES has a time of its own.
    const int64_t tolerance = codec == Codec::kAac ? 1 : 0;
    EXPECT_LE(std::abs(read[i].dts - to_ticks(written[i].dts, 90000)), tolerance) << i;
    EXPECT_LE(std::abs(read[i].pts - to_ticks(written[i].pts, 90000)), tolerance) << i;
    EXPECT_EQ(read[i].key, written[i].frame->key) << i;
    EXPECT_EQ(read[i].duration, i + 1 < read.size() ? read[i + 1].dts - read[i].dts : 0) << i;
    const auto payload = extract_sample(object, read[i], codec);
    ASSERT_TRUE(payload) << i << " " << payload.error().to_string();
    const ByteView data = written[i].frame->data();
    EXPECT_TRUE(std::equal(payload->begin(), payload->end(), data.begin(), data.end())) << i;
  }
}

TEST(Mpegts, RoundTrip) {
  for (const bool reordered : {false, true}) {
    for (const size_t picture_bytes : {1, 100, 150, 170, 184, 300, 30'000}) {
      const Stream stream = make_stream(70, 20, reordered, picture_bytes);
      const auto muxer = make_mpegts_muxer(video_config(), audio_config());
      EXPECT_TRUE(muxer->init().empty());
      const ByteVector object = make_object(*muxer, stream);
      const auto scan = scan_mpegts(object, kNear + 123'456);
      ASSERT_TRUE(scan) << picture_bytes << " " << scan.error().to_string();
      EXPECT_EQ(scan->whole_bytes, object.size()) << scan->stopped.to_string();
      EXPECT_EQ(scan->init_bytes, 0U);
      EXPECT_EQ(*scan->video, *video_config());
      EXPECT_EQ(scan->audio->codec_private, audio_config()->codec_private);
      EXPECT_EQ(scan->audio->codec_string, "mp4a.40.2");
      EXPECT_EQ(scan->audio->clock_rate, 90000U);
      expect_equal(stream.video, all_samples(*scan, TrackKind::kVideo), object, Codec::kH264);
      expect_equal(stream.audio, all_samples(*scan, TrackKind::kAudio), object, Codec::kAac);
      uint64_t end = 0;
      for (const ScannedFragment& fragment : scan->fragments) {
        EXPECT_EQ(fragment.offset, end);
        end += fragment.size_bytes;
      }
      EXPECT_TRUE(scan->fragments.front().begins_with_key());
    }
  }
}

// Sizes around the borders of packets, where stuffing of one and two bytes is special.
TEST(Mpegts, EverySizeOfALastPacket) {
  const auto muxer = make_mpegts_muxer(video_config(), nullptr);
  for (size_t bytes = 1; bytes < 400; ++bytes) {
    const Stream stream = make_stream(2, 2, bytes % 2 == 0, bytes);
    const ByteVector object = bytes_of(muxer->fragment(stream.video, {}, true));
    ASSERT_EQ(object.size() % mpegts::kPacketBytes, 0U);
    const auto scan = scan_mpegts(object, kNear);
    ASSERT_TRUE(scan) << bytes << " " << scan.error().to_string();
    expect_equal(stream.video, all_samples(*scan, TrackKind::kVideo), object, Codec::kH264);
  }
}

// The clock must not be behind for long nor overtake what is still to be decoded, also at one picture a
// second.
TEST(Mpegts, Clock) {
  for (const auto frame_time : {33ms, 100ms, 1000ms}) {
    Stream stream = make_stream(6, 3, false);
    for (size_t i = 0; i < stream.video.size(); ++i) {
      Sample& sample = stream.video[i];
      sample.dts = sample.pts = kStart + i * frame_time;
      sample.end = sample.dts + frame_time;
    }
    stream.audio.clear();
    const auto muxer = make_mpegts_muxer(video_config(), nullptr);
    const ByteVector object = make_object(*muxer, stream);
    int64_t last = -1;
    size_t clocks = 0;
    for (size_t at = 0; at < object.size(); at += mpegts::kPacketBytes) {
      base::ByteReader in(ByteView(object).subspan(at, mpegts::kPacketBytes));
      ASSERT_EQ(in.u8(), mpegts::kSyncByte);
      const uint16_t pid = in.u16() & 0x1FFF;
      if ((in.u8() & 0x20) == 0 || in.u8() == 0 || (in.u8() & 0x10) == 0) continue;
      EXPECT_EQ(pid, mpegts::kVideoPid);
      const int64_t pcr = static_cast<int64_t>(in.u32()) << 1 | in.u16() >> 15;
      if (last >= 0) {
        EXPECT_GT(pcr, last);
        EXPECT_LE(pcr - last, 9000);
      }
      last = pcr;
      ++clocks;
    }
    EXPECT_GE(clocks, stream.video.size());
    const int64_t last_dts =
        to_ticks(stream.video.back().end, 90000) & static_cast<int64_t>(mpegts::kTimestampMask);
    EXPECT_LT(last, last_dts);
    EXPECT_LE(last_dts - last, 45000 + 9000);
  }
}

TEST(Mpegts, TimesWrap) {
  // The first picture 10 ticks before a multiple of 2^33.
  const int64_t wrap = (kNear >> 33) << 33;
  const auto start = UtcTime(base::nanoseconds(rescale_ticks(wrap - 10, 90000, 1'000'000'000)));
  const Stream stream = make_stream(10, 5, true, 50, start);
  const auto muxer = make_mpegts_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, stream);
  const auto scan = scan_mpegts(object, wrap + 1'000'000);
  ASSERT_TRUE(scan);
  expect_equal(stream.video, all_samples(*scan, TrackKind::kVideo), object, Codec::kH264);
  EXPECT_EQ(all_samples(*scan, TrackKind::kVideo).front().dts, wrap - 10);
}

TEST(Mpegts, CutAtEveryByteAndZeroTail) {
  const auto muxer = make_mpegts_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(8, 4, true, 20));
  const auto whole = scan_mpegts(object, kNear);
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->fragments.size(), 4U);
  for (size_t size = 0; size < object.size(); ++size) {
    for (const size_t zeros : {0, 1, 400}) {
      ByteVector cut(object.begin(), object.begin() + static_cast<ptrdiff_t>(size));
      cut.resize(size + zeros);
      const auto scan = scan_mpegts(cut, kNear);
      if (size < whole->fragments.front().size_bytes - 185) {
        ASSERT_FALSE(scan) << size;
        continue;
      }
      if (!scan) continue;
      // The last null packet is nothing but stuffing, so three bytes of its header are enough for it when
      // zeros follow.
      ASSERT_LE(scan->whole_bytes, size + 185);
      size_t fragments = 0;
      while (fragments < 4 &&
             whole->fragments[fragments].offset + whole->fragments[fragments].size_bytes <= size) {
        ++fragments;
      }
      EXPECT_GE(scan->fragments.size(), fragments) << size;
      if (zeros == 0) {
        EXPECT_EQ(scan->fragments.size(), fragments) << size;
      }
      if (zeros == 0 && scan->whole_bytes < size) {
        EXPECT_EQ(scan->stopped.code, base::Errc::kTruncated) << size;
      }
    }
  }
}

TEST(Mpegts, StopsAtLies) {
  const Stream stream = make_stream(8, 4, false);
  const auto muxer = make_mpegts_muxer(video_config(), nullptr);
  const ByteVector object = make_object(*muxer, stream);
  const auto whole = scan_mpegts(object, kNear);
  ASSERT_TRUE(whole);
  const size_t second = whole->fragments[1].offset;
  struct Lie {
    const char* what;
    size_t at;
    uint8_t value;
  };
  for (const Lie& lie :
       {Lie{"sync byte", second, 0x48}, Lie{"a fragment without PAT", second + 2, 0x11},
        Lie{"checksum of the PAT", second + 10, 0x55}, Lie{"continuity", second + 188 * 2 + 3, 0x3F},
        Lie{"damaged", second + 188 * 2 + 1, 0xC1}, Lie{"adaptation field", second + 188 * 2 + 4, 200},
        Lie{"PES start code", second + 188 * 2 + 12, 7}}) {
    ByteVector bad = object;
    bad[lie.at] = static_cast<std::byte>(lie.value);
    const auto scan = scan_mpegts(bad, kNear);
    ASSERT_TRUE(scan) << lie.what;
    EXPECT_EQ(scan->whole_bytes, second) << lie.what;
    EXPECT_EQ(scan->stopped.code, base::Errc::kMalformed) << lie.what << ": " << scan->stopped.to_string();
  }
  EXPECT_FALSE(scan_mpegts({}, 0));
  EXPECT_FALSE(extract_sample(object, ScannedSample{}, Codec::kH264));
  EXPECT_FALSE(extract_sample(object, whole->fragments[0].video[0], Codec::kOpus));
}

TEST(Mpegts, ATornFragmentEndsTheRecording) {
  const auto muxer = make_mpegts_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(8, 4, true, 100));
  const int64_t near = to_ticks(kStart, 90000);
  const auto whole = scan_mpegts(object, near);
  ASSERT_TRUE(whole);
  ASSERT_GE(whole->fragments.size(), 3U);
  const ScannedFragment& torn = whole->fragments[whole->fragments.size() - 2];
  // Behind the checksum the closing packet holds nothing.
  for (uint64_t at = torn.offset; at < torn.offset + torn.size_bytes - 175; ++at) {
    ByteVector bytes = object;
    bytes[static_cast<size_t>(at)] ^= std::byte{0x10};
    const auto scan = scan_mpegts(bytes, near);
    ASSERT_TRUE(scan);
    EXPECT_EQ(scan->whole_bytes, torn.offset) << "byte " << at - torn.offset;
  }
}

TEST(Mpegts, InputsThatBrokeOtherParsers) {
  size_t inputs = 0;
  std::ifstream file(test::data_path("fuzz-seeds/mpegts.jsonl"));
  for (std::string line; std::getline(file, line); ++inputs) {
    const auto seed = boost::json::parse(line);
    for (const auto& hex : seed.at("in").as_array()) {
      const auto bytes = base::from_hex(std::string_view(hex.as_string()));
      if (!bytes) continue;
      const auto scan = scan_mpegts(*bytes, kNear);
      EXPECT_TRUE(!scan || scan->whole_bytes <= bytes->size());
    }
  }
  EXPECT_GT(inputs, 40U);
}

TEST(Mpegts, FfmpegPlaysIt) {
  const TempDirectory directory;
  const Encoded encoded = encode(directory);
  ASSERT_EQ(encoded.stream.video.size(), 120U);
  const auto muxer = make_mpegts_muxer(encoded.video, encoded.audio);
  const ByteVector object = make_object(*muxer, encoded.stream);
  write(directory.file("object.ts"), object);
  EXPECT_EQ(ffmpeg_complaints(directory.file("object.ts")), "");
  EXPECT_EQ(count_frames(directory.file("object.ts"), "v"), "120");
  EXPECT_EQ(count_frames(directory.file("object.ts"), "a"), std::to_string(encoded.stream.audio.size()));
  // A player that starts at any fragment finds all it needs.
  const auto scan = scan_mpegts(object, kNear);
  ASSERT_TRUE(scan) << scan.error().to_string();
  EXPECT_EQ(scan->whole_bytes, object.size()) << scan->stopped.to_string();
  expect_equal(encoded.stream.video, all_samples(*scan, TrackKind::kVideo), object, Codec::kH264);
  for (const ScannedFragment& fragment : scan->fragments) {
    if (!fragment.begins_with_key() || fragment.offset == 0) continue;
    write(directory.file("rest.ts"), ByteView(object).subspan(fragment.offset));
    EXPECT_EQ(ffmpeg_complaints(directory.file("rest.ts")), "");
  }
}

}  // namespace
}  // namespace miharu::media
