#include "media/h264_packets.h"

#include "media/h264.h"

namespace miharu::media::h264 {
namespace {

using base::ByteView;
using base::Errc;
using base::Error;

constexpr size_t kLengthBytes = 4;

}  // namespace

void NalAssembler::push(ByteView payload) {
  if (payload.empty()) return;
  switch (const NalType type = nal_type(payload)) {
    case NalType::kStapA:
      drop_fragment();
      push_stap(payload.subspan(1));
      return;
    case NalType::kFuA:
      push_fragment(payload);
      return;
    default:
      drop_fragment();
      if (type > NalType::kStapA) {
        // STAP-B, MTAP and FU-B belong to the interleaved mode; 30 and 31 are reserved.
        handler_.on_damage(
            Error{Errc::kUnsupported, "RTP payload of an H.264 packet type that is not supported", 0});
        return;
      }
      push_single(payload);
  }
}

void NalAssembler::push_single(ByteView nal) {
  begin_nal();
  builder_.append(nal);
  end_nal();
}

// RFC 6184 5.7.1. Some cameras pad it with zeros: a length of zero ends the list (C4).
void NalAssembler::push_stap(ByteView payload) {
  base::ByteReader in(payload);
  while (!in.empty()) {
    const uint16_t size = in.u16();
    if (in.ok() && size == 0) return handler_.on_oddity("C4");
    const ByteView nal = in.bytes(size);
    if (!in.ok()) {
      return handler_.on_damage(
          Error{Errc::kTruncated, "STAP-A packet is cut off", static_cast<int64_t>(in.position())});
    }
    push_single(nal);
  }
}

// RFC 6184 5.8: indicator |F|NRI|28|, header |S|E|R|type|.
void NalAssembler::push_fragment(ByteView payload) {
  if (payload.size() < 2) return handler_.on_oddity("C2");
  const auto indicator = std::to_integer<uint8_t>(payload[0]);
  const auto header = std::to_integer<uint8_t>(payload[1]);
  const bool start = (header & 0x80) != 0;
  const bool end = (header & 0x40) != 0;
  if (start) {
    drop_fragment();
    if (end) handler_.on_oddity("C2");
    begin_nal();
    in_fragment_ = true;
    const auto nal_header = static_cast<std::byte>((indicator & 0xe0) | (header & 0x1f));
    builder_.append(ByteView(&nal_header, 1));
  } else if (!in_fragment_) {
    return handler_.on_damage(Error{Errc::kMalformed, "fragment of a NAL unit whose start is missing", 1});
  }
  builder_.append(payload.subspan(2));
  if (end) {
    in_fragment_ = false;
    end_nal();
  }
}

void NalAssembler::drop_fragment() {
  if (!in_fragment_) return;
  in_fragment_ = false;
  builder_.truncate(nal_at_);
  handler_.on_damage(Error{Errc::kTruncated, "fragmented NAL unit has no end", -1});
}

void NalAssembler::begin_nal() {
  nal_at_ = builder_.size();
  builder_.append_u32(0);
}

void NalAssembler::end_nal() {
  const ByteView nal = builder_.data().subspan(nal_at_ + kLengthBytes);
  if (find_start_code(nal) == kNoStartCode) {
    builder_.patch_u32(nal_at_, static_cast<uint32_t>(nal.size()));
    if (nal.empty() || !handler_.on_nal(nal)) builder_.truncate(nal_at_);
    return;
  }
  handler_.on_oddity("C1");
  scratch_.assign(nal.begin(), nal.end());
  builder_.truncate(nal_at_);
  for_each_annexb_nal(scratch_, [this](ByteView part) { offer(part); });
}

void NalAssembler::offer(ByteView nal) {
  nal_at_ = builder_.size();
  builder_.append_u32(static_cast<uint32_t>(nal.size()));
  builder_.append(nal);
  if (!handler_.on_nal(builder_.data().subspan(nal_at_ + kLengthBytes))) builder_.truncate(nal_at_);
}

}  // namespace miharu::media::h264
