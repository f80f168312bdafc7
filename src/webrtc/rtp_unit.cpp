#include "webrtc/rtp_unit.h"

#include <algorithm>

#include "media/h264.h"

namespace miharu::webrtc {
namespace {

using base::ByteView;
using base::ByteWriter;
using media::h264::NalType;

void end_packet(RtpUnit& unit) {
  unit.ends.push_back(static_cast<uint32_t>(unit.bytes.size()));
}

// RFC 6184 5.6, 5.8.
void add_nal(RtpUnit& unit, ByteView nal) {
  ByteWriter out(unit.bytes);
  if (nal.size() <= kMaxPayloadBytes) {
    out.bytes(nal);
    end_packet(unit);
    return;
  }
  constexpr size_t kRoom = kMaxPayloadBytes - 2;
  const auto header = std::to_integer<unsigned>(nal[0]);
  ByteView rest = nal.subspan(1);
  const size_t fragments = (rest.size() + kRoom - 1) / kRoom;
  const size_t size = (rest.size() + fragments - 1) / fragments;
  unsigned start = 0x80;
  while (!rest.empty()) {
    const ByteView piece = rest.first(std::min(size, rest.size()));
    rest = rest.subspan(piece.size());
    out.u8((header & 0xe0U) | static_cast<unsigned>(NalType::kFuA));
    out.u8(start | (rest.empty() ? 0x40U : 0U) | (header & 0x1fU));
    out.bytes(piece);
    end_packet(unit);
    start = 0;
  }
}

// RFC 6184 5.7.1; one by one where they do not fit into a packet.
void add_parameter_sets(RtpUnit& unit, const media::TrackConfig& config) {
  const auto avcc = media::h264::parse_avcc(config.codec_private);
  if (!avcc) return;
  std::vector<ByteView> sets = avcc->sps;
  sets.insert(sets.end(), avcc->pps.begin(), avcc->pps.end());
  size_t together = 1;
  unsigned importance = 0;
  for (const ByteView set : sets) {
    together += 2 + set.size();
    if (!set.empty()) importance = std::max(importance, std::to_integer<unsigned>(set[0]) & 0x60U);
  }
  if (together > kMaxPayloadBytes) {
    for (const ByteView set : sets) add_nal(unit, set);
    return;
  }
  ByteWriter out(unit.bytes);
  out.u8(importance | static_cast<unsigned>(NalType::kStapA));
  for (const ByteView set : sets) {
    out.u16(set.size());
    out.bytes(set);
  }
  end_packet(unit);
}

bool is_sent(NalType type) {
  switch (type) {
    case NalType::kSei:
    case NalType::kSps:
    case NalType::kPps:
    case NalType::kAud:
    case NalType::kEndOfSequence:
    case NalType::kEndOfStream:
    case NalType::kFiller:
    case NalType::kSpsExtension:
      return false;
    default:
      return type < NalType::kStapA;
  }
}

}  // namespace

int64_t to_ticks(base::SteadyTime time, uint32_t clock_rate) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t ns = time.time_since_epoch().count();
  return ns / kSecond * clock_rate + ns % kSecond * clock_rate / kSecond;
}

UnitPtr packetize_h264(const media::Frame& frame, base::SteadyTime time) {
  auto unit = std::make_shared<RtpUnit>();
  unit->track = media::TrackKind::kVideo;
  unit->key = frame.key;
  unit->time = time;
  unit->ticks = to_ticks(time, kVideoClockRate);
  const size_t packets = frame.data().size() / (kMaxPayloadBytes - 2) + 8;
  unit->bytes.reserve(frame.data().size() + 2 * packets +
                      (frame.key ? frame.config->codec_private.size() : 0));
  unit->ends.reserve(packets);
  if (frame.key) add_parameter_sets(*unit, *frame.config);
  const size_t before = unit->packets();
  base::ByteReader in(frame.data());
  while (!in.empty()) {
    const ByteView nal = in.bytes(in.u32());
    if (!in.ok()) break;
    if (!nal.empty() && is_sent(media::h264::nal_type(nal))) add_nal(*unit, nal);
  }
  if (unit->packets() == before) return nullptr;
  return unit;
}

UnitPtr packetize_audio(const media::Frame& frame, base::SteadyTime time, int64_t ticks) {
  if (frame.data().empty() || frame.data().size() > kMaxPayloadBytes) return nullptr;
  auto unit = std::make_shared<RtpUnit>();
  unit->track = media::TrackKind::kAudio;
  unit->key = true;
  unit->time = time;
  unit->ticks = ticks;
  ByteWriter(unit->bytes).bytes(frame.data());
  end_packet(*unit);
  return unit;
}

}  // namespace miharu::webrtc
