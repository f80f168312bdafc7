// The viewers of one media thread: their socket, their sessions, and the cameras that they watch.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "net/udp_port.h"
#include "webrtc/live_stream.h"
#include "webrtc/session.h"
#include "webrtc/stun_client.h"

namespace miharu::webrtc {

// What a thread holds: nothing of it may be left when its viewers are gone.
struct ViewerCensus {
  size_t sessions = 0;
  size_t ufrags = 0;
  size_t paths = 0;
  size_t cameras = 0;

  bool operator==(const ViewerCensus&) const = default;
  ViewerCensus& operator+=(const ViewerCensus& other) {
    sessions += other.sessions;
    ufrags += other.ufrags;
    paths += other.paths;
    cameras += other.cameras;
    return *this;
  }
};

// Made and destroyed on the control thread while the loop does not run; all else on the loop's thread, but
// for what says otherwise.
class ViewerThread final : private SessionHost {
 public:
  // docs/limits.md: datagrams of other threads' sessions that wait to be handed over; more are dropped.
  static constexpr size_t kMaxHandedOver = 2048;
  static constexpr base::milliseconds kTick{100};

  // Called on the loop's thread when a session has ended and is gone, however it ended.
  using OnEnded = std::function<void(const std::string& id)>;

  // `index` is what ufrags of its sessions carry. `dtls` must outlive it.
  ViewerThread(
      unsigned index, net::EventLoop& loop, const base::Clock& clock, const DtlsContext& dtls,
      OnEnded on_ended = [](const std::string&) {});
  ~ViewerThread() override;

  // Before start(), on any thread. Port 0: the kernel chooses.
  base::Status open(net::UdpPort::Reach reach, uint16_t port);
  [[nodiscard]] uint16_t port() const { return port_->port(); }
  [[nodiscard]] bool has_ipv6() const { return port_->has_ipv6(); }
  // All threads of the port, this one included; once, before any datagram comes.
  void start(std::vector<ViewerThread*> threads);
  // Ends all sessions; nothing comes afterwards.
  void stop();

  [[nodiscard]] net::EventLoop& loop() { return loop_; }
  [[nodiscard]] unsigned index() const { return index_; }
  // Any thread.
  [[nodiscard]] size_t load() const { return load_.load(std::memory_order_relaxed); }
  // Any thread: counts a session that is to be added, so that many at a time are spread.
  void reserve() { load_.fetch_add(1, std::memory_order_relaxed); }

  // `stream` must live until remove_camera().
  void add(SessionOptions options, const std::vector<IceCandidate>& candidates,
           const std::shared_ptr<LiveStream>& stream);
  // Null: there is none (any more).
  Session* find(const std::string& id);
  void end(const std::string& id);
  // Requests to these credentials of a session are taken from now on.
  void restart_ice(Session& session, const IceCredentials& local, const IceCredentials& remote);
  // Ends the sessions of a camera; with `stream` only if they watch that one.
  void remove_camera(const std::string& name, const LiveStream* stream = nullptr);
  [[nodiscard]] std::vector<SessionInfo> list() const;
  [[nodiscard]] ViewerCensus census() const {
    return {sessions_.size(), ufrags_.size(), paths_.size(), feeds_.size()};
  }

  // Adds what this thread's viewers and those who left have counted.
  void add_metrics(LiveMetrics& to) const;

  // Asks this STUN server which address the world sees; `mapped` is called with each new answer, and with
  // nothing when there is none any more.
  using Mapped = std::function<void(std::optional<boost::asio::ip::udp::endpoint>)>;
  void gather(const boost::asio::ip::udp::endpoint& stun_server, Mapped mapped);

  [[nodiscard]] const net::UdpCounters& udp_counters() const { return port_->counters(); }

 private:
  // A camera that somebody here watches.
  class Feed;
  class StunGatherer;
  // Whose a path is: a session here, or one of another thread.
  struct Owner {
    Session* session = nullptr;
    unsigned thread = 0;
  };

  bool send_segments(const net::UdpPath& path, base::ByteView bytes, size_t segment_bytes) override;
  PacketBatch& batch() override { return *batch_; }
  void on_path_validated(Session& session, const net::UdpPath& path) override;
  void on_path_forgotten(Session& session, const net::UdpPath& path) override;
  void on_ufrag_retired(std::string_view ufrag) override;
  void on_sub_wanted(Session& session, bool wanted) override;

  void on_datagram(const net::UdpPath& path, std::span<std::byte> datagram);
  void hand_over(unsigned thread, const net::UdpPath& path, base::ByteView datagram);
  void take(const net::UdpPath& path, std::span<std::byte> datagram, bool handed_over);
  void remove_ended();
  void remove(std::map<std::string, std::unique_ptr<Session>>::iterator session);
  void leave_sub(Feed& feed, Session& session);
  void on_tick();
  void schedule();
  void burst();

  unsigned index_;
  net::EventLoop& loop_;
  const base::Clock& clock_;
  const DtlsContext& dtls_;
  OnEnded on_ended_;
  std::unique_ptr<net::UdpPort> port_;
  std::unique_ptr<PacketBatch> batch_;
  std::vector<ViewerThread*> threads_;
  std::atomic<size_t> load_{0};
  std::atomic<size_t> handed_over_{0};
  uint64_t handover_dropped_ = 0;

  std::map<std::string, std::shared_ptr<Feed>> feeds_;  // by camera
  std::map<std::string, std::unique_ptr<Session>> sessions_;
  std::map<std::string, ViewerTotals> past_;  // by camera: sessions that ended
  std::map<std::string, Session*, std::less<>> ufrags_;
  std::unordered_map<net::UdpPath, Owner, net::UdpPathHash> paths_;
  std::unique_ptr<StunGatherer> gatherer_;

  boost::asio::steady_timer timer_;
  bool bursting_ = false;  // the timer waits for a slice
  base::SteadyTime next_tick_{};
  size_t burst_turn_ = 0;
  bool stopped_ = true;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace miharu::webrtc
