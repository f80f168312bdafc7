// One RTSP session as a state machine: OPTIONS, DESCRIBE, SETUP of each track, PLAY, keep-alive, TEARDOWN,
// and what the camera asks in between (RFC 2326). Bytes and times go in, bytes and media come out: no socket
// and no clock inside.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "ingest/rtsp/auth.h"
#include "ingest/rtsp/headers.h"
#include "ingest/rtsp/message.h"
#include "ingest/rtsp/url.h"
#include "media/sdp.h"
#include "media/track.h"

namespace miharu::ingest::rtsp {

// What DESCRIBE offered, for a person.
struct Offer {
  struct Track {
    std::string kind;   // "video", "audio", "application"
    std::string codec;  // encoding names of the media, "H265"; empty when nothing says it
    bool usable = false;
    bool selected = false;
    std::string reason;  // why it is not usable, or not selected
  };
  std::string server;                // Server header
  std::string name;                  // s= of the SDP
  std::vector<std::string> methods;  // Public header
  std::vector<Track> tracks;
};

struct SessionOptions {
  Url url;
  bool udp = false;
  base::milliseconds reply_timeout{10'000};
  base::milliseconds body_timeout{5'000};         // without a byte of it: Content-Length too long (quirk R4)
  base::milliseconds open_body_timeout{1'000};    // no Content-Length at all, or one that is too short
  base::milliseconds whole_body_timeout{30'000};  // then the last byte does not count any more
  base::milliseconds junk_timeout{3'000};         // quirk T3
  size_t buffer_bytes = StreamParser::kDefaultCapacity;
};

// How a session ended.
struct SessionEnd {
  enum class Kind : uint8_t {
    kFailed,
    kUnauthorized,      // no password, or a refused one
    kTransportRefused,  // another transport may do (quirk R14)
    kRedirected,        // to `location`
    kBusy,              // no free session (quirk T8)
    kClosed,            // the camera ended it
  };
  Kind kind = Kind::kFailed;
  base::Error error;
  std::string location;
};

// Called during start(), receive() and tick(). Must not destroy the session.
class SessionListener {
 public:
  virtual ~SessionListener() = default;
  virtual void on_send(base::ByteView bytes) = 0;
  // A track is about to be set up. Returns the RTP port of a bound pair for UDP, anything for TCP.
  // kUnsupported leaves this media out, any other error ends the session.
  virtual base::Result<uint16_t> on_select(media::TrackKind kind, const media::SdpMedia& media,
                                           const media::SdpChoice& choice) = 0;
  // SETUP succeeded, or the camera refused an audio track and the session goes on without it.
  virtual void on_setup(media::TrackKind kind, const Transport& transport) = 0;
  virtual void on_left_out(media::TrackKind kind) = 0;
  virtual void on_playing() = 0;
  virtual void on_media(media::TrackKind kind, bool rtcp, base::ByteView packet) = 0;  // interleaved only
  virtual void on_oddity(std::string_view quirk_id) = 0;
};

// Not thread-safe. Once end() says something, the session does nothing more.
class Session {
 public:
  Session(SessionOptions options, Authenticator& authenticator, SessionListener& listener);

  void start(base::SteadyTime now);  // the connection is there
  // Where received bytes go, and that `count` of them came.
  std::span<std::byte> space() { return parser_.space(); }
  void receive(size_t count, base::SteadyTime now);
  void tick(base::SteadyTime now);
  [[nodiscard]] std::optional<base::SteadyTime> deadline() const;
  [[nodiscard]] const std::optional<SessionEnd>& end() const { return end_; }

  // Sends TEARDOWN if there is a session to end; no reply is awaited (quirk T4).
  void teardown();
  // An RTCP packet of ours for an interleaved track.
  void send_rtcp(media::TrackKind kind, base::ByteView packet);

  [[nodiscard]] bool playing() const { return state_ == State::kPlaying; }
  [[nodiscard]] const Offer& offer() const { return offer_; }
  [[nodiscard]] base::seconds timeout() const { return timeout_; }

 private:
  enum class State : uint8_t { kNew, kOptions, kDescribe, kSetup, kPlay, kPlaying, kEnded };
  struct Track {
    media::TrackKind kind = media::TrackKind::kVideo;
    size_t media = 0;  // index in sdp_.media and offer_.tracks
    std::string url;
    uint16_t client_port = 0;
    uint8_t rtp_channel = 0;
    uint8_t rtcp_channel = 0;
    bool set_up = false;
  };
  struct Pending {
    std::string method;
    std::string url;
    std::string headers;
    unsigned cseq = 0;
    unsigned refusals = 0;
    base::SteadyTime sent{};
  };
  struct Channel {
    bool assigned = false;
    bool rtcp = false;
    media::TrackKind kind = media::TrackKind::kVideo;
  };

  void request(std::string method, std::string url, std::string headers, base::SteadyTime now);
  void transmit(base::SteadyTime now);
  void on_message(const Message& message, base::SteadyTime now);
  void on_request(const Message& message);
  void on_reply(const Message& message, base::SteadyTime now);
  void on_unauthorized(const Message& message, base::SteadyTime now);
  void on_described(const Message& message, base::SteadyTime now);
  bool select(media::TrackKind kind, std::string_view base_url);
  void set_up_next(base::SteadyTime now);
  void on_set_up(const Message& message, base::SteadyTime now);
  void on_keep_alive(const Message& message);
  void on_frame();
  void take_session(const Message& message);
  void assign_channel(const Track& track);
  void finish(SessionEnd::Kind kind, base::Errc code, std::string text, std::string location = {});
  void finish_refused(const Message& message);
  std::string session_header() const;
  std::string camera() const { return "camera " + options_.url.host_and_port(); }
  [[nodiscard]] base::milliseconds keep_alive_interval() const;

  SessionOptions options_;
  Authenticator& authenticator_;
  SessionListener& listener_;
  StreamParser parser_;
  State state_ = State::kNew;
  std::optional<SessionEnd> end_;
  std::optional<Pending> pending_;
  unsigned cseq_ = 0;

  Offer offer_;
  media::Sdp sdp_;
  std::string aggregate_url_;
  std::vector<Track> tracks_;
  size_t setting_up_ = 0;
  std::array<Channel, 256> channels_{};
  std::string session_id_;
  base::seconds timeout_{60};  // RFC 2326 section 12.37
  base::SteadyTime keep_alive_due_{};
  bool get_parameter_ = false;

  base::ByteVector rtcp_out_;
  std::optional<base::SteadyTime> body_began_;
  std::optional<base::SteadyTime> body_since_;  // the last byte of it
  std::optional<base::SteadyTime> junk_since_;
  uint64_t resynchronisations_told_ = 0;
  uint64_t stray_line_ends_told_ = 0;
};

}  // namespace miharu::ingest::rtsp
