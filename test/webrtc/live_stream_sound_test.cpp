// Sound for viewers: what passes as it is, and AAC, which becomes Opus.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include <opus/opus.h>

#include "media/aac_encoder.h"
#include "media/opus.h"
#include "stream/clock_model.h"
#include "webrtc/live_stream.h"

namespace miharu::webrtc {
namespace {

class Listener final : public UnitListener {
 public:
  void on_group(const std::vector<UnitPtr>&, bool) override {}
  void on_unit(const UnitPtr& unit) override { units.push_back(unit); }
  void on_interrupted() override {}

  std::vector<UnitPtr> units;
};

media::TrackConfigPtr track(media::Codec codec, uint32_t rate) {
  media::TrackConfig config;
  config.codec = codec;
  config.clock_rate = config.sample_rate = rate;
  config.channels = 1;
  return std::make_shared<const media::TrackConfig>(std::move(config));
}

const base::SteadyTime kStart{std::chrono::seconds(5)};

media::FramePtr frame_of(const media::TrackConfigPtr& config, const base::ByteVector& bytes) {
  media::FrameBuilder builder;
  builder.append(bytes);
  return builder.finish({config, 0, 0, {}, true, false});
}

// What a viewer of a camera gets when these frames of sound come, each at the time of its pts.
std::vector<UnitPtr> units_of(const std::vector<media::FramePtr>& frames) {
  net::EventLoop loop("camera");
  const auto stream = std::make_shared<LiveStream>(loop);
  const auto listener = std::make_shared<Listener>();
  stream->subscribe(listener, loop);
  loop.context().poll();
  for (const media::FramePtr& frame : frames) {
    stream->on_live_frame(frame, kStart + stream::ticks_to_time(frame->pts, frame->config->clock_rate));
  }
  return listener->units;
}

TEST(LiveStreamSound, G711AndOpusPassAsTheyAre) {
  const base::ByteVector pcm(160, std::byte{0x55});
  const auto g711 = units_of({frame_of(track(media::Codec::kPcmu, 8000), pcm)});
  ASSERT_EQ(g711.size(), 1U);
  EXPECT_EQ(g711[0]->track, media::TrackKind::kAudio);
  EXPECT_EQ(base::ByteVector(g711[0]->bytes.begin(), g711[0]->bytes.end()), pcm);

  const base::ByteVector packet(40, std::byte{0xf8});
  EXPECT_EQ(units_of({frame_of(media::opus::make_track_config(1), packet)}).size(), 1U);
}

// A second of 440 Hz, as a camera sends it.
std::vector<media::FramePtr> aac_tone(uint32_t rate, uint32_t channels) {
  auto encoder = *media::AacEncoder::make(rate, channels, 64000);
  std::vector<media::FramePtr> frames;
  const auto keep = [&](media::FramePtr frame) { frames.push_back(std::move(frame)); };
  constexpr size_t kSamples = media::AacEncoder::kSamplesPerFrame;
  for (size_t at = 0; at < rate; at += kSamples) {
    std::vector<float> samples(kSamples * channels);
    for (size_t i = 0; i < samples.size(); ++i) {
      const double time = static_cast<double>(at + i % kSamples) / rate;
      samples[i] = static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440 * time));
    }
    EXPECT_TRUE(encoder->encode(samples, static_cast<int64_t>(at), {}, keep));
  }
  EXPECT_TRUE(encoder->flush(keep));
  return frames;
}

struct Heard {
  double frequency = 0;
  double level = 0;  // root mean square
};

// The left channel of what a browser would hear, without the first 100 ms.
Heard hear(const std::vector<UnitPtr>& units, int channels) {
  int error = 0;
  OpusDecoder* decoder = opus_decoder_create(48000, channels, &error);
  EXPECT_EQ(error, OPUS_OK);
  std::vector<float> sound;
  for (const UnitPtr& unit : units) {
    std::vector<float> decoded(5760 * static_cast<size_t>(channels));
    const int samples =
        opus_decode_float(decoder, reinterpret_cast<const unsigned char*>(unit->bytes.data()),
                          static_cast<opus_int32>(unit->bytes.size()), decoded.data(), 5760, 0);
    EXPECT_EQ(samples, 960);
    for (int i = 0; i < samples; ++i) sound.push_back(decoded[static_cast<size_t>(i * channels)]);
  }
  opus_decoder_destroy(decoder);
  sound.erase(sound.begin(), sound.begin() + std::min<std::ptrdiff_t>(4800, std::ssize(sound)));
  Heard heard;
  size_t crossings = 0;
  for (size_t i = 1; i < sound.size(); ++i) {
    crossings += (sound[i - 1] < 0) != (sound[i] < 0) ? 1 : 0;
    heard.level += double{sound[i]} * sound[i];
  }
  const auto count = static_cast<double>(sound.size());
  heard.frequency = static_cast<double>(crossings) / 2 / (count / 48000);
  heard.level = std::sqrt(heard.level / count);
  return heard;
}

class LiveStreamAac : public testing::TestWithParam<std::pair<uint32_t, uint32_t>> {};

TEST_P(LiveStreamAac, BecomesOpus) {
  const auto [rate, channels] = GetParam();
  const std::vector<UnitPtr> units = units_of(aac_tone(rate, channels));
  ASSERT_GT(units.size(), 40U);
  for (size_t i = 1; i < units.size(); ++i) {
    EXPECT_EQ(units[i]->ticks - units[i - 1]->ticks, 960);
    EXPECT_EQ(units[i]->packets(), 1U);
  }
  // The encoder's look-ahead is taken out, and what the decoder adds is less than a frame.
  EXPECT_NEAR(static_cast<double>(units[0]->ticks), static_cast<double>(to_ticks(kStart, 48000)), 480);
  const Heard heard = hear(units, static_cast<int>(channels));
  EXPECT_NEAR(heard.frequency, 440, 3);
  EXPECT_NEAR(heard.level, 0.5 / std::numbers::sqrt2, 0.02);
}

INSTANTIATE_TEST_SUITE_P(Rates, LiveStreamAac,
                         testing::Values(std::pair{8000U, 1U}, std::pair{16000U, 1U}, std::pair{44100U, 2U},
                                         std::pair{48000U, 1U}));

TEST(LiveStreamSound, AacThatCannotBeReadIsSilence) {
  EXPECT_TRUE(
      units_of({frame_of(track(media::Codec::kAac, 16000), base::ByteVector(200, std::byte{0x21}))}).empty());
}

}  // namespace
}  // namespace miharu::webrtc
