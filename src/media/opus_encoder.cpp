#include "media/opus_encoder.h"

#include <array>

#include <fmt/format.h>
#include <opus/opus.h>

#include "base/check.h"
#include "media/opus.h"

namespace miharu::media::opus {
namespace {

// RFC 6716 section 3.4: no packet is larger.
constexpr size_t kMaxPacketBytes = 1275;

base::Error error_of(std::string_view what, int error) {
  return {base::Errc::kInternal, fmt::format("{}: {}", what, ::opus_strerror(error)), -1};
}

}  // namespace

void Encoder::Deleter::operator()(::OpusEncoder* encoder) const {
  ::opus_encoder_destroy(encoder);
}

base::Result<std::unique_ptr<Encoder>> Encoder::make(uint32_t channels, uint32_t bits_per_second) {
  if (channels < 1 || channels > 2) {
    return base::fail(base::Errc::kUnsupported,
                      fmt::format("Opus with {} channels cannot be made, 1 or 2 can", channels));
  }
  std::unique_ptr<Encoder> self(new Encoder);
  int error = OPUS_OK;
  self->encoder_.reset(::opus_encoder_create(static_cast<opus_int32>(kClockRate), static_cast<int>(channels),
                                             OPUS_APPLICATION_AUDIO, &error));
  if (error == OPUS_OK) {
    error =
        ::opus_encoder_ctl(self->encoder_.get(), OPUS_SET_BITRATE(static_cast<opus_int32>(bits_per_second)));
  }
  opus_int32 look_ahead = 0;
  if (error == OPUS_OK) error = ::opus_encoder_ctl(self->encoder_.get(), OPUS_GET_LOOKAHEAD(&look_ahead));
  if (error != OPUS_OK) return tl::unexpected(error_of("open the Opus encoder", error));
  self->look_ahead_ = look_ahead;
  self->config_ = make_track_config(static_cast<uint8_t>(channels));
  self->interleaved_.resize(kSamplesPerFrame * channels);
  return self;
}

base::Status Encoder::encode(std::span<const float> samples, int64_t pts, base::SteadyTime arrival,
                             const Output& output) {
  const size_t channels = config_->channels;
  CHECK(samples.size() == kSamplesPerFrame * channels);
  for (size_t channel = 0; channel < channels; ++channel) {
    for (size_t i = 0; i < kSamplesPerFrame; ++i)
      interleaved_[i * channels + channel] = samples[channel * kSamplesPerFrame + i];
  }
  std::array<unsigned char, kMaxPacketBytes> packet;
  const opus_int32 size = ::opus_encode_float(encoder_.get(), interleaved_.data(), kSamplesPerFrame,
                                              packet.data(), static_cast<opus_int32>(packet.size()));
  if (size < 0) return tl::unexpected(error_of("encode Opus", size));
  builder_.append({reinterpret_cast<const std::byte*>(packet.data()), static_cast<size_t>(size)});
  const int64_t start = pts - look_ahead_;
  output(builder_.finish({config_, start, start, arrival, true, false}));
  return {};
}

}  // namespace miharu::media::opus
