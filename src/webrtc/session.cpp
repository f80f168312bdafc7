#include "webrtc/session.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "base/log.h"

namespace miharu::webrtc {
namespace {

std::string_view name_of(VideoSender::State state) {
  switch (state) {
    case VideoSender::State::kWaiting:
      return "waiting";
    case VideoSender::State::kCatchUp:
      return "catching_up";
    case VideoSender::State::kLive:
      return "live";
    case VideoSender::State::kKeysOnly:
      return "keys_only";
  }
  return "";
}

double to_ms(base::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

Session::Session(SessionOptions options, const DtlsContext& dtls, const UnitRing& ring, SessionHost& host,
                 base::SteadyTime now)
    : options_(std::move(options)),
      main_(ring),
      playing_(&ring),
      host_(host),
      ice_(options_.ice, *this, now),
      dtls_context_(dtls),
      now_(now) {}

Session::~Session() = default;

void Session::on_datagram(base::SteadyTime now, const net::UdpPath& path, std::span<std::byte> datagram) {
  if (ended_) return;
  now_ = now;
  if (is_stun(datagram)) {
    ice_.on_datagram(now, path, datagram);
  } else if (!ice_.validated(path)) {
    // Neither keys nor media for somebody who has not shown that this is his address.
    return;
  } else if (DtlsSession::is_dtls(datagram)) {
    dtls_path_ = path;
    if (!dtls_) dtls_.emplace(dtls_context_, options_.peer, now, static_cast<DtlsListener&>(*this));
    dtls_->receive(now, datagram);
  } else {
    on_rtcp(datagram);
  }
}

// RFC 5761 section 4: the types of RTCP; viewers send no RTP.
void Session::on_rtcp(std::span<std::byte> packet) {
  if (!srtcp_ || packet.size() < 2) return;
  const auto type = std::to_integer<unsigned>(packet[1]);
  if (type < 192 || type > 223) return;
  const auto plain = srtcp_->unprotect(packet);
  if (!plain) return;
  if (flowing_) batch();
  // What came before an error was meant.
  (void)media::parse_rtcp(*plain, *this);
  flush();
  want_sub_if_slow();
}

void Session::on_probed(uint32_t id, base::nanoseconds round_trip) {
  if (sender_) sender_->on_probe(id, round_trip);
}

PacketBatch& Session::batch() {
  PacketBatch& out = host_.batch();
  out.to(*ice_.selected());
  return out;
}

void Session::flush() {
  host_.batch().flush();
  totals_.dropped += host_.batch().take_lost();
  if (!sender_ || !flowing_) return;
  if (const auto id = sender_->take_probe()) ice_.probe(now_, *id);
}

void Session::send(const net::UdpPath& path, base::ByteView bytes) {
  host_.send_segments(path, bytes, bytes.size());
}

void Session::on_selected(const net::UdpPath& /*path*/) {
  start_if_ready();
}

void Session::on_unselected() {
  flowing_ = false;
}

void Session::on_validated(const net::UdpPath& path) {
  host_.on_path_validated(*this, path);
}

void Session::on_forgotten(const net::UdpPath& path) {
  host_.on_path_forgotten(*this, path);
}

void Session::on_ufrag_retired(std::string_view ufrag) {
  host_.on_ufrag_retired(ufrag);
}

void Session::on_dtls_send(base::ByteView datagram) {
  // Not again when it is repeated: what comes next may answer the first or be a repetition itself, and would
  // tell too short a time.
  if (!flight_sent_) flight_sent_ = now_;
  host_.send_segments(ice_.selected().value_or(dtls_path_), datagram, datagram.size());
}

void Session::on_dtls_established(const SrtpKeys& keys) {
  auto receiver = SrtcpReceiver::make(keys.profile, keys.receive);
  if (!receiver) {
    spdlog::error("live view of {}: {}", options_.camera, receiver.error().to_string());
    ended_ = true;
    return;
  }
  srtcp_.emplace(std::move(*receiver));
  srtp_ = std::make_unique<SrtpSender>(keys.profile, keys.send);
  video_.emplace(options_.video, *srtp_);
  if (options_.audio) audio_.emplace(*options_.audio, *srtp_);
  sender_.emplace(main_, *video_);
  if (flight_sent_) handshake_trip_ = now_ - *flight_sent_;
  start_if_ready();
}

void Session::on_dtls_closed(const base::Error& reason) {
  if (reason.code != base::Errc::kClosed) {
    spdlog::info("live view of {} for {}: {}", options_.camera, options_.user, reason.to_string());
  }
  ended_ = true;
}

void Session::start_if_ready() {
  if (flowing_ || !sender_ || !ice_.selected()) return;
  flowing_ = true;
  send_reports();
  ice_.probe(now_, VideoSender::kIdleProbe);
  sender_->start(now_, handshake_trip_, batch());
  flush();
  note_first_frame();
}

void Session::note_first_frame() {
  if (first_frame_ || !sender_ || !sender_->key_sent()) return;
  first_frame_ = now_ - options_.offered;
  totals_.first_frame.observe(std::chrono::duration<double>(*first_frame_).count());
}

void Session::on_group(base::SteadyTime now, const UnitRing& ring) {
  if (!flowing_) return;
  now_ = now;
  if (change_to(ring))
    sender_->play(now, ring, batch());
  else if (&ring == playing_)
    sender_->on_group(now, batch());
  flush();
  note_first_frame();
}

void Session::on_video(base::SteadyTime now, const UnitRing& ring) {
  if (!flowing_) return;
  now_ = now;
  if (change_to(ring))
    sender_->play(now, ring, batch());
  else if (&ring == playing_)
    sender_->on_unit(now, batch());
  else
    return;
  flush();
  note_first_frame();
}

bool Session::change_to(const UnitRing& ring) {
  if (&ring == playing_) return false;
  if (&ring != &main_) {
    if (!sub_wanted_ || !ring.key()) return false;
    playing_ = &ring;
    sub_rest_ = now_ - main_since_ < kSubTrial ? std::min<base::nanoseconds>(sub_rest_ * 2, kLongestSubRest)
                                               : base::nanoseconds(kSubRest);
    main_again_ = now_ + sub_rest_;
    return true;
  }
  // With a key frame that has just come: what is older would be sent in haste.
  if (now_ < main_again_ || ring.key() != ring.end() - 1) return false;
  playing_ = &main_;
  main_since_ = now_;
  want_sub(false);
  return true;
}

void Session::want_sub(bool wanted) {
  if (sub_wanted_ == wanted) return;
  sub_wanted_ = wanted;
  host_.on_sub_wanted(*this, wanted);
}

void Session::want_sub_if_slow() {
  if (playing_ == &main_ && sender_) want_sub(sender_->state() == VideoSender::State::kKeysOnly);
}

void Session::on_audio(const RtpUnit& unit) {
  if (!flowing_ || !audio_) return;
  audio_->send(unit, 0, audio_->timestamp(unit.ticks), 0, unit.bytes.size(), batch());
  flush();
}

void Session::on_interrupted(const UnitRing& ring) {
  if (&ring != playing_ || !sender_) return;
  sender_->on_interrupted();
  // When the smaller stream is lost, the other is better than none.
  if (playing_ != &main_) main_again_ = {};
}

void Session::on_slice(base::SteadyTime now) {
  if (!wants_slices()) return;
  now_ = now;
  sender_->on_slice(now, batch());
  flush();
  note_first_frame();
}

void Session::on_time(base::SteadyTime now) {
  now_ = now;
  ice_.on_time(now);
  if (ice_.expired(now)) {
    ended_ = true;
    return;
  }
  if (dtls_ && dtls_->next_deadline() && *dtls_->next_deadline() <= now) dtls_->on_time(now);
  if (flowing_ && now >= next_report_) send_reports();
}

void Session::close() {
  if (srtp_ && ice_.selected()) {
    rtcp_.clear();
    media::append_receiver_report(rtcp_, options_.video.ssrc, {}, options_.cname);
    media::append_bye(rtcp_, options_.video.ssrc);
    send_rtcp(rtcp_);
  }
  if (dtls_) dtls_->close();
  ended_ = true;
}

void Session::send_reports() {
  next_report_ = now_ + kReportInterval;
  rtcp_.clear();
  media::append_sender_report(rtcp_, video_->report(now_), options_.cname);
  if (audio_) media::append_sender_report(rtcp_, audio_->report(now_), options_.cname);
  send_rtcp(rtcp_);
}

void Session::send_rtcp(base::ByteVector& packet) {
  const size_t size = packet.size();
  packet.resize(size + srtp_->rtcp_overhead());
  const size_t sent = srtp_->protect_rtcp(packet, size);
  host_.send_segments(*ice_.selected(), base::ByteView(packet).first(sent), sent);
}

// RFC 3550 6.4.1: from the sender report that it answers to now, less what it lay there.
std::optional<base::nanoseconds> Session::round_trip_of(const media::RtcpReportBlock& block) const {
  if (block.last_sr == 0) return std::nullopt;
  const auto now =
      static_cast<uint32_t>((options_.video.ntp_of_zero + to_ntp(now_.time_since_epoch())) >> 16);
  const auto trip = static_cast<int32_t>(now - block.last_sr - block.delay_since_last_sr);
  const base::nanoseconds time(static_cast<int64_t>(trip) * 1'000'000'000 / 65536);
  if (trip < 0 || time > kLongestRoundTrip) return std::nullopt;
  return time;
}

void Session::on_report_block(uint32_t /*reporter_ssrc*/, const media::RtcpReportBlock& block) {
  if (!sender_ || block.ssrc != options_.video.ssrc) return;
  lost_ = static_cast<uint64_t>(std::max(0, block.cumulative_lost));
  // What comes late is taken back in a report (RFC 3550 6.4.1), and a counter only grows.
  totals_.lost = std::max(totals_.lost, lost_);
  fraction_lost_ = block.fraction_lost;
  const auto round_trip = round_trip_of(block);
  if (round_trip) totals_.round_trip.observe(std::chrono::duration<double>(*round_trip).count());
  sender_->on_report(now_, block.fraction_lost, round_trip);
}

void Session::on_nack(uint32_t media_ssrc, uint16_t first, uint16_t mask) {
  if (!flowing_ || media_ssrc != options_.video.ssrc) return;
  totals_.packets_asked_again += 1 + static_cast<uint64_t>(std::popcount(mask));
  sender_->on_nack(now_, first, mask, host_.batch());
}

void Session::on_key_frame_request(uint32_t media_ssrc) {
  if (!flowing_ || media_ssrc != options_.video.ssrc) return;
  ++totals_.key_frame_requests;
  sender_->on_key_frame_request(now_, host_.batch());
}

std::string_view Session::state() const {
  return flowing_ ? name_of(sender_->state()) : "connecting";
}

ViewerTotals Session::totals() const {
  ViewerTotals all = totals_;
  all.sessions = 1;
  for (const auto* stream : {&video_, &audio_}) {
    if (!*stream) continue;
    all.packets += (*stream)->counters().packets;
    all.bytes += (*stream)->counters().bytes;
  }
  if (sender_) {
    const VideoCounters& video = sender_->counters();
    all.retransmitted = video.retransmitted;
    all.retransmissions_refused = video.retransmissions_refused;
    all.pictures_skipped = video.units_skipped;
  }
  return all;
}

SessionInfo Session::info() const {
  SessionInfo info;
  info.id = options_.id;
  info.camera = options_.camera;
  info.user = options_.user;
  info.since = options_.since;
  if (const auto& path = ice_.selected()) {
    info.remote = fmt::format(fmt::runtime(path->remote.address().is_v6() ? "[{}]:{}" : "{}:{}"),
                              path->remote.address().to_string(), path->remote.port());
  }
  info.state = state();
  info.sub = playing_ != &main_;
  info.lost = lost_;
  info.loss = fraction_lost_ / 256.0;
  info.dropped = totals_.dropped;
  if (sender_) {
    info.skipped = sender_->counters().units_skipped;
    info.packets = sender_->counters().packets;
    info.retransmitted = sender_->counters().retransmitted;
    info.round_trip_ms = to_ms(sender_->round_trip().value_or(base::nanoseconds(0)));
  }
  info.first_frame_ms = to_ms(first_frame_.value_or(base::nanoseconds(0)));
  return info;
}

}  // namespace miharu::webrtc
