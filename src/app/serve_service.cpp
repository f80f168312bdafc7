#include "app/serve_service.h"

#include <fmt/format.h>
#include <boost/asio/post.hpp>

#include "api/assets.h"
#include "api/forwarded.h"
#include "api/store_metrics.h"

namespace miharu::app {

using api::Exchange;
using api::Need;
using api::RequestContext;

ServeService::ServeService(net::EventLoop& control, ServeOptions options, store::ObjectStore& store,
                           const base::Clock& clock)
    : control_(control), options_(std::move(options)), store_(store), clock_(clock) {}

ServeService::~ServeService() {
  stop();
}

base::Status ServeService::start() {
  auto forwarded = api::Forwarded::make(options_.trusted_proxies, "");
  if (!forwarded) return tl::unexpected(forwarded.error());
  const auto key = api::TokenKey::load_or_create(options_.token_key);
  if (!key) return tl::unexpected(base::Error(key.error()).in("MIHARU_TOKEN_KEY_FILE"));
  api::StoreSiteOptions site;
  site.delivery = std::move(options_.delivery);
  site.by_chunk = options_.by_chunk;
  site.run = [this](std::function<void()> work) { boost::asio::post(*pool_, std::move(work)); };
  site_ = std::make_unique<api::StoreSite>(store_, clock_, *key, std::move(site));
  add_routes();

  pool_ = std::make_unique<boost::asio::thread_pool>(kThreads);
  net::HttpServerOptions options;
  options.listen = options_.listen.to_string();
  server_ = std::make_unique<net::HttpServer>(
      control_, options,
      [this, forwarded = std::move(*forwarded)](net::HttpRequest request,
                                                std::shared_ptr<net::HttpExchange> exchange) {
        forwarded.apply(request);
        handle(std::move(request), exchange);
      });
  return server_->start();
}

void ServeService::stop() {
  if (!server_) return;
  server_->stop();
  pool_->join();
  pool_.reset();
  server_.reset();
}

std::string ServeService::address() const {
  return fmt::format("http://{}:{}/", options_.listen.url_host(), server_ ? server_->port() : 0);
}

void ServeService::handle(net::HttpRequest request, const std::shared_ptr<net::HttpExchange>& exchange) {
  if (requests_.fetch_add(1) >= kMostRequests) {
    requests_.fetch_sub(1);
    net::HttpResponse busy = net::problem(503, "too many requests are waiting for the store");
    busy.headers.emplace_back("Retry-After", "2");
    return exchange->respond(std::move(busy));
  }
  boost::asio::post(*pool_, [this, request = std::move(request), exchange]() mutable {
    site_->router().handle(std::move(request), exchange);
    requests_.fetch_sub(1);
  });
}

void ServeService::add_routes() {
  api::Router& router = site_->router();
  router.add("GET", "/metrics", Need::admin(), [this](const RequestContext&, const Exchange& exchange) {
    exchange->respond({200,
                       {{"Content-Type", "text/plain; version=0.0.4"}, {"Cache-Control", "no-store"}},
                       api::store_metrics_text(server_->stats(), store_.counts(), site_->footage().counts(),
                                               site_->playlists().counts())});
  });
  // The page itself holds no secret: it asks for the password.
  router.add("GET", "/{file*}", Need::nothing(),
             [origin = site_->media_origin()](const RequestContext& context, const Exchange& exchange) {
               exchange->respond(api::asset_response(context.request, context.param("file"), origin));
             });
}

}  // namespace miharu::app
