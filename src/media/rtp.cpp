#include "media/rtp.h"

namespace miharu::media {

using base::Errc;
using base::fail;

//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// |V=2|P|X|  CC   |M|     PT      |       sequence number         |
// |                           timestamp                           |
// |                             SSRC                              |
base::Result<RtpPacket> parse_rtp(base::ByteView bytes) {
  base::ByteReader reader(bytes);
  const uint8_t first = reader.u8();
  const uint8_t second = reader.u8();
  RtpPacket packet;
  packet.payload_type = second & 0x7f;
  packet.marker = (second & 0x80) != 0;
  packet.sequence = reader.u16();
  packet.timestamp = reader.u32();
  packet.ssrc = reader.u32();
  reader.skip(size_t{4} * (first & 0x0f));
  if (!reader.ok()) return fail(Errc::kTruncated, "RTP packet is shorter than its header");
  if (first >> 6 != 2) return fail(Errc::kMalformed, "RTP version is not 2", 0);
  if ((first & 0x10) != 0) {
    reader.skip(2);
    reader.skip(size_t{4} * reader.u16());
    if (!reader.ok())
      return fail(Errc::kTruncated, "RTP header extension goes past the end of the packet", 12);
  }
  packet.payload = reader.rest();
  if ((first & 0x20) != 0) {
    const size_t padding = packet.payload.empty() ? 0 : std::to_integer<size_t>(packet.payload.back());
    if (padding == 0 || padding > packet.payload.size()) {
      return fail(Errc::kMalformed, "RTP padding is longer than the payload",
                  static_cast<int64_t>(bytes.size()) - 1);
    }
    packet.payload = packet.payload.first(packet.payload.size() - padding);
  }
  return packet;
}

}  // namespace miharu::media
