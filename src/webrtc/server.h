// Live view of all cameras: takes offers on the control thread, spreads viewers over the media threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/udp.hpp>

#include "webrtc/certificate.h"
#include "webrtc/sdp_offer.h"
#include "webrtc/session_service.h"
#include "webrtc/viewer_thread.h"

namespace miharu::webrtc {

struct ServerOptions {
  // docs/limits.md: sessions in all, and of one user (or token; not where users have no names). A user that
  // has as many as he may keeps nobody else out.
  static constexpr size_t kMaxSessions = 4000;
  static constexpr size_t kMaxSessionsOfUser = 1000;

  size_t max_sessions = kMaxSessions;
  size_t max_sessions_of_user = kMaxSessionsOfUser;
  uint16_t udp_port = 0;  // 0: the kernel chooses, as it does when another program has the port
  bool loopback = false;  // viewers are on this machine only
  // Announced to viewers besides those of the machine's interfaces.
  std::vector<boost::asio::ip::address> addresses;
  // "host:port" of a STUN server: tells the address behind a NAT, and makes us send checks (see
  // IceAgentConfig).
  std::string stun;
};

// Made, started, stopped and destroyed on the main thread, while `control` runs; as SessionService it belongs
// to the control thread.
class Server final : public SessionService {
 public:
  // All must outlive it.
  Server(ServerOptions options, net::EventLoop& control, std::vector<net::EventLoop*> media,
         const base::Clock& clock);
  ~Server() override;

  // Opens the port. The error says what to do.
  base::Status start();
  // Ends all sessions and waits for it.
  void stop();
  [[nodiscard]] uint16_t udp_port() const;
  // Of all threads, while they run. Waits for each: not on one of them.
  [[nodiscard]] ViewerCensus census();
  // Sessions that the control thread knows of. Any thread but that one.
  [[nodiscard]] size_t known_sessions();

  // Any thread. A camera of the same name is replaced, and its sessions end.
  void add_camera(const std::string& name, std::shared_ptr<LiveStream> stream);
  void remove_camera(const std::string& name);

  void create(const std::string& camera, const std::string& user, const std::string& offer,
              Callback<SessionAnswer> done) override;
  void patch(const std::string& camera, const std::string& id, const std::optional<std::string>& etag,
             const std::string& fragment, Callback<SessionAnswer> done) override;
  void end(const std::string& camera, const std::string& id, std::function<void(base::Status)> done) override;
  void list(std::function<void(std::vector<SessionInfo>)> done) override;
  void metrics(std::function<void(LiveMetrics)> done) override;

 private:
  // What the control thread knows of a session.
  struct Known {
    std::string camera;
    std::string user;
    ViewerThread* thread = nullptr;
    std::string etag;
    std::string remote_ufrag;
    std::string mid;  // of the media that carries the transport
    std::string kind;
  };
  [[nodiscard]] std::shared_ptr<LiveStream> stream_of(const std::string& camera) const;
  [[nodiscard]] ViewerThread& least_loaded();
  [[nodiscard]] std::vector<std::string> candidates() const;
  base::Result<std::map<std::string, Known>::iterator> known(const std::string& camera,
                                                             const std::string& id);
  // kStalled: there are too many sessions already.
  base::Status admit(const std::string& user);
  [[nodiscard]] std::vector<LiveObjects> objects(const ViewerCensus& census) const;
  void resolve_stun();

  ServerOptions options_;
  net::EventLoop& control_;
  std::vector<net::EventLoop*> media_;
  const base::Clock& clock_;
  std::optional<Certificate> certificate_;
  std::optional<DtlsContext> dtls_;
  uint64_t ntp_of_zero_ = 0;
  std::vector<std::unique_ptr<ViewerThread>> threads_;
  std::vector<boost::asio::ip::address> addresses_;
  std::optional<boost::asio::ip::udp::endpoint> mapped_;  // by the STUN server; of the control thread
  std::unique_ptr<boost::asio::ip::udp::resolver> resolver_;
  std::map<std::string, Known> sessions_;  // of the control thread
  uint64_t refused_in_all_ = 0;            // of the control thread, as the next one
  uint64_t refused_of_user_ = 0;
  bool running_ = false;

  mutable std::mutex cameras_mutex_;
  std::map<std::string, std::shared_ptr<LiveStream>> cameras_;  // guarded by cameras_mutex_
};

}  // namespace miharu::webrtc
