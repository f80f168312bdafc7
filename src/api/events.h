// GET /api/v1/events: server-sent events (HTML Living Standard 9.2) for changes of cameras and of uploading.
//   camera    {"camera", "state", "reason"}
//   safe      {"camera", "safe_until_ms", "pending_objects"}   as in GET /api/v1/cameras
//   uploads   {"state", "error", "warning"}
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "api/camera_list.h"
#include "net/event_loop.h"
#include "net/http.h"

namespace miharu::api {

// Lives on the control thread. Looks at the cameras once a second, and only while somebody listens.
class Events {
 public:
  static constexpr size_t kMaxListeners = 64;
  static constexpr int kKeepAliveSeconds = 15;

  Events(net::EventLoop& loop, const CameraList& cameras) : cameras_(cameras), timer_(loop.context()) {}

  // Answers with the stream of events; with 503 when there are too many listeners, or after stop(). `sees`
  // tells which cameras this listener may know of.
  void add(net::HttpExchange& exchange, std::function<bool(const std::string&)> sees);
  void stop();

 private:
  struct Listener {
    std::shared_ptr<net::HttpExchange::Stream> stream;
    std::function<bool(const std::string&)> sees;
    // What was said last, by event and camera.
    std::map<std::pair<std::string, std::string>, std::string> told;
  };
  void look();
  void schedule();

  const CameraList& cameras_;
  boost::asio::steady_timer timer_;
  std::vector<Listener> listeners_;
  bool scheduled_ = false;
  bool stopped_ = false;
  int idle_seconds_ = 0;
};

}  // namespace miharu::api
