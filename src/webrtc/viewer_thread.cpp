#include "webrtc/viewer_thread.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace miharu::webrtc {
namespace {

// Of a slice's time, what starts may take: those who watch already come first.
constexpr base::milliseconds kBurstTime{3};

}  // namespace

class ViewerThread::Feed final : public UnitListener, public std::enable_shared_from_this<Feed> {
 public:
  Feed(ViewerThread& host, std::shared_ptr<LiveStream> from, uint64_t first_number = 0)
      : ring(first_number), stream(std::move(from)), host_(host) {}

  void on_group(const std::vector<UnitPtr>& units, bool whole) override {
    if (is_no_use()) return;
    const base::SteadyTime now = host_.clock_.steady();
    for (const UnitPtr& unit : units) ring.push(unit, now);
    if (!whole) ring.miss();
    // Who came before it was here begins with it.
    if (units.empty()) return;
    for (Session* each : viewers) each->on_group(now, ring);
    host_.schedule();
  }
  void on_unit(const UnitPtr& unit) override {
    if (unit->track == media::TrackKind::kAudio) {
      if (is_sub()) return;
      for (Session* each : viewers) each->on_audio(*unit);
      return;
    }
    if (is_no_use()) return;
    const base::SteadyTime now = host_.clock_.steady();
    ring.push(unit, now);
    bool more = false;
    for (Session* each : viewers) {
      each->on_video(now, ring);
      more = more || each->wants_slices();
    }
    if (more) host_.schedule();
  }
  void on_interrupted() override {
    ring.interrupt();
    for (Session* each : viewers) each->on_interrupted(ring);
  }

  void leave() {
    // Forgotten here and not there alone: on a thread that has ended nobody unsubscribes any more.
    std::exchange(stream, nullptr)->unsubscribe(shared_from_this());
  }

  UnitRing ring;
  std::vector<Session*> viewers;
  std::shared_ptr<LiveStream> stream;
  std::shared_ptr<Feed> sub;  // the camera's smaller stream, while somebody here needs it

 private:
  [[nodiscard]] bool is_sub() const { return ring.begin() >= UnitRing::kSubNumbers; }
  // Nobody is offered B-frames; of a smaller stream it shows only here.
  [[nodiscard]] bool is_no_use() const { return is_sub() && stream && stream->tracks().reordered; }

  ViewerThread& host_;
};

class ViewerThread::StunGatherer final : private StunClientListener {
 public:
  StunGatherer(ViewerThread& host, const boost::asio::ip::udp::endpoint& server, Mapped mapped)
      : host_(host), mapped_(std::move(mapped)), client_(server, host.index_, *this, host.clock_.steady()) {}

  bool on_datagram(base::SteadyTime now, const net::UdpPath& path, base::ByteView bytes) {
    return client_.on_datagram(now, path.remote, bytes);
  }
  void on_time(base::SteadyTime now) {
    if (now >= client_.next_deadline()) client_.on_time(now);
  }

 private:
  void send_to_server(base::ByteView bytes) override {
    host_.send_segments({client_.server(), {}}, bytes, bytes.size());
  }
  void on_mapped(const boost::asio::ip::udp::endpoint& address) override { mapped_(address); }
  void on_failed(const base::Error& error) override {
    spdlog::warn("live view: the STUN server does not answer: {}", error.to_string());
    mapped_(std::nullopt);
  }

  ViewerThread& host_;
  Mapped mapped_;
  StunClient client_;
};

ViewerThread::ViewerThread(unsigned index, net::EventLoop& loop, const base::Clock& clock,
                           const DtlsContext& dtls, OnEnded on_ended)
    : index_(index),
      loop_(loop),
      clock_(clock),
      dtls_(dtls),
      on_ended_(std::move(on_ended)),
      batch_(std::make_unique<PacketBatch>(static_cast<SegmentSink&>(*this))),
      timer_(loop.context()) {}

ViewerThread::~ViewerThread() {
  *alive_ = false;
}

base::Status ViewerThread::open(net::UdpPort::Reach reach, uint16_t port) {
  auto opened = net::UdpPort::open(
      loop_, reach, port,
      [this](const net::UdpPath& path, std::span<std::byte> datagram) { on_datagram(path, datagram); });
  if (!opened) return tl::unexpected(opened.error());
  port_ = std::move(*opened);
  return {};
}

void ViewerThread::start(std::vector<ViewerThread*> threads) {
  threads_ = std::move(threads);
  stopped_ = false;
  next_tick_ = clock_.steady() + kTick;
  port_->start();
  schedule();
}

void ViewerThread::stop() {
  if (stopped_) return;
  for (auto& [id, session] : sessions_) session->close();
  remove_ended();
  gatherer_.reset();
  stopped_ = true;
  timer_.cancel();
  port_.reset();
}

void ViewerThread::add(SessionOptions options, const std::vector<IceCandidate>& candidates,
                       const std::shared_ptr<LiveStream>& stream) {
  if (stopped_) return;
  if (const auto known = feeds_.find(options.camera); known != feeds_.end()) {
    if (known->second->stream != stream) remove_camera(options.camera);
  }
  std::shared_ptr<Feed>& feed = feeds_[options.camera];
  if (!feed) {
    feed = std::make_shared<Feed>(*this, stream);
    stream->subscribe(feed, loop_);
  }
  const std::string id = options.id;
  auto session = std::make_unique<Session>(std::move(options), dtls_, feed->ring,
                                           static_cast<SessionHost&>(*this), clock_.steady());
  for (const IceCandidate& each : candidates) (void)session->add_candidate(each);
  feed->viewers.push_back(session.get());
  ufrags_.emplace(session->local_ufrag(), session.get());
  sessions_.emplace(id, std::move(session));
  schedule();
}

Session* ViewerThread::find(const std::string& id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() || found->second->ended() ? nullptr : found->second.get();
}

void ViewerThread::end(const std::string& id) {
  if (Session* session = find(id)) session->close();
  remove_ended();
}

void ViewerThread::restart_ice(Session& session, const IceCredentials& local, const IceCredentials& remote) {
  ufrags_.emplace(local.ufrag, &session);
  session.restart_ice(clock_.steady(), local, remote);
}

void ViewerThread::remove_camera(const std::string& name, const LiveStream* stream) {
  const auto feed = feeds_.find(name);
  if (feed == feeds_.end() || (stream != nullptr && feed->second->stream.get() != stream)) return;
  for (auto& [id, session] : sessions_) {
    if (session->options().camera == name) session->close();
  }
  remove_ended();
  if (stream == nullptr) past_.erase(name);
}

std::vector<SessionInfo> ViewerThread::list() const {
  std::vector<SessionInfo> all;
  all.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) {
    if (!session->ended()) all.push_back(session->info());
  }
  return all;
}

void ViewerThread::add_metrics(LiveMetrics& to) const {
  to.handover_dropped += handover_dropped_;
  for (const auto& [camera, totals] : past_) to.cameras[camera].totals += totals;
  for (const auto& [id, session] : sessions_) {
    CameraViewing& camera = to.cameras[session->options().camera];
    camera.totals += session->totals();
    if (!session->ended()) ++camera.by_state[std::string(session->state())];
  }
}

void ViewerThread::gather(const boost::asio::ip::udp::endpoint& stun_server, Mapped mapped) {
  gatherer_ = std::make_unique<StunGatherer>(*this, stun_server, std::move(mapped));
  gatherer_->on_time(clock_.steady());
}

bool ViewerThread::send_segments(const net::UdpPath& path, base::ByteView bytes, size_t segment_bytes) {
  return port_ && port_->send_segments(path, bytes, segment_bytes);
}

void ViewerThread::on_path_validated(Session& session, const net::UdpPath& path) {
  paths_[path] = {&session, index_};
  for (ViewerThread* other : threads_) {
    if (other == this) continue;
    other->loop_.post([other, path, thread = index_] { other->paths_[path] = {nullptr, thread}; });
  }
}

void ViewerThread::on_path_forgotten(Session& session, const net::UdpPath& path) {
  const auto found = paths_.find(path);
  if (found == paths_.end() || found->second.session != &session) return;
  paths_.erase(found);
  for (ViewerThread* other : threads_) {
    if (other == this) continue;
    other->loop_.post([other, path, thread = index_] {
      const auto theirs = other->paths_.find(path);
      if (theirs != other->paths_.end() && theirs->second.session == nullptr &&
          theirs->second.thread == thread)
        other->paths_.erase(theirs);
    });
  }
}

void ViewerThread::on_ufrag_retired(std::string_view ufrag) {
  if (const auto found = ufrags_.find(ufrag); found != ufrags_.end()) ufrags_.erase(found);
}

void ViewerThread::on_sub_wanted(Session& session, bool wanted) {
  Feed& feed = *feeds_.at(session.options().camera);
  if (!wanted) {
    leave_sub(feed, session);
    return;
  }
  const std::shared_ptr<LiveStream>& stream = feed.stream->sub();
  if (!stream) return;
  if (!feed.sub) {
    feed.sub = std::make_shared<Feed>(*this, stream, UnitRing::kSubNumbers);
    stream->subscribe(feed.sub, loop_);
  }
  feed.sub->viewers.push_back(&session);
  session.on_group(clock_.steady(), feed.sub->ring);
}

void ViewerThread::leave_sub(Feed& feed, Session& session) {
  if (!feed.sub || std::erase(feed.sub->viewers, &session) == 0 || !feed.sub->viewers.empty()) return;
  feed.sub->leave();
  feed.sub = nullptr;
}

void ViewerThread::on_datagram(const net::UdpPath& path, std::span<std::byte> datagram) {
  take(path, datagram, false);
}

void ViewerThread::hand_over(unsigned thread, const net::UdpPath& path, base::ByteView datagram) {
  if (thread >= threads_.size() || thread == index_) return;
  ViewerThread* other = threads_[thread];
  if (other->handed_over_.fetch_add(1) >= kMaxHandedOver) {
    other->handed_over_.fetch_sub(1);
    ++handover_dropped_;
    return;
  }
  other->loop_.post([other, path, copy = base::ByteVector(datagram.begin(), datagram.end())]() mutable {
    other->handed_over_.fetch_sub(1);
    other->take(path, copy, true);
  });
}

void ViewerThread::take(const net::UdpPath& path, std::span<std::byte> datagram, bool handed_over) {
  if (stopped_) return;
  Session* session = nullptr;
  if (is_stun(datagram)) {
    if (const auto ufrag = local_ufrag_of(datagram)) {
      if (const auto found = ufrags_.find(*ufrag); found != ufrags_.end()) {
        session = found->second;
      } else if (const auto owner = owner_of_ufrag(*ufrag); owner && !handed_over) {
        hand_over(*owner, path, datagram);
        return;
      }
    } else if (const auto tag = answer_tag(datagram)) {
      if (*tag != index_) {
        if (!handed_over) hand_over(*tag, path, datagram);
        return;
      }
      if (gatherer_ && gatherer_->on_datagram(clock_.steady(), path, datagram)) return;
    }
  }
  if (session == nullptr) {
    const auto found = paths_.find(path);
    if (found == paths_.end()) return;
    if (found->second.session == nullptr) {
      if (!handed_over) hand_over(found->second.thread, path, datagram);
      return;
    }
    session = found->second.session;
  }
  session->on_datagram(clock_.steady(), path, datagram);
  if (session->ended())
    remove_ended();
  else if (session->wants_slices())
    schedule();
}

void ViewerThread::remove_ended() {
  for (auto each = sessions_.begin(); each != sessions_.end();) {
    const auto next = std::next(each);
    if (each->second->ended()) remove(each);
    each = next;
  }
}

void ViewerThread::remove(std::map<std::string, std::unique_ptr<Session>>::iterator session) {
  Session* gone = session->second.get();
  std::erase_if(ufrags_, [gone](const auto& each) { return each.second == gone; });
  for (auto each = paths_.begin(); each != paths_.end();) {
    const auto next = std::next(each);
    if (each->second.session == gone) on_path_forgotten(*gone, net::UdpPath(each->first));
    each = next;
  }
  const auto feed = feeds_.find(gone->options().camera);
  leave_sub(*feed->second, *gone);
  std::erase(feed->second->viewers, gone);
  if (feed->second->viewers.empty()) {
    feed->second->leave();
    feeds_.erase(feed);
  }
  past_[gone->options().camera] += gone->totals();
  load_.fetch_sub(1, std::memory_order_relaxed);
  on_ended_(session->first);
  sessions_.erase(session);
}

void ViewerThread::schedule() {
  if (stopped_) return;
  const bool burst_wanted = std::any_of(sessions_.begin(), sessions_.end(),
                                        [](const auto& each) { return each.second->wants_slices(); });
  if (bursting_ && burst_wanted) return;
  bursting_ = burst_wanted;
  const base::SteadyTime now = clock_.steady();
  timer_.expires_at(burst_wanted ? std::min(next_tick_, now + VideoSender::kSlice) : next_tick_);
  timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (error || !*alive || stopped_) return;
    bursting_ = false;
    burst();
    if (clock_.steady() >= next_tick_) on_tick();
    schedule();
  });
}

// First the rest of large pictures, for those who watch; then those who begin, in turns, so that none waits
// for ever and none who watches waits long.
void ViewerThread::burst() {
  std::vector<Session*> starting;
  for (const auto& [id, session] : sessions_) {
    if (!session->wants_slices()) continue;
    if (session->starts())
      starting.push_back(session.get());
    else
      session->on_slice(clock_.steady());
  }
  const base::SteadyTime begin = clock_.steady();
  const size_t first = starting.empty() ? 0 : burst_turn_ % starting.size();
  for (size_t i = 0; i < starting.size(); ++i) {
    const base::SteadyTime now = clock_.steady();
    if (now - begin > kBurstTime) return;
    starting[(first + i) % starting.size()]->on_slice(now);
    ++burst_turn_;
  }
}

void ViewerThread::on_tick() {
  const base::SteadyTime now = clock_.steady();
  next_tick_ = now + kTick;
  for (auto& [id, session] : sessions_) session->on_time(now);
  if (gatherer_) gatherer_->on_time(now);
  remove_ended();
}

}  // namespace miharu::webrtc
