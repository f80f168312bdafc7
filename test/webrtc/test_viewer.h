// A browser as far as our side sees one: offers, checks, shakes hands, decrypts, reports. Over real sockets
// of 127.0.0.1, on the thread of the test.
#pragma once

#include <poll.h>

#include <functional>

#include <boost/asio/io_context.hpp>

#include "media/rtcp.h"
#include "webrtc/dtls_network.h"
#include "webrtc/media_receiver.h"
#include "webrtc/stun.h"

namespace miharu::webrtc {

class TestViewer final : private DtlsListener, private media::RtcpListener {
 public:
  using udp = boost::asio::ip::udp;
  static constexpr size_t kMaxSockets = 32;

  explicit TestViewer(size_t sockets = 1, DtlsRole certificate = DtlsRole::kClient)
      : context_(DtlsContext::make(DtlsRole::kClient, certificate_of(certificate)).value()) {
    for (size_t i = 0; i < sockets; ++i) {
      sockets_.emplace_back(io_, udp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
      sockets_.back().non_blocking(true);
    }
  }

  [[nodiscard]] std::string offer() const {
    const std::string transport =
        "c=IN IP4 0.0.0.0\r\na=recvonly\r\na=rtcp-mux\r\na=setup:actpass\r\na=ice-ufrag:" + ufrag +
        "\r\na=ice-pwd:" + password +
        "\r\na=fingerprint:" + certificate_of(DtlsRole::kClient).fingerprint().to_string() + "\r\n";
    return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
           "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n" +
           transport +
           "a=mid:0\r\na=rtpmap:96 H264/90000\r\n"
           "a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
           "a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
           "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" +
           transport + "a=mid:1\r\na=rtpmap:0 PCMU/8000\r\n";
  }
  // An answer, or the fragment that answers a restart.
  void take_answer(const std::string& sdp) {
    server_ufrag = value_of(sdp, "a=ice-ufrag:");
    server_password = value_of(sdp, "a=ice-pwd:");
    if (const std::string text = value_of(sdp, "a=fingerprint:"); !text.empty())
      fingerprint_ = Fingerprint::parse(text).value();
    const std::string candidate = value_of(sdp, "a=candidate:");
    const size_t address = candidate.find("127.0.0.1 ");
    ASSERT_NE(address, std::string::npos) << sdp;
    server = {boost::asio::ip::address_v4::loopback(),
              static_cast<uint16_t>(std::stoul(candidate.substr(address + 10)))};
  }
  static std::string value_of(const std::string& text, const std::string& key) {
    const size_t at = text.find(key);
    if (at == std::string::npos) return {};
    return text.substr(at + key.size(), text.find('\r', at) - at - key.size());
  }

  void send_check(bool nominates, size_t socket = 0) {
    base::ByteVector out;
    StunBuilder builder(out, StunClass::kRequest, make_transaction_id(0x7e57));
    builder.username(server_ufrag + ":" + ufrag);
    builder.priority(0x6e0001ff);
    builder.ice_controlling(7);
    if (nominates) builder.use_candidate();
    const StunKey key(server_password);
    builder.finish(&key);
    send(out, socket);
  }
  // Until it was answered. Loopback may lose a datagram when its buffers are full.
  [[nodiscard]] bool check(bool nominates, size_t socket = 0) {
    const size_t before = answers[socket];
    send_check(nominates, socket);
    return wait([&] { return answers[socket] > before; });
  }
  void shake_hands(size_t socket = 0) {
    media_socket = socket;
    dtls_ = std::make_unique<DtlsSession>(context_, fingerprint_, base::system_clock().steady(),
                                          static_cast<DtlsListener&>(*this));
  }
  // Check, handshake.
  [[nodiscard]] bool connect() {
    if (!check(true)) return false;
    shake_hands();
    return wait([&] { return keys.has_value(); });
  }

  void send(base::ByteView bytes, size_t socket) {
    boost::system::error_code ignored;
    sockets_[socket].send_to(boost::asio::buffer(bytes.data(), bytes.size()), server, 0, ignored);
  }
  void send_rtcp(base::ByteView feedback, size_t socket = 0) {
    base::ByteVector packet;
    media::append_receiver_report(packet, 99, blocks, "viewer");
    packet.insert(packet.end(), feedback.begin(), feedback.end());
    send(outbound_->protect_rtcp(packet), socket);
  }
  void send_nack(uint32_t ssrc, uint16_t sequence, size_t socket = 0) {
    base::ByteVector packet;
    base::ByteWriter out(packet);
    out.u32(0x81cd0003);
    out.u32(99);
    out.u32(ssrc);
    out.u16(sequence);
    out.u16(0);
    send_rtcp(packet, socket);
  }
  void send_pli(uint32_t ssrc) {
    base::ByteVector packet;
    base::ByteWriter out(packet);
    out.u32(0x81ce0002);
    out.u32(99);
    out.u32(ssrc);
    send_rtcp(packet);
  }

  // Takes what comes until `done`. False: it never did; the limit is there to end a test that fails.
  [[nodiscard]] bool wait(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + base::seconds(10);
    while (!done()) {
      if (testing::Test::HasFatalFailure()) return false;
      if (std::chrono::steady_clock::now() > end) return false;
      std::array<pollfd, kMaxSockets> waiting{};
      for (size_t i = 0; i < sockets_.size(); ++i) waiting[i] = {sockets_[i].native_handle(), POLLIN, 0};
      ::poll(waiting.data(), sockets_.size(), 10);
      for (size_t i = 0; i < sockets_.size(); ++i) read(i);
      const base::SteadyTime now = base::system_clock().steady();
      if (dtls_ && !closed && dtls_->next_deadline() && *dtls_->next_deadline() <= now) dtls_->on_time(now);
    }
    return true;
  }

  [[nodiscard]] size_t pictures() const {
    return static_cast<size_t>(std::count_if(
        rtp.begin(), rtp.end(), [](const auto& each) { return each.marker && each.payload_type == 96; }));
  }
  [[nodiscard]] std::vector<ReceivedRtp> of_type(uint8_t payload_type) const {
    std::vector<ReceivedRtp> all;
    for (const auto& each : rtp) {
      if (each.payload_type == payload_type) all.push_back(each);
    }
    return all;
  }

  std::string ufrag = "view";
  std::string password = "viewerPasswordOf24Chars1";
  std::string server_ufrag;
  std::string server_password;
  udp::endpoint server;
  std::array<size_t, kMaxSockets> answers{};     // to checks, signed as they should be
  std::array<size_t, kMaxSockets> dtls_came{};   // datagrams
  std::array<size_t, kMaxSockets> media_came{};  // SRTP and SRTCP
  std::optional<SrtpKeys> keys;
  std::optional<base::Error> closed;
  std::vector<ReceivedRtp> rtp;
  std::vector<media::RtcpSenderReport> reports;
  std::vector<uint32_t> byes;
  std::vector<media::RtcpReportBlock> blocks;  // of the next reports to be sent
  size_t media_socket = 0;

 private:
  void read(size_t socket) {
    base::ByteVector buffer(2048);
    for (;;) {
      boost::system::error_code error;
      udp::endpoint from;
      const size_t size = sockets_[socket].receive_from(boost::asio::buffer(buffer), from, 0, error);
      if (error) return;
      take(base::ByteView(buffer).first(size), socket);
    }
  }
  void take(base::ByteView datagram, size_t socket) {
    if (is_stun(datagram)) {
      const auto message = parse_stun(datagram);
      if (message && message->type == StunClass::kSuccess && message->is_signed_by(StunKey(server_password)))
        ++answers[socket];
      return;
    }
    if (DtlsSession::is_dtls(datagram)) {
      ++dtls_came[socket];
      if (dtls_ && !closed) dtls_->receive(base::system_clock().steady(), datagram);
      return;
    }
    ++media_came[socket];
    if (!inbound_) return;
    const auto type = std::to_integer<unsigned>(datagram[1]);
    if (type >= 192 && type <= 223) {
      const base::ByteVector plain = inbound_->take_rtcp(datagram);
      EXPECT_FALSE(plain.empty());
      EXPECT_TRUE(media::parse_rtcp(plain, *this));
    } else {
      auto packet = inbound_->take(datagram);
      EXPECT_TRUE(packet) << "libsrtp2: " << inbound_->status();
      if (packet) rtp.push_back(std::move(*packet));
    }
  }

  void on_dtls_send(base::ByteView datagram) override { send(datagram, media_socket); }
  void on_dtls_established(const SrtpKeys& made) override {
    keys = made;
    inbound_ = std::make_unique<MediaReceiver>(made.profile, made.receive);
    outbound_ = std::make_unique<SrtpOracle>(made.profile, made.send, SrtpOracle::Direction::kOutbound);
  }
  void on_dtls_closed(const base::Error& reason) override { closed = reason; }
  void on_sender_report(const media::RtcpSenderReport& report) override { reports.push_back(report); }
  void on_bye(uint32_t ssrc) override { byes.push_back(ssrc); }

  boost::asio::io_context io_;
  std::vector<udp::socket> sockets_;
  DtlsContext context_;
  Fingerprint fingerprint_;
  std::unique_ptr<DtlsSession> dtls_;
  std::unique_ptr<MediaReceiver> inbound_;
  std::unique_ptr<SrtpOracle> outbound_;
};

}  // namespace miharu::webrtc
