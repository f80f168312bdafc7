// One viewer of one camera: its ICE agent, its DTLS session, and what it is sent.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/live_count.h"
#include "media/rtcp.h"
#include "webrtc/dtls.h"
#include "webrtc/ice_agent.h"
#include "webrtc/rtp_stream.h"
#include "webrtc/session_service.h"
#include "webrtc/srtcp_receiver.h"
#include "webrtc/video_sender.h"

namespace miharu::webrtc {

class Session;

// The thread that the sessions live on. Outlives them.
class SessionHost : public SegmentSink {
 public:
  virtual PacketBatch& batch() = 0;
  virtual void on_path_validated(Session& session, const net::UdpPath& path) = 0;
  virtual void on_path_forgotten(Session& session, const net::UdpPath& path) = 0;
  virtual void on_ufrag_retired(std::string_view ufrag) = 0;
  // The camera's smaller stream is wanted, or not any more. Where there is none, nothing comes of it.
  virtual void on_sub_wanted(Session& session, bool wanted) = 0;
};

struct SessionOptions {
  std::string id;
  std::string camera;
  std::string user;
  base::UtcTime since{};
  base::SteadyTime offered{};  // when the offer came
  IceAgentConfig ice;
  Fingerprint peer;
  RtpStreamOptions video;
  std::optional<RtpStreamOptions> audio;
  std::string cname;
};

// Lives on its host's thread. It ends by itself (the viewer left, or was not heard of for 30 s), which
// ended() tells: the host then destroys it.
class Session final : private IceListener, private DtlsListener, private media::RtcpListener {
 public:
  static constexpr base::seconds kReportInterval{2};
  // A report that tells more is wrong: who was not heard of for so long is gone (RFC 7675).
  static constexpr base::seconds kLongestRoundTrip = IceAgent::kConsent;
  // Who has the smaller stream because the line does not carry the other tries that again after kSubRest, and
  // twice as late each time that it fails within kSubTrial, up to kLongestSubRest.
  static constexpr base::seconds kSubRest{10};
  static constexpr base::seconds kSubTrial{30};
  static constexpr base::seconds kLongestSubRest{160};

  Session(SessionOptions options, const DtlsContext& dtls, const UnitRing& ring, SessionHost& host,
          base::SteadyTime now);
  ~Session() override;

  // A datagram that the host found to be this session's.
  void on_datagram(base::SteadyTime now, const net::UdpPath& path, std::span<std::byte> datagram);
  base::Status add_candidate(const IceCandidate& candidate) { return ice_.add_remote_candidate(candidate); }
  void restart_ice(base::SteadyTime now, const IceCredentials& local, const IceCredentials& remote) {
    ice_.restart(now, local, remote);
  }

  // A ring, of the camera's stream or of its smaller one, has the latest group of pictures; a new picture;
  // was interrupted. A ring is used until it was another's turn, or on_sub_wanted(false).
  void on_group(base::SteadyTime now, const UnitRing& ring);
  void on_video(base::SteadyTime now, const UnitRing& ring);
  void on_interrupted(const UnitRing& ring);
  void on_audio(const RtpUnit& unit);

  // Every VideoSender::kSlice while wants_slices(), and for the rest at least ten times a second.
  void on_slice(base::SteadyTime now);
  [[nodiscard]] bool wants_slices() const { return flowing_ && sender_ && sender_->wants_slices(); }
  // What it wants them for comes from the cache.
  [[nodiscard]] bool starts() const { return sender_ && sender_->state() == VideoSender::State::kCatchUp; }
  void on_time(base::SteadyTime now);
  // Tells the viewer (DTLS close_notify, RTCP BYE).
  void close();

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const SessionOptions& options() const { return options_; }
  [[nodiscard]] std::string_view local_ufrag() const { return ice_.local_ufrag(); }
  [[nodiscard]] std::string_view state() const;  // see SessionInfo
  [[nodiscard]] SessionInfo info() const;
  [[nodiscard]] ViewerTotals totals() const;

 private:
  void send(const net::UdpPath& path, base::ByteView bytes) override;
  void on_selected(const net::UdpPath& path) override;
  void on_unselected() override;
  void on_validated(const net::UdpPath& path) override;
  void on_forgotten(const net::UdpPath& path) override;
  void on_ufrag_retired(std::string_view ufrag) override;
  void on_probed(uint32_t id, base::nanoseconds round_trip) override;

  void on_dtls_send(base::ByteView datagram) override;
  void on_dtls_established(const SrtpKeys& keys) override;
  void on_dtls_closed(const base::Error& reason) override;

  void on_report_block(uint32_t reporter_ssrc, const media::RtcpReportBlock& block) override;
  void on_nack(uint32_t media_ssrc, uint16_t first, uint16_t mask) override;
  void on_key_frame_request(uint32_t media_ssrc) override;

  void on_rtcp(std::span<std::byte> packet);
  void start_if_ready();
  PacketBatch& batch();
  // Sends what is in the batch, and a probe behind it where one is wanted.
  void flush();
  void send_reports();
  void send_rtcp(base::ByteVector& packet);
  void note_first_frame();
  void want_sub(bool wanted);
  void want_sub_if_slow();
  // Whether it changes to this ring, which has something new.
  bool change_to(const UnitRing& ring);
  [[nodiscard]] std::optional<base::nanoseconds> round_trip_of(const media::RtcpReportBlock& block) const;

  SessionOptions options_;
  const UnitRing& main_;
  const UnitRing* playing_;  // main_, or the smaller stream's
  SessionHost& host_;
  IceAgent ice_;
  const DtlsContext& dtls_context_;
  std::optional<DtlsSession> dtls_;
  net::UdpPath dtls_path_;
  std::optional<base::SteadyTime> flight_sent_;  // of the handshake, for the first time
  std::optional<base::nanoseconds> handshake_trip_;

  std::unique_ptr<SrtpSender> srtp_;
  std::optional<SrtcpReceiver> srtcp_;
  std::optional<RtpStream> video_;
  std::optional<RtpStream> audio_;
  std::optional<VideoSender> sender_;
  bool flowing_ = false;  // keys and a path are there
  bool sub_wanted_ = false;
  base::SteadyTime main_again_{};  // while it plays the smaller stream: when to try the other
  base::SteadyTime main_since_{};
  base::nanoseconds sub_rest_ = kSubRest;
  bool ended_ = false;
  base::SteadyTime now_{};  // of the call that is under way
  base::SteadyTime next_report_{};
  uint64_t lost_ = 0;          // as reported last
  uint8_t fraction_lost_ = 0;  // of 256, as reported last
  ViewerTotals totals_;        // what is counted here; totals() adds the rest
  std::optional<base::nanoseconds> first_frame_;
  base::ByteVector rtcp_;
  [[no_unique_address]] base::LiveCount<Session> counted_;
};

}  // namespace miharu::webrtc
