// H.264 over RTP (RFC 6184) to access units.
#include <optional>
#include <string>
#include <utility>

#include "media/depacketize.h"
#include "media/h264_dts.h"
#include "media/h264_packets.h"

namespace miharu::media {
namespace {

using base::ByteView;
using base::Errc;
using base::Error;
using h264::NalType;

constexpr size_t kMaxUnitBytes = 8U << 20;  // quirk C14

class H264Depacketizer final : public Depacketizer, private h264::NalHandler {
 public:
  H264Depacketizer(const SdpFormat& format, FrameSink& sink)
      : clock_rate_(format.clock_rate), sink_(sink), assembler_(builder_, *this) {
    const auto sprop = format.parameters.find("sprop-parameter-sets");
    if (sprop == format.parameters.end()) return;
    const h264::SpropSets sets = h264::parse_sprop(sprop->second);
    if (sets.repaired) sink_.on_oddity("S6");
    for (const auto& sps : sets.sps) sets_.add(sps);
    for (const auto& pps : sets.pps) sets_.add(pps);
  }

  void push(const Input& input) override;
  void flush() override;
  void reset() override {
    discard_unit();
    dts_.reset();
    wait_for_key_ = true;
    missing_before_ = false;
    marked_unit_.reset();
  }

 private:
  // What is known of the access unit in progress.
  struct Unit {
    bool open = false;
    int64_t timestamp = 0;
    base::SteadyTime arrival{};
    bool start_in_doubt = false;  // packets were lost just before it
    bool marker = false;
    bool damaged = false;
    bool overflow = false;
    bool leftover = false;  // the rest of a unit that has been given out
    bool key = false;
    bool idr = false;
    bool reference = false;
    uint32_t slices = 0;
    h264::SliceHeader first_slice;
    bool header_complete = false;  // first_slice has the picture order count
    bool both_fields = false;
  };

  bool on_nal(ByteView nal) override;
  void on_damage(Error reason) override {
    unit_.damaged = true;
    sink_.on_drop(std::move(reason));
  }
  void on_oddity(std::string_view quirk_id) override { sink_.on_oddity(quirk_id); }

  void on_slice(ByteView nal, NalType type);
  [[nodiscard]] bool marker_ends_unit();
  void end_unit();
  void emit_unit();
  // What is missing before the first key frame would not have been recorded.
  void miss() { missing_before_ = missing_before_ || !wait_for_key_; }
  void discard_unit() {
    builder_.clear();
    assembler_.reset();
    unit_ = Unit{};
  }

  uint32_t clock_rate_;
  FrameSink& sink_;
  FrameBuilder builder_;
  h264::NalAssembler assembler_;
  h264::ParameterSets sets_;
  h264::DtsExtractor dts_;
  TrackConfigPtr config_;
  Unit unit_;
  bool wait_for_key_ = true;
  bool missing_before_ = false;  // whole units were lost or given up since the last frame
  // Markers are believed once a unit has shown that its only marker was at its end (P6): until then, and
  // where they lie, a unit ends when the timestamp changes.
  enum class Markers : uint8_t { kUnknown, kGood, kBad } markers_ = Markers::kUnknown;
  std::optional<int64_t> marked_unit_;  // timestamp of the last unit that was ended by its marker
};

void H264Depacketizer::push(const Input& input) {
  // What lacks is the end of the unit in progress, if its marker has not come.
  const bool tail_lost = unit_.open && input.lost_before && !unit_.marker;
  if (unit_.open && unit_.timestamp != input.timestamp) {
    if (tail_lost) unit_.damaged = true;
    if (markers_ == Markers::kUnknown && unit_.marker && unit_.slices > 0) markers_ = Markers::kGood;
    end_unit();
  } else if (unit_.open && input.lost_before) {
    assembler_.drop_fragment();
    unit_.damaged = true;
  }
  if (!unit_.open) {
    unit_.open = true;
    unit_.timestamp = input.timestamp;
    unit_.start_in_doubt = input.lost_before || input.new_sequence;
    if (input.lost_before && !tail_lost) miss();
  }
  unit_.arrival = input.arrival;
  if (unit_.marker && unit_.slices > 0) {
    // More of a unit after the packet that claimed to be its last one.
    if (markers_ != Markers::kBad) sink_.on_oddity("P6");
    markers_ = Markers::kBad;
    unit_.marker = false;
  }
  if (unit_.overflow) return;
  if (builder_.size() + input.packet.payload.size() + 64 > kMaxUnitBytes) {
    unit_.overflow = true;
    sink_.on_oddity("C14");
    return;
  }
  assembler_.push(input.packet.payload);
  if (input.packet.marker) {
    if (assembler_.in_fragment()) return sink_.on_oddity("P6");
    unit_.marker = true;
    if (marker_ends_unit()) {
      const int64_t timestamp = unit_.timestamp;
      end_unit();
      marked_unit_ = timestamp;
    }
  }
}

void H264Depacketizer::flush() {
  const bool cut = assembler_.in_fragment() || (markers_ == Markers::kGood && !unit_.marker);
  if (!unit_.open || !cut) return end_unit();
  discard_unit();
  miss();
  sink_.on_drop(Error{Errc::kTruncated, "access unit lost: its end has not come", -1});
}

bool H264Depacketizer::marker_ends_unit() {
  if (unit_.slices == 0) {
    // After parameter sets and SEI alone.
    if (!builder_.empty()) sink_.on_oddity("P6");
    return false;
  }
  if (markers_ != Markers::kGood) return false;
  // Two fields in packets of one timestamp make one frame; the marker may be at the end of each.
  return !unit_.header_complete || !unit_.first_slice.field || unit_.both_fields;
}

bool H264Depacketizer::on_nal(ByteView nal) {
  const NalType type = h264::nal_type(nal);
  switch (type) {
    case NalType::kSps:
    case NalType::kPps:
      if (sets_.add(nal) == h264::ParameterSets::Change::kNoise) sink_.on_oddity("C6");
      return false;
    case NalType::kSei:
      if (h264::has_recovery_point(nal)) unit_.key = true;
      return true;
    case NalType::kSlice:
    case NalType::kPartitionA:
    case NalType::kIdr:
      on_slice(nal, type);
      return true;
    case NalType::kPartitionB:
    case NalType::kPartitionC:
      return true;
    case NalType::kAud:
    case NalType::kEndOfSequence:
    case NalType::kEndOfStream:
    case NalType::kFiller:
      return false;
    default:
      sink_.on_oddity("C7");
      return false;
  }
}

void H264Depacketizer::on_slice(ByteView nal, NalType type) {
  if (type == NalType::kIdr) {
    unit_.key = true;
    unit_.idr = true;
  }
  auto slice = h264::parse_slice_start(nal);
  if (!slice) {
    unit_.damaged = true;
    return sink_.on_drop(std::move(slice.error()));
  }
  ++unit_.slices;
  const h264::Sps* sps = sets_.sps_of(slice->pps_id);
  if (unit_.slices > 1) {
    if (unit_.header_complete && unit_.first_slice.field && sps != nullptr && !unit_.both_fields) {
      const auto full = h264::parse_slice_header(nal, *sps, *sets_.pps(slice->pps_id));
      unit_.both_fields = full && full->bottom_field != unit_.first_slice.bottom_field;
    }
    return;
  }
  unit_.reference = (std::to_integer<uint8_t>(nal[0]) & 0x60) != 0;
  if (slice->first_mb != 0) {
    if (unit_.start_in_doubt) unit_.damaged = true;
    if (marked_unit_ == unit_.timestamp && markers_ == Markers::kGood) {
      // The unit was cut at a marker that was not at its end: the rest cannot be put back.
      markers_ = Markers::kBad;
      unit_.leftover = true;
      sink_.on_oddity("P6");
    }
  }
  unit_.first_slice = *slice;
  if (sps != nullptr) {
    if (const auto full = h264::parse_slice_header(nal, *sps, *sets_.pps(slice->pps_id))) {
      unit_.first_slice = *full;
      unit_.header_complete = true;
    }
  }
}

void H264Depacketizer::end_unit() {
  if (!unit_.open) return;
  assembler_.drop_fragment();
  emit_unit();
  discard_unit();
}

void H264Depacketizer::emit_unit() {
  if (unit_.overflow) {
    wait_for_key_ = true;
    missing_before_ = true;
    return sink_.on_drop(
        Error{Errc::kLimit, "access unit is larger than 8 MiB; waiting for the next key frame", -1});
  }
  if (unit_.slices == 0) {
    // Parameter sets and SEI under a timestamp of their own are no picture.
    if (!unit_.damaged) return;
    miss();
    return sink_.on_drop(Error{Errc::kTruncated, "access unit lost: none of its slices is whole", -1});
  }
  if (unit_.leftover) {
    miss();
    return sink_.on_drop(Error{Errc::kMalformed, "slices behind the marker of their picture", -1});
  }
  if (wait_for_key_ && !unit_.key) {
    return sink_.on_drop(Error{Errc::kTruncated, "picture before the first key frame", -1});
  }
  if (unit_.key) {
    const TrackConfigPtr config = sets_.config(unit_.first_slice.pps_id, clock_rate_);
    if (!config && !config_) {
      return sink_.on_drop(
          Error{Errc::kMalformed, "key frame, but the camera has not sent its SPS and PPS yet", -1});
    }
    if (config) config_ = config;
  }
  h264::DtsExtractor::Times times;
  const h264::Sps* sps = sets_.sps_of(unit_.first_slice.pps_id);
  if (unit_.header_complete && sps != nullptr) {
    const auto extracted =
        dts_.extract({unit_.first_slice, unit_.idr, unit_.reference}, *sps, unit_.timestamp);
    if (!extracted) {
      sink_.on_oddity("C10");
      miss();
      return sink_.on_drop(extracted.error());
    }
    times = *extracted;
  } else {
    times = dts_.without_order(unit_.timestamp);
  }
  if (times.nudged) sink_.on_oddity("C10");
  wait_for_key_ = false;
  const bool damaged = std::exchange(missing_before_, false) || unit_.damaged;
  sink_.on_frame(builder_.finish({config_, times.pts, times.dts, unit_.arrival, unit_.key, damaged}));
}

}  // namespace

std::unique_ptr<Depacketizer> make_h264_depacketizer(const SdpFormat& format, FrameSink& sink) {
  return std::make_unique<H264Depacketizer>(format, sink);
}

}  // namespace miharu::media
