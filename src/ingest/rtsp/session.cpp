#include "ingest/rtsp/session.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::ingest::rtsp {

using base::Errc;
using base::SteadyTime;
using media::TrackKind;

namespace {

constexpr unsigned kMaxRefusals =
    2;  // 401 for one request; one more where the camera says that only the nonce is old
constexpr base::seconds kMinTimeout{5};
constexpr base::seconds kMaxTimeout{3600};
constexpr base::milliseconds kMaxKeepAlive{30'000};
constexpr std::string_view kUserAgent = "miharu/0.1";  // some cameras refuse DESCRIBE without one (quirk R12)

std::string describe_status(const Message& message) {
  const std::string reason = message.reason.substr(0, 80);
  return fmt::format("{}{}{}", message.status, reason.empty() ? "" : " ", reason);
}

bool refuses_transport(unsigned status) {
  return status == 461 || status == 405 || status == 406 || status == 454 || status == 459;
}

std::string encodings(const media::SdpMedia& media) {
  std::string out;
  for (const auto& format : media.formats) {
    const std::string name =
        format.encoding.empty() ? fmt::format("type {}", format.payload_type) : format.encoding;
    if (out.size() < 200) out += (out.empty() ? "" : ", ") + name.substr(0, 40);
  }
  return out;
}

std::string offered_text(const Offer& offer) {
  std::string out;
  for (const auto& track : offer.tracks) {
    if (out.size() > 400) break;
    out += out.empty() ? "" : "; ";
    out += track.kind.substr(0, 40) + (track.codec.empty() ? "" : " ") + track.codec;
    if (!track.reason.empty()) out += " (" + track.reason.substr(0, 160) + ")";
  }
  return out;
}

}  // namespace

Session::Session(SessionOptions options, Authenticator& authenticator, SessionListener& listener)
    : options_(std::move(options)),
      authenticator_(authenticator),
      listener_(listener),
      parser_(options_.buffer_bytes) {}

void Session::start(SteadyTime now) {
  state_ = State::kOptions;
  request("OPTIONS", options_.url.request, "", now);
}

void Session::receive(size_t count, SteadyTime now) {
  parser_.commit(count);
  while (!end_) {
    const StreamParser::Event event = parser_.next();
    if (parser_.resynchronisations() != resynchronisations_told_) {
      resynchronisations_told_ = parser_.resynchronisations();
      listener_.on_oddity("T3");
    }
    if (parser_.stray_line_ends() != stray_line_ends_told_) {
      stray_line_ends_told_ = parser_.stray_line_ends();
      listener_.on_oddity("R7");
    }
    if (event == StreamParser::Event::kFrame) {
      on_frame();
    } else if (event == StreamParser::Event::kMessage) {
      on_message(parser_.message(), now);
    } else if (event == StreamParser::Event::kFailed) {
      finish(SessionEnd::Kind::kFailed, parser_.error().code, camera() + ": " + parser_.error().text);
    } else {
      break;
    }
  }
  if (!parser_.in_body()) {
    body_since_.reset();
    body_began_.reset();
  } else if (!body_began_ || (count > 0 && now - *body_began_ < options_.whole_body_timeout)) {
    body_since_ = now;
    if (!body_began_) body_began_ = now;
  }
  if (parser_.in_junk() != junk_since_.has_value()) {
    junk_since_ = parser_.in_junk() ? std::optional(now) : std::nullopt;
  }
}

void Session::tick(SteadyTime now) {
  if (end_) return;
  if (body_since_) {
    const auto limit = parser_.body_length_known() ? options_.body_timeout : options_.open_body_timeout;
    if (now - *body_since_ >= limit) {
      listener_.on_oddity("R4");
      parser_.take_partial_body();
      body_since_.reset();
      body_began_.reset();
      on_message(parser_.message(), now);
      receive(0, now);
    }
  }
  if (end_) return;
  // Junk in the hand-shake ends with the next reply, which has its own time limit.
  if (playing() && junk_since_ && now - *junk_since_ >= options_.junk_timeout) {
    return finish(SessionEnd::Kind::kFailed, Errc::kMalformed,
                  camera() + " sent data without framing for 3 s");
  }
  if (pending_ && now - pending_->sent >= options_.reply_timeout && !body_since_) {
    if (!playing()) {
      return finish(
          SessionEnd::Kind::kFailed, Errc::kTimeout,
          fmt::format("no answer from {} to {} within {} s: is the address right, is the camera busy?",
                      options_.url.host_and_port(), pending_->method, options_.reply_timeout.count() / 1000));
    }
    // The media watchdog decides whether a camera that ignores keep-alive requests is gone.
    listener_.on_oddity("R11");
    pending_.reset();
  }
  if (playing() && !pending_ && now >= keep_alive_due_) {
    keep_alive_due_ = now + keep_alive_interval();
    request(get_parameter_ ? "GET_PARAMETER" : "OPTIONS", aggregate_url_, session_header(), now);
  }
}

std::optional<SteadyTime> Session::deadline() const {
  if (end_) return std::nullopt;
  std::optional<SteadyTime> first;
  const auto consider = [&first](SteadyTime time) { first = first ? std::min(*first, time) : time; };
  if (body_since_) {
    consider(*body_since_ +
             (parser_.body_length_known() ? options_.body_timeout : options_.open_body_timeout));
  } else if (pending_) {
    consider(pending_->sent + options_.reply_timeout);
  }
  if (playing() && junk_since_) consider(*junk_since_ + options_.junk_timeout);
  if (playing() && !pending_) consider(keep_alive_due_);
  return first;
}

base::milliseconds Session::keep_alive_interval() const {
  return std::min(base::milliseconds(timeout_) / 2, kMaxKeepAlive);
}

void Session::teardown() {
  if (session_id_.empty() || state_ == State::kNew) return;
  request("TEARDOWN", aggregate_url_, session_header(), {});
  session_id_.clear();
  pending_.reset();
}

void Session::send_rtcp(TrackKind kind, base::ByteView packet) {
  for (const Track& track : tracks_) {
    if (track.kind != kind || !track.set_up || packet.size() > 0xffff) continue;
    rtcp_out_.clear();
    base::ByteWriter out(rtcp_out_);
    out.u8('$');
    out.u8(track.rtcp_channel);
    out.u16(packet.size());
    out.bytes(packet);
    listener_.on_send(rtcp_out_);
  }
}

std::string Session::session_header() const {
  return session_id_.empty() ? std::string{} : "Session: " + session_id_ + "\r\n";
}

void Session::request(std::string method, std::string url, std::string headers, SteadyTime now) {
  pending_ = Pending{std::move(method), std::move(url), std::move(headers), 0, 0, now};
  transmit(now);
}

void Session::transmit(SteadyTime now) {
  pending_->cseq = ++cseq_;
  pending_->sent = now;
  std::string text = fmt::format("{} {} RTSP/1.0\r\nCSeq: {}\r\nUser-Agent: {}\r\n", pending_->method,
                                 pending_->url, pending_->cseq, kUserAgent);
  text += pending_->headers;
  const std::string authorization = authenticator_.authorization(pending_->method, pending_->url);
  if (!authorization.empty()) text += "Authorization: " + authorization + "\r\n";
  text += "\r\n";
  listener_.on_send(base::as_bytes(text));
}

void Session::on_frame() {
  const Channel& channel = channels_[parser_.channel()];
  if (!channel.assigned) return listener_.on_oddity("T2");
  if (state_ == State::kPlay) listener_.on_oddity("R7");
  listener_.on_media(channel.kind, channel.rtcp, parser_.frame());
}

void Session::on_message(const Message& message, SteadyTime now) {
  if (message.is_request) return on_request(message);
  if (!pending_ || message.status < 200) {
    if (message.status >= 200) listener_.on_oddity("R9");
    return;
  }
  // Replies come in order, so that one with a wrong number is still the reply to the request under way (quirk
  // R9).
  if (base::parse_number<unsigned>(message.header("CSeq")) != pending_->cseq) listener_.on_oddity("R9");
  on_reply(message, now);
}

// Quirk R8.
void Session::on_request(const Message& message) {
  listener_.on_oddity("R8");
  static constexpr std::array<std::string_view, 6> kKnown = {"OPTIONS",  "GET_PARAMETER", "SET_PARAMETER",
                                                             "ANNOUNCE", "REDIRECT",      "TEARDOWN"};
  const bool known = std::find(kKnown.begin(), kKnown.end(), message.method) != kKnown.end();
  std::string text = known ? "RTSP/1.0 200 OK\r\n" : "RTSP/1.0 501 Not Implemented\r\n";
  text += fmt::format("CSeq: {}\r\n", message.header("CSeq").substr(0, 32));
  if (message.method == "OPTIONS")
    text += "Public: OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE, REDIRECT, TEARDOWN\r\n";
  listener_.on_send(base::as_bytes(text + "\r\n"));
  if (message.method == "REDIRECT") {
    finish(SessionEnd::Kind::kRedirected, Errc::kRefused, camera() + " sends us to another address",
           std::string(message.header("Location")));
  } else if (message.method == "TEARDOWN") {
    session_id_.clear();
    finish(SessionEnd::Kind::kClosed, Errc::kClosed, camera() + " ended the session");
  }
}

void Session::on_reply(const Message& message, SteadyTime now) {
  if (message.status == 401) return on_unauthorized(message, now);
  if (const auto challenges = message.all("WWW-Authenticate"); !challenges.empty() && message.status == 200) {
    listener_.on_oddity("A7");
    static_cast<void>(authenticator_.accept(challenges));
  }
  if (const auto server = message.header("Server"); !server.empty()) offer_.server = server.substr(0, 200);
  if (message.status >= 300 && message.status < 400 && state_ != State::kPlaying) {
    return finish(SessionEnd::Kind::kRedirected, Errc::kRefused,
                  fmt::format("{} sends us to another address ({})", camera(), describe_status(message)),
                  std::string(message.header("Location")));
  }
  if (message.status == 453 || message.status == 503) {
    return finish(SessionEnd::Kind::kBusy, Errc::kRefused,
                  fmt::format("{} has no free session ({}): something else may be watching it", camera(),
                              describe_status(message)));
  }
  const bool ok = message.status < 300;
  switch (state_) {
    case State::kOptions:
      // A camera that does not know OPTIONS may do without it.
      if (ok) offer_.methods = parse_public(message.header("Public"));
      get_parameter_ =
          std::find(offer_.methods.begin(), offer_.methods.end(), "GET_PARAMETER") != offer_.methods.end();
      state_ = State::kDescribe;
      return request("DESCRIBE", options_.url.request, "Accept: application/sdp\r\n", now);
    case State::kDescribe:
      return ok ? on_described(message, now) : finish_refused(message);
    case State::kSetup:
      return on_set_up(message, now);
    case State::kPlay:
      if (!ok) return finish_refused(message);
      take_session(message);
      pending_.reset();
      state_ = State::kPlaying;
      keep_alive_due_ = now + keep_alive_interval();
      return listener_.on_playing();
    case State::kPlaying:
      return on_keep_alive(message);
    case State::kNew:
    case State::kEnded:
      return;
  }
}

void Session::on_unauthorized(const Message& message, SteadyTime now) {
  if (!authenticator_.has_credentials()) {
    return finish(SessionEnd::Kind::kUnauthorized, Errc::kUnauthorized,
                  camera() + " asks for a user and a password (401), and none are set");
  }
  const bool tried = authenticator_.challenge().has_value();
  if (auto status = authenticator_.accept(message.all("WWW-Authenticate")); !status) {
    return finish(SessionEnd::Kind::kUnauthorized, status.error().code,
                  camera() + ": " + status.error().text);
  }
  // A nonce that has worked grows old, with or without stale=true (quirk A2): one answer for each fresh one.
  ++pending_->refusals;
  const bool only_stale = authenticator_.challenge()->stale && pending_->refusals == kMaxRefusals;
  if (pending_->refusals >= kMaxRefusals && !only_stale) {
    return finish(SessionEnd::Kind::kUnauthorized, Errc::kUnauthorized,
                  camera() + " refused the password (401): check user and password");
  }
  if (tried) listener_.on_oddity("A2");
  if (authenticator_.is_basic() && !options_.url.tls) listener_.on_oddity("A1");
  transmit(now);
}

void Session::finish_refused(const Message& message) {
  const std::string status = describe_status(message);
  const std::string method = pending_ ? pending_->method : "a request";
  if (message.status == 404) {
    return finish(
        SessionEnd::Kind::kFailed, Errc::kNotFound,
        fmt::format("{} has no stream at this address ({}): check the path of the URL", camera(), status));
  }
  if (message.status == 403) {
    return finish(SessionEnd::Kind::kUnauthorized, Errc::kForbidden,
                  fmt::format("{} does not let this user watch ({})", camera(), status));
  }
  finish(SessionEnd::Kind::kFailed, Errc::kRefused,
         fmt::format("{} refused {} ({})", camera(), method, status));
}

void Session::take_session(const Message& message) {
  const auto header = parse_session(message.header("Session"));
  if (!header) return;
  if (!session_id_.empty() && header->id != session_id_) listener_.on_oddity("R10");
  session_id_ = header->id;
  if (header->timeout_s) timeout_ = std::clamp(base::seconds(*header->timeout_s), kMinTimeout, kMaxTimeout);
  if (header->timeout_s && *header->timeout_s < 5) listener_.on_oddity("R11");
}

void Session::on_described(const Message& message, SteadyTime now) {
  take_session(message);
  if (message.header("Content-Type").empty()) listener_.on_oddity("R3");
  auto sdp = media::parse_sdp(message.body);
  if (!sdp) {
    return finish(SessionEnd::Kind::kFailed, sdp.error().code,
                  camera() + " described its stream in a way that cannot be read: " + sdp.error().text);
  }
  sdp_ = std::move(*sdp);
  for (const std::string& oddity : sdp_.oddities) listener_.on_oddity(oddity);
  const std::string_view content_base = message.header("Content-Base");
  const std::string base_url =
      media::sdp_base_url(options_.url.request, content_base, message.header("Content-Location"));
  if (!content_base.empty() && base_url != content_base) listener_.on_oddity("R5");
  aggregate_url_ = media::sdp_aggregate_url(base_url, sdp_);

  offer_.name = sdp_.name.substr(0, 200);
  for (const auto& media : sdp_.media) {
    Offer::Track track;
    track.kind = media.kind;
    track.codec = encodings(media);
    if (const auto choice = media::choose_format(media)) {
      track.usable = true;
      track.codec = choice->format.encoding;
    } else {
      track.reason = choice.error().text;
    }
    if (media.back_channel) {
      track.usable = false;
      track.reason = "sound towards the camera";
    }
    offer_.tracks.push_back(std::move(track));
  }
  const bool video = select(TrackKind::kVideo, base_url);
  if (end_) return;
  if (!video) {
    return finish(SessionEnd::Kind::kFailed, Errc::kUnsupported,
                  fmt::format("{} offers no video that can be recorded (H.264 can). It offers: {}", camera(),
                              offered_text(offer_)));
  }
  select(TrackKind::kAudio, base_url);
  if (end_) return;
  state_ = State::kSetup;
  set_up_next(now);
}

bool Session::select(TrackKind kind, std::string_view base_url) {
  for (size_t i = 0; i < sdp_.media.size(); ++i) {
    Offer::Track& offered = offer_.tracks[i];
    if (!offered.usable) continue;
    const auto choice = media::choose_format(sdp_.media[i]);
    if (!choice || media::kind_of(choice->codec) != kind) continue;
    const auto port = listener_.on_select(kind, sdp_.media[i], *choice);
    if (!port) {
      if (port.error().code != Errc::kUnsupported) {
        finish(SessionEnd::Kind::kFailed, port.error().code, port.error().text);
        return false;
      }
      offered.usable = false;
      offered.reason = port.error().text;
      continue;
    }
    offered.selected = true;
    Track track;
    track.kind = kind;
    track.media = i;
    track.url = media::sdp_control_url(base_url, sdp_.media[i].control);
    track.client_port = *port;
    track.rtp_channel = static_cast<uint8_t>(tracks_.size() * 2);
    track.rtcp_channel = static_cast<uint8_t>(track.rtp_channel + 1);
    tracks_.push_back(std::move(track));
    return true;
  }
  return false;
}

void Session::set_up_next(SteadyTime now) {
  if (setting_up_ == tracks_.size()) {
    state_ = State::kPlay;
    return request("PLAY", aggregate_url_, session_header() + "Range: npt=0.000-\r\n", now);
  }
  const Track& track = tracks_[setting_up_];
  // No mode=play: it breaks some servers (quirk R13).
  const std::string transport =
      options_.udp
          ? fmt::format("RTP/AVP;unicast;client_port={}-{}", track.client_port, track.client_port + 1)
          : fmt::format("RTP/AVP/TCP;unicast;interleaved={}-{}", track.rtp_channel, track.rtcp_channel);
  // Frames may come before the reply that names their channels (quirk R7).
  if (!options_.udp) assign_channel(track);
  request("SETUP", track.url, "Transport: " + transport + "\r\n" + session_header(), now);
}

void Session::assign_channel(const Track& track) {
  for (Channel& channel : channels_) {
    if (channel.assigned && channel.kind == track.kind) channel.assigned = false;
  }
  channels_[track.rtp_channel] = {true, false, track.kind};
  channels_[track.rtcp_channel] = {true, true, track.kind};
  parser_.set_known_channel(track.rtp_channel);
  parser_.set_known_channel(track.rtcp_channel);
}

void Session::on_set_up(const Message& message, SteadyTime now) {
  Track& track = tracks_[setting_up_];
  const bool video = track.kind == TrackKind::kVideo;
  std::string refusal;
  Transport transport;
  if (message.status >= 300) {
    if (video && !refuses_transport(message.status)) return finish_refused(message);
    refusal = describe_status(message);
  } else if (auto parsed = parse_transport(message.header("Transport"))) {
    transport = *parsed;
    const bool ours = !transport.client_port || transport.client_port->first == track.client_port;
    if (options_.udp && (transport.tcp || transport.multicast || !ours))
      refusal = "it answers with another transport";
    if (!options_.udp && !transport.tcp) refusal = "it answers with another transport";
  } else {
    // The request's own transport is the only thing that it can mean.
    listener_.on_oddity("T1");
  }
  if (!refusal.empty()) {
    if (video) {
      return finish(
          SessionEnd::Kind::kTransportRefused, Errc::kRefused,
          fmt::format("{} refuses media over {} ({})", camera(), options_.udp ? "UDP" : "TCP", refusal));
    }
    // One bad media never ends a session that has good video.
    for (Channel& channel : channels_) channel.assigned = channel.assigned && channel.kind != track.kind;
    offer_.tracks[track.media].selected = false;
    offer_.tracks[track.media].reason = "the camera refused it: " + refusal;
    listener_.on_left_out(track.kind);
    tracks_.erase(tracks_.begin() + static_cast<std::ptrdiff_t>(setting_up_));
    return set_up_next(now);
  }
  if (session_id_.empty() && message.header("Session").empty()) listener_.on_oddity("R10");
  take_session(message);
  if (!options_.udp && transport.interleaved &&
      transport.interleaved != std::pair{track.rtp_channel, track.rtcp_channel}) {
    listener_.on_oddity("T1");
    track.rtp_channel = transport.interleaved->first;
    track.rtcp_channel = transport.interleaved->second;
    assign_channel(track);
  }
  track.set_up = true;
  listener_.on_setup(track.kind, transport);
  if (end_) return;
  ++setting_up_;
  set_up_next(now);
}

void Session::on_keep_alive(const Message& message) {
  pending_.reset();
  take_session(message);
  if (message.status == 454) {
    session_id_.clear();
    return finish(SessionEnd::Kind::kClosed, Errc::kClosed, camera() + " has forgotten the session (454)");
  }
  if (message.status >= 400 && get_parameter_) {
    listener_.on_oddity("R11");
    get_parameter_ = false;
  }
}

void Session::finish(SessionEnd::Kind kind, Errc code, std::string text, std::string location) {
  if (end_) return;
  end_ = SessionEnd{kind, {code, std::move(text), -1}, std::move(location)};
  state_ = State::kEnded;
}

}  // namespace miharu::ingest::rtsp
