#include "stream/audio_transcoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

extern "C" {
#include <libavutil/mathematics.h>
}

#include "base/check.h"
#include "media/aac_encoder.h"
#include "media/opus_encoder.h"

namespace miharu::stream {
namespace {

using base::Errc;
using base::fail;
using base::Status;
using media::Codec;
using media::fail_av;

constexpr int kMaxChannels = 2;
constexpr int64_t kMillisecondsOfJitter = 20;

AVCodecID codec_id_of(Codec codec) {
  switch (codec) {
    case Codec::kPcmu:
      return AV_CODEC_ID_PCM_MULAW;
    case Codec::kPcma:
      return AV_CODEC_ID_PCM_ALAW;
    case Codec::kOpus:
      return AV_CODEC_ID_OPUS;
    case Codec::kAac:
      return AV_CODEC_ID_AAC;
    case Codec::kH264:
      break;
  }
  return AV_CODEC_ID_NONE;
}

base::Result<std::unique_ptr<media::AudioEncoder>> make_encoder(Codec input, uint32_t channels) {
  if (input == Codec::kAac) return media::opus::Encoder::make(channels, 48000 * channels);
  const bool opus = input == Codec::kOpus;
  return media::AacEncoder::make(opus ? 48000 : 16000, channels, (opus ? 64000 : 32000) * channels);
}

bool is_rate_taken(const media::TrackConfig& input) {
  switch (input.codec) {
    case Codec::kOpus:
      return input.clock_rate == 48000;
    case Codec::kAac:
      return input.clock_rate > 0 && input.sample_rate >= 8000 && input.sample_rate <= 96000;
    default:
      return input.clock_rate == 8000 || input.clock_rate == 16000;
  }
}

}  // namespace

base::Result<std::unique_ptr<AudioTranscoder>> AudioTranscoder::make(const media::TrackConfigPtr& input) {
  media::silence_av_log();
  const uint32_t channels = std::max<uint32_t>(1, input->channels);
  if (codec_id_of(input->codec) == AV_CODEC_ID_NONE) {
    return fail(Errc::kUnsupported, fmt::format("{} is not transcoded", media::name_of(input->codec)));
  }
  if (!is_rate_taken(*input)) {
    return fail(Errc::kUnsupported, fmt::format("{} with a clock of {} Hz cannot be transcoded",
                                                media::name_of(input->codec), input->clock_rate));
  }
  if (channels > kMaxChannels) {
    return fail(Errc::kUnsupported, fmt::format("{} with {} channels cannot be transcoded, 1 or 2 can",
                                                media::name_of(input->codec), channels));
  }
  auto encoder = make_encoder(input->codec, channels);
  if (!encoder) return tl::unexpected(std::move(encoder).error().in("sound transcoder"));

  std::unique_ptr<AudioTranscoder> self(new AudioTranscoder);
  self->encoder_ = std::move(*encoder);
  self->clock_rate_ = input->clock_rate;
  self->input_rate_ = input->codec == Codec::kAac ? input->sample_rate : input->clock_rate;
  self->channels_ = channels;
  self->collected_.resize(self->encoder_->samples_per_frame() * channels);
  if (const Status status = self->open_decoder(*input); !status) {
    return tl::unexpected(base::Error(status.error()).in("sound transcoder"));
  }
  const bool floats = input->codec == Codec::kOpus || input->codec == Codec::kAac;
  if (const Status status = self->open_resampler(floats ? AV_SAMPLE_FMT_FLTP : AV_SAMPLE_FMT_S16); !status) {
    return tl::unexpected(base::Error(status.error()).in("sound transcoder"));
  }
  return self;
}

Status AudioTranscoder::open_decoder(const media::TrackConfig& input) {
  const AVCodec* codec = avcodec_find_decoder(codec_id_of(input.codec));
  if (codec == nullptr) {
    return fail(Errc::kUnsupported,
                fmt::format("this build of libavcodec has no decoder for {}", media::name_of(input.codec)));
  }
  packet_.reset(av_packet_alloc());
  decoded_.reset(av_frame_alloc());
  decoder_.reset(avcodec_alloc_context3(codec));
  CHECK(packet_ && decoded_ && decoder_);
  decoder_->sample_rate = static_cast<int>(input_rate_);
  decoder_->thread_count = 1;
  if (input.codec == Codec::kAac && !input.codec_private.empty()) {
    // The AudioSpecificConfig. libavcodec frees it.
    const size_t size = input.codec_private.size();
    decoder_->extradata = static_cast<uint8_t*>(av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE));
    CHECK(decoder_->extradata != nullptr);
    std::memcpy(decoder_->extradata, input.codec_private.data(), size);
    decoder_->extradata_size = static_cast<int>(size);
  }
  av_channel_layout_default(&decoder_->ch_layout, static_cast<int>(channels_));
  if (const int error = avcodec_open2(decoder_.get(), codec, nullptr); error < 0) {
    return fail_av("open the sound decoder", error);
  }
  return {};
}

Status AudioTranscoder::open_resampler(AVSampleFormat format) {
  AVChannelLayout layout{};
  av_channel_layout_default(&layout, static_cast<int>(channels_));
  SwrContext* resampler = nullptr;
  int error =
      swr_alloc_set_opts2(&resampler, &layout, AV_SAMPLE_FMT_FLTP, static_cast<int>(config()->sample_rate),
                          &layout, format, static_cast<int>(input_rate_), 0, nullptr);
  resampler_.reset(resampler);
  if (error >= 0) error = swr_init(resampler);
  if (error < 0) return fail_av("open the resampler", error);
  format_ = format;
  return {};
}

void AudioTranscoder::push(const media::Frame& frame, const Output& output) {
  arrival_ = frame.arrival;
  const int64_t rate = input_rate_;
  const int64_t pts = av_rescale(frame.pts, rate, clock_rate_);
  const int64_t step = input_end_ ? pts - *input_end_ : 0;
  to_skip_ = 0;
  if (!input_end_ || step > rate || step < -rate) {
    if (input_end_) {
      drain_resampler(output);
      fill_up(output);
      swr_init(resampler_.get());
      avcodec_flush_buffers(decoder_.get());
    }
    input_end_ = pts;
    output_position_ = av_rescale(pts, config()->sample_rate, rate);
  } else if (step * 1000 >= kMillisecondsOfJitter * rate) {
    put_silence(step, output);
  } else if (step * 1000 <= -kMillisecondsOfJitter * rate || (overlapping_ && step < 0)) {
    to_skip_ = -step;
  }
  overlapping_ = to_skip_ > 0;
  // What is lost here leaves a hole before the next frame, which silence fills.
  if (!decode(frame, output)) ++frames_failed_;
}

Status AudioTranscoder::decode(const media::Frame& frame, const Output& output) {
  const base::ByteView data = frame.data();
  if (const int error = av_new_packet(packet_.get(), static_cast<int>(data.size())); error < 0) {
    return fail_av("sound packet", error);
  }
  std::memcpy(packet_->data, data.data(), data.size());
  const int sent = avcodec_send_packet(decoder_.get(), packet_.get());
  av_packet_unref(packet_.get());
  if (sent < 0) return fail_av("decode sound", sent);
  while (true) {
    const int error = avcodec_receive_frame(decoder_.get(), decoded_.get());
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return {};
    if (error < 0) return fail_av("decode sound", error);
    if (decoded_->sample_rate != static_cast<int>(input_rate_) || decoded_->format != format_ ||
        decoded_->ch_layout.nb_channels != static_cast<int>(channels_)) {
      return fail(Errc::kUnsupported, "the sound changed its rate or channels without notice");
    }
    const auto skip = static_cast<int>(std::min<int64_t>(to_skip_, decoded_->nb_samples));
    to_skip_ -= skip;
    const int taken = decoded_->nb_samples - skip;
    const bool planar = av_sample_fmt_is_planar(format_) != 0;
    const int step = av_get_bytes_per_sample(format_) * (planar ? 1 : static_cast<int>(channels_));
    std::array<const uint8_t*, kMaxChannels> planes{};
    for (size_t i = 0; i < (planar ? channels_ : 1); ++i)
      planes[i] = decoded_->extended_data[i] + skip * step;
    if (taken > 0) resample(planes.data(), taken, output);
    *input_end_ += taken;
  }
}

void AudioTranscoder::put_silence(int64_t samples, const Output& output) {
  constexpr int64_t kChunk = 1024;
  // Zero bytes are silence in every format that the decoders give.
  static constexpr std::array<uint8_t, kChunk * kMaxChannels * sizeof(float)> kZeros{};
  const std::array<const uint8_t*, kMaxChannels> planes{kZeros.data(), kZeros.data()};
  *input_end_ += samples;
  for (; samples > 0; samples -= kChunk) {
    resample(planes.data(), static_cast<int>(std::min(samples, kChunk)), output);
  }
}

// Null planes: what the resampler still holds.
void AudioTranscoder::resample(const uint8_t* const* planes, int samples, const Output& output) {
  const int room = swr_get_out_samples(resampler_.get(), samples);
  if (room <= 0) return;
  const auto stride = static_cast<size_t>(room);
  if (resampled_.size() < stride * channels_) resampled_.resize(stride * channels_);
  std::array<uint8_t*, kMaxChannels> out{};
  for (size_t i = 0; i < channels_; ++i) out[i] = reinterpret_cast<uint8_t*>(resampled_.data() + i * stride);
  // libswresample of FFmpeg 5 lacks a const.
  auto** in = const_cast<const uint8_t**>(planes);
  const int made = swr_convert(resampler_.get(), out.data(), room, in, samples);
  if (made > 0) collect(resampled_, stride, static_cast<size_t>(made), output);
}

void AudioTranscoder::drain_resampler(const Output& output) {
  resample(nullptr, 0, output);
}

void AudioTranscoder::collect(const std::vector<float>& planar, size_t stride, size_t samples,
                              const Output& output) {
  const size_t frame = encoder_->samples_per_frame();
  for (size_t at = 0; at < samples;) {
    const size_t count = std::min(samples - at, frame - collected_samples_);
    for (size_t i = 0; i < channels_; ++i) {
      std::memcpy(collected_.data() + i * frame + collected_samples_, planar.data() + i * stride + at,
                  count * sizeof(float));
    }
    at += count;
    collected_samples_ += count;
    if (collected_samples_ < frame) return;
    if (!encoder_->encode(collected_, output_position_, arrival_, output)) ++frames_failed_;
    output_position_ += static_cast<int64_t>(frame);
    collected_samples_ = 0;
  }
}

void AudioTranscoder::fill_up(const Output& output) {
  if (collected_samples_ == 0) return;
  const size_t missing = encoder_->samples_per_frame() - collected_samples_;
  const std::vector<float> zeros(missing * channels_);
  collect(zeros, missing, missing, output);
}

void AudioTranscoder::flush(const Output& output) {
  drain_resampler(output);
  fill_up(output);
  if (!encoder_->flush(output)) ++frames_failed_;
}

}  // namespace miharu::stream
