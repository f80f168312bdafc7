// From RTP packets in order to frames. One depacketizer a track and session.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/clock.h"
#include "base/error.h"
#include "media/frame.h"
#include "media/rtp.h"
#include "media/sdp.h"

namespace miharu::media {

// Must outlive the depacketizer. Called during push() and flush(), on the thread of those.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // pts and dts in ticks of config->clock_rate, which is that of the SDP format (Opus: always 48000), from
  // the unwrapped RTP timestamps; dts strictly increasing and <= pts until reset().
  virtual void on_frame(FramePtr frame) = 0;
  // A leniency fired; `quirk_id` as in docs/quirks.md ("C1"). Called each time: count it.
  virtual void on_oddity(std::string_view quirk_id) = 0;
  // A frame or packet was given up. The stream goes on.
  virtual void on_drop(base::Error reason) = 0;
};

// Not thread-safe. Never fails for good: bad packets cost the access unit that they belong to.
class Depacketizer {
 public:
  virtual ~Depacketizer() = default;
  struct Input {
    const RtpPacket& packet;
    int64_t timestamp = 0;  // packet.timestamp unwrapped
    base::SteadyTime arrival{};
    bool lost_before = false;  // packets between this one and the one before are missing
    bool new_sequence =
        false;  // it does not continue the one before, and nobody knows whether something is missing
  };
  virtual void push(const Input& input) = 0;
  // Ends the unit in progress at the end of a session.
  virtual void flush() = 0;
  // For a break in time (a jump of the timestamps either way by more than frames can be reordered) or a new
  // ssrc: drops the unit in progress and starts again at a key frame with any timestamp. Parameter sets are
  // kept.
  virtual void reset() = 0;
};

// The error (kUnsupported) says why this format cannot be recorded, for a person.
base::Result<std::unique_ptr<Depacketizer>> make_depacketizer(const SdpMedia& media, const SdpFormat& format,
                                                              FrameSink& sink);

}  // namespace miharu::media
