#include "api/whep.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "webrtc/trickle_fragment.h"

namespace miharu::api {

namespace json = boost::json;
using base::Errc;
using net::HttpResponse;
using webrtc::SessionAnswer;
using webrtc::SessionInfo;

namespace {

constexpr std::string_view kSdp = "application/sdp";

bool has_type(const net::HttpRequest& request, std::string_view type) {
  std::string_view given = request.header("Content-Type");
  return base::equals_ignoring_case(base::trim(base::take_until(given, ';')), type);
}

HttpResponse problem_of_session(const base::Error& error) {
  HttpResponse response;
  switch (error.code) {
    case Errc::kUnsupported:
      return net::problem(406, error.text);
    case Errc::kExists:
      return net::problem(412, error.text);
    case Errc::kStalled:
      response = net::problem(429, error.text);
      break;
    case Errc::kTimeout:
      response = net::problem(503, error.text);
      break;
    default:
      return problem_of(error);
  }
  response.headers.emplace_back("Retry-After", std::to_string(Whep::kRetryAfter.count()));
  return response;
}

// Who asks, for the list of sessions. Token ids and users' names do not mix.
std::string name_of(const Access& access) {
  return access.kind == Access::Kind::kToken ? "token:" + access.name : access.name;
}

bool may_watch(const Access& access, std::string_view camera, base::UtcTime now) {
  return may(access, camera, Right::kLive, {now, now});
}

// Somebody else's session is not to be ended by who may only watch the same camera: its id would be enough.
bool owns(const Access& access, const SessionInfo& session) {
  return access.admin || (!session.user.empty() && session.user == name_of(access));
}

// Of RFC 9110 section 13.1.1: nothing where any generation will do. Quotes may lack, and may stand around the
// star: so the example of RFC 9725 has it, and clients copied it.
std::optional<std::string> if_match(const net::HttpRequest& request) {
  std::string_view value = base::trim(request.header("If-Match"));
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  if (value.empty() || value == "*") return std::nullopt;
  return std::string(value);
}

std::string entity_tag(std::string_view etag) {
  return fmt::format("\"{}\"", etag);
}

HttpResponse unsupported_type(std::string_view detail, std::string header, std::string_view accepted) {
  HttpResponse response = net::problem(415, detail);
  response.headers.emplace_back(std::move(header), accepted);
  return response;
}

// No Access-Control-Allow-Origin here or elsewhere: other sites' pages are let in by a reverse proxy that
// adds it, and then must be able to read these.
void expose(net::HttpHeaders& headers) {
  headers.emplace_back("Access-Control-Expose-Headers", "Location, ETag, Link");
}

Handler not_allowed(std::string allowed) {
  return [allowed = std::move(allowed)](const RequestContext&, const Exchange& exchange) {
    HttpResponse response = net::problem(405, "This address does not take that method.");
    response.headers.emplace_back("Allow", allowed);
    exchange->respond(std::move(response));
  };
}

json::object described(const SessionInfo& session, bool whole) {
  json::object object;
  if (whole) {
    object["id"] = session.id;
    object["user"] = session.user;
    object["remote"] = session.remote;
  }
  object["camera"] = session.camera;
  object["state"] = session.state;
  object["stream"] = session.sub ? "sub" : "main";
  object["since"] = base::format_rfc3339(session.since);
  object["round_trip_ms"] = session.round_trip_ms;
  object["packets"] = session.packets;
  object["retransmitted"] = session.retransmitted;
  object["lost"] = session.lost;
  object["loss"] = session.loss;
  object["dropped"] = session.dropped;
  object["skipped"] = session.skipped;
  object["first_frame_ms"] = session.first_frame_ms;
  return object;
}

struct SimpleOffer {
  std::string sdp;
  std::optional<std::string> camera;
};

// {"sdp": TEXT, "type": "offer", "camera": NAME}, where "sdp" may be such an object itself.
base::Result<SimpleOffer> read_simple_offer(const std::string& body) {
  const auto wrong = [] {
    return base::fail(Errc::kInvalid, "Send {\"sdp\":..., \"type\":\"offer\"}, and \"camera\" if you like.");
  };
  json::error_code ec;
  const json::value value = json::parse(body, ec);
  if (ec || !value.is_object()) return wrong();
  const json::object* description = &value.get_object();
  if (const json::value* inner = description->if_contains("sdp"); inner && inner->is_object())
    description = &inner->get_object();
  const json::value* sdp = description->if_contains("sdp");
  const json::value* type = description->if_contains("type");
  const json::value* camera = value.get_object().if_contains("camera");
  if (sdp == nullptr || !sdp->is_string()) return wrong();
  if (type && !(type->is_string() && type->get_string() == "offer")) return wrong();
  SimpleOffer offer{std::string(sdp->get_string()), std::nullopt};
  if (camera && !camera->is_null()) {
    if (!camera->is_string()) return wrong();
    offer.camera = std::string(camera->get_string());
  }
  return offer;
}

}  // namespace

void Whep::add_routes(Router& router) {
  const auto to = [this](auto member) {
    return [this, member](const RequestContext& context, const Exchange& exchange) {
      if (available(exchange)) (this->*member)(context, exchange);
    };
  };
  const Need live = Need::now(Right::kLive);
  router.add("POST", "/whep/{camera}", live, to(&Whep::post));
  router.add("OPTIONS", "/whep/{camera}", live, to(&Whep::options));
  router.add("PATCH", "/whep/{camera}/{id}", live, to(&Whep::patch));
  router.add("DELETE", "/whep/{camera}/{id}", live, to(&Whep::end));
  // Before the page's route, which takes any GET.
  for (const char* method : {"GET", "PUT"}) {
    router.add(method, "/whep/{camera}", Need::nothing(), not_allowed("OPTIONS, POST"));
    router.add(method, "/whep/{camera}/{id}", Need::nothing(), not_allowed("DELETE, PATCH"));
  }
  router.add("POST", "/offer", Need::signed_in(), to(&Whep::post_offer));
  router.add("GET", "/api/v1/sessions", Need::signed_in(), to(&Whep::list));
  router.add("DELETE", "/api/v1/sessions/{id}", Need::signed_in(), to(&Whep::end_listed));
}

bool Whep::available(const Exchange& exchange) const {
  if (sessions_ == nullptr)
    exchange->respond(net::problem(503, "Live view by WebRTC does not run on this server."));
  return sessions_ != nullptr;
}

void Whep::add_links(net::HttpHeaders& headers, const Access& access) const {
  for (std::string& link : webrtc::ice_server_links(options_.ice_servers, access.name, clock_.utc()))
    headers.emplace_back("Link", std::move(link));
}

void Whep::post(const RequestContext& context, const Exchange& exchange) {
  const net::HttpRequest& request = context.request;
  if (!has_type(request, kSdp))
    return exchange->respond(unsupported_type("Send an offer as application/sdp.", "Accept-Post", kSdp));
  if (request.body.size() > kMaxBodyBytes)
    return exchange->respond(net::problem(413, "The offer has more than 64 KiB."));
  const std::string camera(context.param("camera"));
  net::HttpHeaders headers = {{"Content-Type", std::string(kSdp)},
                              {"Cache-Control", "no-store"},
                              {"Accept-Patch", std::string(webrtc::kTrickleContentType)}};
  add_links(headers, context.access);
  expose(headers);
  sessions_->create(camera, name_of(context.access), request.body,
                    [exchange, headers = std::move(headers),
                     prefix = options_.base_path + context.access.path_prefix + "/whep/" +
                              camera](const base::Result<SessionAnswer>& answer) mutable {
                      if (!answer) return exchange->respond(problem_of_session(answer.error()));
                      headers.emplace_back("Location", prefix + "/" + answer->id);
                      headers.emplace_back("ETag", entity_tag(answer->etag));
                      exchange->respond({201, std::move(headers), answer->sdp});
                    });
}

void Whep::options(const RequestContext& context, const Exchange& exchange) {
  if (!cameras_.has(context.param("camera")))
    return exchange->respond(net::problem(404, "There is no camera of that name."));
  HttpResponse response;
  response.status = 204;
  response.headers = {
      {"Allow", "OPTIONS, POST"}, {"Accept-Post", std::string(kSdp)}, {"Cache-Control", "no-store"}};
  add_links(response.headers, context.access);
  expose(response.headers);
  exchange->respond(std::move(response));
}

void Whep::patch(const RequestContext& context, const Exchange& exchange) {
  const net::HttpRequest& request = context.request;
  if (!has_type(request, webrtc::kTrickleContentType)) {
    return exchange->respond(unsupported_type("Send candidates as application/trickle-ice-sdpfrag.",
                                              "Accept-Patch", webrtc::kTrickleContentType));
  }
  if (request.body.size() > kMaxBodyBytes)
    return exchange->respond(net::problem(413, "The fragment has more than 64 KiB."));
  sessions_->patch(std::string(context.param("camera")), std::string(context.param("id")), if_match(request),
                   request.body, [exchange](const base::Result<SessionAnswer>& answer) {
                     if (!answer) return exchange->respond(problem_of_session(answer.error()));
                     HttpResponse response;
                     response.headers = {{"Cache-Control", "no-store"}};
                     if (answer->sdp.empty()) {
                       response.status = 204;
                     } else {
                       response.headers.emplace_back("Content-Type", webrtc::kTrickleContentType);
                       response.headers.emplace_back("ETag", entity_tag(answer->etag));
                       response.body = answer->sdp;
                     }
                     expose(response.headers);
                     exchange->respond(std::move(response));
                   });
}

void Whep::end(const RequestContext& context, const Exchange& exchange) {
  sessions_->end(std::string(context.param("camera")), std::string(context.param("id")),
                 [exchange](const base::Status& ended) {
                   exchange->respond(ended ? HttpResponse{200, {{"Cache-Control", "no-store"}}, {}}
                                           : problem_of_session(ended.error()));
                 });
}

void Whep::post_offer(const RequestContext& context, const Exchange& exchange) {
  const Access& access = context.access;
  if (context.request.body.size() > kMaxBodyBytes)
    return exchange->respond(net::problem(413, "The offer has more than 64 KiB."));
  auto offer = read_simple_offer(context.request.body);
  if (!offer) return exchange->respond(problem_of(offer.error()));
  const base::UtcTime now = clock_.utc();
  if (!offer->camera) {
    const auto cameras = cameras_.cameras();
    const auto first = std::find_if(cameras.begin(), cameras.end(), [&](const CameraStatus& camera) {
      return may_watch(access, camera.name, now);
    });
    if (first == cameras.end())
      return exchange->respond(net::problem(404, "There is no camera that you may watch now."));
    offer->camera = first->name;
  } else if (!may_watch(access, *offer->camera, now)) {
    return exchange->respond(net::problem(403, "These credentials do not allow this for this camera."));
  }
  sessions_->create(
      *offer->camera, name_of(access), offer->sdp, [exchange](const base::Result<SessionAnswer>& answer) {
        if (!answer) return exchange->respond(problem_of_session(answer.error()));
        exchange->respond(
            json_response(200, json::serialize(json::object{{"sdp", answer->sdp}, {"type", "answer"}})));
      });
}

void Whep::list(const RequestContext& context, const Exchange& exchange) {
  sessions_->list(
      [exchange, access = context.access, now = clock_.utc()](const std::vector<SessionInfo>& sessions) {
        json::array array;
        for (const SessionInfo& session : sessions) {
          if (access.admin || may_watch(access, session.camera, now))
            array.push_back(described(session, owns(access, session)));
        }
        exchange->respond(json_response(200, json::serialize(array)));
      });
}

void Whep::end_listed(const RequestContext& context, const Exchange& exchange) {
  sessions_->list([exchange, access = context.access, id = std::string(context.param("id")),
                   service = sessions_](const std::vector<SessionInfo>& sessions) {
    const auto found = std::find_if(sessions.begin(), sessions.end(),
                                    [&](const SessionInfo& session) { return session.id == id; });
    if (found == sessions.end()) return exchange->respond(net::problem(404, "There is no such session."));
    if (!owns(access, *found)) return exchange->respond(net::problem(403, "The session is somebody else's."));
    service->end(found->camera, id, [exchange](const base::Status& ended) {
      exchange->respond(ended ? HttpResponse{204, {}, {}} : problem_of_session(ended.error()));
    });
  });
}

}  // namespace miharu::api
