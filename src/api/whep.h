// Live view by WebRTC: WHEP (draft-ietf-wish-whep, with the PATCH rules of RFC 9725), POST /offer for simple
// clients, and the list of sessions.
//   POST, OPTIONS /whep/{camera}; PATCH, DELETE /whep/{camera}/{id}; POST /offer;
//   GET /api/v1/sessions; DELETE /api/v1/sessions/{id}
#pragma once

#include <string>

#include "api/camera_list.h"
#include "api/router.h"
#include "webrtc/session_service.h"
#include "webrtc/turn_credentials.h"

namespace miharu::api {

struct WhepOptions {
  std::string base_path;  // "" or "/cameras"
  webrtc::IceServers ice_servers;
};

// What the routes need; it lives as long as the router does, on the control thread.
class Whep {
 public:
  static constexpr size_t kMaxBodyBytes = 64 << 10;
  static constexpr std::chrono::seconds kRetryAfter{5};  // of 429 and 503

  // `cameras` and `clock` must outlive it.
  Whep(WhepOptions options, const CameraList& cameras, const base::Clock& clock)
      : options_(std::move(options)), cameras_(cameras), clock_(clock) {}

  // Null: none, and everything that needs it is answered with 503. Must outlive it or be taken away again.
  void set_sessions(webrtc::SessionService* sessions) { sessions_ = sessions; }

  // The router must be gone before this object is.
  void add_routes(Router& router);

 private:
  void post(const RequestContext& context, const Exchange& exchange);
  void options(const RequestContext& context, const Exchange& exchange);
  void patch(const RequestContext& context, const Exchange& exchange);
  void end(const RequestContext& context, const Exchange& exchange);
  void post_offer(const RequestContext& context, const Exchange& exchange);
  void list(const RequestContext& context, const Exchange& exchange);
  void end_listed(const RequestContext& context, const Exchange& exchange);
  void add_links(net::HttpHeaders& headers, const Access& access) const;
  bool available(const Exchange& exchange) const;

  const WhepOptions options_;
  const CameraList& cameras_;
  const base::Clock& clock_;
  webrtc::SessionService* sessions_ = nullptr;
};

}  // namespace miharu::api
