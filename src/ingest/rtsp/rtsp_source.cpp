#include "ingest/rtsp/rtsp_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread_check.h"
#include "ingest/rtsp/connection.h"
#include "ingest/rtsp/track_receiver.h"
#include "ingest/rtsp/udp_pair.h"

namespace miharu::ingest {

namespace {

using namespace rtsp;
using base::Errc;
using base::milliseconds;
using base::SteadyTime;
using media::TrackKind;

constexpr int kMaxReads = 16;  // a wake-up: then other cameras have their turn
constexpr unsigned kMaxRedirects = 5;
constexpr double kUnusableRate = 0.1;  // of a clock of sound: nobody wants to hear it
constexpr unsigned kPasswordTries = 2;
constexpr unsigned kMaxSwitches = 2;  // of the transport without a pause: to the other one, and back to one
                                      // that was only refused

size_t index_of(TrackKind kind) {
  return kind == TrackKind::kVideo ? 0 : 1;
}

class Client final : public RtspSource, private SessionListener, private TrackListener {
 public:
  Client(net::EventLoop& loop, net::ReadCoalescer& coalescer, const base::Clock& clock, RtspOptions options,
         SourceListener& listener)
      : loop_(loop),
        coalescer_(coalescer),
        clock_(clock),
        options_(std::move(options)),
        listener_(listener),
        timer_(loop.context()),
        udp_(options_.transport == RtspTransport::kUdp),
        random_(std::random_device{}()) {}
  ~Client() override {
    stop();
    close();  // a stop() in a listener's call has only asked for it
  }

  void start() override;
  void stop() override;
  [[nodiscard]] SourceStatus status() const override;
  [[nodiscard]] const Offer& offer() const override { return session_ ? session_->offer() : offer_; }
  [[nodiscard]] const std::string& fingerprint() const override { return fingerprint_; }

 private:
  // Holds back the end of an attempt until the calls that are under way have returned.
  class Busy {
   public:
    explicit Busy(Client& client) : client_(client) { ++client_.busy_; }
    ~Busy() { --client_.busy_; }

   private:
    Client& client_;
  };

  void connect();
  void on_connected(base::Status status);
  void take_fingerprint();
  void on_readable();
  void take_rest();
  void on_datagrams(TrackKind kind, bool rtcp);
  void receive_datagrams(TrackKind kind, bool rtcp);
  void tick();
  void settle();
  void check_media(SteadyTime now);
  void check_rates();
  void send_reports(SteadyTime now);
  void arm_timer();
  void set_timer(SteadyTime time);
  void end_attempt(SessionEnd end);
  bool try_other_transport(bool silent);
  bool follow(const SessionEnd& end);
  milliseconds next_delay(const SessionEnd& end);
  void close();
  [[nodiscard]] std::optional<SteadyTime> last_video() const;

  void on_send(base::ByteView bytes) override;
  base::Result<uint16_t> on_select(TrackKind kind, const media::SdpMedia& media,
                                   const media::SdpChoice& choice) override;
  void on_setup(TrackKind kind, const Transport& transport) override;
  void on_left_out(TrackKind kind) override;
  void on_playing() override;
  void on_media(TrackKind kind, bool rtcp, base::ByteView packet) override;
  void on_oddity(std::string_view quirk_id) override;
  void on_track_frame(media::FramePtr frame) override;
  void on_track_report(const SenderReport& report) override;
  void on_track_oddity(std::string_view quirk_id) override { on_oddity(quirk_id); }
  void on_track_time_jump(const base::Error& error) override;

  net::EventLoop& loop_;
  net::ReadCoalescer& coalescer_;
  const base::Clock& clock_;
  RtspOptions options_;
  SourceListener& listener_;
  boost::asio::steady_timer timer_;
  std::optional<SteadyTime> timer_at_;
  std::shared_ptr<int> alive_ = std::make_shared<int>();

  Url home_;     // what the user gave
  Url current_;  // the same, or where it sent us
  Offer offer_;
  std::string fingerprint_;
  SourceStatus status_;
  bool stopped_ = false;
  int busy_ = 0;

  // One attempt.
  std::optional<Authenticator> authenticator_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<Session> session_;
  std::array<std::unique_ptr<TrackReceiver>, 2> receivers_;  // by index_of
  std::array<bool, 2> rate_told_{};
  bool leaves_sound_ = false;
  std::array<std::optional<UdpPair>, 2> pairs_;
  std::unique_ptr<DatagramBuffer> datagrams_;
  SteadyTime now_{};  // of the wake-up that is handled
  SteadyTime playing_since_{};
  SteadyTime report_due_{};
  SteadyTime retry_at_{};
  std::map<std::string, uint64_t, std::less<>> told_;
  bool send_failed_ = false;

  // From one attempt to the next.
  bool udp_;
  unsigned switches_ = 0;
  std::array<bool, 2> silent_{};  // since the last pause, over TCP and UDP: accepted, but no video came
  unsigned failures_ = 0;
  unsigned refused_passwords_ = 0;
  unsigned redirects_ = 0;
  std::optional<std::pair<bool, bool>> told_tracks_;
  std::minstd_rand random_;
  base::ByteVector report_;
  base::ThreadCheck thread_;
};

void Client::start() {
  CHECK(thread_.is_current());
  auto url = parse_url(options_.url);
  if (!url) {
    status_.last_error = url.error();
    status_.state = SourceStatus::State::kWaiting;
    return listener_.on_interrupted(Interruption::kConnection, url.error());
  }
  home_ = std::move(*url);
  if (!options_.user.empty() || !options_.password.empty()) {
    home_.user = options_.user;
    home_.password = options_.password;
  }
  current_ = home_;
  connect();
}

void Client::stop() {
  CHECK(thread_.is_current());
  if (busy_ == 0) take_rest();
  if (stopped_) return;
  stopped_ = true;
  timer_.cancel();
  status_.state = SourceStatus::State::kIdle;
  if (busy_ == 0) return close();
  loop_.post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) close();
  });
}

// Reads are coalesced, and a picture may wait for the next packet to tell that it is whole.
void Client::take_rest() {
  if (stopped_ || !session_ || !session_->playing()) return;
  on_readable();
  const Busy busy(*this);
  for (const auto kind : {TrackKind::kAudio, TrackKind::kVideo}) {
    receive_datagrams(kind, false);
    if (const auto& receiver = receivers_[index_of(kind)]; receiver && !stopped_) receiver->flush();
  }
}

SourceStatus Client::status() const {
  SourceStatus out = status_;
  for (const auto& receiver : receivers_) {
    if (!receiver) continue;
    out.packets += receiver->packets();
    out.packets_lost += receiver->lost();
  }
  return out;
}

void Client::connect() {
  now_ = clock_.steady();
  status_.state = SourceStatus::State::kConnecting;
  ++status_.connects;
  authenticator_.emplace(current_.user, current_.password);
  const auto guarded = [this](auto method) {
    return [this, method](auto&&... arguments) {
      (this->*method)(std::forward<decltype(arguments)>(arguments)...);
    };
  };
  connection_ = std::make_unique<Connection>(
      loop_, coalescer_,
      ConnectionOptions{current_.host, current_.port, current_.tls, options_.pinned_fingerprint,
                        options_.timing.connect},
      Connection::Callbacks{guarded(&Client::on_connected), guarded(&Client::on_readable)});
  connection_->start();
}

void Client::on_connected(base::Status status) {
  if (stopped_) return;
  now_ = clock_.steady();
  take_fingerprint();
  if (!status) return end_attempt({SessionEnd::Kind::kFailed, std::move(status.error()), {}});
  SessionOptions options;
  options.url = current_;
  options.udp = udp_;
  options.reply_timeout = options_.timing.reply;
  // Over UDP only replies come this way.
  if (udp_) options.buffer_bytes = StreamParser::kMinCapacity;
  session_ =
      std::make_unique<Session>(std::move(options), *authenticator_, static_cast<SessionListener&>(*this));
  {
    const Busy busy(*this);
    session_->start(now_);
  }
  settle();
}

// Cameras sign their certificates themselves (quirk T9): unless one is pinned any will do, and a new one is
// told.
void Client::take_fingerprint() {
  const std::string shown = connection_->fingerprint();
  if (shown.empty() || shown == fingerprint_) return;
  if (options_.pinned_fingerprint.empty()) {
    on_oddity("T9");
    spdlog::log(fingerprint_.empty() ? spdlog::level::info : spdlog::level::warn,
                "camera {}: {} certificate, its SHA-256 is {}; pin it so that no other is accepted",
                current_.host_and_port(), fingerprint_.empty() ? "shows a" : "shows another", shown);
  }
  fingerprint_ = shown;
}

void Client::on_readable() {
  if (!session_ || stopped_) return;
  now_ = clock_.steady();
  std::optional<base::Error> error;
  {
    const Busy busy(*this);
    for (int i = 0; i < kMaxReads && !session_->end() && !stopped_; ++i) {
      const auto space = session_->space();
      const auto count = connection_->read(space);
      if (!count) error = count.error();
      if (!count || *count == 0) break;
      status_.bytes += *count;
      session_->receive(*count, now_);
      // A read that did not fill the space has emptied the socket; a TLS record at a time says nothing.
      if (!current_.tls && *count < space.size()) break;
    }
  }
  if (error && !stopped_ && !session_->end()) {
    const bool closed = error->code == Errc::kClosed;
    return end_attempt(
        {closed ? SessionEnd::Kind::kClosed : SessionEnd::Kind::kFailed,
         {error->code, fmt::format("camera {}: {}", current_.host_and_port(), error->text), -1},
         {}});
  }
  settle();
}

void Client::on_datagrams(TrackKind kind, bool rtcp) {
  if (!pairs_[index_of(kind)] || stopped_) return;
  now_ = clock_.steady();
  {
    const Busy busy(*this);
    // After a hold-up of this thread the picture must not run ahead of the sound that waits beside it.
    if (kind == TrackKind::kVideo && !rtcp) receive_datagrams(TrackKind::kAudio, false);
    receive_datagrams(kind, rtcp);
  }
  settle();
}

void Client::receive_datagrams(TrackKind kind, bool rtcp) {
  auto& pair = pairs_[index_of(kind)];
  if (!pair) return;
  datagrams_->receive((rtcp ? pair->rtcp : pair->rtp).fd(),
                      [&](base::ByteView packet, const PeerAddress& from) {
                        TrackReceiver* receiver = receivers_[index_of(kind)].get();
                        if (stopped_ || !receiver || !from.same_host(connection_->remote())) return;
                        status_.bytes += packet.size();
                        if (rtcp) {
                          pair->rtcp_peer.set_port(from.port());
                          return receiver->on_rtcp(packet, now_);
                        }
                        // The announced port is often a lie: the first valid packet tells (quirk U1).
                        if (pair->latched && from.port() != pair->rtp_peer.port()) return on_oddity("U1");
                        if (!receiver->on_rtp(packet, now_) || pair->latched) return;
                        if (from.port() != pair->rtp_peer.port()) on_oddity("U1");
                        pair->rtp_peer.set_port(from.port());
                        pair->latched = true;
                      });
}

void Client::on_send(base::ByteView bytes) {
  if (!connection_->send(bytes)) send_failed_ = true;
}

base::Result<uint16_t> Client::on_select(TrackKind kind, const media::SdpMedia& media,
                                         const media::SdpChoice& choice) {
  auto receiver = TrackReceiver::make(kind, media, choice, udp_, *this);
  if (!receiver) return tl::unexpected(std::move(receiver.error()));
  uint16_t port = 0;
  if (udp_) {
    auto pair = UdpPair::bind(connection_->local());
    if (!pair) return tl::unexpected(std::move(pair.error()));
    port = pair->port;
    if (!datagrams_) datagrams_ = std::make_unique<DatagramBuffer>();
    pair->rtp_peer = connection_->remote();
    pair->rtp_peer.set_port(0);
    pair->rtcp_peer = pair->rtp_peer;
    pairs_[index_of(kind)] = std::move(*pair);
    coalescer_.add(pairs_[index_of(kind)]->rtp.fd(), [this, kind] { on_datagrams(kind, false); });
    coalescer_.add(pairs_[index_of(kind)]->rtcp.fd(), [this, kind] { on_datagrams(kind, true); });
  }
  receivers_[index_of(kind)] = std::move(*receiver);
  return port;
}

void Client::on_setup(TrackKind kind, const Transport& transport) {
  status_.transport = current_.tls ? "tls" : udp_ ? "udp" : "tcp";
  auto& pair = pairs_[index_of(kind)];
  if (!pair) return;
  if (!transport.server_port) return on_oddity("U1");
  pair->rtp_peer.set_port(transport.server_port->first);
  pair->rtcp_peer.set_port(transport.server_port->second);
  pair->punch();
}

void Client::on_left_out(TrackKind kind) {
  receivers_[index_of(kind)].reset();
  auto& pair = pairs_[index_of(kind)];
  if (!pair) return;
  coalescer_.remove(pair->rtp.fd());
  coalescer_.remove(pair->rtcp.fd());
  pair.reset();
}

void Client::on_playing() {
  if (stopped_) return;
  status_.state = SourceStatus::State::kPlaying;
  status_.last_error.reset();
  playing_since_ = now_;
  report_due_ = now_ + options_.timing.receiver_report;
  refused_passwords_ = 0;
  redirects_ = 0;
  rate_told_ = {};
  leaves_sound_ = false;
  const std::pair tracks{receivers_[0] != nullptr, receivers_[1] != nullptr};
  if (told_tracks_ == tracks) return;
  told_tracks_ = tracks;
  for (const auto& track : session_->offer().tracks) {
    if (tracks.second || track.kind != "audio") continue;
    spdlog::warn("camera {}: recorded without its sound ({}): {}", current_.host_and_port(), track.codec,
                 track.reason);
  }
  listener_.on_tracks(tracks.first, tracks.second);
}

void Client::on_media(TrackKind kind, bool rtcp, base::ByteView packet) {
  TrackReceiver* receiver = receivers_[index_of(kind)].get();
  if (stopped_ || !receiver) return;
  if (rtcp) {
    receiver->on_rtcp(packet, now_);
  } else {
    receiver->on_rtp(packet, now_);
  }
}

void Client::on_oddity(std::string_view quirk_id) {
  auto& counter = status_.oddities[std::string(quirk_id)];
  ++counter;
  if (++told_[std::string(quirk_id)] == 1) {
    spdlog::info("camera {}: quirk {} met (docs/quirks.md)", current_.host_and_port(), quirk_id);
  }
}

void Client::on_track_frame(media::FramePtr frame) {
  if (stopped_ || (leaves_sound_ && !frame->is_video())) return;
  ++status_.frames;
  if (frame->damaged) ++status_.frames_damaged;
  listener_.on_frame(std::move(frame));
}

void Client::on_track_report(const SenderReport& report) {
  if (!stopped_) listener_.on_sender_report(report);
}

void Client::on_track_time_jump(const base::Error& error) {
  if (!stopped_) listener_.on_interrupted(Interruption::kClockJump, error);
}

std::optional<SteadyTime> Client::last_video() const {
  return receivers_[0] ? receivers_[0]->last_packet() : std::nullopt;
}

void Client::tick() {
  if (stopped_) return;
  now_ = clock_.steady();
  if (status_.state == SourceStatus::State::kWaiting) {
    // An older expiry of the timer may have been on its way already.
    return now_ >= retry_at_ ? connect() : set_timer(retry_at_);
  }
  if (!session_) return;
  {
    const Busy busy(*this);
    session_->tick(now_);
    for (const auto& receiver : receivers_) {
      if (!receiver) continue;
      // After a hold-up of this thread, what seems to be missing may be there to be read.
      if (receiver->deadline()) receive_datagrams(receiver->kind(), false);
      receiver->advance(now_);
    }
    if (session_->playing() && now_ >= report_due_) send_reports(now_);
  }
  settle();
}

// Some cameras end a session without them, on either transport (quirk U6).
void Client::send_reports(SteadyTime now) {
  report_due_ = now + options_.timing.receiver_report;
  for (const auto& receiver : receivers_) {
    if (!receiver) continue;
    report_.clear();
    receiver->append_report(report_, now);
    if (report_.empty()) continue;
    if (const auto& pair = pairs_[index_of(receiver->kind())]) {
      pair->send_rtcp(report_);
    } else {
      session_->send_rtcp(receiver->kind(), report_);
    }
  }
}

// What has to happen once nothing of the session or the receivers is under way any more.
void Client::settle() {
  if (stopped_ || !session_) return;
  if (session_->end()) return end_attempt(SessionEnd(*session_->end()));
  if (send_failed_) {
    return end_attempt(
        {SessionEnd::Kind::kFailed,
         {Errc::kStalled, fmt::format("camera {} does not read our requests", current_.host_and_port()), -1},
         {}});
  }
  if (session_->playing()) check_rates();
  if (session_->playing()) check_media(now_);
  if (session_) arm_timer();
}

// Quirk P5. A slow link delays both tracks: sound is left out where its clock alone is wrong.
void Client::check_rates() {
  const auto& [video, sound] = receivers_;
  for (const auto& receiver : receivers_) {
    if (!receiver || !receiver->rate().wrong()) continue;
    bool& told = rate_told_[index_of(receiver->kind())];
    if (std::exchange(told, true)) continue;
    const double rate = *receiver->rate().rate();
    const bool unusable = receiver == sound && std::abs(rate - 1) > kUnusableRate && video->rate().rate() &&
                          !video->rate().wrong();
    leaves_sound_ = leaves_sound_ || unusable;
    spdlog::warn("camera {}: its {} clock runs {:.3f} times as fast as it should (quirk P5){}",
                 current_.host_and_port(), name_of(receiver->kind()), rate,
                 unusable ? ": recorded without sound" : "");
  }
}

void Client::check_media(SteadyTime now) {
  const auto last = last_video();
  const auto end = [this](SessionEnd::Kind kind, Errc code, std::string what) {
    end_attempt({kind, {code, fmt::format("camera {} {}", current_.host_and_port(), what), -1}, {}});
  };
  if (last) {
    switches_ = 0;
    silent_ = {};
  }
  if (receivers_[0]->mixed_with_another_session()) {
    return end(SessionEnd::Kind::kBusy, Errc::kMalformed, "mixes in the stream of an earlier session");
  }
  if (const auto bye = receivers_[0]->bye_at(); bye && now - *bye >= options_.timing.after_bye) {
    return end(SessionEnd::Kind::kClosed, Errc::kClosed, "ended its video stream (BYE)");
  }
  if (!last && udp_ && options_.transport == RtspTransport::kAuto &&
      now - playing_since_ >= options_.timing.first_datagram) {
    on_oddity("U3");
    return end(SessionEnd::Kind::kTransportRefused, Errc::kTimeout,
               "plays, but no video arrives over UDP: is a firewall in between?");
  }
  if (now - last.value_or(playing_since_) >= options_.timing.no_video) {
    const auto seconds = options_.timing.no_video.count() / 1000;
    on_oddity("T6");
    return end(last ? SessionEnd::Kind::kFailed : SessionEnd::Kind::kTransportRefused, Errc::kTimeout,
               fmt::format("sent no video for {} s over {}", seconds, udp_ ? "UDP" : "TCP"));
  }
}

void Client::arm_timer() {
  std::optional<SteadyTime> first = session_->deadline();
  const auto consider = [&first](SteadyTime time) { first = first ? std::min(*first, time) : time; };
  if (session_->playing()) {
    consider(report_due_);
    const auto last = last_video();
    consider(last.value_or(playing_since_) + options_.timing.no_video);
    if (!last && udp_) consider(playing_since_ + options_.timing.first_datagram);
    if (const auto bye = receivers_[0]->bye_at()) consider(*bye + options_.timing.after_bye);
  }
  for (const auto& receiver : receivers_) {
    if (receiver && receiver->deadline()) consider(*receiver->deadline());
  }
  if (first) set_timer(*first);
}

// Moved only when it has to fire earlier: deadlines that packets push back cost nothing a packet.
void Client::set_timer(SteadyTime time) {
  if (timer_at_ && *timer_at_ <= time) return;
  timer_at_ = time;
  timer_.expires_after(std::max(time - clock_.steady(), SteadyTime::duration{milliseconds(1)}));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (error || alive.expired()) return;
    timer_at_.reset();
    tick();
  });
}

void Client::close() {
  if (session_) {
    offer_ = session_->offer();
    session_->teardown();
  }
  for (const auto kind : {TrackKind::kVideo, TrackKind::kAudio}) {
    if (const auto& receiver = receivers_[index_of(kind)]) {
      const Busy busy(*this);
      if (!stopped_) receiver->flush();
      status_.packets += receiver->packets();
      status_.packets_lost += receiver->lost();
    }
    on_left_out(kind);
  }
  session_.reset();
  connection_.reset();
  datagrams_.reset();
  told_.clear();
  send_failed_ = false;
}

bool Client::try_other_transport(bool silent) {
  silent_[udp_ ? 1 : 0] = silent;
  if (options_.transport != RtspTransport::kAuto || current_.tls || switches_ == kMaxSwitches ||
      silent_[udp_ ? 0 : 1])
    return false;
  ++switches_;
  udp_ = !udp_;
  on_oddity("R14");
  return true;
}

// Quirk R8: to the same host only, unless the user allows others; what the user named never goes to a host he
// did not name.
bool Client::follow(const SessionEnd& end) {
  auto url = parse_url(end.location);
  if (!url) url = parse_url(media::sdp_base_url(current_.request, end.location, ""));
  if (!url || ++redirects_ > kMaxRedirects || (home_.tls && !url->tls)) return false;
  const bool same_host = base::equals_ignoring_case(url->host, home_.host);
  if (!same_host && !options_.allow_redirect_elsewhere) return false;
  url->user = same_host ? home_.user : std::string{};
  url->password = same_host ? home_.password : std::string{};
  current_ = std::move(*url);
  return true;
}

milliseconds Client::next_delay(const SessionEnd& end) {
  const RtspTiming& timing = options_.timing;
  const auto last = last_video();
  const bool played_well = last && *last - playing_since_ >= timing.no_video;
  failures_ = played_well ? 0 : failures_ + 1;
  if (end.kind == SessionEnd::Kind::kUnauthorized && ++refused_passwords_ >= kPasswordTries)
    return timing.wrong_password;
  if (end.kind == SessionEnd::Kind::kBusy) return timing.no_free_session;
  // Cameras end sessions after some time by design: the first time costs no wait (quirk T7).
  if (failures_ == 0 || timing.back_off.empty()) return {};
  const auto base_delay = timing.back_off[std::min<size_t>(failures_, timing.back_off.size()) - 1];
  // A power cut brings all cameras back at once.
  return base_delay * std::uniform_int_distribution<int>(80, 120)(random_) / 100;
}

void Client::end_attempt(SessionEnd end) {
  bool at_once = false;
  // Whoever has frames of this attempt has to know that those of the next one do not continue them.
  const bool gave_media = last_video().has_value();
  if (end.kind == SessionEnd::Kind::kTransportRefused) {
    at_once = try_other_transport(end.error.code == Errc::kTimeout);
  }
  if (end.kind == SessionEnd::Kind::kRedirected) {
    at_once = follow(end);
    if (!at_once)
      end.error.text +=
          ": " + base::redact_urls(end.location.substr(0, 200)) + ", where this source must not go";
  }
  milliseconds delay{};
  if (!at_once) {
    delay = next_delay(end);
    switches_ = 0;
    silent_ = {};
    redirects_ = 0;
    current_ = home_;
  }
  close();
  if (stopped_) return;
  status_.state = SourceStatus::State::kWaiting;
  status_.last_error = end.error;
  timer_at_.reset();
  if (!at_once) {
    spdlog::warn("{}; next try in {:.1f} s", end.error.text, static_cast<double>(delay.count()) / 1000);
  }
  if (!at_once || gave_media) {
    const Busy busy(*this);
    listener_.on_interrupted(Interruption::kConnection, end.error);
    if (stopped_) return;
  }
  retry_at_ = clock_.steady() + delay;
  set_timer(retry_at_);
}

}  // namespace

std::unique_ptr<RtspSource> make_rtsp_source(net::EventLoop& loop, net::ReadCoalescer& coalescer,
                                             const base::Clock& clock, RtspOptions options,
                                             SourceListener& listener) {
  return std::make_unique<Client>(loop, coalescer, clock, std::move(options), listener);
}

}  // namespace miharu::ingest
