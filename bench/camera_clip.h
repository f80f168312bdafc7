// A clip read from a file and cut into RTP packets once, for the cameras of rtsp_cameras.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace miharu::bench {

// RTP packets of a frame as they go over RTSP (RFC 2326 section 10.12): '$', channel, length, packet.
// Sequence numbers are filled in for each camera.
struct ClipFrame {
  base::ByteVector bytes;
  std::vector<uint32_t> packets;  // where each begins in `bytes`
  int64_t ticks = 0;              // from the start of the clip, in the track's clock rate
};

struct ClipTrack {
  uint32_t clock_rate = 0;
  int64_t length_ticks = 0;  // of the clip; then it starts again
  std::vector<ClipFrame> frames;
  std::string sdp;  // m= line and attributes, without a=control
};

// Video first. H.264 (RFC 6184), Opus (RFC 7587), AAC (RFC 3640). Anything else, or a file that cannot be
// read, is an error with its reason.
base::Result<std::vector<ClipTrack>> read_clip(const std::string& path);

}  // namespace miharu::bench
