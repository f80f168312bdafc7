// The web server of `miharu serve`: page, playback, timeline and sign-in over a store that somebody else
// writes. It keeps nothing: any number of them may serve one store.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include <boost/asio/thread_pool.hpp>

#include "api/store_site.h"
#include "app/config.h"
#include "net/http_server.h"
#include "store/counted_store.h"

namespace miharu::app {

struct ServeOptions {
  Endpoint listen;
  std::filesystem::path token_key;                 // made when missing
  std::unique_ptr<api::MediaDelivery> delivery{};  // null: through the server
  // Longer intervals have one entry per object in their playlist.
  base::nanoseconds by_chunk = std::chrono::hours(24);
  std::vector<std::string> trusted_proxies{};  // addresses or networks in CIDR form
};

// Requests are answered by a pool of threads: a store may take its time.
class ServeService {
 public:
  // Of requests that wait or are being answered; more get 503.
  static constexpr size_t kMostRequests = 256;
  static constexpr unsigned kThreads = 8;

  // All must outlive it; `control` must run before start(). has_users() is for after it.
  ServeService(net::EventLoop& control, ServeOptions options, store::ObjectStore& store,
               const base::Clock& clock);
  ~ServeService();

  base::Status start();
  void stop();
  [[nodiscard]] std::string address() const;
  // Whether anybody could sign in.
  base::Result<bool> has_users() { return site_->has_users(); }

 private:
  void add_routes();
  void handle(net::HttpRequest request, const std::shared_ptr<net::HttpExchange>& exchange);

  net::EventLoop& control_;
  ServeOptions options_;
  store::CountedStore store_;
  const base::Clock& clock_;
  std::unique_ptr<api::StoreSite> site_;
  std::atomic<size_t> requests_{0};
  std::unique_ptr<boost::asio::thread_pool> pool_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace miharu::app
