#include "stream/silence.h"

#include <vector>

#include "media/aac.h"
#include "media/aac_encoder.h"

namespace miharu::stream {

using media::AacEncoder;

base::Result<std::unique_ptr<Silence>> Silence::make(media::TrackConfigPtr aac) {
  if (aac->codec != media::Codec::kAac) {
    return base::fail(base::Errc::kUnsupported, "silence can be made for AAC only");
  }
  const auto specific = media::aac::parse_config(aac->codec_private);
  if (!specific) return tl::unexpected(base::Error(specific.error()).in("silence"));
  if (specific->object_type != 2 || specific->samples_per_frame != AacEncoder::kSamplesPerFrame) {
    return base::fail(base::Errc::kUnsupported,
                      "silence can be made for AAC-LC with frames of 1024 samples only");
  }
  constexpr uint32_t kBitsPerSecond = 32000;
  auto encoder = AacEncoder::make(specific->sample_rate, specific->channels, kBitsPerSecond);
  if (!encoder) return tl::unexpected(std::move(encoder).error().in("silence"));

  std::unique_ptr<Silence> silence(new Silence);
  silence->core_rate_ = specific->sample_rate;
  const std::vector<float> samples(AacEncoder::kSamplesPerFrame * specific->channels);
  const auto keep = [&](media::FramePtr frame) {
    silence->payload_.assign(frame->data().begin(), frame->data().end());
  };
  // The first frames out of the encoder still adapt its bit reservoir.
  constexpr int kSettled = 6;
  for (int i = 0; i < kSettled; ++i) {
    if (const auto status = (*encoder)->encode(samples, 0, {}, keep); !status)
      return tl::unexpected(status.error());
  }
  if (silence->payload_.empty()) return base::fail(base::Errc::kInternal, "the AAC encoder made no silence");
  silence->config_ = std::move(aac);
  return silence;
}

media::FramePtr Silence::frame(int64_t pts, base::SteadyTime arrival) {
  builder_.append(payload_);
  return builder_.finish({config_, pts, pts, arrival, true, false});
}

int64_t Silence::fill(int64_t from, int64_t to, base::SteadyTime arrival,
                      const std::function<void(media::FramePtr)>& output) {
  const int64_t ticks_per_frames = int64_t{AacEncoder::kSamplesPerFrame} * config_->clock_rate;
  int64_t count = 0;
  const auto pts_of = [&](int64_t index) { return from + index * ticks_per_frames / core_rate_; };
  for (; pts_of(count + 1) <= to; ++count) output(frame(pts_of(count), arrival));
  return pts_of(count);
}

}  // namespace miharu::stream
