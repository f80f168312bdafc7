#include "app/serve_service.h"

#include <fmt/format.h>
#include <boost/asio/post.hpp>
#include <boost/json.hpp>

#include "api/assets.h"
#include "api/auth/session_routes.h"
#include "api/objects.h"
#include "api/timeline.h"
#include "store/directory_store.h"

namespace miharu::app {

using api::Access;
using api::Exchange;
using api::Need;
using api::RequestContext;
using api::Right;

ServeService::ServeService(net::EventLoop& control, ServeOptions options, store::ObjectStore& store,
                           const base::Clock& clock)
    : control_(control),
      options_(std::move(options)),
      store_(store),
      clock_(clock),
      footage_(store, clock),
      playlists_(footage_, clock),
      wishes_(store, footage_, clock),
      access_(store, clock) {}

ServeService::~ServeService() {
  stop();
}

base::Status ServeService::start() {
  if (auto key = api::TokenKey::load_or_create(options_.token_key); !key)
    return tl::unexpected(base::Error(key.error()).in("MIHARU_TOKEN_KEY_FILE"));
  api::AuthOptions auth;
  auth.mode = api::AuthMode::kTokens;
  auth.token_key = options_.token_key;
  auth.store_access = &access_;
  auto opened = api::Auth::open(auth, clock_);
  if (!opened) return tl::unexpected(opened.error());
  auth_ = std::move(*opened);
  router_ = std::make_unique<api::Router>(*auth_);
  add_routes();

  pool_ = std::make_unique<boost::asio::thread_pool>(kThreads);
  net::HttpServerOptions options;
  options.listen = options_.listen.to_string();
  server_ = std::make_unique<net::HttpServer>(
      control_, options, [this](net::HttpRequest request, std::shared_ptr<net::HttpExchange> exchange) {
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
    router_->handle(std::move(request), exchange);
    requests_.fetch_sub(1);
  });
}

void ServeService::add_routes() {
  router_->add("GET", "/healthz", Need::nothing(), [](const RequestContext&, const Exchange& exchange) {
    exchange->respond(
        {200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, std::string("alive\n")});
  });
  router_->add("GET", "/readyz", Need::nothing(), [this](const RequestContext&, const Exchange& exchange) {
    if (auto cameras = footage_.cameras(); !cameras)
      return exchange->respond(net::problem(503, "the store cannot be listed"));
    exchange->respond(
        {200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, std::string("serving\n")});
  });
  api::add_session_routes(*router_, *auth_);
  add_camera_routes();
  add_refusals();
  // The page itself holds no secret: it asks for the password.
  router_->add("GET", "/{file*}", Need::nothing(),
               [](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(api::asset_response(context.request, context.param("file")));
               });
}

void ServeService::add_camera_routes() {
  router_->add(
      "GET", "/api/v1/cameras", Need::signed_in(),
      [this](const RequestContext& context, const Exchange& exchange) {
        const auto cameras = cameras_json(context.access);
        exchange->respond(cameras ? api::json_response(200, *cameras) : api::problem_of(cameras.error()));
      });
  router_->add(
      "GET", "/api/v1/cameras/{camera}/timeline", Need::of(Right::kPlayback),
      [this](const RequestContext& context, const Exchange& exchange) {
        exchange->respond(api::timeline_response(context.request, context.access, context.param("camera"),
                                                 footage_, nullptr, clock_.utc()));
      });
  for (const auto& [path, list] :
       {std::pair("/hls/{camera}/vod.m3u8", api::Playlists::List::kChunks),
        std::pair("/hls/{camera}/iframe.m3u8", api::Playlists::List::kKeyFrames)}) {
    router_->add("GET", path, Need::of(Right::kPlayback),
                 [this, list = list](const RequestContext& context, const Exchange& exchange) {
                   exchange->respond(playlists_.interval(context.request, context.access,
                                                         std::string(context.param("camera")), list));
                 });
  }
  add_media("/media/rec/{camera}/{rest*}");
  add_media("/media/{relay}/rec/{camera}/{rest*}");
  add_live_routes();
}

void ServeService::add_live_routes() {
  router_->add("POST", "/api/v1/cameras/{camera}/live", Need::now(Right::kLive),
               [this](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(wishes_.respond(std::string(context.param("camera"))));
               });
  router_->add("GET", "/media/{relay}/live/{camera}/{session}/{file}", Need::now(Right::kLive),
               [this](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(wishes_.file(context.param("relay"), context.param("camera"),
                                                context.param("session"), context.param("file")));
               });
}

void ServeService::add_media(const std::string& pattern) {
  router_->add(
      "GET", pattern, Need::of(Right::kPlayback),
      [this](const RequestContext& context, const Exchange& exchange) {
        const std::string_view relay = context.param("relay");
        const std::string key = fmt::format("{}{}rec/{}/{}", relay, relay.empty() ? "" : "/",
                                            context.param("camera"), context.param("rest"));
        if (const auto* directory = dynamic_cast<store::DirectoryStore*>(&store_)) {
          return exchange->respond(api::object_response(*directory, context.request, context.access, key));
        }
        const auto run = [this](std::function<void()> work) { boost::asio::post(*pool_, std::move(work)); };
        exchange->respond(api::object_response(store_, run, context.request, context.access, key));
      });
}

// What only the relay can do, with the way that can.
void ServeService::add_refusals() {
  const auto refuse = [this](std::string_view method, std::string_view path, std::string text) {
    router_->add(method, path, Need::signed_in(),
                 [text = std::move(text)](const RequestContext&, const Exchange& exchange) {
                   exchange->respond(net::problem(501, text));
                 });
  };
  const std::string live =
      "live view is at the recorder: open the page of `miharu run`, or ask it for pictures through the "
      "bucket by "
      "POST /api/v1/cameras/CAMERA/live";
  for (const std::string_view method : {"POST", "OPTIONS", "PATCH", "DELETE"})
    refuse(method, "/whep/{rest*}", live);
  refuse("POST", "/offer", live);
  refuse("GET", "/hls/{camera}/live.m3u8", live);
  refuse("GET", "/hls/{camera}/init/{file}", live);
  refuse("GET", "/api/v1/sessions", live);
  refuse("GET", "/api/v1/events", "ask for the timeline instead: this server does not learn of changes");
  refuse(
      "GET", "/api/v1/cameras/{camera}/export.mp4",
      "exports are made by the command line: miharu export CAMERA --from T --to T --store STORE -o FILE.mp4");
  refuse("GET", "/api/v1/cameras/{camera}/snapshot.jpg",
         "pictures are to be had from the page: play the time, or use miharu export");
  for (const std::string_view path : {"/api/v1/users/{rest*}", "/api/v1/tokens/{rest*}"}) {
    for (const std::string_view method : {"GET", "POST", "PUT", "DELETE"})
      refuse(method, path, "this server only reads the store: use miharu user or miharu token with --store");
  }
}

base::Result<std::string> ServeService::cameras_json(const Access& access) {
  const auto names = footage_.cameras();
  if (!names) return tl::unexpected(names.error());
  const bool in_bucket = dynamic_cast<store::DirectoryStore*>(&store_) == nullptr;
  boost::json::object root;
  boost::json::array& list = root["cameras"].emplace_array();
  for (const std::string& name : *names) {
    if (!api::may_at_some_time(access, name, Right::kPlayback)) continue;
    const auto newest = footage_.newest(name);
    if (!newest) return tl::unexpected(newest.error());
    boost::json::object camera;
    camera["name"] = name;
    camera["state"] = "stored";
    camera["live"] = in_bucket && api::may_at_some_time(access, name, Right::kLive);
    camera["codecs"] = boost::json::array();
    camera["width"] = 0;
    camera["height"] = 0;
    camera["bitrate_bps"] = 0;
    camera["last_error"] = nullptr;
    if (*newest) {
      camera["recorded_until"] = base::format_rfc3339((*newest)->name.end());
    } else {
      camera["recorded_until"] = nullptr;
    }
    list.push_back(std::move(camera));
  }
  return boost::json::serialize(root);
}

}  // namespace miharu::app
