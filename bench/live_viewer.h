// A viewer over WebRTC: offers by WHEP, checks, shakes hands, counts what comes, reports. Its check with
// USE-CANDIDATE goes out as soon as the answer is there, so that no pause of a client's own is in the times.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kept_connection.h"
#include "received_stream.h"
#include "webrtc/dtls.h"
#include "webrtc/srtp_oracle.h"
#include "webrtc/srtp_sender.h"
#include "webrtc/stun.h"

namespace miharu::bench {

struct Whep {
  std::string address;  // IPv4; media comes from there too
  uint16_t port = 0;
  std::string path;  // "/whep/CAMERA"
};

// From the opening of the HTTP connection; nothing where it has not happened.
struct StartTimes {
  std::optional<double> answer_ms;
  std::optional<double> established_ms;  // handshake complete
  std::optional<double> packet_ms;       // first RTP of the picture
  std::optional<double> key_frame_ms;    // first one whole, decrypted and authentic
};

// Belongs to one epoll loop. The owner outlives it, and so do `context` and `counts`.
class LiveViewer final : private webrtc::DtlsListener, private media::RtcpListener {
 public:
  // `check_each`: after the first key frame, one packet in so many is decrypted and verified.
  LiveViewer(const webrtc::DtlsContext& context, const webrtc::Fingerprint& own, size_t number,
             unsigned check_each, Counts& counts);
  ~LiveViewer() override;

  void start(const Whep& whep, base::SteadyTime now);
  [[nodiscard]] int http_fd() const { return http_ ? http_->fd() : -1; }
  [[nodiscard]] int media_fd() const { return socket_; }
  void http_readable() { http_->readable(); }
  [[nodiscard]] bool http_done() const { return !http_ || !http_->busy(); }
  void end_http() { http_.reset(); }
  void media_readable();
  void on_time(base::SteadyTime now);
  void leave();  // close_notify

  [[nodiscard]] bool settled() const { return times_.key_frame_ms.has_value() || !failure_.empty(); }
  [[nodiscard]] const StartTimes& times() const { return times_; }
  // Since its first key frame.
  [[nodiscard]] double watched_seconds(base::SteadyTime now) const;
  // "" while it watches: a picture came within the second before `now`.
  [[nodiscard]] std::string problem(base::SteadyTime now) const;

 private:
  void fail(std::string why);
  void take_answer(const Answer& answer);
  void send(base::ByteView bytes) const;
  void send_check();
  void send_report(base::SteadyTime now);
  [[nodiscard]] base::SteadyTime arrival_of(const msghdr& message) const;
  void take(base::ByteView datagram);
  void take_stun(base::ByteView datagram);
  void take_rtp(base::ByteView datagram);
  void take_picture_packet(const media::RtpPacket& header, base::ByteView datagram, bool fresh);
  void look_for_key_frame(const media::RtpPacket& packet);
  [[nodiscard]] double since_start() const;

  void on_dtls_send(base::ByteView datagram) override { send(datagram); }
  void on_dtls_established(const webrtc::SrtpKeys& keys) override;
  void on_dtls_closed(const base::Error& reason) override;
  void on_sender_report(const media::RtcpSenderReport& report) override;

  const webrtc::DtlsContext& context_;
  const webrtc::Fingerprint& own_;
  const std::string ufrag_;
  const std::string password_;
  const unsigned check_each_;
  Counts& counts_;
  int socket_;
  std::unique_ptr<KeptConnection> http_;
  std::string server_address_;
  std::string server_ufrag_;
  std::unique_ptr<webrtc::StunKey> server_key_;
  webrtc::Fingerprint server_fingerprint_;
  std::unique_ptr<webrtc::DtlsSession> dtls_;
  std::unique_ptr<webrtc::SrtpOracle> inbound_;
  std::unique_ptr<webrtc::SrtpSender> outbound_;
  ReceivedStream picture_{90'000};
  ReceivedStream sound_{48'000};
  StartTimes times_;
  std::string failure_;
  base::SteadyTime started_{};
  base::SteadyTime now_{};
  base::SteadyTime arrived_{};  // of the datagram that is being taken
  base::SteadyTime next_check_ = base::SteadyTime::max();
  base::SteadyTime next_report_ = base::SteadyTime::max();
  std::optional<base::SteadyTime> last_frame_;
  unsigned checks_without_answer_ = 0;
  unsigned until_check_;
  // Of the frame that is being received, until the first key frame is whole.
  uint32_t frame_timestamp_ = 0;
  uint16_t next_sequence_ = 0;
  bool in_frame_ = false;
  bool frame_is_whole_ = false;
  bool frame_has_key_ = false;
  bool any_packet_ = false;
};

}  // namespace miharu::bench
