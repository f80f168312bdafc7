#include <boost/json.hpp>

#include "container_support.h"
#include "support/data_path.h"

namespace miharu::media {
namespace {

using namespace testing;

void expect_equal(const std::vector<Sample>& written, const std::vector<ScannedSample>& read, ByteView object,
                  int64_t rate) {
  ASSERT_EQ(written.size(), read.size());
  for (size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(read[i].dts, to_ticks(written[i].dts, rate)) << i;
    EXPECT_EQ(read[i].pts, to_ticks(written[i].pts, rate)) << i;
    EXPECT_EQ(read[i].dts + read[i].duration, to_ticks(written[i].end, rate)) << i;
    EXPECT_EQ(read[i].key, written[i].frame->key) << i;
    const ByteView data = written[i].frame->data();
    ASSERT_EQ(read[i].size_bytes, data.size()) << i;
    EXPECT_TRUE(std::equal(data.begin(), data.end(), object.begin() + static_cast<ptrdiff_t>(read[i].offset)))
        << i;
  }
}

TEST(RescaleTicks, RoundsToTheNearestWithoutOverflow) {
  EXPECT_EQ(rescale_ticks(1, 2, 1), 1);
  EXPECT_EQ(rescale_ticks(-1, 2, 1), 0);
  EXPECT_EQ(rescale_ticks(-3, 2, 1), -1);
  EXPECT_EQ(rescale_ticks(1'795'000'000'500'000'000, 1'000'000'000, 90000),
            1'795'000'000 * int64_t{90000} + 45000);
}

TEST(Fmp4, RoundTrip) {
  for (const bool reordered : {false, true}) {
    const Stream stream = make_stream(70, 20, reordered);
    const auto muxer = make_fmp4_muxer(video_config(), audio_config());
    const ByteVector object = make_object(*muxer, stream);
    const auto scan = scan_fmp4(object);
    ASSERT_TRUE(scan) << scan.error().to_string();
    EXPECT_EQ(scan->whole_bytes, object.size()) << scan->stopped.to_string();
    EXPECT_EQ(scan->init_bytes, muxer->init().size());
    EXPECT_EQ(*scan->video, *video_config());
    EXPECT_EQ(*scan->audio, *audio_config());
    expect_equal(stream.video, all_samples(*scan, TrackKind::kVideo), object, 90000);
    expect_equal(stream.audio, all_samples(*scan, TrackKind::kAudio), object, 48000);
    uint64_t end = scan->init_bytes;
    for (const ScannedFragment& fragment : scan->fragments) {
      EXPECT_EQ(fragment.offset, end);
      end += fragment.size_bytes;
    }
    EXPECT_TRUE(scan->fragments.front().begins_with_key());
    EXPECT_FALSE(scan->fragments[1].begins_with_key());
  }
}

// Cumulative times are rounded, so a fragment ends on the tick on which the next begins, whatever the frame
// rate.
TEST(Fmp4, FragmentsAreContiguous) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(300, 30, true), 7);
  const auto scan = scan_fmp4(object);
  ASSERT_TRUE(scan);
  for (const TrackKind kind : {TrackKind::kVideo, TrackKind::kAudio}) {
    const auto samples = all_samples(*scan, kind);
    ASSERT_GT(samples.size(), 100U);
    for (size_t i = 1; i < samples.size(); ++i)
      EXPECT_EQ(samples[i].dts, samples[i - 1].dts + samples[i - 1].duration);
  }
}

// Growing is what the format asks for; that no number follows the one before is what makes VLC 3 heed the
// time of every fragment, and so play the sound.
TEST(Fmp4, NumbersOfFragmentsGrowAndNeverFollowOneAnother) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(70, 20, false));
  const auto scan = scan_fmp4(object);
  ASSERT_TRUE(scan);
  ASSERT_GT(scan->fragments.size(), 4U);
  constexpr std::string_view kMfhd = "mfhd";
  const auto* const text = reinterpret_cast<const char*>(object.data());
  uint32_t before = 0;
  for (const ScannedFragment& fragment : scan->fragments) {
    const std::string_view bytes(text + fragment.offset, fragment.size_bytes);
    const size_t at = bytes.find(kMfhd);
    ASSERT_NE(at, std::string_view::npos);
    base::ByteReader in(ByteView(object).subspan(fragment.offset + at + kMfhd.size() + 4));
    const uint32_t number = in.u32();
    EXPECT_GT(number, before + 1);
    before = number;
  }
}

TEST(Fmp4, PayloadsAreNotCopied) {
  const Stream stream = make_stream(3, 3, false);
  const auto muxer = make_fmp4_muxer(video_config(), nullptr);
  const Fragment fragment = muxer->fragment(stream.video, {}, true);
  ASSERT_EQ(fragment.payloads.size(), 3U);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(fragment.payloads[i]->data().data(), stream.video[i].frame->data().data());
}

TEST(Fmp4, OpusAndAudioAlone) {
  TrackConfig config;
  config.codec = Codec::kOpus;
  config.clock_rate = 48000;
  config.codec_private = {std::byte{0}, std::byte{2}, std::byte{1},    std::byte{0x38},
                          std::byte{0}, std::byte{0}, std::byte{0xBB}, std::byte{0x80},
                          std::byte{0}, std::byte{0}, std::byte{0}};
  config.codec_string = "opus";
  config.sample_rate = 48000;
  config.channels = 2;
  const auto opus = std::make_shared<const TrackConfig>(config);
  const auto muxer = make_fmp4_muxer(video_config(), opus);
  const ByteVector packet(50, std::byte{7});
  const Sample sample{make_frame(opus, packet, true), kStart, kStart, kStart + 20ms};
  ByteVector object = muxer->init();
  const ByteVector fragment = bytes_of(muxer->fragment({}, {&sample, 1}, false));
  object.insert(object.end(), fragment.begin(), fragment.end());
  const auto scan = scan_fmp4(object);
  ASSERT_TRUE(scan) << scan.error().to_string();
  ASSERT_TRUE(scan->audio);
  EXPECT_EQ(*scan->audio, *opus);
  ASSERT_EQ(scan->fragments.size(), 1U);
  EXPECT_FALSE(scan->fragments[0].begins_with_key());
  expect_equal({sample}, scan->fragments[0].audio, object, 48000);
}

TEST(Fmp4, CutAtEveryByte) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(8, 4, true, 20));
  const auto whole = scan_fmp4(object);
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->fragments.size(), 4U);
  for (size_t size = 0; size < object.size(); ++size) {
    const auto scan = scan_fmp4(ByteView(object).first(size));
    if (size < whole->init_bytes) {
      ASSERT_FALSE(scan) << size;
      continue;
    }
    ASSERT_TRUE(scan) << size << " " << scan.error().to_string();
    size_t fragments = 0;
    uint64_t end = whole->init_bytes;
    for (; fragments < 4; ++fragments) {
      const ScannedFragment& next = whole->fragments[fragments];
      if (next.offset + next.size_bytes > size) break;
      end = next.offset + next.size_bytes;
    }
    EXPECT_EQ(scan->fragments.size(), fragments) << size;
    EXPECT_EQ(scan->whole_bytes, end) << size;
    if (end < size) {
      EXPECT_EQ(scan->stopped.code, base::Errc::kTruncated) << size;
    }
  }
}

// After a power cut: what was not written is zeros, inside an mdat too.
// As other writers make it: without checksums, so that a reader must find mistakes by itself.
ByteVector without_checksums(ByteVector bytes) {
  const auto text = base::as_text(bytes);
  for (size_t at = text.find("freecrc1"); at != std::string::npos; at = text.find("freecrc1", at + 1))
    bytes[at + 4] = std::byte{'-'};
  return bytes;
}

TEST(Fmp4, UnwrittenPayloadEndsTheRecording) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  ByteVector object = without_checksums(make_object(*muxer, make_stream(8, 4, true, 100)));
  const auto whole = scan_fmp4(object);
  ASSERT_TRUE(whole);
  const ScannedFragment& last = whole->fragments.back();
  const ScannedSample& picture = last.video.front();
  std::fill(object.begin() + static_cast<ptrdiff_t>(picture.offset + 10), object.end(), std::byte{0});
  const auto scan = scan_fmp4(object);
  ASSERT_TRUE(scan);
  EXPECT_EQ(scan->whole_bytes, last.offset - 16) << "the 'free' box before it is of no use either";
  EXPECT_EQ(scan->stopped.code, base::Errc::kTruncated);
}

TEST(Fmp4, ATornFragmentEndsTheRecording) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  const ByteVector object = make_object(*muxer, make_stream(8, 4, true, 100));
  const auto whole = scan_fmp4(object);
  ASSERT_TRUE(whole);
  ASSERT_GE(whole->fragments.size(), 3U);
  const ScannedFragment& torn = whole->fragments[whole->fragments.size() - 2];
  for (uint64_t at = torn.offset; at < torn.offset + torn.size_bytes; ++at) {
    ByteVector bytes = object;
    bytes[static_cast<size_t>(at)] ^= std::byte{0x10};
    const auto scan = scan_fmp4(bytes);
    ASSERT_TRUE(scan);
    EXPECT_EQ(scan->whole_bytes, torn.offset) << "byte " << at - torn.offset;
  }
}

TEST(Fmp4, ZeroTailIsTruncation) {
  const auto muxer = make_fmp4_muxer(video_config(), audio_config());
  ByteVector object = make_object(*muxer, make_stream(30, 10, false));
  const size_t size = object.size();
  for (const size_t zeros : {1, 7, 8, 4096}) {
    object.resize(size + zeros);
    const auto scan = scan_fmp4(object);
    ASSERT_TRUE(scan);
    EXPECT_EQ(scan->whole_bytes, size);
    EXPECT_EQ(scan->stopped.code, base::Errc::kTruncated);
    object.resize(size);
  }
}

TEST(Fmp4, FilesOfOthers) {
  struct Case {
    const char* name;
    TrackKind kind;
    size_t samples;
    const char* codec;
  };
  for (const Case& c : {Case{"frag-video", TrackKind::kVideo, 60, "avc1."},
                        Case{"frag-audio", TrackKind::kAudio, 94, "mp4a.40.2"}}) {
    ByteVector object = read_data(std::string(c.name) + "-init.mp4");
    const ByteVector segment = read_data(std::string(c.name) + "-1.m4s");
    object.insert(object.end(), segment.begin(), segment.end());
    const auto scan = scan_fmp4(object);
    ASSERT_TRUE(scan) << c.name << scan.error().to_string();
    EXPECT_EQ(scan->whole_bytes, object.size()) << scan->stopped.to_string();
    const auto samples = all_samples(*scan, c.kind);
    ASSERT_EQ(samples.size(), c.samples);
    EXPECT_TRUE(samples.front().key);
    const TrackConfigPtr& config = c.kind == TrackKind::kVideo ? scan->video : scan->audio;
    ASSERT_TRUE(config);
    EXPECT_EQ(config->codec_string.substr(0, std::string_view(c.codec).size()), c.codec);
    if (c.kind == TrackKind::kVideo) {
      EXPECT_EQ(config->width, 640U);
      EXPECT_EQ(config->height, 360U);
      EXPECT_EQ(std::count_if(samples.begin(), samples.end(), [](const ScannedSample& s) { return s.key; }),
                2);
    } else {
      EXPECT_EQ(config->sample_rate, 48000U);
      EXPECT_EQ(config->channels, 2U);
    }
  }
}

TEST(Fmp4, RefusesWhatIsNoRecording) {
  for (const char* name : {"h264.mp4", "hevc.mp4", "h264-4pics.264", "frag-video-1.m4s"}) {
    EXPECT_FALSE(scan_fmp4(read_data(name))) << name;
  }
  EXPECT_FALSE(scan_fmp4({}));
}

TEST(Fmp4, StopsAtLies) {
  const auto muxer = make_fmp4_muxer(video_config(), nullptr);
  const Stream stream = make_stream(4, 4, false, 20);
  const ByteVector init = muxer->init();
  const ByteVector good = without_checksums(bytes_of(muxer->fragment({stream.video.data(), 2}, {}, true)));
  const std::string text(base::as_text(good));
  const size_t trun = text.find("trun");
  struct Lie {
    const char* what;
    size_t at;
    uint32_t value;
  };
  for (const Lie& lie :
       {Lie{"sample count", trun + 8, 0xFFFFFFFF}, Lie{"one sample more", trun + 8, 3},
        Lie{"data before the mdat", trun + 12, 8}, Lie{"data far away", trun + 12, 0x7FFFFFFF},
        Lie{"size of a sample", trun + 20, 0x10000}, Lie{"type of the mdat", text.find("mdat"), 0x66726565},
        Lie{"time out of range", text.find("tfdt") + 8, 0xFFFFFFFF}}) {
    ByteVector object = init;
    object.insert(object.end(), good.begin(), good.end());
    ByteVector bad = good;
    base::ByteWriter(bad).patch_u32(lie.at, lie.value);
    object.insert(object.end(), bad.begin(), bad.end());
    const auto scan = scan_fmp4(object);
    ASSERT_TRUE(scan) << lie.what;
    EXPECT_EQ(scan->fragments.size(), 1U) << lie.what;
    EXPECT_EQ(scan->whole_bytes, init.size() + good.size()) << lie.what;
    EXPECT_EQ(scan->stopped.code, base::Errc::kMalformed) << lie.what << ": " << scan->stopped.to_string();
  }
}

TEST(Fmp4, InputsThatBrokeOtherParsers) {
  size_t inputs = 0;
  for (const char* name : {"fmp4.jsonl", "mp4.jsonl"}) {
    std::ifstream file(test::data_path("fuzz-seeds/" + std::string(name)));
    for (std::string line; std::getline(file, line); ++inputs) {
      const auto seed = boost::json::parse(line);
      for (const auto& hex : seed.at("in").as_array()) {
        const auto bytes = base::from_hex(std::string_view(hex.as_string()));
        if (!bytes) continue;
        const auto scan = scan_fmp4(*bytes);
        EXPECT_TRUE(!scan || scan->whole_bytes <= bytes->size());
      }
    }
  }
  EXPECT_GT(inputs, 60U);
}

TEST(Fmp4, FfmpegPlaysIt) {
  const TempDirectory directory;
  const Encoded encoded = encode(directory);
  ASSERT_EQ(encoded.stream.video.size(), 120U);
  const auto muxer = make_fmp4_muxer(encoded.video, encoded.audio);
  const ByteVector object = make_object(*muxer, encoded.stream);
  write(directory.file("object.mp4"), object);
  EXPECT_EQ(ffmpeg_complaints(directory.file("object.mp4")), "");
  EXPECT_EQ(count_frames(directory.file("object.mp4"), "v"), "120");
  EXPECT_EQ(count_frames(directory.file("object.mp4"), "a"), std::to_string(encoded.stream.audio.size()));
  const auto scan = scan_fmp4(object);
  ASSERT_TRUE(scan);
  EXPECT_EQ(scan->whole_bytes, object.size());
}

}  // namespace
}  // namespace miharu::media
