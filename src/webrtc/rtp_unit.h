// What of an access unit is the same for all viewers: the payloads of its RTP packets.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/live_count.h"
#include "media/frame.h"

namespace miharu::webrtc {

// Header with one extension, payload, a retransmission's two bytes and the tag stay within 1200 bytes, which
// pass every path with room for TURN's header (RFC 8200: 1280).
inline constexpr size_t kMaxPacketBytes = 1200;
inline constexpr size_t kMaxRtpHeaderBytes = 28;
inline constexpr size_t kMaxTagBytes = 16;
inline constexpr size_t kMaxPayloadBytes = kMaxPacketBytes - kMaxRtpHeaderBytes - 2 - kMaxTagBytes;

// Immutable once made; made on the camera's thread, shared with the viewers' threads.
struct RtpUnit {
  media::TrackKind track = media::TrackKind::kVideo;
  bool key = false;
  // When the picture or sound was made, as well as it is known: both tracks of a camera on one time line.
  base::SteadyTime time{};
  // The same in ticks of the track's RTP clock. Of sound they follow from the samples, one packet from where
  // the one before ended: receivers take anything else for loss.
  int64_t ticks = 0;
  base::ByteVector bytes;      // the payloads, one behind the other
  std::vector<uint32_t> ends;  // of each payload in `bytes`
  [[no_unique_address]] base::LiveCount<RtpUnit> counted;

  [[nodiscard]] size_t packets() const { return ends.size(); }
  [[nodiscard]] base::ByteView payload(size_t index) const {
    const size_t begin = index == 0 ? 0 : ends[index - 1];
    return base::ByteView(bytes).subspan(begin, ends[index] - begin);
  }
};

// Shared by the rings of several threads, the last one frees it.
using UnitPtr = std::shared_ptr<const RtpUnit>;

inline constexpr uint32_t kVideoClockRate = 90000;
int64_t to_ticks(base::SteadyTime time, uint32_t clock_rate);

// RFC 6184 with packetization-mode=1: the parameter sets of the frame's configuration as one STAP-A before a
// key frame, then each NAL unit alone or in FU-A fragments of one size (the last may be shorter), so that the
// kernel can cut them (UDP_SEGMENT). Delimiters, filler and SEI are left out. Null for a frame without a
// slice.
UnitPtr packetize_h264(const media::Frame& frame, base::SteadyTime time);
// RFC 7587, RFC 3551: one packet. Null for a frame that is empty or larger than a packet.
UnitPtr packetize_audio(const media::Frame& frame, base::SteadyTime time, int64_t ticks);

}  // namespace miharu::webrtc
