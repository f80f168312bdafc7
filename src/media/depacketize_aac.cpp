// AAC over RTP (RFC 3640, modes AAC-hbr and AAC-lbr) to raw frames.
#include <algorithm>
#include <optional>
#include <string>

#include "base/text.h"
#include "media/aac.h"
#include "media/depacketize.h"

namespace miharu::media {
namespace {

using base::BitReader;
using base::ByteView;
using base::Errc;
using base::Error;

// 6144 bits a channel (ISO/IEC 14496-3 4.5.3.2), 48 channels.
constexpr size_t kMaxFrameBytes = 48 * 768;
constexpr unsigned kMaxUnitsAPacket = 512;

struct Lengths {  // of the fields of an AU header in bits, RFC 3640 section 4.1
  unsigned size = 13;
  unsigned index = 3;
  unsigned index_delta = 3;
  unsigned cts_delta = 0;
  unsigned dts_delta = 0;
  unsigned stream_state = 0;
  unsigned auxiliary_size = 0;
  bool random_access = false;
};

Lengths lengths_of(const SdpFormat& format) {
  Lengths out;
  const auto& parameters = format.parameters;
  const auto mode = parameters.find("mode");
  if (mode != parameters.end() && base::equals_ignoring_case(mode->second, "AAC-lbr"))
    out = {6, 2, 2, 0, 0, 0, 0, false};
  const auto take = [&parameters](std::string_view key, unsigned& value, unsigned limit) {
    const auto found = parameters.find(std::string(key));
    if (found == parameters.end()) return;
    const auto number = base::parse_number<unsigned>(found->second);
    if (number && *number <= limit) value = *number;
  };
  unsigned random_access = 0;
  take("sizelength", out.size, 32);
  take("indexlength", out.index, 32);
  take("indexdeltalength", out.index_delta, 32);
  take("ctsdeltalength", out.cts_delta, 32);
  take("dtsdeltalength", out.dts_delta, 32);
  take("streamstateindication", out.stream_state, 32);
  take("auxiliarydatasizelength", out.auxiliary_size, 32);
  take("randomaccessindication", random_access, 1);
  out.random_access = random_access != 0;
  if (out.size == 0) out.size = 13;
  return out;
}

class AacDepacketizer final : public Depacketizer {
 public:
  AacDepacketizer(const SdpFormat& format, FrameSink& sink)
      : sink_(sink), clock_rate_(format.clock_rate), lengths_(lengths_of(format)) {
    const auto config = format.parameters.find("config");
    if (config == format.parameters.end()) return;
    const auto bytes = base::from_hex(config->second);
    if (!bytes || !use_config(*bytes)) sink_.on_oddity("S9");
  }

  void push(const Input& input) override;
  void flush() override { end_fragments(true); }
  void reset() override {
    builder_.clear();
    collecting_ = false;
    last_time_.reset();
  }

 private:
  bool use_config(ByteView bytes);
  void push_adts(ByteView payload, const Input& input);
  void push_units(const Input& input, ByteView headers, size_t header_bits, ByteView data);
  void begin_fragments(const Input& input, size_t announced, ByteView data);
  // Gives out the frame that was collected; `whole`: nothing says that a part of it lacks.
  void end_fragments(bool whole);
  void emit(ByteView unit, int64_t time, base::SteadyTime arrival);
  void emit_raw(int64_t time, base::SteadyTime arrival);
  void drop(std::string text) {
    sink_.on_oddity("C12");
    sink_.on_drop(Error{Errc::kMalformed, std::move(text), -1});
  }
  [[nodiscard]] int64_t unit_ticks() const {
    return config_ ? int64_t{samples_per_frame_} * clock_rate_ / config_->sample_rate : aac::kSamplesPerFrame;
  }

  FrameSink& sink_;
  uint32_t clock_rate_;
  Lengths lengths_;
  TrackConfigPtr config_;
  uint32_t samples_per_frame_ = aac::kSamplesPerFrame;
  FrameBuilder builder_;
  std::optional<int64_t> last_time_;

  // A frame in several packets lies in builder_.
  bool collecting_ = false;
  bool marker_missing_ = false;  // this sender does not set the marker on whole frames
  int64_t collecting_time_ = 0;
  base::SteadyTime collecting_arrival_{};
  size_t announced_ = 0;
};

bool AacDepacketizer::use_config(ByteView bytes) {
  const auto parsed = aac::parse_config(bytes);
  auto made = aac::make_track_config(bytes);
  if (!made) {
    sink_.on_drop(made.error());
    return false;
  }
  TrackConfig config = **made;
  config.clock_rate = clock_rate_;
  config_ = std::make_shared<const TrackConfig>(std::move(config));
  samples_per_frame_ = parsed->samples_per_frame;
  return true;
}

void AacDepacketizer::push(const Input& input) {
  const ByteView payload = input.packet.payload;
  if (collecting_ && (input.lost_before || input.timestamp != collecting_time_)) {
    if (!input.lost_before) marker_missing_ = true;
    end_fragments(!input.lost_before);
  }
  if (payload.size() < 2) return drop("AAC packet is shorter than its header");
  if (aac::looks_like_adts(payload)) return push_adts(payload, input);

  base::ByteReader in(payload);
  const size_t header_bits = in.u16();
  const ByteView headers = in.bytes((header_bits + 7) / 8);
  ByteView data = in.rest();
  if (!in.ok() || header_bits < lengths_.size) return drop("AAC packet has no valid AU headers");
  if (lengths_.auxiliary_size > 0) {
    BitReader bits(data);
    const uint32_t auxiliary = bits.bits(lengths_.auxiliary_size);
    const size_t bytes = (size_t{lengths_.auxiliary_size} + auxiliary + 7) / 8;
    if (!bits.ok() || bytes > data.size()) return drop("AAC packet has an invalid auxiliary section");
    data = data.subspan(bytes);
  }
  push_units(input, headers, header_bits, data);
}

// Quirk C12: frames with their ADTS headers directly in the payload.
void AacDepacketizer::push_adts(ByteView payload, const Input& input) {
  sink_.on_oddity("C12");
  int64_t time = input.timestamp;
  while (!payload.empty()) {
    const auto frame = aac::parse_adts(payload);
    if (!frame) return sink_.on_drop(frame.error());
    emit(payload.first(frame->size_bytes), time, input.arrival);
    payload = payload.subspan(frame->size_bytes);
    time += unit_ticks();
  }
}

void AacDepacketizer::push_units(const Input& input, ByteView headers, size_t header_bits, ByteView data) {
  BitReader in(headers);
  int64_t time = input.timestamp;
  const size_t least_bits = lengths_.size + std::min(lengths_.index, lengths_.index_delta);
  for (unsigned i = 0; i < kMaxUnitsAPacket && in.position_bits() + least_bits <= header_bits; ++i) {
    const size_t size = in.bits(lengths_.size);
    const uint32_t index = in.bits(i == 0 ? lengths_.index : lengths_.index_delta);
    if (lengths_.cts_delta > 0 && in.bit()) in.skip(lengths_.cts_delta);
    if (lengths_.dts_delta > 0 && in.bit()) in.skip(lengths_.dts_delta);
    if (lengths_.random_access) in.skip(1);
    in.skip(lengths_.stream_state);
    if (!in.ok()) return drop("AAC packet has AU headers that are cut off");
    // Interleaving: a delta above 0 leaves room for frames of other packets.
    if (i > 0) time += unit_ticks() * (1 + std::min<int64_t>(index, 64));

    if (i == 0 && in.position_bits() + least_bits > header_bits) {
      // The only unit of the packet: perhaps a part of one. The size is that of the whole (RFC 3640 3.2.3.2)
      // or, with some senders, that of the part.
      const bool part = collecting_ || (!input.packet.marker && (size > data.size() || !marker_missing_));
      if (part) return begin_fragments(input, size, data);
    }
    if (size > data.size()) return drop("AAC packet holds less than its AU headers say");
    emit(data.first(size), time, input.arrival);
    data = data.subspan(size);
  }
  if (!data.empty()) sink_.on_oddity("C12");
}

void AacDepacketizer::begin_fragments(const Input& input, size_t announced, ByteView data) {
  if (!collecting_) {
    collecting_ = true;
    collecting_time_ = input.timestamp;
    announced_ = announced;
    builder_.clear();
  }
  collecting_arrival_ = input.arrival;
  // A size below what is there: the rest is padding.
  data = data.first(std::min(data.size(), announced));
  if (builder_.size() + data.size() > kMaxFrameBytes) {
    end_fragments(false);
    return;
  }
  builder_.append(data);
  if (input.packet.marker) end_fragments(true);
}

void AacDepacketizer::end_fragments(bool whole) {
  if (!collecting_) return;
  collecting_ = false;
  if (!whole || builder_.size() < announced_) {
    builder_.clear();
    return drop("AAC frame in several packets is not whole");
  }
  emit_raw(collecting_time_, collecting_arrival_);
}

void AacDepacketizer::emit(ByteView unit, int64_t time, base::SteadyTime arrival) {
  if (unit.empty()) return;
  builder_.clear();
  builder_.append(unit);
  emit_raw(time, arrival);
}

void AacDepacketizer::emit_raw(int64_t time, base::SteadyTime arrival) {
  // A raw frame cannot begin with the sync word: that would be an end element before anything else.
  if (const ByteView unit = builder_.data(); aac::looks_like_adts(unit)) {
    const auto frame = aac::parse_adts(unit);
    if (!frame) {
      builder_.clear();
      return sink_.on_drop(frame.error());
    }
    if (!config_ && frame->config.channels != 0) use_config(aac::write_config(frame->config));
    const base::ByteVector payload(frame->payload.begin(), frame->payload.end());
    builder_.clear();
    builder_.append(payload);
    sink_.on_oddity("C12");
  }
  if (!config_ || builder_.empty()) {
    builder_.clear();
    return sink_.on_drop(
        Error{Errc::kMalformed, "AAC frame, but neither the SDP nor an ADTS header describes it", -1});
  }
  if (last_time_ && time <= *last_time_) time = *last_time_ + 1;
  last_time_ = time;
  sink_.on_frame(builder_.finish({config_, time, time, arrival, true, false}));
}

}  // namespace

std::unique_ptr<Depacketizer> make_aac_depacketizer(const SdpFormat& format, FrameSink& sink) {
  return std::make_unique<AacDepacketizer>(format, sink);
}

}  // namespace miharu::media
