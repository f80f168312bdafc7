#include "live_viewer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::bench {
namespace {

using base::SteadyTime;
using webrtc::StunBuilder;
using webrtc::StunClass;

constexpr uint8_t kPicture = 96;
constexpr uint8_t kPictureAgain = 97;  // RFC 4588
constexpr uint8_t kSound = 111;
constexpr int kBufferBytes = 2 << 20;
constexpr base::milliseconds kFirstCheck{100};  // again, while none was answered
constexpr base::milliseconds kConsent{2500};
constexpr base::seconds kReport{1};
constexpr unsigned kMostChecks = 20;

base::SteadyTime steady() {
  return base::system_clock().steady();
}

std::string offer(const std::string& ufrag, const std::string& password,
                  const webrtc::Fingerprint& fingerprint) {
  const std::string transport = fmt::format(
      "c=IN IP4 0.0.0.0\r\na=recvonly\r\na=rtcp-mux\r\na=setup:active\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n"
      "a=fingerprint:{}\r\n",
      ufrag, password, fingerprint.to_string());
  return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
         "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n" +
         transport +
         "a=mid:0\r\na=rtpmap:96 H264/90000\r\n"
         "a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
         "a=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
         "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" +
         transport + "a=mid:1\r\na=rtpmap:111 opus/48000/2\r\n";
}

std::string_view value_of(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + key.size());
  return base::trim(base::take_until(text, '\n'));
}

// Types of the NAL units in a payload of RFC 6184: whether a unit of an IDR picture begins here.
bool begins_key_picture(base::ByteView payload) {
  if (payload.size() < 2) return false;
  const auto type_of = [](std::byte byte) { return std::to_integer<unsigned>(byte) & 0x1f; };
  const unsigned type = type_of(payload[0]);
  if (type == 5) return true;
  if (type == 28) return type_of(payload[1]) == 5 && (payload[1] & std::byte{0x80}) != std::byte{0};
  if (type != 24) return false;
  base::ByteReader in(payload.subspan(1));
  while (in.ok() && !in.empty()) {
    const base::ByteView unit = in.bytes(in.u16());
    if (in.ok() && !unit.empty() && type_of(unit[0]) == 5) return true;
  }
  return false;
}

}  // namespace

LiveViewer::LiveViewer(const webrtc::DtlsContext& context, const webrtc::Fingerprint& own, size_t number,
                       unsigned check_each, Counts& counts)
    : context_(context),
      own_(own),
      ufrag_(fmt::format("load{}", number)),
      password_(fmt::format("passwordOfAViewer{:08}", number)),
      check_each_(check_each),
      counts_(counts),
      socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      // Not all viewers the same packet of a frame.
      until_check_(1 + static_cast<unsigned>(number) % check_each) {
  if (socket_ < 0) {
    std::perror("socket");
    std::exit(3);
  }
  const int on = 1;
  ::setsockopt(socket_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes) != 0)
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &kBufferBytes, sizeof kBufferBytes);
}

LiveViewer::~LiveViewer() {
  ::close(socket_);
}

void LiveViewer::start(const Whep& whep, SteadyTime now) {
  started_ = now_ = now;
  server_address_ = whep.address;
  http_ = std::make_unique<KeptConnection>(whep.port, whep.address);
  http_->post(whep.path, "application/sdp", offer(ufrag_, password_, own_),
              [this](const Answer& answer) { take_answer(answer); });
}

double LiveViewer::since_start() const {
  return std::chrono::duration<double, std::milli>(now_ - started_).count();
}

void LiveViewer::fail(std::string why) {
  if (failure_.empty()) failure_ = std::move(why);
  next_check_ = next_report_ = SteadyTime::max();
}

double LiveViewer::watched_seconds(SteadyTime now) const {
  if (!times_.key_frame_ms) return 0;
  return std::chrono::duration<double>(now - started_).count() - *times_.key_frame_ms / 1000;
}

std::string LiveViewer::problem(SteadyTime now) const {
  if (!failure_.empty()) return failure_;
  if (!times_.answer_ms) return "no answer to the POST";
  if (!dtls_) return "no answer to the checks";
  if (!times_.established_ms) return "the handshake did not end";
  if (!times_.packet_ms) return "no packet";
  if (!times_.key_frame_ms) return "no whole key frame";
  if (!last_frame_ || now - *last_frame_ > base::seconds(1)) return "no picture in the last second";
  return {};
}

void LiveViewer::take_answer(const Answer& answer) {
  now_ = steady();
  if (answer.status != 201) return fail(fmt::format("POST: status {}", answer.status));
  times_.answer_ms = since_start();
  const std::string_view sdp = base::as_text(answer.body);
  server_ufrag_ = value_of(sdp, "a=ice-ufrag:");
  server_key_ = std::make_unique<webrtc::StunKey>(value_of(sdp, "a=ice-pwd:"));
  const auto fingerprint = webrtc::Fingerprint::parse(value_of(sdp, "a=fingerprint:"));
  const std::string here = " " + server_address_ + " ";
  const size_t at = sdp.find(here, sdp.find("a=candidate:"));
  if (!fingerprint || at == std::string_view::npos) return fail("an answer without candidate or fingerprint");
  server_fingerprint_ = *fingerprint;
  std::string_view rest = sdp.substr(at + here.size());
  const auto port = base::parse_number<uint16_t>(base::take_until(rest, ' '));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, server_address_.c_str(), &address.sin_addr);
  address.sin_port = htons(port.value_or(0));
  if (!port || ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail("an answer with a wrong port");
  send_check();
}

void LiveViewer::send(base::ByteView bytes) const {
  // What is lost here is said again: checks, handshake and reports all are.
  [[maybe_unused]] const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void LiveViewer::send_check() {
  base::ByteVector out;
  StunBuilder builder(out, StunClass::kRequest, webrtc::make_transaction_id(1));
  builder.username(server_ufrag_ + ":" + ufrag_);
  builder.priority(0x6e0001ff);
  builder.ice_controlling(7);
  builder.use_candidate();
  builder.finish(server_key_.get());
  send(out);
  ++checks_without_answer_;
  next_check_ = now_ + (dtls_ ? kConsent : kFirstCheck);
}

void LiveViewer::on_time(SteadyTime now) {
  now_ = now;
  if (!failure_.empty()) return;
  if (next_check_ <= now) {
    if (checks_without_answer_ >= kMostChecks) return fail("checks are not answered");
    send_check();
  }
  if (next_report_ <= now) send_report(now);
  if (dtls_ && !dtls_->ended() && dtls_->next_deadline() && *dtls_->next_deadline() <= now)
    dtls_->on_time(now);
}

void LiveViewer::send_report(SteadyTime now) {
  std::vector<media::RtcpReportBlock> blocks;
  for (ReceivedStream* stream : {&picture_, &sound_}) {
    if (media::ReceptionStats* stats = stream->stats()) blocks.push_back(stats->report(now));
  }
  base::ByteVector packet;
  media::append_receiver_report(packet, 99, blocks, "viewer");
  const size_t size = packet.size();
  packet.resize(size + webrtc::SrtpSender::kMostRtcpOverhead);
  packet.resize(outbound_->protect_rtcp(packet, size));
  send(packet);
  next_report_ = now + kReport;
}

void LiveViewer::leave() {
  if (dtls_ && !dtls_->ended()) dtls_->close();
}

// When it came to the socket, however late it is read.
SteadyTime LiveViewer::arrival_of(const msghdr& message) const {
  for (const cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(each))) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_TIMESTAMPNS) continue;
    timespec stamp{};
    std::memcpy(&stamp, CMSG_DATA(each), sizeof stamp);
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return now_ - base::seconds(now.tv_sec - stamp.tv_sec) - base::nanoseconds(now.tv_nsec - stamp.tv_nsec);
  }
  return now_;
}

void LiveViewer::media_readable() {
  constexpr size_t kBatch = 64;
  constexpr size_t kBytes = 2048;
  constexpr size_t kControlBytes = CMSG_SPACE(sizeof(timespec));
  static std::array<std::array<std::byte, kControlBytes>, kBatch> controls;
  static std::array<std::array<std::byte, kBytes>, kBatch> buffers;
  static std::array<iovec, kBatch> vectors;
  static std::array<mmsghdr, kBatch> messages = [] {
    std::array<mmsghdr, kBatch> made{};
    for (size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {buffers[i].data(), kBytes};
      made[i].msg_hdr.msg_iov = &vectors[i];
      made[i].msg_hdr.msg_iovlen = 1;
      made[i].msg_hdr.msg_control = controls[i].data();
    }
    return made;
  }();
  for (mmsghdr& each : messages) each.msg_hdr.msg_controllen = kControlBytes;
  const int count = ::recvmmsg(socket_, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  now_ = steady();
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i);
    arrived_ = arrival_of(messages[at].msg_hdr);
    take(base::ByteView(buffers[at]).first(messages[at].msg_len));
  }
}

void LiveViewer::take(base::ByteView datagram) {
  if (webrtc::is_stun(datagram)) return take_stun(datagram);
  if (webrtc::DtlsSession::is_dtls(datagram)) {
    if (dtls_ && !dtls_->ended()) dtls_->receive(now_, datagram);
    return;
  }
  if (!inbound_ || datagram.size() < 12) return;
  const auto type = std::to_integer<unsigned>(datagram[1]);
  if (type < 192 || type > 223) return take_rtp(datagram);
  const base::ByteVector plain = inbound_->unprotect_rtcp(datagram);
  ++counts_.checked;
  if (plain.empty() || !media::parse_rtcp(plain, *this)) ++counts_.not_authentic;
}

void LiveViewer::take_stun(base::ByteView datagram) {
  const auto message = webrtc::parse_stun(datagram);
  if (!server_key_ || !message || message->type != StunClass::kSuccess ||
      !message->is_signed_by(*server_key_))
    return;
  checks_without_answer_ = 0;
  if (dtls_) return;
  next_check_ = now_ + kConsent;
  dtls_ = std::make_unique<webrtc::DtlsSession>(context_, server_fingerprint_, now_,
                                                static_cast<webrtc::DtlsListener&>(*this));
}

void LiveViewer::on_dtls_established(const webrtc::SrtpKeys& keys) {
  now_ = steady();
  times_.established_ms = since_start();
  inbound_ = std::make_unique<webrtc::SrtpOracle>(keys.profile, keys.receive,
                                                  webrtc::SrtpOracle::Direction::kInbound);
  outbound_ = std::make_unique<webrtc::SrtpSender>(keys.profile, keys.send);
  next_report_ = now_ + kReport;
}

void LiveViewer::on_dtls_closed(const base::Error& reason) {
  fail(fmt::format("DTLS: {}", name_of(reason.code)));
}

void LiveViewer::on_sender_report(const media::RtcpSenderReport& report) {
  for (ReceivedStream* stream : {&picture_, &sound_}) {
    media::ReceptionStats* stats = stream->stats();
    if (stats && stats->ssrc() == report.ssrc) stats->on_sender_report(report, now_);
  }
}

void LiveViewer::take_rtp(base::ByteView datagram) {
  base::ByteReader in(datagram);
  in.skip(1);
  media::RtpPacket header;
  const unsigned type = in.u8();
  header.payload_type = static_cast<uint8_t>(type & 0x7f);
  header.marker = (type & 0x80) != 0;
  header.sequence = in.u16();
  header.timestamp = in.u32();
  header.ssrc = in.u32();
  if (header.payload_type == kPictureAgain) {
    ++counts_.retransmitted;
    return;
  }
  ++counts_.packets;
  counts_.bytes += datagram.size();
  if (header.payload_type == kPicture)
    return take_picture_packet(header, datagram, picture_.on_packet(header, now_, counts_));
  if (header.payload_type != kSound) return fail("a payload type that was not agreed");
  sound_.on_packet(header, now_, counts_);
  if (until_check_ > 1) {
    --until_check_;
    return;
  }
  until_check_ = check_each_;
  ++counts_.checked;
  if (inbound_->unprotect(datagram).empty()) ++counts_.not_authentic;
}

void LiveViewer::take_picture_packet(const media::RtpPacket& header, base::ByteView datagram, bool fresh) {
  ++counts_.video_packets;
  if (!times_.packet_ms) times_.packet_ms = since_start();
  if (!fresh) return;
  const bool starts = !times_.key_frame_ms;
  if (starts || --until_check_ == 0) {
    until_check_ = check_each_;
    ++counts_.checked;
    const base::ByteVector plain = inbound_->unprotect(datagram);
    const auto packet = media::parse_rtp(plain);
    if (!packet) {
      ++counts_.not_authentic;
    } else if (starts) {
      look_for_key_frame(*packet);
    }
  }
  if (!header.marker) return;
  ++counts_.frames;
  if (last_frame_) {
    const auto gap = arrived_ - *last_frame_;
    counts_.longest_gap = std::max(counts_.longest_gap, gap);
    if (gap > base::milliseconds(200)) ++counts_.gaps_over_200_ms;
    if (gap > base::milliseconds(500)) ++counts_.freezes_over_500_ms;
  }
  last_frame_ = arrived_;
}

void LiveViewer::look_for_key_frame(const media::RtpPacket& packet) {
  const bool follows = !any_packet_ || packet.sequence == next_sequence_;
  if (!in_frame_ || packet.timestamp != frame_timestamp_) {
    frame_timestamp_ = packet.timestamp;
    frame_is_whole_ = true;
    frame_has_key_ = false;
    in_frame_ = true;
  }
  frame_is_whole_ = frame_is_whole_ && follows;
  frame_has_key_ = frame_has_key_ || begins_key_picture(packet.payload);
  next_sequence_ = static_cast<uint16_t>(packet.sequence + 1);
  any_packet_ = true;
  if (!packet.marker) return;
  in_frame_ = false;
  if (!frame_is_whole_ || !frame_has_key_) return;
  now_ = steady();
  times_.key_frame_ms = since_start();
}

}  // namespace miharu::bench
