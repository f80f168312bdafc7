#include "stream/audio_transcoder.h"

#include "media/aac_encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "stream/silence.h"

namespace miharu::stream {
namespace {

using base::ByteVector;
using media::AvPtr;
using media::Codec;
using media::FramePtr;

// Unix time: nothing may depend on small numbers.
constexpr int64_t kZeroSeconds = 1'800'000'000;

media::TrackConfigPtr track(Codec codec, uint32_t rate, uint32_t channels = 1) {
  media::TrackConfig config;
  config.codec = codec;
  config.clock_rate = config.sample_rate = rate;
  config.channels = channels;
  return std::make_shared<const media::TrackConfig>(std::move(config));
}

FramePtr make_frame(const media::TrackConfigPtr& config, int64_t pts, const ByteVector& payload) {
  media::FrameBuilder builder;
  builder.append(payload);
  return builder.finish({config, pts, pts, {}, true, false});
}

AvPtr<AVCodecContext> open(const AVCodec* codec, int rate, int channels, AVSampleFormat format,
                           base::ByteView extra) {
  AvPtr<AVCodecContext> context(avcodec_alloc_context3(codec));
  context->sample_rate = rate;
  context->time_base = {1, rate};
  context->sample_fmt = format;
  context->thread_count = 1;
  av_channel_layout_default(&context->ch_layout, channels);
  if (!extra.empty()) {
    context->extradata = static_cast<uint8_t*>(av_mallocz(extra.size() + AV_INPUT_BUFFER_PADDING_SIZE));
    std::memcpy(context->extradata, extra.data(), extra.size());
    context->extradata_size = static_cast<int>(extra.size());
  }
  EXPECT_EQ(0, avcodec_open2(context.get(), codec, nullptr));
  return context;
}

// The first channel, decoded frame by frame.
std::vector<float> decode(AVCodecContext& decoder, const std::vector<ByteVector>& payloads) {
  std::vector<float> out;
  const AvPtr<AVPacket> packet(av_packet_alloc());
  const AvPtr<AVFrame> frame(av_frame_alloc());
  for (const ByteVector& payload : payloads) {
    EXPECT_EQ(0, av_new_packet(packet.get(), static_cast<int>(payload.size())));
    std::memcpy(packet->data, payload.data(), payload.size());
    EXPECT_EQ(0, avcodec_send_packet(&decoder, packet.get()));
    av_packet_unref(packet.get());
    while (avcodec_receive_frame(&decoder, frame.get()) == 0) {
      EXPECT_EQ(frame->format, AV_SAMPLE_FMT_FLTP);
      const auto* samples = reinterpret_cast<const float*>(frame->extended_data[0]);
      out.insert(out.end(), samples, samples + frame->nb_samples);
    }
  }
  return out;
}

// What came out of a transcoder, decoded again.
struct Heard {
  std::vector<FramePtr> frames;
  AudioTranscoder::Output output = [this](FramePtr frame) { frames.push_back(std::move(frame)); };

  [[nodiscard]] std::vector<float> samples() const {
    std::vector<ByteVector> payloads;
    for (const FramePtr& frame : frames) payloads.emplace_back(frame->data().begin(), frame->data().end());
    const media::TrackConfig& config = *frames.at(0)->config;
    const auto decoder = open(avcodec_find_decoder(AV_CODEC_ID_AAC), static_cast<int>(config.sample_rate),
                              static_cast<int>(config.channels), AV_SAMPLE_FMT_FLTP, config.codec_private);
    return decode(*decoder, payloads);
  }
  // Seconds after `zero_pts` (output clock) of the loudest sample.
  [[nodiscard]] double loudest_seconds(int64_t zero_pts) const {
    const auto all = samples();
    const auto peak =
        std::max_element(all.begin(), all.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
    EXPECT_GT(std::abs(*peak), 0.1f);
    return static_cast<double>(frames[0]->pts - zero_pts + (peak - all.begin())) /
           frames[0]->config->sample_rate;
  }
  void expect_continuous() const {
    for (size_t i = 1; i < frames.size(); ++i) ASSERT_EQ(frames[i]->pts, frames[i - 1]->pts + 1024) << i;
  }
};

// G.711 bytes of silence and of a loud sample (ITU-T G.711 tables 1 and 2).
struct Law {
  Codec codec;
  std::byte silence;
  std::byte loud;
};
constexpr Law kLaws[] = {{Codec::kPcmu, std::byte{0xff}, std::byte{0x80}},
                         {Codec::kPcma, std::byte{0xd5}, std::byte{0xaa}}};

class Phone {
 public:
  explicit Phone(const Law& law) : law_(law), config_(track(law.codec, 8000)) {}

  // `samples` from `at` on (after the zero), with a click of half a millisecond in the middle when asked.
  [[nodiscard]] FramePtr frame(int64_t at, size_t samples = 160, std::optional<size_t> click = {}) const {
    ByteVector payload(samples, law_.silence);
    if (click) std::fill_n(payload.begin() + static_cast<ptrdiff_t>(*click), 4, law_.loud);
    return make_frame(config_, kZeroSeconds * 8000 + at, payload);
  }
  [[nodiscard]] const media::TrackConfigPtr& config() const { return config_; }

 private:
  Law law_;
  media::TrackConfigPtr config_;
};

constexpr int64_t kOutputZero = kZeroSeconds * 16000;

TEST(AudioTranscoder, G711ClickComesOutAtItsTime) {
  for (const Law& law : kLaws) {
    for (const size_t frame_samples : {size_t{160}, size_t{240}, size_t{1000}}) {
      SCOPED_TRACE(std::string(media::name_of(law.codec)) + " " + std::to_string(frame_samples));
      const Phone phone(law);
      auto transcoder = AudioTranscoder::make(phone.config());
      ASSERT_TRUE(transcoder) << transcoder.error().to_string();
      Heard heard;
      int64_t at = 0;
      int64_t click_at = -1;
      while (at < 16000) {
        const bool click = click_at < 0 && at >= 9000;
        if (click) click_at = at + 100;
        (*transcoder)
            ->push(*phone.frame(at, frame_samples, click ? std::optional<size_t>(100) : std::nullopt),
                   heard.output);
        at += static_cast<int64_t>(frame_samples);
      }
      (*transcoder)->flush(heard.output);
      EXPECT_EQ((*transcoder)->frames_failed(), 0u);
      ASSERT_FALSE(heard.frames.empty());
      EXPECT_EQ(heard.frames[0]->pts, kOutputZero);
      EXPECT_EQ(heard.frames[0]->config, (*transcoder)->config());
      EXPECT_EQ(heard.frames[0]->config->clock_rate, 16000u);
      heard.expect_continuous();
      // All that went in comes out, in whole frames.
      EXPECT_GE(heard.frames.back()->pts + 1024, kOutputZero + 2 * at);
      EXPECT_LT(heard.frames.back()->pts, kOutputZero + 2 * at + 64);
      EXPECT_NEAR(heard.loudest_seconds(kOutputZero), (static_cast<double>(click_at) + 1.5) / 8000, 0.001);
    }
  }
}

TEST(AudioTranscoder, HolesBecomeSilence) {
  struct Case {
    const char* name;
    int64_t step;      // of the input pts after 0.5 s
    int64_t click_at;  // input ticks at which the click must come out
  };
  // The click is 0.25 s after the step. Jitter below 20 ms moves nothing.
  for (const Case& c :
       {Case{"one lost packet", 160, 6160}, Case{"half a second", 4000, 10000},
        Case{"one second", 8000, 14000}, Case{"jitter", 100, 6000}, Case{"early jitter", -100, 6000},
        Case{"overlap", -800, 5200}, Case{"overlap of several packets", -2000, 4000}}) {
    SCOPED_TRACE(c.name);
    const Phone phone(kLaws[0]);
    auto transcoder = AudioTranscoder::make(phone.config()).value();
    Heard heard;
    for (int64_t at = 0; at < 4000; at += 160) transcoder->push(*phone.frame(at), heard.output);
    for (int64_t at = 4000; at < 12000; at += 160) {
      const bool click = at == 4000 + 12 * 160;
      transcoder->push(*phone.frame(at + c.step, 160, click ? std::optional<size_t>(80) : std::nullopt),
                       heard.output);
    }
    transcoder->flush(heard.output);
    heard.expect_continuous();
    EXPECT_NEAR(heard.loudest_seconds(kOutputZero), (static_cast<double>(c.click_at) + 1.5) / 8000, 0.001);
  }
}

TEST(AudioTranscoder, LargeStepsMoveTheOutput) {
  for (const int64_t step : {int64_t{80'000}, int64_t{-80'000}}) {
    SCOPED_TRACE(step);
    const Phone phone(kLaws[0]);
    auto transcoder = AudioTranscoder::make(phone.config()).value();
    Heard heard;
    for (int64_t at = 0; at < 4000; at += 160) transcoder->push(*phone.frame(at), heard.output);
    for (int64_t at = 4000; at < 8000; at += 160) transcoder->push(*phone.frame(at + step), heard.output);
    transcoder->flush(heard.output);
    std::vector<int64_t> jumps;
    for (size_t i = 1; i < heard.frames.size(); ++i) {
      if (heard.frames[i]->pts != heard.frames[i - 1]->pts + 1024) jumps.push_back(heard.frames[i]->pts);
    }
    EXPECT_EQ(jumps, std::vector<int64_t>{kOutputZero + 2 * (4000 + step)});
    EXPECT_LT(heard.frames.size(), 20u) << "no silence was made for it";
  }
}

TEST(AudioTranscoder, OpusClickComesOutAtItsTime) {
  const AVCodec* codec = avcodec_find_encoder_by_name("libopus");
  if (codec == nullptr) GTEST_SKIP() << "libavcodec has no Opus encoder here";
  for (const int channels : {1, 2}) {
    SCOPED_TRACE(channels);
    const auto encoder = open(codec, 48000, channels, AV_SAMPLE_FMT_FLT, {});
    const auto config = track(Codec::kOpus, 48000, static_cast<uint32_t>(channels));
    auto transcoder = AudioTranscoder::make(config);
    ASSERT_TRUE(transcoder) << transcoder.error().to_string();

    std::vector<ByteVector> payloads;
    const AvPtr<AVPacket> packet(av_packet_alloc());
    const AvPtr<AVFrame> input(av_frame_alloc());
    input->nb_samples = encoder->frame_size;
    input->format = AV_SAMPLE_FMT_FLT;
    input->sample_rate = 48000;
    av_channel_layout_default(&input->ch_layout, channels);
    ASSERT_EQ(0, av_frame_get_buffer(input.get(), 0));
    for (int i = 0; i < 50; ++i) {
      ASSERT_EQ(0, av_frame_make_writable(input.get()));
      auto* samples = reinterpret_cast<float*>(input->data[0]);
      std::fill_n(samples, input->nb_samples * channels, 0.0f);
      if (i == 25) std::fill_n(samples + 300 * channels, 24 * channels, 0.9f);
      input->pts = i * input->nb_samples;
      ASSERT_EQ(0, avcodec_send_frame(encoder.get(), input.get()));
      while (avcodec_receive_packet(encoder.get(), packet.get()) == 0) {
        const auto* bytes = reinterpret_cast<const std::byte*>(packet->data);
        payloads.emplace_back(bytes, bytes + packet->size);
        av_packet_unref(packet.get());
      }
    }
    ASSERT_GT(payloads.size(), 45u);
    Heard heard;
    for (size_t i = 0; i < payloads.size(); ++i) {
      const int64_t pts = kZeroSeconds * 48000 + static_cast<int64_t>(i) * input->nb_samples;
      (*transcoder)->push(*make_frame(config, pts, payloads[i]), heard.output);
    }
    (*transcoder)->flush(heard.output);
    EXPECT_EQ((*transcoder)->frames_failed(), 0u);
    heard.expect_continuous();
    EXPECT_EQ(heard.frames[0]->config->channels, static_cast<uint32_t>(channels));

    const auto decoder =
        open(avcodec_find_decoder(AV_CODEC_ID_OPUS), 48000, channels, AV_SAMPLE_FMT_FLTP, {});
    const auto direct = decode(*decoder, payloads);
    const auto peak = std::max_element(direct.begin(), direct.end());
    ASSERT_GT(*peak, 0.1f);
    EXPECT_NEAR(heard.loudest_seconds(kZeroSeconds * 48000),
                static_cast<double>(peak - direct.begin()) / 48000, 0.001);
  }
}

TEST(AudioTranscoder, DamagedOpusLeavesSilence) {
  const auto config = track(Codec::kOpus, 48000, 2);
  auto transcoder = AudioTranscoder::make(config).value();
  Heard heard;
  // A packet of code 3 whose frame count is missing (RFC 6716 section 3.2.5), among silent ones of 20 ms.
  const ByteVector broken{std::byte{0xff}};
  const ByteVector silent{std::byte{0xfc}, std::byte{0xff}, std::byte{0xfe}};
  for (int64_t i = 0; i < 40; ++i) {
    const bool damaged = i % 10 == 5;
    transcoder->push(*make_frame(config, i * 960, damaged ? broken : silent), heard.output);
  }
  transcoder->push(*make_frame(config, 40 * 960, {}), heard.output);
  transcoder->flush(heard.output);
  EXPECT_GE(transcoder->frames_failed(), 4u);
  heard.expect_continuous();
  EXPECT_EQ(heard.frames[0]->pts, 0);
  EXPECT_GE(heard.frames.back()->pts + 1024, 40 * 960);
}

TEST(AudioTranscoder, FlushOfNothing) {
  auto transcoder = AudioTranscoder::make(track(Codec::kPcmu, 8000)).value();
  Heard heard;
  transcoder->flush(heard.output);
  EXPECT_TRUE(heard.frames.empty());
}

TEST(AudioTranscoder, RefusesWhatItCannot) {
  for (const auto& config : {track(Codec::kH264, 90000), track(Codec::kPcmu, 44100),
                             track(Codec::kOpus, 16000), track(Codec::kOpus, 48000, 6)}) {
    const auto transcoder = AudioTranscoder::make(config);
    ASSERT_FALSE(transcoder);
    EXPECT_EQ(transcoder.error().code, base::Errc::kUnsupported);
    EXPECT_NE(transcoder.error().text.find(media::name_of(config->codec)), std::string::npos);
  }
}

TEST(Silence, DecodesToSilence) {
  for (const uint32_t rate : {8000u, 16000u, 44100u, 48000u}) {
    for (const uint32_t channels : {1u, 2u, 6u}) {
      SCOPED_TRACE(std::to_string(rate) + " Hz, channels: " + std::to_string(channels));
      const auto encoder = media::AacEncoder::make(rate, channels, 64000);
      ASSERT_TRUE(encoder) << encoder.error().to_string();
      auto silence = Silence::make((*encoder)->config());
      ASSERT_TRUE(silence) << silence.error().to_string();
      Heard heard;
      EXPECT_EQ((*silence)->fill(5000, 5000 + 4 * 1024 + 1023, {}, heard.output), 5000 + 4 * 1024);
      ASSERT_EQ(heard.frames.size(), 4u);
      EXPECT_EQ(heard.frames[3]->pts, 5000 + 3 * 1024);
      const auto samples = heard.samples();
      ASSERT_EQ(samples.size(), 4096u);
      for (const float sample : samples) ASSERT_LT(std::abs(sample), 1e-4f);
    }
  }
}

TEST(Silence, CountsInTheClockOfTheTrack) {
  media::TrackConfig config = *(*media::AacEncoder::make(44100, 2, 64000))->config();
  config.clock_rate = 90000;
  auto silence = Silence::make(std::make_shared<const media::TrackConfig>(config)).value();
  Heard heard;
  silence->fill(0, 90000, {}, heard.output);
  ASSERT_EQ(heard.frames.size(), 43u) << "frames of 1024 samples in a second";
  EXPECT_EQ(heard.frames[42]->pts, 42 * 1024 * int64_t{90000} / 44100) << "rounding does not add up";
}

TEST(Silence, RefusesOtherThanAacLc) {
  EXPECT_FALSE(Silence::make(track(Codec::kPcmu, 8000)));
  media::TrackConfig config = *track(Codec::kAac, 48000);
  EXPECT_FALSE(Silence::make(std::make_shared<const media::TrackConfig>(config))) << "no configuration";
  config.codec_private = {std::byte{0x0b}, std::byte{0x10}};  // object type 1, AAC Main
  EXPECT_FALSE(Silence::make(std::make_shared<const media::TrackConfig>(config)));
}

}  // namespace
}  // namespace miharu::stream
