#include "webrtc/rtp_stream.h"

#include <algorithm>

namespace miharu::webrtc {
namespace {

constexpr uint8_t kMarker = 0x80;
constexpr int64_t kSecond = 1'000'000'000;
// From 1900, the zero of NTP, to 1970.
constexpr uint64_t kNtpOf1970 = 2'208'988'800;
constexpr size_t kRtxHeaderBytes = 2;

class HeaderWriter {
 public:
  explicit HeaderWriter(std::span<std::byte> out) : out_(out) {}
  void put(uint64_t value, size_t bytes) {
    for (size_t i = bytes; i-- > 0;) out_[size_++] = static_cast<std::byte>(value >> (8 * i));
  }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  std::span<std::byte> out_;
  size_t size_ = 0;
};

}  // namespace

uint64_t to_ntp(base::nanoseconds time) {
  const int64_t whole = time.count() / kSecond;
  const auto rest = static_cast<uint64_t>(time.count() % kSecond);
  return (static_cast<uint64_t>(whole) << 32) + (rest << 32) / kSecond;
}

uint64_t ntp_of_steady_zero(const base::Clock& clock) {
  return to_ntp(base::utc_minus_steady(clock)) + (kNtpOf1970 << 32);
}

RtpStream::RtpStream(const RtpStreamOptions& options, SrtpSender& srtp)
    : options_(options), srtp_(srtp), next_(options.first_sequence), rtx_next_(options.rtx_first_sequence) {}

size_t RtpStream::write_header(std::span<std::byte, kMaxRtpHeaderBytes> out, uint8_t payload_type,
                               bool marker, uint64_t sequence, uint32_t timestamp, uint32_t ssrc,
                               base::SteadyTime capture) const {
  HeaderWriter header(out);
  const bool extended = options_.capture_time_id != 0;
  header.put(extended ? 0x90 : 0x80, 1);
  header.put(payload_type | (marker ? kMarker : 0U), 1);
  header.put(sequence & 0xffff, 2);
  header.put(timestamp, 4);
  header.put(ssrc, 4);
  if (extended) {
    // RFC 8285 4.2, one-byte form: id and length - 1 in a byte, 8 bytes of NTP time, 3 of padding.
    header.put(0xBEDE, 2);
    header.put(3, 2);
    header.put(static_cast<uint64_t>(options_.capture_time_id) << 4 | 7, 1);
    header.put(options_.ntp_of_zero + to_ntp(capture.time_since_epoch()), 8);
    header.put(0, 3);
  }
  return header.size();
}

std::span<std::byte> RtpStream::take(size_t size, PacketBatch& batch) {
  ++counters_.packets;
  counters_.bytes += size;
  return batch.packet(size);
}

size_t RtpStream::write(const RtpUnit& unit, size_t index, uint32_t timestamp, uint64_t sequence,
                        PacketBatch& batch) {
  const base::ByteView payload = unit.payload(index);
  // The last packet of a picture is marked; of sound none is (RFC 3551 4.1: the first after a silence).
  const bool marker = unit.track == media::TrackKind::kVideo && index + 1 == unit.packets();
  std::array<std::byte, kMaxRtpHeaderBytes> header;
  const size_t header_bytes =
      write_header(header, options_.payload_type, marker, sequence, timestamp, options_.ssrc, unit.time);
  const size_t size = header_bytes + payload.size() + srtp_.rtp_overhead();
  srtp_.protect(sequence, base::ByteView(header).first(header_bytes), payload, take(size, batch));
  return size;
}

size_t RtpStream::send(const RtpUnit& unit, uint64_t number, uint32_t timestamp, size_t first,
                       size_t budget_bytes, PacketBatch& batch) {
  size_t index = first;
  size_t bytes = 0;
  const uint64_t sequence = next_;
  do {
    bytes += unit.payload(index).size();
    write(unit, index, timestamp, next_, batch);
    ++next_;
    ++index;
  } while (index < unit.packets() && bytes + unit.payload(index).size() <= budget_bytes);
  packets_ += index - first;
  octets_ += bytes;
  if (unit.track == media::TrackKind::kVideo) {
    remember(
        {sequence, number, static_cast<uint32_t>(first), static_cast<uint32_t>(index - first), timestamp});
  }
  return index;
}

void RtpStream::remember(const Sent& sent) {
  // RFC 3550 5.1: older numbers would be ambiguous.
  while (!sent_.empty() && sent_.front().sequence + 0x8000 < sent.sequence) sent_.pop_front();
  sent_.push_back(sent);
}

std::optional<RtpStream::Place> RtpStream::find(uint16_t sequence, const UnitRing& ring) const {
  const uint64_t back = static_cast<uint16_t>(static_cast<uint16_t>(next_) - sequence);
  if (back == 0 || back > 0x8000 || back > next_) return std::nullopt;
  const uint64_t wanted = next_ - back;
  auto behind = std::upper_bound(sent_.begin(), sent_.end(), wanted,
                                 [](uint64_t value, const Sent& each) { return value < each.sequence; });
  if (behind == sent_.begin()) return std::nullopt;
  const Sent& sent = *--behind;
  if (wanted >= sent.sequence + sent.count) return std::nullopt;
  if (!options_.rtx && back > kSameAgain) return std::nullopt;
  const RtpUnit* unit = ring.unit(sent.unit);
  if (unit == nullptr) return std::nullopt;
  return Place{&sent, wanted, unit};
}

size_t RtpStream::resend(uint16_t sequence, const UnitRing& ring, PacketBatch& batch) {
  const auto place = find(sequence, ring);
  if (!place) return 0;
  const RtpUnit* unit = place->unit;
  const size_t index = place->sent->first + (place->sequence - place->sent->sequence);
  if (!options_.rtx) return write(*unit, index, place->sent->timestamp, place->sequence, batch);
  // RFC 4588 section 4: the original sequence number comes before the payload.
  const base::ByteView payload = unit->payload(index);
  const bool marker = index + 1 == unit->packets();
  std::array<std::byte, kMaxRtpHeaderBytes> header;
  const size_t header_bytes = write_header(header, options_.rtx->payload_type, marker, rtx_next_,
                                           place->sent->timestamp, options_.rtx->ssrc, unit->time);
  std::array<std::byte, kRtxHeaderBytes + kMaxPayloadBytes> repaired;
  HeaderWriter(repaired).put(sequence, kRtxHeaderBytes);
  std::copy(payload.begin(), payload.end(), repaired.begin() + kRtxHeaderBytes);
  const size_t size = header_bytes + kRtxHeaderBytes + payload.size() + srtp_.rtp_overhead();
  srtp_.protect(rtx_next_, base::ByteView(header).first(header_bytes),
                base::ByteView(repaired).first(kRtxHeaderBytes + payload.size()), take(size, batch));
  ++rtx_next_;
  return size;
}

media::RtcpSenderReport RtpStream::report(base::SteadyTime now) const {
  media::RtcpSenderReport report;
  report.ssrc = options_.ssrc;
  report.ntp = options_.ntp_of_zero + to_ntp(now.time_since_epoch());
  report.rtp_timestamp = timestamp(to_ticks(now, options_.clock_rate));
  report.packets = static_cast<uint32_t>(packets_);
  report.octets = static_cast<uint32_t>(octets_);
  return report;
}

}  // namespace miharu::webrtc
