// The web server of `miharu serve`: page, playback, timeline and sign-in over a store that somebody else
// writes. It keeps nothing: any number of them may serve one store.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <boost/asio/thread_pool.hpp>

#include "api/auth/auth.h"
#include "api/live_wishes.h"
#include "api/playlists.h"
#include "api/router.h"
#include "app/config.h"
#include "net/http_server.h"
#include "store/object_store.h"
#include "store/relays.h"

namespace miharu::app {

struct ServeOptions {
  Endpoint listen;
  std::filesystem::path token_key;  // made when missing
};

// Requests are answered by a pool of threads: a store may take its time.
class ServeService {
 public:
  // Of requests that wait or are being answered; more get 503.
  static constexpr size_t kMostRequests = 256;
  static constexpr unsigned kThreads = 8;

  // All must outlive it; `control` must run before start().
  ServeService(net::EventLoop& control, ServeOptions options, store::ObjectStore& store,
               const base::Clock& clock);
  ~ServeService();

  base::Status start();
  void stop();
  [[nodiscard]] std::string address() const;
  // Whether anybody could sign in.
  base::Result<bool> has_users() { return access_.has_users(); }

 private:
  void add_routes();
  void add_camera_routes();
  void add_refusals();
  void handle(net::HttpRequest request, const std::shared_ptr<net::HttpExchange>& exchange);
  void add_media(const std::string& pattern);
  void add_live_routes();
  base::Result<std::string> cameras_json(const api::Access& access);

  net::EventLoop& control_;
  const ServeOptions options_;
  store::ObjectStore& store_;
  const base::Clock& clock_;
  store::Relays footage_;
  api::Playlists playlists_;
  api::LiveWishes wishes_;
  api::StoreAccess access_;
  std::unique_ptr<api::Auth> auth_;
  std::unique_ptr<api::Router> router_;
  std::atomic<size_t> requests_{0};
  std::unique_ptr<boost::asio::thread_pool> pool_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace miharu::app
