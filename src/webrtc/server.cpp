#include "webrtc/server.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/rand.h>

#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "webrtc/sdp_answer.h"
#include "webrtc/trickle_fragment.h"

namespace miharu::webrtc {
namespace {

using base::Errc;
using base::fail;
using boost::asio::ip::address;
using boost::asio::ip::udp;

template <class T>
T random_number() {
  T value{};
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&value), sizeof value) == 1);
  return value;
}

std::string random_text(size_t bytes) {
  base::ByteVector random(bytes);
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(bytes)) == 1);
  return base::to_base64url(random);
}

// SSRC 0 has a meaning in some receivers.
uint32_t random_ssrc() {
  return random_number<uint32_t>() | 1U;
}

// Those of interfaces that are up; loopback's only when there is nothing else.
std::vector<address> interface_addresses(bool ipv6) {
  std::vector<address> all;
  std::vector<address> loopback;
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {boost::asio::ip::address_v4::loopback()};
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_UP) == 0) continue;
    address found;
    if (each->ifa_addr->sa_family == AF_INET) {
      const auto* name = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
      found = boost::asio::ip::address_v4(ntohl(name->sin_addr.s_addr));
    } else if (each->ifa_addr->sa_family == AF_INET6 && ipv6) {
      const auto* name = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
      boost::asio::ip::address_v6::bytes_type bytes;
      std::copy(std::begin(name->sin6_addr.s6_addr), std::end(name->sin6_addr.s6_addr), bytes.begin());
      const boost::asio::ip::address_v6 six(bytes);
      // Link-local addresses need a scope that a viewer cannot know.
      if (six.is_link_local()) continue;
      found = six;
    } else {
      continue;
    }
    (found.is_loopback() ? loopback : all).push_back(found);
  }
  ::freeifaddrs(first);
  return all.empty() ? loopback : all;
}

}  // namespace

Server::Server(ServerOptions options, net::EventLoop& control, std::vector<net::EventLoop*> media,
               const base::Clock& clock)
    : options_(std::move(options)), control_(control), media_(std::move(media)), clock_(clock) {}

Server::~Server() {
  stop();
}

base::Status Server::start() {
  auto certificate = Certificate::make(clock_.utc());
  if (!certificate) return tl::unexpected(certificate.error());
  certificate_.emplace(std::move(*certificate));
  auto dtls = DtlsContext::make(DtlsRole::kServer, *certificate_);
  if (!dtls) return tl::unexpected(dtls.error());
  dtls_.emplace(std::move(*dtls));
  ntp_of_zero_ = ntp_of_steady_zero(clock_);
  const auto reach = options_.loopback ? net::UdpPort::Reach::kLoopback : net::UdpPort::Reach::kAll;
  uint16_t port = options_.udp_port;
  if (port != 0 && !net::UdpPort::is_free(reach, port)) {
    spdlog::error(
        "live view: another program has UDP port {}, so that one is used which no firewall knows; set [live] "
        "udp_port to a free one",
        port);
    port = 0;
  }
  for (unsigned i = 0; i < media_.size(); ++i) {
    auto thread = std::make_unique<ViewerThread>(
        i, *media_[i], clock_, *dtls_,
        [this](const std::string& id) { control_.post([this, id] { sessions_.erase(id); }); });
    if (auto opened = thread->open(reach, port); !opened) return opened;
    port = thread->port();
    threads_.push_back(std::move(thread));
  }
  addresses_ = options_.loopback ? std::vector<address>{boost::asio::ip::address_v4::loopback()}
                                 : interface_addresses(threads_.front()->has_ipv6());
  for (const address& each : options_.addresses) {
    if (std::find(addresses_.begin(), addresses_.end(), each) == addresses_.end()) addresses_.push_back(each);
  }
  std::vector<ViewerThread*> all;
  for (const auto& thread : threads_) all.push_back(thread.get());
  for (const auto& thread : threads_) {
    thread->loop().run_and_wait([&] { thread->start(all); });
  }
  running_ = true;
  if (!options_.stun.empty()) control_.post([this] { resolve_stun(); });
  return {};
}

void Server::stop() {
  if (!running_) return;
  running_ = false;
  control_.run_and_wait([this] { resolver_.reset(); });
  for (const auto& thread : threads_) {
    thread->loop().run_and_wait([&] { thread->stop(); });
  }
  // What they told the control thread is done before this object may go.
  control_.run_and_wait([] {});
}

uint16_t Server::udp_port() const {
  return threads_.empty() ? 0 : threads_.front()->port();
}

void Server::resolve_stun() {
  const size_t colon = options_.stun.rfind(':');
  const std::string host = options_.stun.substr(0, colon);
  const std::string port = colon == std::string::npos ? "3478" : options_.stun.substr(colon + 1);
  resolver_ = std::make_unique<udp::resolver>(control_.context());
  resolver_->async_resolve(
      udp::v4(), host, port,
      [this, host](const boost::system::error_code& error, const udp::resolver::results_type& found) {
        if (error == boost::asio::error::operation_aborted) return;
        if (error || found.empty()) {
          spdlog::warn(
              "live view: the STUN server {} was not found: {}; viewers outside may not reach this machine",
              host, error.message());
          return;
        }
        const udp::endpoint server = found.begin()->endpoint();
        ViewerThread& thread = *threads_.front();
        thread.loop().post([this, &thread, server] {
          thread.gather(server, [this](const std::optional<udp::endpoint>& mapped) {
            control_.post([this, mapped] { mapped_ = mapped; });
          });
        });
      });
}

void Server::add_camera(const std::string& name, std::shared_ptr<LiveStream> stream) {
  std::shared_ptr<LiveStream> before;
  {
    const std::lock_guard lock(cameras_mutex_);
    before = std::exchange(cameras_[name], std::move(stream));
  }
  if (!before) return;
  for (const auto& thread : threads_) {
    thread->loop().post([&thread = *thread, name, before] { thread.remove_camera(name, before.get()); });
  }
}

void Server::remove_camera(const std::string& name) {
  {
    const std::lock_guard lock(cameras_mutex_);
    cameras_.erase(name);
  }
  for (const auto& thread : threads_) {
    thread->loop().post([&thread = *thread, name] { thread.remove_camera(name); });
  }
}

std::shared_ptr<LiveStream> Server::stream_of(const std::string& camera) const {
  const std::lock_guard lock(cameras_mutex_);
  const auto found = cameras_.find(camera);
  return found == cameras_.end() ? nullptr : found->second;
}

ViewerThread& Server::least_loaded() {
  return **std::min_element(threads_.begin(), threads_.end(),
                            [](const auto& a, const auto& b) { return a->load() < b->load(); });
}

std::vector<std::string> Server::candidates() const {
  std::vector<std::string> all;
  uint16_t preference = 65535;
  for (const address& each : addresses_) {
    all.push_back(format_candidate(host_candidate({each, udp_port()}, preference--)));
  }
  if (mapped_) {
    const auto base =
        std::find_if(addresses_.begin(), addresses_.end(), [](const address& each) { return each.is_v4(); });
    const udp::endpoint local(base == addresses_.end() ? address(boost::asio::ip::address_v4::any()) : *base,
                              udp_port());
    all.push_back(format_candidate(server_reflexive_candidate(*mapped_, local, 65535)));
  }
  return all;
}

void Server::create(const std::string& camera, const std::string& user, const std::string& offer_text,
                    Callback<SessionAnswer> done) {
  const std::shared_ptr<LiveStream> stream = stream_of(camera);
  if (!stream || !running_) {
    done(fail(Errc::kNotFound, fmt::format("there is no camera {}", camera)));
    return;
  }
  const LiveTracks tracks = stream->tracks();
  auto offer = parse_offer(offer_text);
  if (!offer) {
    done(tl::unexpected(std::move(offer.error()).in("the offer")));
    return;
  }
  if (!tracks.video) {
    done(fail(Errc::kTimeout,
              fmt::format("camera {} has shown no picture yet; try again in some seconds", camera)));
    return;
  }
  if (tracks.reordered) {
    done(fail(
        Errc::kUnsupported,
        fmt::format("camera {} sends B-frames, which browsers do not put in order over WebRTC; HLS shows it. "
                    "Switch them off in the camera (often \"profile: baseline\", or \"B-frames: 0\")",
                    camera)));
    return;
  }
  const auto chosen = negotiate(*offer, CameraTracks::of(*tracks.video, tracks.audio.get()));
  if (!chosen) {
    done(tl::unexpected(chosen.error()));
    return;
  }
  if (auto admitted = admit(user); !admitted) {
    done(tl::unexpected(admitted.error()));
    return;
  }
  ViewerThread& thread = least_loaded();
  thread.reserve();

  SessionOptions session;
  session.id = random_text(16);
  session.camera = camera;
  session.user = user;
  session.since = clock_.utc();
  session.offered = clock_.steady();
  session.ice.local = make_ice_credentials(thread.index());
  session.ice.remote = chosen->ice;
  session.ice.sends_checks = !options_.stun.empty();
  session.ice.local_addresses = addresses_;
  session.ice.transaction_tag = thread.index();
  session.peer = chosen->fingerprints.front();
  session.cname = random_text(9);
  session.video.ssrc = random_ssrc();
  session.video.payload_type = chosen->video.payload_type;
  if (chosen->video.rtx_payload_type) session.video.rtx = {random_ssrc(), *chosen->video.rtx_payload_type};
  session.video.timestamp_offset = random_number<uint32_t>();
  session.video.first_sequence = random_number<uint16_t>() & 0x7fff;
  session.video.rtx_first_sequence = random_number<uint16_t>() & 0x7fff;
  session.video.capture_time_id = chosen->video.capture_time_id;
  session.video.ntp_of_zero = ntp_of_zero_;
  if (chosen->sound) {
    RtpStreamOptions& sound = session.audio.emplace();
    sound.ssrc = random_ssrc();
    sound.payload_type = chosen->sound->payload_type;
    sound.clock_rate = chosen->sound->clock_rate;
    sound.timestamp_offset = random_number<uint32_t>();
    sound.first_sequence = random_number<uint16_t>() & 0x7fff;
    sound.capture_time_id = chosen->sound->capture_time_id;
    sound.ntp_of_zero = ntp_of_zero_;
  }

  AnswerOptions answer;
  answer.session_id = random_number<uint64_t>() >> 1;
  answer.ice = session.ice.local;
  answer.ice_lite = !session.ice.sends_checks;
  answer.fingerprint = certificate_->fingerprint();
  answer.candidates = candidates();
  answer.stream = camera;
  answer.cname = session.cname;
  answer.video_ssrc = session.video.ssrc;
  answer.rtx_ssrc = session.video.rtx ? session.video.rtx->ssrc : 0;
  answer.sound_ssrc = session.audio ? session.audio->ssrc : 0;
  SessionAnswer result{session.id, write_answer(*offer, *chosen, answer), random_text(6)};

  std::vector<IceCandidate> remote;
  for (const std::string& line : chosen->candidates) {
    if (auto parsed = parse_candidate(line); parsed && *parsed) remote.push_back(**parsed);
  }
  const OfferMedia& tagged = offer->media[chosen->tagged];
  sessions_[result.id] = {
      camera, user, &thread, result.etag, chosen->ice.ufrag, tagged.mid, tagged.kind,
  };
  thread.loop().post([this, &thread, session = std::move(session), remote = std::move(remote), stream,
                      result = std::move(result), done = std::move(done)]() mutable {
    thread.add(std::move(session), remote, stream);
    control_.post([result = std::move(result), done = std::move(done)] { done(result); });
  });
}

base::Status Server::admit(const std::string& user) {
  if (sessions_.size() >= options_.max_sessions) {
    ++refused_in_all_;
    return fail(Errc::kStalled,
                fmt::format("{} live views are open, which is all that this server shows; try again later",
                            sessions_.size()));
  }
  if (user.empty()) return {};
  const auto theirs = static_cast<size_t>(std::count_if(
      sessions_.begin(), sessions_.end(), [&](const auto& each) { return each.second.user == user; }));
  if (theirs < options_.max_sessions_of_user) return {};
  ++refused_of_user_;
  return fail(
      Errc::kStalled,
      fmt::format("{} live views are open with these credentials, which is all that one user gets; close "
                  "some or try again later",
                  theirs));
}

base::Result<std::map<std::string, Server::Known>::iterator> Server::known(const std::string& camera,
                                                                           const std::string& id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || (!camera.empty() && found->second.camera != camera))
    return fail(Errc::kNotFound, "there is no such session; it may have ended");
  return found;
}

void Server::patch(const std::string& camera, const std::string& id, const std::optional<std::string>& etag,
                   const std::string& fragment_text, Callback<SessionAnswer> done) {
  const auto session = known(camera, id);
  if (!session) {
    done(tl::unexpected(session.error()));
    return;
  }
  Known& mine = (*session)->second;
  if (etag && *etag != mine.etag) {
    done(fail(Errc::kExists, "the session was restarted since: If-Match has an old ETag"));
    return;
  }
  const auto fragment = parse_fragment(fragment_text);
  if (!fragment) {
    done(tl::unexpected(fragment.error()));
    return;
  }
  SessionAnswer answer{id, "", ""};
  std::optional<IceCredentials> local;
  const bool restarts = fragment->ice && fragment->ice->ufrag != mine.remote_ufrag;
  if (restarts) {
    local = make_ice_credentials(mine.thread->index());
    mine.remote_ufrag = fragment->ice->ufrag;
    mine.etag = answer.etag = random_text(6);
    answer.sdp = write_fragment(*local, mine.kind, mine.mid, candidates(), options_.stun.empty());
  }
  std::vector<IceCandidate> remote;
  for (const std::string& line : fragment->candidates_of(mine.mid)) {
    if (auto parsed = parse_candidate(line); parsed && *parsed) remote.push_back(**parsed);
  }
  ViewerThread& thread = *mine.thread;
  thread.loop().post([this, &thread, id, local, theirs = fragment->ice, remote = std::move(remote),
                      answer = std::move(answer), done = std::move(done)]() mutable {
    Session* found = thread.find(id);
    if (found != nullptr) {
      if (local) thread.restart_ice(*found, *local, *theirs);
      for (const IceCandidate& each : remote) (void)found->add_candidate(each);
    }
    control_.post([found = found != nullptr, answer = std::move(answer), done = std::move(done)] {
      if (found) {
        done(answer);
      } else {
        done(fail(Errc::kNotFound, "the session has ended"));
      }
    });
  });
}

void Server::end(const std::string& camera, const std::string& id, std::function<void(base::Status)> done) {
  const auto session = known(camera, id);
  if (!session) {
    done(tl::unexpected(session.error()));
    return;
  }
  ViewerThread& thread = *(*session)->second.thread;
  sessions_.erase(*session);
  thread.loop().post([this, &thread, id, done = std::move(done)]() mutable {
    const bool found = thread.find(id) != nullptr;
    thread.end(id);
    control_.post([found, done = std::move(done)] {
      done(found ? base::Status{} : fail(Errc::kNotFound, "the session has ended"));
    });
  });
}

void Server::list(std::function<void(std::vector<SessionInfo>)> done) {
  struct Gathered {
    std::vector<SessionInfo> all;
    size_t missing;
    std::function<void(std::vector<SessionInfo>)> done;
  };
  auto gathered = std::make_shared<Gathered>(Gathered{{}, threads_.size(), std::move(done)});
  for (const auto& thread : threads_) {
    thread->loop().post([this, &thread = *thread, gathered] {
      control_.post([gathered, mine = thread.list()]() mutable {
        std::move(mine.begin(), mine.end(), std::back_inserter(gathered->all));
        if (--gathered->missing > 0) return;
        std::sort(gathered->all.begin(), gathered->all.end(),
                  [](const SessionInfo& a, const SessionInfo& b) { return a.since < b.since; });
        gathered->done(std::move(gathered->all));
      });
    });
  }
}

ViewerCensus Server::census() {
  ViewerCensus all;
  for (const auto& thread : threads_) {
    thread->loop().run_and_wait([&] { all += thread->census(); });
  }
  return all;
}

size_t Server::known_sessions() {
  size_t count = 0;
  control_.run_and_wait([&] { count = sessions_.size(); });
  return count;
}

void Server::metrics(std::function<void(LiveMetrics)> done) {
  struct Gathered {
    LiveMetrics all;
    ViewerCensus census;
    size_t missing;
    std::function<void(LiveMetrics)> done;
  };
  auto gathered = std::make_shared<Gathered>(Gathered{{}, {}, threads_.size(), std::move(done)});
  for (const auto& thread : threads_) {
    thread->loop().post([this, &thread = *thread, gathered] {
      LiveMetrics mine;
      thread.add_metrics(mine);
      control_.post([this, gathered, mine = std::move(mine), census = thread.census()] {
        gathered->all += mine;
        gathered->census += census;
        if (--gathered->missing > 0) return;
        gathered->all.objects = objects(gathered->census);
        gathered->all.refused_in_all = refused_in_all_;
        gathered->all.refused_of_user = refused_of_user_;
        gathered->done(std::move(gathered->all));
      });
    });
  }
}

std::vector<LiveObjects> Server::objects(const ViewerCensus& census) const {
  return {{"known_sessions", sessions_.size()},
          {"sessions", base::LiveCount<Session>::alive()},
          {"ufrags", census.ufrags},
          {"paths", census.paths},
          {"watched_cameras", census.cameras},
          {"feeds", base::LiveCount<UnitRing>::alive()},
          {"dtls", base::LiveCount<DtlsSession>::alive()},
          {"srtp_senders", base::LiveCount<SrtpSender>::alive()},
          {"srtcp_receivers", base::LiveCount<SrtcpReceiver>::alive()},
          {"units", base::LiveCount<RtpUnit>::alive()}};
}

}  // namespace miharu::webrtc
