#include "api/store_site.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <thread>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/auth/session_routes.h"
#include "api/timeline.h"

namespace miharu::api {

StoreSite::StoreSite(store::ObjectStore& store, const base::Clock& clock, const TokenKey& key,
                     StoreSiteOptions options)
    : store_(store),
      clock_(clock),
      delivery_(options.delivery ? std::move(options.delivery) : std::make_unique<MediaDelivery>()),
      run_(std::move(options.run)),
      footage_(store, clock),
      playlists_(footage_, clock, {options.by_chunk, delivery_.get()}),
      wishes_(store, footage_, clock, *delivery_),
      access_(store, clock),
      auth_(Auth::of_store(key, access_, clock)),
      router_(*auth_) {
  add_health_routes();
  add_session_routes(router_, *auth_);
  add_camera_routes();
  add_live_routes();
  add_media("/media/rec/{camera}/{rest*}");
  add_media("/media/{relay}/rec/{camera}/{rest*}");
  add_refusals();
}

void StoreSite::add_health_routes() {
  const auto text = [](std::string body) {
    return net::HttpResponse{
        200, {{"Content-Type", "text/plain"}, {"Cache-Control", "no-store"}}, std::move(body)};
  };
  router_.add("GET", "/healthz", Need::nothing(), [text](const RequestContext&, const Exchange& exchange) {
    exchange->respond(text("alive\n"));
  });
  router_.add(
      "GET", "/readyz", Need::nothing(), [this, text](const RequestContext&, const Exchange& exchange) {
        const bool listed = footage_.cameras().has_value();
        exchange->respond(listed ? text("serving\n") : net::problem(503, "the store cannot be listed"));
      });
}

void StoreSite::add_camera_routes() {
  router_.add("GET", "/api/v1/cameras", Need::signed_in(),
              [this](const RequestContext& context, const Exchange& exchange) {
                const auto cameras = cameras_json(context.access);
                exchange->respond(cameras ? json_response(200, *cameras) : problem_of(cameras.error()));
              });
  router_.add("GET", "/api/v1/cameras/{camera}/timeline", Need::of(Right::kPlayback),
              [this](const RequestContext& context, const Exchange& exchange) {
                exchange->respond(timeline_response(context.request, context.access, context.param("camera"),
                                                    footage_, TimelineNotes{}, clock_.utc()));
              });
  for (const auto& [path, list] : {std::pair("/hls/{camera}/vod.m3u8", Playlists::List::kChunks),
                                   std::pair("/hls/{camera}/iframe.m3u8", Playlists::List::kKeyFrames)}) {
    router_.add("GET", path, Need::of(Right::kPlayback),
                [this, list = list](const RequestContext& context, const Exchange& exchange) {
                  exchange->respond(playlists_.interval(context.request, context.access,
                                                        std::string(context.param("camera")), list));
                });
  }
}

void StoreSite::add_live_routes() {
  router_.add("POST", "/api/v1/cameras/{camera}/live", Need::now(Right::kLive),
              [this](const RequestContext& context, const Exchange& exchange) {
                exchange->respond(wishes_.respond(std::string(context.param("camera")), context.access));
              });
  const std::string_view files = "/media/{relay}/live/{camera}/{session}/{file}";
  // The playlist of live pictures has no signed addresses: where media are presigned these go through here.
  if (delivery_->is_behind_cdn()) return refuse("GET", files, *delivery_->elsewhere());
  router_.add("GET", files, Need::now(Right::kLive),
              [this](const RequestContext& context, const Exchange& exchange) {
                exchange->respond(wishes_.file(context.param("relay"), context.param("camera"),
                                               context.param("session"), context.param("file")));
              });
}

void StoreSite::add_media(const std::string& pattern) {
  if (auto why = delivery_->elsewhere()) return refuse("GET", pattern, std::move(*why));
  router_.add("GET", pattern, Need::of(Right::kPlayback),
              [this](const RequestContext& context, const Exchange& exchange) {
                const std::string_view relay = context.param("relay");
                const std::string key = fmt::format("{}{}rec/{}/{}", relay, relay.empty() ? "" : "/",
                                                    context.param("camera"), context.param("rest"));
                exchange->respond(object_response(store_, run_, context.request, context.access, key));
              });
}

void StoreSite::refuse(std::string_view method, std::string_view path, std::string text) {
  router_.add(method, path, Need::signed_in(),
              [text = std::move(text)](const RequestContext&, const Exchange& exchange) {
                exchange->respond(net::problem(501, text));
              });
}

// What only a recorder can do, with the way that can.
void StoreSite::add_refusals() {
  const std::string live =
      "live view is at the recorder: open the page of `miharu run`, or ask it for pictures through the "
      "bucket by "
      "POST /api/v1/cameras/CAMERA/live";
  for (const std::string_view method : {"POST", "OPTIONS", "PATCH", "DELETE"})
    refuse(method, "/whep/{rest*}", live);
  refuse("POST", "/offer", live);
  refuse("GET", "/hls/{camera}/live.m3u8", live);
  refuse("GET", "/hls/{camera}/init/{file}", live);
  for (const std::string_view method : {"GET", "DELETE"}) refuse(method, "/api/v1/sessions/{rest*}", live);
  refuse("GET", "/api/v1/cost",
         "what the cameras send is known at the recorder: use miharu cost, or ask `miharu run`");
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

std::vector<base::Result<store::CatalogEntryPtr>> StoreSite::newest_of_each(
    const std::vector<std::string>& cameras) {
  std::vector<base::Result<store::CatalogEntryPtr>> newest(cameras.size());
  std::atomic<size_t> next{0};
  const auto look = [&] {
    for (size_t i = next.fetch_add(1); i < cameras.size(); i = next.fetch_add(1))
      newest[i] = footage_.newest(cameras[i]);
  };
  // A round trip or more for each.
  std::vector<std::jthread> beside;
  if (store_.is_bucket()) {
    for (size_t i = 1; i < std::min(cameras.size(), kLookedForAtOnce); ++i) beside.emplace_back(look);
  }
  look();
  beside.clear();
  return newest;
}

base::Result<std::string> StoreSite::cameras_json(const Access& access) {
  const auto names = footage_.cameras();
  if (!names) return tl::unexpected(names.error());
  std::vector<std::string> seen;
  std::ranges::copy_if(*names, std::back_inserter(seen), [&access](const std::string& name) {
    return may_at_some_time(access, name, Right::kPlayback);
  });
  const auto newest_of = newest_of_each(seen);
  boost::json::object root;
  boost::json::array& list = root["cameras"].emplace_array();
  for (size_t i = 0; i < seen.size(); ++i) {
    const std::string& name = seen[i];
    const auto& newest = newest_of[i];
    if (!newest) return tl::unexpected(newest.error());
    boost::json::object camera;
    camera["name"] = name;
    camera["state"] = "stored";
    camera["live"] = store_.is_bucket() && may_at_some_time(access, name, Right::kLive);
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

}  // namespace miharu::api
