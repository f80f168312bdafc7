// Signalling of the live view: every status of its routes, against a service that answers as it is told.
#include <future>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "api/responses.h"
#include "api/whep.h"
#include "support/manual_clock.h"
#include "support/temp_dir.h"

namespace miharu::api {
namespace {

using base::Errc;
using test::body_of;
using test::field;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using webrtc::SessionAnswer;
using webrtc::SessionInfo;

const base::UtcTime kNow = base::from_unix_ms(1'795'230'000'000);  // 2026-11-21T03:00:00Z

class Answer final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse response) override { promise.set_value(std::move(response)); }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override { return nullptr; }
  std::promise<net::HttpResponse> promise;
};

class Cameras final : public CameraList {
 public:
  [[nodiscard]] std::vector<CameraStatus> cameras() const override {
    std::vector<CameraStatus> all;
    for (const char* name : {"front", "back"}) all.emplace_back().name = name;
    return all;
  }
  [[nodiscard]] bool has(std::string_view camera) const override {
    return camera == "front" || camera == "back";
  }
};

// Remembers what it was asked; fails when `error` is set.
class Sessions final : public webrtc::SessionService {
 public:
  void create(const std::string& camera, const std::string& user, const std::string& offer,
              Callback<SessionAnswer> done) override {
    asked = {camera, user, offer};
    if (error) return done(tl::unexpected(*error));
    done(answer);
  }
  void patch(const std::string& camera, const std::string& id, const std::optional<std::string>& etag,
             const std::string& fragment, Callback<SessionAnswer> done) override {
    asked = {camera, id, etag.value_or("any"), fragment};
    if (error) return done(tl::unexpected(*error));
    done(answer);
  }
  void end(const std::string& camera, const std::string& id,
           std::function<void(base::Status)> done) override {
    asked = {camera, id};
    if (error) return done(tl::unexpected(*error));
    done({});
  }
  void list(std::function<void(std::vector<SessionInfo>)> done) override { done(infos); }
  void metrics(std::function<void(webrtc::LiveMetrics)> done) override { done({}); }

  std::vector<std::string> asked;
  std::optional<base::Error> error;
  SessionAnswer answer{"id22", "v=0\r\nanswer", "etag1"};
  std::vector<SessionInfo> infos;
};

class WhepTest : public testing::Test {
 protected:
  WhepTest() {
    AuthOptions options;
    options.database = folder.path() / "miharu.db";
    options.token_key = folder.path() / "token.key";
    options.password_cost = {1, 8192};
    auth = std::move(*Auth::open(options, clock));
    WhepOptions whep_options;
    whep_options.base_path = "/cams";
    whep_options.ice_servers.stun = {"stun:stun.example.org"};
    whep = std::make_unique<Whep>(whep_options, cameras, clock);
    whep->set_sessions(&sessions);
    router = std::make_unique<Router>(*auth);
    whep->add_routes(*router);
    router->add("GET", "/{file*}", Need::nothing(), [](const RequestContext&, const Exchange& exchange) {
      exchange->respond({200, {}, std::string("page")});
    });
    admin = {{"Cookie", "miharu_session=" + *auth->users()->open_session("admin")}};
    front = token({"front"}, static_cast<Rights>(Right::kLive));
  }

  std::string sign(std::vector<std::string> names, Rights rights, std::string id = "t1",
                   std::optional<Interval> interval = std::nullopt) {
    return auth->key().sign(
        {std::move(id), std::move(names), rights, interval, kNow + std::chrono::hours(1)});
  }
  net::HttpHeaders token(std::vector<std::string> names, Rights rights, std::string id = "t1") {
    return {{"Authorization", "Bearer " + sign(std::move(names), rights, std::move(id))}};
  }
  net::HttpResponse ask(std::string method, std::string path, net::HttpHeaders headers,
                        std::string body = {}) {
    net::HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.headers = std::move(headers);
    request.headers.emplace_back("Host", "localhost");
    request.body = std::move(body);
    request.remote = "127.0.0.1";
    const auto answer = std::make_shared<Answer>();
    auto response = answer->promise.get_future();
    router->handler()(std::move(request), answer);
    return response.get();
  }
  net::HttpResponse offer(const net::HttpHeaders& who, std::string type = "application/sdp",
                          std::string path = "/whep/front", std::string body = "v=0\r\noffer") {
    net::HttpHeaders headers = who;
    headers.emplace_back("Content-Type", std::move(type));
    return ask("POST", std::move(path), std::move(headers), std::move(body));
  }
  net::HttpResponse trickle(const net::HttpHeaders& who, const std::string& if_match = {},
                            std::string type = "application/trickle-ice-sdpfrag") {
    net::HttpHeaders headers = who;
    headers.emplace_back("Content-Type", std::move(type));
    if (!if_match.empty()) headers.emplace_back("If-Match", if_match);
    return ask("PATCH", "/whep/front/id22", std::move(headers), "a=mid:0\r\n");
  }

  test::TempDir folder;
  test::ManualClock clock{kNow};
  Cameras cameras;
  Sessions sessions;
  std::unique_ptr<Auth> auth;
  std::unique_ptr<Whep> whep;
  std::unique_ptr<Router> router;
  net::HttpHeaders admin;
  net::HttpHeaders front;
};

TEST_F(WhepTest, AnOfferIsAnswered) {
  const auto response = offer(admin, "Application/SDP; charset=utf-8");
  EXPECT_EQ(response.status, 201U);
  EXPECT_EQ(body_of(response), "v=0\r\nanswer");
  EXPECT_EQ(field(response, "Content-Type"), "application/sdp");
  EXPECT_EQ(field(response, "Location"), "/cams/whep/front/id22");
  EXPECT_EQ(field(response, "ETag"), "\"etag1\"");
  EXPECT_EQ(field(response, "Accept-Patch"), "application/trickle-ice-sdpfrag");
  EXPECT_EQ(field(response, "Link"), "<stun:stun.example.org>; rel=\"ice-server\"");
  EXPECT_EQ(field(response, "Cache-Control"), "no-store");
  EXPECT_EQ(field(response, "Access-Control-Expose-Headers"), "Location, ETag, Link");
  EXPECT_THAT(sessions.asked, ElementsAre("front", "admin", "v=0\r\noffer"));
}

TEST_F(WhepTest, TheAddressOfTheSessionKeepsTheTokenOfThePath) {
  const std::string text = sign({"front"}, static_cast<Rights>(Right::kLive));
  const auto response = offer({}, "application/sdp", "/t/" + text + "/whep/front");
  EXPECT_EQ(response.status, 201U);
  EXPECT_EQ(field(response, "Location"), "/cams/t/" + text + "/whep/front/id22");
  EXPECT_EQ(sessions.asked[1], "token:t1");
}

TEST_F(WhepTest, ErrorsOfTheServiceHaveTheirStatus) {
  const std::map<Errc, unsigned> statuses = {
      {Errc::kNotFound, 404}, {Errc::kMalformed, 400},   {Errc::kTruncated, 400},
      {Errc::kLimit, 413},    {Errc::kUnsupported, 406}, {Errc::kStalled, 429},
      {Errc::kTimeout, 503},  {Errc::kExists, 412},      {Errc::kInternal, 500}};
  for (const auto& [code, status] : statuses) {
    sessions.error = base::Error{code, "the reason", 3};
    const bool later = status == 429 || status == 503;
    for (const auto& response : {offer(admin), trickle(admin), ask("DELETE", "/whep/front/id22", admin),
                                 ask("POST", "/offer", admin, R"({"sdp":"v=0","type":"offer"})")}) {
      EXPECT_EQ(response.status, status) << base::name_of(code);
      EXPECT_THAT(body_of(response), HasSubstr("the reason"));
      EXPECT_EQ(field(response, "Retry-After"), later ? "5" : "") << status;
      EXPECT_EQ(field(response, "Location"), "");
    }
  }
}

TEST_F(WhepTest, BodiesOfOtherTypesAndTooLongOnes) {
  auto response = offer(admin, "application/json");
  EXPECT_EQ(response.status, 415U);
  EXPECT_EQ(field(response, "Accept-Post"), "application/sdp");
  response = trickle(admin, "", "application/sdp");
  EXPECT_EQ(response.status, 415U);
  EXPECT_EQ(field(response, "Accept-Patch"), "application/trickle-ice-sdpfrag");
  const std::string long_body(Whep::kMaxBodyBytes + 1, 'a');
  EXPECT_EQ(offer(admin, "application/sdp", "/whep/front", long_body).status, 413U);
  EXPECT_EQ(ask("POST", "/offer", admin, long_body).status, 413U);
  EXPECT_EQ(ask("PATCH", "/whep/front/id22", {admin[0], {"Content-Type", "application/trickle-ice-sdpfrag"}},
                long_body)
                .status,
            413U);
  EXPECT_THAT(sessions.asked, IsEmpty());
}

TEST_F(WhepTest, CandidatesTrickle) {
  sessions.answer = {};
  EXPECT_EQ(trickle(admin, "\"etag1\"").status, 204U);
  EXPECT_THAT(sessions.asked, ElementsAre("front", "id22", "etag1", "a=mid:0\r\n"));
  EXPECT_EQ(trickle(admin).status, 204U);
  EXPECT_EQ(sessions.asked[2], "any");
  EXPECT_EQ(trickle(admin, "etag1").status, 204U);
  EXPECT_EQ(sessions.asked[2], "etag1");
}

TEST_F(WhepTest, ARestartHasANewTag) {
  sessions.answer = {"", "a=ice-ufrag:new\r\n", "etag2"};
  const auto response = trickle(admin, "*");
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(sessions.asked[2], "any");
  EXPECT_EQ(field(response, "ETag"), "\"etag2\"");
  EXPECT_EQ(field(response, "Content-Type"), "application/trickle-ice-sdpfrag");
  EXPECT_EQ(body_of(response), "a=ice-ufrag:new\r\n");
}

TEST_F(WhepTest, TheEnd) {
  EXPECT_EQ(ask("DELETE", "/whep/front/id22", front).status, 200U);
  EXPECT_THAT(sessions.asked, ElementsAre("front", "id22"));
}

TEST_F(WhepTest, Options) {
  const auto response = ask("OPTIONS", "/whep/front", front);
  EXPECT_EQ(response.status, 204U);
  EXPECT_EQ(field(response, "Accept-Post"), "application/sdp");
  EXPECT_EQ(field(response, "Allow"), "OPTIONS, POST");
  EXPECT_EQ(field(response, "Link"), "<stun:stun.example.org>; rel=\"ice-server\"");
  EXPECT_EQ(ask("OPTIONS", "/whep/side", admin).status, 404U);
  EXPECT_EQ(ask("OPTIONS", "/whep/front", {}).status, 401U);
}

TEST_F(WhepTest, OtherMethods) {
  for (const char* method : {"GET", "HEAD", "PUT"}) {
    auto response = ask(method, "/whep/front", front);
    EXPECT_EQ(response.status, 405U) << method;
    EXPECT_EQ(field(response, "Allow"), "OPTIONS, POST");
    response = ask(method, "/whep/front/id22", front);
    EXPECT_EQ(response.status, 405U) << method;
    EXPECT_EQ(field(response, "Allow"), "DELETE, PATCH");
  }
  EXPECT_EQ(ask("POST", "/whep/front/id22", front).status, 405U);
}

TEST_F(WhepTest, RightsAndCamerasOfTheCredentials) {
  const net::HttpHeaders back = token({"back"}, kAllRights);
  const net::HttpHeaders past = token({"front"}, static_cast<Rights>(Right::kPlayback));
  const net::HttpHeaders over = {
      {"Authorization", "Bearer " + sign({"front"}, kAllRights, "t1",
                                         Interval{kNow - base::seconds(60), kNow - base::seconds(30)})}};
  for (const auto& who : {back, past, over}) {
    EXPECT_EQ(offer(who).status, 403U);
    EXPECT_EQ(trickle(who).status, 403U);
    EXPECT_EQ(ask("DELETE", "/whep/front/id22", who).status, 403U);
    EXPECT_EQ(ask("POST", "/offer", who, R"({"sdp":"v=0","camera":"front"})").status, 403U);
  }
  EXPECT_EQ(offer({}).status, 401U);
  EXPECT_EQ(ask("POST", "/offer", {}, R"({"sdp":"v=0"})").status, 401U);
  net::HttpHeaders elsewhere = admin;
  elsewhere.emplace_back("Sec-Fetch-Site", "cross-site");
  EXPECT_EQ(offer(elsewhere).status, 403U);
  EXPECT_EQ(ask("POST", "/offer", elsewhere, R"({"sdp":"v=0"})").status, 403U);
  EXPECT_EQ(trickle(elsewhere).status, 403U);
  EXPECT_THAT(sessions.asked, IsEmpty());
  EXPECT_EQ(offer(front).status, 201U);
}

TEST_F(WhepTest, SimpleOffers) {
  auto response = ask("POST", "/offer", admin, R"({"sdp":"v=0","type":"offer","camera":"back"})");
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(boost::json::parse(body_of(response)),
            (boost::json::value{{"sdp", "v=0\r\nanswer"}, {"type", "answer"}}));
  EXPECT_THAT(sessions.asked, ElementsAre("back", "admin", "v=0"));
  EXPECT_EQ(ask("POST", "/offer", admin, R"({"sdp":{"sdp":"v=1","type":"offer"},"camera":"back"})").status,
            200U);
  EXPECT_THAT(sessions.asked, ElementsAre("back", "admin", "v=1"));
  // Without a camera: the first that these credentials may watch.
  EXPECT_EQ(ask("POST", "/offer", admin, R"({"sdp":"v=2"})").status, 200U);
  EXPECT_THAT(sessions.asked, ElementsAre("front", "admin", "v=2"));
  EXPECT_EQ(ask("POST", "/offer", token({"back"}, kAllRights, "t9"), R"({"sdp":"v=3","camera":null})").status,
            200U);
  EXPECT_THAT(sessions.asked, ElementsAre("back", "token:t9", "v=3"));
  EXPECT_EQ(ask("POST", "/offer", token({"side"}, kAllRights), R"({"sdp":"v=4"})").status, 404U);
}

TEST_F(WhepTest, BodiesThatAreNoSimpleOffer) {
  for (const char* body :
       {"", "[]", "{", "{}", R"({"sdp":1})", R"({"sdp":{"sdp":{}}})", R"({"sdp":"v=0","type":"answer"})",
        R"({"sdp":{"sdp":"v=0","type":"answer"}})", R"({"sdp":"v=0","camera":1})"}) {
    EXPECT_EQ(ask("POST", "/offer", admin, body).status, 400U) << body;
  }
  EXPECT_THAT(sessions.asked, IsEmpty());
}

TEST_F(WhepTest, Lists) {
  SessionInfo mine;
  mine.id = "mine";
  mine.camera = "front";
  mine.user = "token:t1";
  mine.remote = "192.0.2.1:5004";
  mine.state = "live";
  mine.since = kNow;
  mine.round_trip_ms = 12.5;
  mine.retransmitted = 8;
  mine.lost = 9;
  mine.loss = 0.25;
  mine.dropped = 10;
  mine.skipped = 11;
  mine.packets = 7;
  SessionInfo other = mine;
  other.id = "other";
  other.user = "bob";
  SessionInfo away = other;
  away.id = "away";
  away.camera = "back";
  sessions.infos = {mine, other, away};

  const auto all = boost::json::parse(body_of(ask("GET", "/api/v1/sessions", admin))).as_array();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].at("id"), "mine");
  EXPECT_EQ(all[0].at("remote"), "192.0.2.1:5004");
  EXPECT_EQ(all[0].at("since"), "2026-11-21T03:00:00.000Z");
  EXPECT_EQ(all[0].at("round_trip_ms").as_double(), 12.5);
  EXPECT_EQ(all[0].at("packets").to_number<int>(), 7);
  EXPECT_EQ(all[0].at("retransmitted").to_number<int>(), 8);
  EXPECT_EQ(all[0].at("lost").to_number<int>(), 9);
  EXPECT_EQ(all[0].at("loss").as_double(), 0.25);
  EXPECT_EQ(all[0].at("dropped").to_number<int>(), 10);
  EXPECT_EQ(all[0].at("skipped").to_number<int>(), 11);

  // Who may only watch sees that there are others, not who and where, and cannot end them.
  const auto some = boost::json::parse(body_of(ask("GET", "/api/v1/sessions", front))).as_array();
  ASSERT_EQ(some.size(), 2U);
  EXPECT_EQ(some[0].at("id"), "mine");
  EXPECT_FALSE(some[1].as_object().contains("id"));
  EXPECT_FALSE(some[1].as_object().contains("user"));
  EXPECT_FALSE(some[1].as_object().contains("remote"));
  EXPECT_EQ(ask("GET", "/api/v1/sessions", {}).status, 401U);

  EXPECT_EQ(ask("DELETE", "/api/v1/sessions/other", front).status, 403U);
  EXPECT_EQ(ask("DELETE", "/api/v1/sessions/none", admin).status, 404U);
  EXPECT_THAT(sessions.asked, IsEmpty());
  EXPECT_EQ(ask("DELETE", "/api/v1/sessions/mine", front).status, 204U);
  EXPECT_THAT(sessions.asked, ElementsAre("front", "mine"));
  EXPECT_EQ(ask("DELETE", "/api/v1/sessions/away", admin).status, 204U);
  EXPECT_THAT(sessions.asked, ElementsAre("back", "away"));
}

TEST_F(WhepTest, WithoutTheServiceAllIsUnavailable) {
  whep->set_sessions(nullptr);
  EXPECT_EQ(offer(admin).status, 503U);
  EXPECT_EQ(trickle(admin).status, 503U);
  EXPECT_EQ(ask("OPTIONS", "/whep/front", admin).status, 503U);
  EXPECT_EQ(ask("DELETE", "/whep/front/id22", admin).status, 503U);
  EXPECT_EQ(ask("POST", "/offer", admin, R"({"sdp":"v=0"})").status, 503U);
  EXPECT_EQ(ask("GET", "/api/v1/sessions", admin).status, 503U);
  EXPECT_EQ(ask("DELETE", "/api/v1/sessions/mine", admin).status, 503U);
}

}  // namespace
}  // namespace miharu::api
