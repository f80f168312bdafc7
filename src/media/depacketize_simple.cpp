// G.711 (RFC 3551 4.5.14) and Opus (RFC 7587): the payload of a packet is a frame.
#include <optional>

#include "media/depacketize.h"
#include "media/opus.h"

namespace miharu::media {
namespace {

TrackConfigPtr config_of(Codec codec, const SdpFormat& format) {
  if (codec == Codec::kOpus) return opus::make_track_config(2);
  TrackConfig config;
  config.codec = codec;
  config.clock_rate = format.clock_rate;
  config.codec_string = codec == Codec::kPcmu ? "ulaw" : "alaw";
  config.sample_rate = format.clock_rate;
  config.channels = format.channels == 0 ? 1 : format.channels;
  return std::make_shared<const TrackConfig>(std::move(config));
}

class SimpleDepacketizer final : public Depacketizer {
 public:
  SimpleDepacketizer(Codec codec, const SdpFormat& format, FrameSink& sink)
      : config_(config_of(codec, format)), sink_(sink) {}

  void push(const Input& input) override {
    const base::ByteView payload = input.packet.payload;
    if (payload.empty()) return;
    if (config_->codec == Codec::kOpus) {
      if (const auto samples = opus::packet_samples(payload); !samples) return sink_.on_drop(samples.error());
    }
    int64_t time = input.timestamp;
    if (last_ && time <= *last_) time = *last_ + 1;
    last_ = time;
    builder_.append(payload);
    sink_.on_frame(builder_.finish({config_, time, time, input.arrival, true, false}));
  }
  void flush() override {}
  void reset() override { last_.reset(); }

 private:
  TrackConfigPtr config_;
  FrameSink& sink_;
  FrameBuilder builder_;
  std::optional<int64_t> last_;
};

}  // namespace

std::unique_ptr<Depacketizer> make_simple_depacketizer(Codec codec, const SdpFormat& format,
                                                       FrameSink& sink) {
  return std::make_unique<SimpleDepacketizer>(codec, format, sink);
}

}  // namespace miharu::media
