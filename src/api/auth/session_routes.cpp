#include "api/auth/session_routes.h"

#include <boost/json.hpp>

#include "api/auth/json_fields.h"
#include "base/text.h"

namespace miharu::api {

namespace json = boost::json;
using base::Errc;
using base::fail;
using net::HttpResponse;

namespace {

std::optional<json::object> body_of(const net::HttpRequest& request) {
  json::error_code ec;
  json::value value = json::parse(request.body, ec);
  if (ec || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

HttpResponse retry_later(std::string_view detail, std::chrono::seconds wait) {
  HttpResponse response = net::problem(429, detail);
  response.headers.emplace_back("Retry-After", std::to_string(wait.count()));
  return response;
}

HttpResponse with_cookie(std::string cookie) {
  HttpResponse response;
  response.status = 204;
  response.headers = {{"Set-Cookie", std::move(cookie)}, {"Cache-Control", "no-store"}};
  return response;
}

// Runs `work` on the worker and answers with what it returns.
void run_and_respond(Auth& auth, const Exchange& exchange, std::function<HttpResponse()> work) {
  if (!auth.run([exchange, work = std::move(work)] { exchange->respond(work()); })) {
    exchange->respond(retry_later("Too many requests of this kind are waiting.", std::chrono::seconds(2)));
  }
}

void sign_in(Auth& auth, RequestContext context, const Exchange& exchange) {
  const auto body = body_of(context.request);
  const auto token = body ? text_in(*body, "token") : std::nullopt;
  if (token) {
    const auto access = auth.access_of_token(*token);
    if (!access) return exchange->respond(problem_of(access.error()));
    const auto left = std::chrono::floor<std::chrono::seconds>(*access->expires - auth.clock().utc());
    return exchange->respond(with_cookie(session_cookie(context.request, *token, left)));
  }
  const auto user = body ? text_in(*body, "user") : std::nullopt;
  const auto password = body ? text_in(*body, "password") : std::nullopt;
  if (!user || !password || user->size() > 64 || password->size() > 256) {
    return exchange->respond(net::problem(400, "Send {\"user\":..., \"password\":...} or {\"token\":...}."));
  }
  if (auth.users() == nullptr && auth.store_access() == nullptr)
    return exchange->respond(net::problem(403, "This server takes tokens only."));
  const auto now = auth.clock().steady();
  const std::string remote = context.request.remote;
  auto wait = auth.failures_of_remote.begin(remote, now);
  if (wait.count() == 0) wait = auth.failures_of_user.begin(*user, now);
  if (wait.count() > 0) return exchange->respond(retry_later("Too many failed attempts to sign in.", wait));

  run_and_respond(auth, exchange,
                  [&auth, request = std::move(context.request), remote, user = *user, password = *password] {
                    std::optional<StoredUser> of_store;
                    base::Result<bool> matches = false;
                    if (auth.users() != nullptr) {
                      matches = auth.users()->verify(user, password);
                    } else {
                      auto verified = auth.store_access()->verify(user, password);
                      if (!verified) return problem_of(verified.error());
                      of_store = std::move(*verified);
                      matches = of_store.has_value();
                    }
                    if (!matches) return problem_of(matches.error());
                    if (!*matches) return problem_of({Errc::kUnauthorized, "User or password is wrong.", -1});
                    auth.failures_of_remote.succeeded(remote);
                    auth.failures_of_user.succeeded(user);
                    if (of_store) {
                      const std::string session = auth.key().sign(auth.store_access()->session_of(*of_store));
                      return with_cookie(session_cookie(request, session, StoreAccess::kSessionLife));
                    }
                    const auto id = auth.users()->open_session(user);
                    if (!id) return problem_of(id.error());
                    return with_cookie(session_cookie(request, *id, Users::kSessionLife));
                  });
}

json::array names(Rights rights) {
  json::array array;
  for (const auto name : names_of(rights)) array.emplace_back(json::string_view(name.data(), name.size()));
  return array;
}

void who_am_i(const RequestContext& context, const Exchange& exchange) {
  const Access& access = context.access;
  json::object object;
  object["user"] = access.kind == Access::Kind::kUser ? json::value(access.name) : json::value(nullptr);
  object["token"] = access.kind == Access::Kind::kToken ? json::value(access.name) : json::value(nullptr);
  object["admin"] = access.admin;
  object["rights"] = names(access.rights);
  object["cameras"] = json::array(access.cameras.begin(), access.cameras.end());
  if (access.interval) {
    object["from"] = base::format_rfc3339(access.interval->from);
    object["to"] = base::format_rfc3339(access.interval->to);
  }
  if (access.expires) object["expires"] = base::format_rfc3339(*access.expires);
  exchange->respond(json_response(200, json::serialize(object)));
}

void sign_out(Auth& auth, const RequestContext& context, const Exchange& exchange) {
  std::string cookie = session_cookie(context.request, "", {});
  if (context.access.session.empty()) return exchange->respond(with_cookie(std::move(cookie)));
  run_and_respond(auth, exchange, [&auth, id = context.access.session, cookie = std::move(cookie)] {
    const auto ended = auth.users()->end_session(id);
    return ended ? with_cookie(cookie) : problem_of(ended.error());
  });
}

// A time as people write it, or for "expires" a duration from now ("7d").
base::Result<base::UtcTime> time_of(const std::string& text, base::UtcTime now, bool duration) {
  if (duration) {
    if (const auto life = base::parse_duration(text)) return now + *life;
  }
  return base::parse_time(text, now);
}

base::Result<TokenClaims> claims_of(const net::HttpRequest& request, base::UtcTime now) {
  constexpr size_t kMaxCameras = 64;
  const auto body = body_of(request);
  if (!body) return fail(Errc::kInvalid, "The body is not a JSON object.");
  TokenClaims claims;
  claims.id = new_token_id();
  const json::value* cameras = body->if_contains("cameras");
  const json::value* rights = body->if_contains("rights");
  if (cameras == nullptr || !cameras->is_array() || cameras->get_array().empty() ||
      cameras->get_array().size() > kMaxCameras) {
    return fail(Errc::kInvalid, "\"cameras\" is a list of 1 to 64 names, or [\"*\"] for all.");
  }
  for (const json::value& camera : cameras->get_array()) {
    if (!camera.is_string() || camera.get_string().empty() || camera.get_string().size() > 64) {
      return fail(Errc::kInvalid, "\"cameras\" has something that is not a name.");
    }
    claims.cameras.emplace_back(camera.get_string());
  }
  if (rights == nullptr || !rights->is_array() || rights->get_array().empty()) {
    return fail(Errc::kInvalid, "\"rights\" is a list of live, playback, export, snapshot.");
  }
  for (const json::value& name : rights->get_array()) {
    const auto right = name.is_string() ? right_of(std::string(name.get_string())) : std::nullopt;
    if (!right)
      return fail(Errc::kInvalid, "\"rights\" has something other than live, playback, export, snapshot.");
    claims.rights |= static_cast<Rights>(*right);
  }
  const auto expires = time_of(text_in(*body, "expires").value_or("7d"), now, true);
  if (!expires) return tl::unexpected(base::Error(expires.error()).in("expires"));
  if (*expires <= now) return fail(Errc::kInvalid, "\"expires\" is in the past.");
  claims.expires = *expires;
  const auto from = text_in(*body, "from");
  const auto to = text_in(*body, "to");
  if (from.has_value() != to.has_value()) return fail(Errc::kInvalid, "\"from\" and \"to\" come together.");
  if (from) {
    const auto begin = time_of(*from, now, false);
    const auto end = time_of(*to, now, false);
    if (!begin || !end || *begin >= *end) return fail(Errc::kInvalid, "\"from\" and \"to\" are no interval.");
    claims.interval = Interval{*begin, *end};
  }
  // Signed times are milliseconds from 1970 on: an interval shorter than one, or before, would be no token.
  if (!claims_from_json(to_json(claims))) return fail(Errc::kInvalid, "\"from\" and \"to\" are no interval.");
  return claims;
}

// Times as text, unlike in the signed form.
json::object described(const TokenClaims& claims) {
  json::object object;
  object["id"] = claims.id;
  object["cameras"] = json::array(claims.cameras.begin(), claims.cameras.end());
  object["rights"] = names(claims.rights);
  if (claims.interval) {
    object["from"] = base::format_rfc3339(claims.interval->from);
    object["to"] = base::format_rfc3339(claims.interval->to);
  }
  object["expires"] = base::format_rfc3339(claims.expires);
  return object;
}

void create_token(Auth& auth, const RequestContext& context, const Exchange& exchange) {
  const base::UtcTime now = auth.clock().utc();
  const auto claims = claims_of(context.request, now);
  if (!claims) return exchange->respond(problem_of(claims.error()));
  run_and_respond(auth, exchange, [&auth, claims = *claims, by = context.access.name, now] {
    if (const auto added = auth.tokens()->add(claims, by, now); !added) return problem_of(added.error());
    json::object object = described(claims);
    object["token"] = auth.key().sign(claims);
    return json_response(201, json::serialize(object));
  });
}

void list_tokens(Auth& auth, const Exchange& exchange) {
  const auto records = auth.tokens()->list();
  if (!records) return exchange->respond(problem_of(records.error()));
  json::array array;
  for (const TokenRecord& record : *records) {
    json::object object = described(record.claims);
    object["created"] = base::format_rfc3339(record.created);
    object["created_by"] = record.created_by;
    object["revoked"] = record.revoked;
    array.push_back(std::move(object));
  }
  exchange->respond(json_response(200, json::serialize(array)));
}

void list_users(Auth& auth, const Exchange& exchange) {
  const auto users = auth.users()->list();
  if (!users) return exchange->respond(problem_of(users.error()));
  json::array array;
  for (const User& user : *users) {
    array.push_back(
        {{"name", user.name}, {"role", user.role}, {"created", base::format_rfc3339(user.created)}});
  }
  exchange->respond(json_response(200, json::serialize(array)));
}

HttpResponse done(const base::Status& status, unsigned success = 204) {
  if (!status) return problem_of(status.error());
  HttpResponse response;
  response.status = success;
  return response;
}

void add_user_routes(Router& router, Auth& auth) {
  router.add("GET", "/api/v1/users", Need::admin(),
             [&auth](const RequestContext&, const Exchange& exchange) { list_users(auth, exchange); });
  router.add("POST", "/api/v1/users", Need::admin(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               const auto body = body_of(context.request);
               const auto name = body ? text_in(*body, "name") : std::nullopt;
               const auto password = body ? text_in(*body, "password") : std::nullopt;
               if (!name || !password)
                 return exchange->respond(net::problem(400, "Send {\"name\":..., \"password\":...}."));
               run_and_respond(auth, exchange, [&auth, name = *name, password = *password] {
                 return done(auth.users()->add(name, password), 201);
               });
             });
  router.add("PUT", "/api/v1/users/{name}", Need::admin(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               const auto body = body_of(context.request);
               const auto password = body ? text_in(*body, "password") : std::nullopt;
               if (!password) return exchange->respond(net::problem(400, "Send {\"password\":...}."));
               run_and_respond(auth, exchange,
                               [&auth, name = std::string(context.param("name")), password = *password] {
                                 return done(auth.users()->set_password(name, password));
                               });
             });
  router.add("DELETE", "/api/v1/users/{name}", Need::admin(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               run_and_respond(auth, exchange, [&auth, name = std::string(context.param("name"))] {
                 return done(auth.users()->remove(name));
               });
             });
}

}  // namespace

void add_session_routes(Router& router, Auth& auth) {
  router.add("POST", "/api/v1/session", Need::nothing(),
             [&auth](RequestContext context, const Exchange& exchange) {
               sign_in(auth, std::move(context), exchange);
             });
  router.add("GET", "/api/v1/session", Need::signed_in(), who_am_i);
  router.add("DELETE", "/api/v1/session", Need::nothing(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               sign_out(auth, context, exchange);
             });
  if (auth.tokens() == nullptr) return;
  router.add("GET", "/api/v1/tokens", Need::admin(),
             [&auth](const RequestContext&, const Exchange& exchange) { list_tokens(auth, exchange); });
  router.add("POST", "/api/v1/tokens", Need::admin(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               create_token(auth, context, exchange);
             });
  router.add("DELETE", "/api/v1/tokens/{id}", Need::admin(),
             [&auth](const RequestContext& context, const Exchange& exchange) {
               run_and_respond(auth, exchange, [&auth, id = std::string(context.param("id"))] {
                 return done(auth.tokens()->revoke(id));
               });
             });
  add_user_routes(router, auth);
}

}  // namespace miharu::api
