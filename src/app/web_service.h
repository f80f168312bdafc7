// The web server of `miharu run`: page, playback, API, metrics; what is behind a sign-in and what is not.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "api/auth/auth.h"
#include "api/camera_list.h"
#include "api/events.h"
#include "api/live_hls.h"
#include "api/playback.h"
#include "api/playlists.h"
#include "api/router.h"
#include "api/whep.h"
#include "app/config.h"
#include "net/http_server.h"
#include "record/gap_log.h"

namespace miharu::app {

class WebService {
 public:
  // All must outlive it; `control` must run before start().
  WebService(net::EventLoop& control, const Config& config, std::filesystem::path data,
             store::DirectoryStore& store, store::Catalog& catalog, const record::Recordings& recordings,
             const record::GapLog& gaps, const api::CameraList& cameras, const upload::UploadLog* uploads);
  ~WebService();

  // Opens users and keys. The password of the first user when this made it, else "".
  base::Result<std::string> open();
  base::Status start();
  void stop();
  [[nodiscard]] std::string address() const;
  // Before start(), or on the control thread. Null, as at the beginning: live view by WebRTC is answered with
  // 503. To be taken away before the sessions end.
  void set_sessions(webrtc::SessionService* sessions) {
    sessions_ = sessions;
    whep_.set_sessions(sessions);
  }
  // Any thread: the recording of `camera` has a new part.
  void recording_changed(const std::string& camera) { waiters_.changed(camera); }

 private:
  void add_routes();
  void add_playback_routes();
  void add_camera_routes();
  void media(const api::RequestContext& context, const api::Exchange& exchange);
  void metrics(const api::Exchange& exchange);
  [[nodiscard]] net::HttpResponse cost(const net::HttpRequest& request) const;

  net::EventLoop& control_;
  const Config& config_;
  std::filesystem::path data_;
  store::DirectoryStore& store_;
  store::Catalog& catalog_;
  const record::GapLog& gaps_;
  const api::CameraList& cameras_;
  const upload::UploadLog* uploads_;  // may be null
  api::Playlists playlists_;
  api::Playback playback_;
  api::ChangeWaiters waiters_;
  api::LiveHls live_hls_;
  api::Events events_;
  api::Whep whep_;
  webrtc::SessionService* sessions_ = nullptr;
  std::unique_ptr<api::Auth> auth_;
  std::unique_ptr<api::Router> router_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace miharu::app
