#include "app/web_service.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "api/assets.h"
#include "api/auth/session_routes.h"
#include "api/forwarded.h"
#include "api/metrics.h"
#include "api/objects.h"
#include "api/timeline.h"
#include "app/cost.h"

namespace miharu::app {

using api::Access;
using api::Exchange;
using api::Need;
using api::RequestContext;
using api::Right;

namespace {

bool sees(const Access& access, const std::string& camera) {
  for (const Right right : {Right::kLive, Right::kPlayback, Right::kExport, Right::kSnapshot}) {
    if (api::may_at_some_time(access, camera, right)) return true;
  }
  return false;
}

webrtc::IceServers ice_servers(const Config::Live& live) {
  webrtc::IceServers servers;
  if (!live.stun.empty()) servers.stun.push_back(live.stun);
  if (!live.turn_url.empty()) servers.turn.push_back(live.turn_url);
  servers.turn_secret = live.turn_secret;
  return servers;
}

}  // namespace

WebService::WebService(net::EventLoop& control, const Config& config, std::filesystem::path data,
                       store::DirectoryStore& store, store::Catalog& catalog,
                       const record::Recordings& recordings, const record::GapLog& gaps,
                       const api::CameraList& cameras, const upload::UploadLog* uploads)
    : control_(control),
      config_(config),
      data_(std::move(data)),
      store_(store),
      catalog_(catalog),
      gaps_(gaps),
      cameras_(cameras),
      uploads_(uploads),
      playlists_(catalog, base::system_clock()),
      playback_(store, catalog, recordings, base::system_clock()),
      waiters_(control),
      live_hls_(catalog, recordings, waiters_, base::system_clock()),
      events_(control, cameras),
      whep_({config.server.base_path, ice_servers(config.live)}, cameras, base::system_clock()) {}

WebService::~WebService() {
  stop();
}

base::Result<std::string> WebService::open() {
  api::AuthOptions options;
  options.database = data_ / "miharu.db";
  options.token_key = data_ / "token.key";
  if (config_.auth.mode == AuthMode::kNone) {
    if (!config_.server.listen.is_loopback()) {
      return base::fail(
          base::Errc::kInvalid,
          "auth.mode = \"none\" lets everybody in, so it is allowed only where server.listen is a loopback "
          "address such as 127.0.0.1:8080");
    }
    options.mode = api::AuthMode::kOpen;
  }
  auto auth = api::Auth::open(options, base::system_clock());
  if (!auth) return tl::unexpected(auth.error());
  auth_ = std::move(*auth);
  router_ = std::make_unique<api::Router>(*auth_);
  add_routes();
  return auth_->first_password().value_or("");
}

base::Status WebService::start() {
  net::HttpServerOptions options;
  options.listen = config_.server.listen.to_string();
  options.tls_cert = config_.server.tls_cert;
  options.tls_key = config_.server.tls_key;
  auto forwarded = api::Forwarded::make(config_.server.trusted_proxies, config_.server.base_path);
  if (!forwarded) return tl::unexpected(forwarded.error());
  server_ = std::make_unique<net::HttpServer>(
      control_, options,
      [this, forwarded = std::move(*forwarded)](net::HttpRequest request,
                                                std::shared_ptr<net::HttpExchange> exchange) {
        if (!forwarded.apply(request))
          return exchange->respond(net::problem(404, "there is nothing outside of the base path"));
        router_->handle(std::move(request), std::move(exchange));
      });
  return server_->start();
}

void WebService::stop() {
  if (!server_) return;
  control_.run_and_wait([this] {
    events_.stop();
    waiters_.stop();
  });
  server_->stop();
  server_.reset();
}

std::string WebService::address() const {
  return fmt::format("{}://{}:{}/", config_.server.tls_cert.empty() ? "http" : "https",
                     config_.server.listen.url_host(),
                     server_ ? server_->port() : config_.server.listen.port);
}

void WebService::add_routes() {
  router_->add("GET", "/healthz", Need::nothing(), [](const RequestContext&, const Exchange& exchange) {
    exchange->respond(
        {200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, std::string("alive\n")});
  });
  // Without credentials only whether, not why: names of cameras are nobody else's business.
  router_->add(
      "GET", "/readyz", Need::nothing(), [this](const RequestContext& context, const Exchange& exchange) {
        const bool knows = context.access.admin || context.access.kind == Access::Kind::kOpen;
        const auto cameras = cameras_.cameras();
        const auto uploads = cameras_.uploads();
        const auto reasons = api::not_ready_reasons(cameras, uploads);
        if (reasons.empty()) {
          std::string text = "recording as configured\n";
          if (const auto safe = api::safe_until(cameras, uploads); knows && safe)
            text += fmt::format("safe off-site up to {}\n", base::format_rfc3339(*safe));
          exchange->respond({200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, text});
          return;
        }
        std::string detail = fmt::format("{} things are not as configured", reasons.size());
        if (knows) detail = fmt::format("{}", fmt::join(reasons, "; "));
        exchange->respond(net::problem(503, detail));
      });
  router_->add("GET", "/api/v1/cost", Need::admin(),
               [this](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(cost(context.request));
               });
  router_->add("GET", "/metrics", Need::admin(),
               [this](const RequestContext&, const Exchange& exchange) { metrics(exchange); });
  api::add_session_routes(*router_, *auth_);
  add_camera_routes();
  add_playback_routes();
  whep_.add_routes(*router_);
  // The page itself holds no secret: it asks for the password.
  router_->add("GET", "/{file*}", Need::nothing(),
               [](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(api::asset_response(context.request, context.param("file")));
               });
}

void WebService::metrics(const Exchange& exchange) {
  // Taken now: when the media threads have answered, the server may be on its way down.
  const auto answer = [this, exchange,
                       http = server_->stats()](const std::optional<webrtc::LiveMetrics>& live) {
    const auto gaps = gaps_.totals(base::system_clock().utc());
    if (!gaps) return exchange->respond(api::problem_of(gaps.error()));
    exchange->respond({200,
                       {{"Content-Type", "text/plain; version=0.0.4"}, {"Cache-Control", "no-store"}},
                       api::metrics_text(cameras_.cameras(), *gaps, http, live, cameras_.uploads(),
                                         cameras_.bucket_live())});
  };
  if (sessions_ == nullptr) return answer(std::nullopt);
  sessions_->metrics([answer](const webrtc::LiveMetrics& live) { answer(live); });
}

// What is not measured is left out: a camera that sent nothing since the start.
net::HttpResponse WebService::cost(const net::HttpRequest& request) const {
  const PriceTable table = price_table();
  const auto prices = table.find(request.query_value("provider"));
  if (!prices) return api::problem_of(prices.error());
  CameraUse common;
  common.segment = config_.record.segment;
  common.keep = config_.cloud.keep.value_or(common.keep);
  for (const auto& [name, value] :
       {std::pair{"live_hours", &common.live_hours}, std::pair{"playback_hours", &common.playback_hours},
        std::pair{"playlists", &common.playlists}}) {
    const std::string text = request.query_value(name);
    if (text.empty()) continue;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), *value);
    if (wrong != std::errc{} || end != text.data() + text.size() || !(*value >= 0 && *value <= 1e6))
      return net::problem(400, fmt::format("{} must be a number from 0 to 1000000", name));
  }
  std::vector<CameraUse> uses;
  for (const api::CameraStatus& camera : cameras_.cameras()) {
    if (!camera.record || camera.stream.bits_per_second == 0) continue;
    CameraUse use = common;
    use.camera = camera.name;
    use.bits_per_second = static_cast<double>(camera.stream.bits_per_second);
    use.live_bits_per_second = use.bits_per_second;
    const auto own = std::ranges::find(config_.cameras, camera.name, &CameraConfig::name);
    if (own != config_.cameras.end() && own->cloud_keep) use.keep = *own->cloud_keep;
    uses.push_back(std::move(use));
  }
  return api::json_response(200, cost_json(uses, *prices, table));
}

void WebService::add_camera_routes() {
  router_->add("GET", "/api/v1/cameras", Need::signed_in(),
               [this](const RequestContext& context, const Exchange& exchange) {
                 auto cameras = cameras_.cameras();
                 std::erase_if(cameras, [&](const api::CameraStatus& camera) {
                   return !sees(context.access, camera.name);
                 });
                 exchange->respond(api::json_response(200, api::cameras_json(cameras, cameras_.uploads())));
               });
  router_->add(
      "GET", "/api/v1/cameras/{camera}/timeline", Need::of(Right::kPlayback),
      [this](const RequestContext& context, const Exchange& exchange) {
        exchange->respond(api::timeline_response(context.request, context.access, context.param("camera"),
                                                 catalog_, &gaps_, base::system_clock().utc(), uploads_));
      });
  router_->add("GET", "/api/v1/events", Need::signed_in(),
               [this](const RequestContext& context, const Exchange& exchange) {
                 events_.add(*exchange, [access = context.access](const std::string& camera) {
                   return sees(access, camera);
                 });
               });
}

void WebService::add_playback_routes() {
  const auto camera_of = [](const RequestContext& context) { return std::string(context.param("camera")); };
  router_->add("GET", "/hls/{camera}/vod.m3u8", Need::of(Right::kPlayback),
               [this, camera_of](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(playlists_.interval(context.request, context.access, camera_of(context),
                                                       api::Playlists::List::kChunks));
               });
  router_->add("GET", "/hls/{camera}/iframe.m3u8", Need::of(Right::kPlayback),
               [this, camera_of](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(playlists_.interval(context.request, context.access, camera_of(context),
                                                       api::Playlists::List::kKeyFrames));
               });
  router_->add("GET", "/hls/{camera}/live.m3u8", Need::now(Right::kLive),
               [this, camera_of](const RequestContext& context, const Exchange& exchange) {
                 live_hls_.playlist(context.request, camera_of(context), exchange);
               });
  router_->add("GET", "/hls/{camera}/init/{file}", Need::signed_in(),
               [this, camera_of](const RequestContext& context, const Exchange& exchange) {
                 if (!sees(context.access, camera_of(context)))
                   return exchange->respond(net::problem(403, "your credentials do not open this camera"));
                 exchange->respond(playback_.init(context.request, context.access, camera_of(context),
                                                  context.param("file")));
               });
  router_->add("GET", "/media/rec/{camera}/{rest*}", Need::of(Right::kPlayback),
               [this](const RequestContext& context, const Exchange& exchange) {
                 exchange->respond(api::object_response(
                     store_, context.request, context.access,
                     fmt::format("rec/{}/{}", context.param("camera"), context.param("rest"))));
               });
  router_->add("GET", "/media/{camera}/{run}/{seq}", Need::signed_in(),
               [this, camera_of](const RequestContext& context, const Exchange& exchange) {
                 if (!sees(context.access, camera_of(context)))
                   return exchange->respond(net::problem(403, "your credentials do not open this camera"));
                 media(context, exchange);
               });
}

void WebService::media(const RequestContext& context, const Exchange& exchange) {
  const auto address =
      api::parse_chunk_address(context.param("camera"), context.param("run"), context.param("seq"));
  if (!address) return exchange->respond(api::problem_of(address.error()));
  live_hls_.when_written(context.request, address->camera, address->run, address->seq,
                         [this, request = context.request, access = context.access, address = *address,
                          exchange] { exchange->respond(playback_.chunk(request, access, address)); });
}

}  // namespace miharu::app
