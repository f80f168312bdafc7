// A camera becomes a stream of frames. Implementations: rtsp/ (RTSP client), demo/ (a picture made here).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "media/frame.h"

namespace miharu::ingest {

// RTCP sender report (RFC 3550 6.4.1), its RTP time unwrapped like Frame::pts.
struct SenderReport {
  media::TrackKind track = media::TrackKind::kVideo;
  uint64_t ntp = 0;  // seconds since 1900 in 32.32 fixed point, as the camera sent it
  int64_t rtp_time = 0;
  base::SteadyTime arrival{};
};

enum class Interruption : uint8_t {
  kConnection,  // the camera was lost or ended the session; the source tries again by itself
  kClockJump,   // the media clock stepped (quirk P5); frames go on with a new zero
};

struct SourceStatus {
  enum class State : uint8_t { kIdle, kConnecting, kPlaying, kWaiting } state = State::kIdle;
  std::optional<base::Error> last_error;  // why it is not playing; passwords are never in it
  std::string transport;                  // "tcp", "udp", "tls"; empty before the first SETUP
  uint64_t bytes = 0;
  uint64_t packets = 0;
  uint64_t packets_lost = 0;
  uint64_t frames = 0;
  uint64_t frames_damaged = 0;
  uint64_t connects = 0;
  std::map<std::string, uint64_t>
      oddities;  // leniencies that fired, by quirk id of docs/quirks.md ("R1", "P6")
};

// Everything is called on the camera's media thread. The listener must outlive the source.
class SourceListener {
 public:
  virtual ~SourceListener() = default;
  // What the session will carry, told before its first frame and again when it changes.
  virtual void on_tracks(bool video, bool audio) = 0;
  virtual void on_frame(media::FramePtr frame) = 0;
  virtual void on_sender_report(const SenderReport& report) = 0;
  // Frames that follow have no relation in time to those before.
  virtual void on_interrupted(Interruption reason, const base::Error& error) = 0;
};

// Lives on one media thread. start() once; stop() hands on what has arrived, unless it is called in a
// listener's call, and ends the session (TEARDOWN) without waiting for the camera; after it no listener call
// comes. Reconnecting, with its back-off, is the source's own business.
class Source {
 public:
  virtual ~Source() = default;
  virtual void start() = 0;
  virtual void stop() = 0;
  [[nodiscard]] virtual SourceStatus status() const = 0;
};

}  // namespace miharu::ingest
