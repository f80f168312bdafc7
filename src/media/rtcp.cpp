#include "media/rtcp.h"

#include <algorithm>
#include <chrono>

namespace miharu::media {
namespace {

using base::ByteReader;
using base::ByteWriter;
using base::Errc;
using base::fail;

constexpr uint8_t kSenderReport = 200;
constexpr uint8_t kReceiverReport = 201;
constexpr uint8_t kSourceDescription = 202;
constexpr uint8_t kBye = 203;
constexpr uint8_t kTransportFeedback = 205;
constexpr uint8_t kPayloadFeedback = 206;
constexpr uint8_t kCname = 1;
// "FMT", where other types have a count.
constexpr unsigned kGenericNack = 1;
constexpr unsigned kPictureLoss = 1;
constexpr unsigned kFullIntraRequest = 4;

void read_report_blocks(ByteReader& in, unsigned count, uint32_t reporter, RtcpListener& listener) {
  for (unsigned i = 0; i < count; ++i) {
    RtcpReportBlock block;
    block.ssrc = in.u32();
    block.fraction_lost = in.u8();
    block.cumulative_lost = static_cast<int32_t>(in.u24() << 8) >> 8;
    block.highest_sequence = in.u32();
    block.jitter = in.u32();
    block.last_sr = in.u32();
    block.delay_since_last_sr = in.u32();
    if (!in.ok()) return;
    listener.on_report_block(reporter, block);
  }
}

// RFC 3550 6.5: chunks of an ssrc and items; a zero type ends the items, and padding goes to the next 32-bit
// boundary.
void read_source_description(ByteReader& in, unsigned chunks, RtcpListener& listener) {
  for (unsigned i = 0; i < chunks && in.ok(); ++i) {
    const uint32_t ssrc = in.u32();
    while (in.ok() && !in.empty()) {
      const uint8_t type = in.u8();
      if (type == 0) {
        if (in.position() % 4 != 0) in.skip(4 - in.position() % 4);
        break;
      }
      const base::ByteView text = in.bytes(in.u8());
      if (in.ok() && type == kCname) listener.on_cname(ssrc, base::as_text(text));
    }
  }
}

bool read_transport_feedback(ByteReader& in, unsigned format, RtcpListener& listener) {
  if (format != kGenericNack) return true;
  in.u32();  // whose it is
  const uint32_t media_ssrc = in.u32();
  while (in.ok() && !in.empty()) {
    const uint16_t first = in.u16();
    const uint16_t mask = in.u16();
    if (in.ok()) listener.on_nack(media_ssrc, first, mask);
  }
  return in.ok();
}

bool read_payload_feedback(ByteReader& in, unsigned format, RtcpListener& listener) {
  if (format != kPictureLoss && format != kFullIntraRequest) return true;
  in.u32();
  const uint32_t media_ssrc = in.u32();
  if (!in.ok()) return false;
  if (format == kPictureLoss) {
    listener.on_key_frame_request(media_ssrc);
    return true;
  }
  // RFC 5104 4.3.1.1: the header's ssrc is 0, each entry names one.
  while (in.ok() && !in.empty()) {
    const uint32_t ssrc = in.u32();
    in.u32();
    if (in.ok()) listener.on_key_frame_request(ssrc);
  }
  return in.ok();
}

bool read_body(uint8_t type, unsigned count, base::ByteView body, RtcpListener& listener) {
  ByteReader in(body);
  switch (type) {
    case kSenderReport: {
      RtcpSenderReport report;
      report.ssrc = in.u32();
      report.ntp = in.u64();
      report.rtp_timestamp = in.u32();
      report.packets = in.u32();
      report.octets = in.u32();
      if (!in.ok()) return false;
      listener.on_sender_report(report);
      read_report_blocks(in, count, report.ssrc, listener);
      break;
    }
    case kReceiverReport: {
      const uint32_t reporter = in.u32();
      if (!in.ok()) return false;
      listener.on_receiver_report(reporter);
      read_report_blocks(in, count, reporter, listener);
      break;
    }
    case kSourceDescription:
      read_source_description(in, count, listener);
      break;
    case kBye:
      for (unsigned i = 0; i < count; ++i) {
        const uint32_t ssrc = in.u32();
        if (!in.ok()) break;
        listener.on_bye(ssrc);
      }
      break;
    case kTransportFeedback:
      return read_transport_feedback(in, count, listener);
    case kPayloadFeedback:
      return read_payload_feedback(in, count, listener);
    default:
      break;
  }
  return in.ok();
}

void append_source_description(ByteWriter& writer, uint32_t ssrc, std::string_view cname) {
  cname = cname.substr(0, 255);
  // At least one zero ends the items.
  const size_t items_bytes = 2 + cname.size();
  const size_t padding = 4 - items_bytes % 4;
  writer.u8(0x81);
  writer.u8(kSourceDescription);
  writer.u16(1 + (items_bytes + padding) / 4);
  writer.u32(ssrc);
  writer.u8(kCname);
  writer.u8(cname.size());
  writer.text(cname);
  writer.zeros(padding);
}

}  // namespace

base::Status parse_rtcp(base::ByteView bytes, RtcpListener& listener) {
  ByteReader in(bytes);
  if (in.empty()) return fail(Errc::kTruncated, "RTCP packet is empty", 0);
  while (!in.empty()) {
    const auto at = static_cast<int64_t>(in.position());
    const uint8_t first = in.u8();
    const uint8_t type = in.u8();
    base::ByteView body = in.bytes(size_t{4} * in.u16());
    if (!in.ok()) return fail(Errc::kTruncated, "RTCP packet is shorter than its length field says", at);
    if (first >> 6 != 2) return fail(Errc::kMalformed, "RTCP version is not 2", at);
    if ((first & 0x20) != 0) {
      const size_t padding = body.empty() ? 0 : std::to_integer<size_t>(body.back());
      if (padding == 0 || padding > body.size())
        return fail(Errc::kMalformed, "RTCP padding is too long", at);
      body = body.first(body.size() - padding);
    }
    if (!read_body(type, first & 0x1f, body, listener)) {
      return fail(Errc::kTruncated, "RTCP packet is shorter than what it must hold", at);
    }
  }
  return {};
}

void append_receiver_report(base::ByteVector& out, uint32_t own_ssrc, std::span<const RtcpReportBlock> blocks,
                            std::string_view cname) {
  ByteWriter writer(out);
  blocks = blocks.first(std::min<size_t>(blocks.size(), 31));
  writer.u8(0x80 | blocks.size());
  writer.u8(kReceiverReport);
  writer.u16(1 + 6 * blocks.size());
  writer.u32(own_ssrc);
  for (const RtcpReportBlock& block : blocks) {
    writer.u32(block.ssrc);
    writer.u8(block.fraction_lost);
    writer.u24(static_cast<uint32_t>(block.cumulative_lost) & 0xffffff);
    writer.u32(block.highest_sequence);
    writer.u32(block.jitter);
    writer.u32(block.last_sr);
    writer.u32(block.delay_since_last_sr);
  }
  append_source_description(writer, own_ssrc, cname);
}

void append_sender_report(base::ByteVector& out, const RtcpSenderReport& report, std::string_view cname) {
  ByteWriter writer(out);
  writer.u8(0x80);
  writer.u8(kSenderReport);
  writer.u16(6);
  writer.u32(report.ssrc);
  writer.u64(report.ntp);
  writer.u32(report.rtp_timestamp);
  writer.u32(report.packets);
  writer.u32(report.octets);
  append_source_description(writer, report.ssrc, cname);
}

void append_bye(base::ByteVector& out, uint32_t own_ssrc) {
  ByteWriter writer(out);
  writer.u8(0x81);
  writer.u8(kBye);
  writer.u16(1);
  writer.u32(own_ssrc);
}

void ReceptionStats::on_packet(const RtpPacket& packet, base::SteadyTime arrival) {
  const bool first = received_ == 0;
  const int64_t sequence = sequence_.peek(packet.sequence);
  if (first || sequence > highest_sequence_) {
    sequence_.unwrap(packet.sequence);
    highest_sequence_ = sequence;
  }
  if (first) first_sequence_ = sequence;
  ++received_;

  // A.8. The arrival in ticks of the RTP clock, of which only differences count.
  const int64_t us = std::chrono::duration_cast<base::microseconds>(arrival.time_since_epoch()).count();
  const int64_t ticks = us / 1'000'000 * clock_rate_ + us % 1'000'000 * clock_rate_ / 1'000'000;
  const uint32_t transit = static_cast<uint32_t>(ticks) - packet.timestamp;
  if (!first) {
    const auto step = static_cast<int32_t>(transit - last_transit_);
    const uint32_t distance = step < 0 ? 0U - static_cast<uint32_t>(step) : static_cast<uint32_t>(step);
    jitter_x16_ += distance - ((jitter_x16_ + 8) >> 4);
  }
  last_transit_ = transit;
}

void ReceptionStats::on_sender_report(const RtcpSenderReport& report, base::SteadyTime arrival) {
  last_sr_ = static_cast<uint32_t>(report.ntp >> 16);
  last_sr_arrival_ = arrival;
}

uint64_t ReceptionStats::expected() const {
  return received_ == 0 ? 0 : static_cast<uint64_t>(highest_sequence_ - first_sequence_ + 1);
}

RtcpReportBlock ReceptionStats::report(base::SteadyTime now) {
  RtcpReportBlock block;
  block.ssrc = ssrc_;
  block.cumulative_lost = static_cast<int32_t>(std::clamp<int64_t>(lost(), -0x800000, 0x7fffff));
  const auto expected_interval = static_cast<int64_t>(expected() - expected_before_);
  const int64_t lost_interval = expected_interval - static_cast<int64_t>(received_ - received_before_);
  if (expected_interval > 0 && lost_interval > 0) {
    block.fraction_lost =
        static_cast<uint8_t>(std::min<int64_t>(255, (lost_interval << 8) / expected_interval));
  }
  expected_before_ = expected();
  received_before_ = received_;
  block.highest_sequence = static_cast<uint32_t>(highest_sequence_);
  block.jitter = jitter_x16_ >> 4;
  block.last_sr = last_sr_;
  if (last_sr_ != 0) {
    const int64_t us = std::chrono::duration_cast<base::microseconds>(now - last_sr_arrival_).count();
    block.delay_since_last_sr =
        static_cast<uint32_t>(std::clamp<int64_t>(us * 65536 / 1'000'000, 0, UINT32_MAX));
  }
  return block;
}

}  // namespace miharu::media
