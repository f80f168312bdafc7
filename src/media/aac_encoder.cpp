#include "media/aac_encoder.h"

#include <cstring>

#include <fmt/format.h>

extern "C" {
#include <libavutil/channel_layout.h>
}

#include "base/check.h"
#include "media/aac.h"

namespace miharu::media {
namespace {

base::Status set_layout(AVChannelLayout& layout, uint32_t channels) {
  static constexpr uint64_t kMasks[] = {AV_CH_LAYOUT_MONO,         AV_CH_LAYOUT_STEREO,
                                        AV_CH_LAYOUT_SURROUND,     AV_CH_LAYOUT_4POINT0,
                                        AV_CH_LAYOUT_5POINT0_BACK, AV_CH_LAYOUT_5POINT1_BACK};
  if (channels < 1 || channels > std::size(kMasks)) {
    return base::fail(base::Errc::kUnsupported,
                      fmt::format("AAC with {} channels cannot be made, 1 to 6 can", channels));
  }
  if (const int error = av_channel_layout_from_mask(&layout, kMasks[channels - 1]); error < 0) {
    return fail_av("AAC channel layout", error);
  }
  return {};
}

}  // namespace

base::Result<std::unique_ptr<AacEncoder>> AacEncoder::make(uint32_t sample_rate, uint32_t channels,
                                                           uint32_t bits_per_second) {
  silence_av_log();
  // Rates that AAC has no index for are refused here, with an error that says so.
  const auto specific = aac::make_config(sample_rate, channels);
  if (!specific) return tl::unexpected(specific.error());
  auto track = aac::make_track_config(aac::write_config(*specific));
  if (!track) return tl::unexpected(track.error());

  const AVCodec* codec = avcodec_find_encoder(AV_CODEC_ID_AAC);
  if (codec == nullptr) {
    return base::fail(base::Errc::kUnsupported,
                      "this build of libavcodec has no AAC encoder, sound cannot be encoded");
  }
  std::unique_ptr<AacEncoder> encoder(new AacEncoder);
  encoder->config_ = std::move(*track);
  encoder->context_.reset(avcodec_alloc_context3(codec));
  encoder->input_.reset(av_frame_alloc());
  encoder->packet_.reset(av_packet_alloc());
  CHECK(encoder->context_ && encoder->input_ && encoder->packet_);

  AVCodecContext& context = *encoder->context_;
  if (const auto status = set_layout(context.ch_layout, channels); !status)
    return tl::unexpected(status.error());
  context.sample_rate = static_cast<int>(sample_rate);
  context.time_base = {1, static_cast<int>(sample_rate)};
  context.sample_fmt = AV_SAMPLE_FMT_FLTP;
  context.bit_rate = bits_per_second;
  context.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
  context.thread_count = 1;
  if (const int error = avcodec_open2(&context, codec, nullptr); error < 0)
    return fail_av("open the AAC encoder", error);
  if (context.frame_size != static_cast<int>(kSamplesPerFrame) ||
      context.initial_padding != context.frame_size) {
    return base::fail(base::Errc::kUnsupported,
                      "the AAC encoder of libavcodec has another delay than one frame");
  }

  AVFrame& input = *encoder->input_;
  input.nb_samples = context.frame_size;
  input.format = context.sample_fmt;
  input.sample_rate = context.sample_rate;
  if (const int error = av_channel_layout_copy(&input.ch_layout, &context.ch_layout); error < 0) {
    return fail_av("AAC channel layout", error);
  }
  if (const int error = av_frame_get_buffer(&input, 0); error < 0) return fail_av("AAC input frame", error);
  return encoder;
}

base::Status AacEncoder::encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                                const Output& output) {
  CHECK(samples.size() == kSamplesPerFrame * config_->channels);
  // The encoder may still hold the last frame's buffer.
  if (const int error = av_frame_make_writable(input_.get()); error < 0)
    return fail_av("AAC input frame", error);
  for (size_t channel = 0; channel < config_->channels; ++channel) {
    std::memcpy(input_->extended_data[channel], samples.data() + channel * kSamplesPerFrame,
                kSamplesPerFrame * sizeof(float));
  }
  pending_.push_back({pts, arrival});
  input_->pts = pts;
  if (const int error = avcodec_send_frame(context_.get(), input_.get()); error < 0)
    return fail_av("encode AAC", error);
  return receive(output);
}

base::Status AacEncoder::flush(const Output& output) {
  if (const int error = avcodec_send_frame(context_.get(), nullptr); error < 0)
    return fail_av("encode AAC", error);
  return receive(output);
}

base::Status AacEncoder::receive(const Output& output) {
  while (true) {
    const int error = avcodec_receive_packet(context_.get(), packet_.get());
    if (error == AVERROR(EAGAIN) || error == AVERROR_EOF) return {};
    if (error < 0) return fail_av("encode AAC", error);
    // The first packet is the priming: it decodes to what was before the first frame.
    if (!primed_) {
      primed_ = true;
    } else if (!pending_.empty()) {
      const Pending& stamp = pending_.front();
      builder_.append(
          {reinterpret_cast<const std::byte*>(packet_->data), static_cast<size_t>(packet_->size)});
      FramePtr frame = builder_.finish({config_, stamp.pts, stamp.pts, stamp.arrival, true, false});
      pending_.pop_front();
      output(std::move(frame));
    }
    av_packet_unref(packet_.get());
  }
}

}  // namespace miharu::media
