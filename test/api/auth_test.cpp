#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <future>

#include <sys/stat.h>

#include <gtest/gtest.h>
#include <zlib.h>
#include <boost/json.hpp>

#include "api/auth/session_routes.h"
#include "api/gzip.h"
#include "api/router.h"
#include "base/bytes.h"

namespace miharu::api {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr PasswordCost kCheap{1, 8192};

class TestClock final : public base::Clock {
 public:
  base::UtcTime utc() const override { return now_; }
  base::SteadyTime steady() const override { return base::SteadyTime(utc().time_since_epoch()); }
  bool synchronised() const override { return true; }
  void advance(base::nanoseconds by) { now_ = utc() + by; }

 private:
  std::atomic<base::UtcTime> now_ =
      base::from_unix_ms(1'790'000'000'000);  // sessions are renewed on a thread
};

class TestExchange final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse response) override { answer.set_value(std::move(response)); }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override { return nullptr; }
  std::promise<net::HttpResponse> answer;
};

std::string field(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

net::HttpRequest request_of(std::string method, std::string path, net::HttpHeaders headers = {},
                            std::string body = {}) {
  net::HttpRequest request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.headers = std::move(headers);
  request.headers.emplace_back("Host", "nvr.local:8080");
  request.body = std::move(body);
  request.remote = "192.0.2.1";
  return request;
}

class AuthTest : public ::testing::Test {
 protected:
  AuthTest() {
    std::string name = (fs::temp_directory_path() / "miharu-auth-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    open(AuthMode::kUsers);
  }
  ~AuthTest() override {
    router_.reset();
    auth_.reset();
    fs::remove_all(directory_);
  }
  void open(AuthMode mode) {
    router_.reset();
    auth_.reset();
    auto auth = Auth::open({mode, directory_ / "miharu.db", directory_ / "token.key", kCheap}, clock_);
    ASSERT_TRUE(auth) << auth.error().text;
    auth_ = std::move(*auth);
    if (auth_->first_password()) password_ = *auth_->first_password();
    router_ = std::make_unique<Router>(*auth_);
    add_session_routes(*router_, *auth_);
    const auto ok = [](const RequestContext& context, const Exchange& exchange) {
      net::HttpResponse response;
      response.headers = {{"Content-Type", "text/html; charset=utf-8"}};
      response.body = context.request.path + "|" + std::string(context.param("camera")) + "|" +
                      std::string(context.param("key"));
      exchange->respond(std::move(response));
    };
    router_->add("GET", "/hls/{camera}/live.m3u8", Need::now(Right::kLive), ok);
    router_->add("GET", "/hls/{camera}/vod.m3u8", Need::of(Right::kPlayback), ok);
    router_->add("POST", "/whep/{camera}", Need::now(Right::kLive), ok);
    router_->add("DELETE", "/whep/{camera}", Need::now(Right::kLive), ok);
    router_->add("GET", "/media/{key*}", Need::signed_in(), ok);
    router_->add("GET", "/", Need::nothing(), ok);
  }
  net::HttpResponse ask(net::HttpRequest request) {
    const auto exchange = std::make_shared<TestExchange>();
    auto answer = exchange->answer.get_future();
    router_->handle(std::move(request), exchange);
    EXPECT_EQ(answer.wait_for(30s), std::future_status::ready);
    return answer.get();
  }
  net::HttpResponse sign_in(const std::string& user, const std::string& password) {
    return ask(
        request_of("POST", "/api/v1/session", {},
                   boost::json::serialize(boost::json::value{{"user", user}, {"password", password}})));
  }
  // "miharu_session=..." as a browser sends it back.
  std::string cookie() {
    const std::string cookie = field(sign_in("admin", password_), "Set-Cookie");
    return cookie.substr(0, cookie.find(';'));
  }
  std::string token(std::vector<std::string> cameras, Rights rights,
                    std::optional<Interval> interval = std::nullopt) {
    return auth_->key().sign({"id1", std::move(cameras), rights, interval, clock_.utc() + 1h});
  }
  static std::string body_of(const net::HttpResponse& response) {
    const auto* text = std::get_if<std::string>(&response.body);
    return text != nullptr ? *text : "";
  }

  TestClock clock_;
  fs::path directory_;
  std::unique_ptr<Auth> auth_;
  std::unique_ptr<Router> router_;
  std::string password_;
};

TEST(Passwords, HashVerifiesAndGeneratedOnesDiffer) {
  const std::string password = generate_password();
  EXPECT_EQ(password.size(), 23U);
  EXPECT_NE(password, generate_password());
  const auto hash = hash_password(password, kCheap);
  ASSERT_TRUE(hash);
  EXPECT_EQ(hash->substr(0, 10), "$argon2id$");
  EXPECT_TRUE(verify_password(*hash, password));
  EXPECT_FALSE(verify_password(*hash, password + "x"));
  EXPECT_FALSE(verify_password("", password));
  EXPECT_FALSE(check_password("short"));
  EXPECT_FALSE(check_password(std::string(257, 'x')));
}

TEST_F(AuthTest, MakesTheFirstUserOnceAndFilesAreForTheOwnerOnly) {
  EXPECT_FALSE(password_.empty());
  for (const char* name : {"miharu.db", "token.key"}) {
    struct stat info {};
    ASSERT_EQ(::stat((directory_ / name).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U) << name;
  }
  open(AuthMode::kUsers);
  EXPECT_FALSE(auth_->first_password());
  EXPECT_EQ(sign_in("admin", password_).status, 204U);
}

TEST_F(AuthTest, SignsInAndOut) {
  const auto response = sign_in("admin", password_);
  ASSERT_EQ(response.status, 204U);
  const std::string set = field(response, "Set-Cookie");
  EXPECT_NE(set.find("; HttpOnly; SameSite=Strict"), std::string::npos);
  EXPECT_EQ(set.find("Secure"), std::string::npos);
  const std::string cookie = set.substr(0, set.find(';'));
  const auto me = ask(request_of("GET", "/api/v1/session", {{"Cookie", "a=b; " + cookie}}));
  EXPECT_EQ(me.status, 200U);
  EXPECT_EQ(boost::json::parse(body_of(me)).at("user").as_string(), "admin");
  EXPECT_EQ(ask(request_of("DELETE", "/api/v1/session", {{"Cookie", cookie}})).status, 204U);
  EXPECT_EQ(ask(request_of("GET", "/api/v1/session", {{"Cookie", cookie}})).status, 401U);
}

TEST_F(AuthTest, RefusesWrongPasswordsAndThenTheRemote) {
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(sign_in(i % 2 == 0 ? "admin" : "nobody", "wrong-password").status, 401U);
  auto response = sign_in("admin", password_);
  EXPECT_EQ(response.status, 429U);
  EXPECT_EQ(field(response, "Retry-After"), "600");
  clock_.advance(10min);
  EXPECT_EQ(sign_in("admin", password_).status, 204U);
}

TEST_F(AuthTest, SessionsSlideAndEnd) {
  const std::string value = cookie();
  const auto me = [&] { return ask(request_of("GET", "/api/v1/session", {{"Cookie", value}})); };
  EXPECT_EQ(field(me(), "Set-Cookie"), "");
  clock_.advance(25 * 24h);
  const auto renewed = me();
  EXPECT_EQ(renewed.status, 200U);
  EXPECT_NE(field(renewed, "Set-Cookie"), "");
  std::promise<void> flushed;  // the renewal is ahead of it in the worker's queue
  ASSERT_TRUE(auth_->run([&] { flushed.set_value(); }));
  flushed.get_future().get();
  clock_.advance(25 * 24h);
  EXPECT_EQ(me().status, 200U);
  clock_.advance(31 * 24h);
  EXPECT_EQ(me().status, 401U);
}

TEST_F(AuthTest, RemovingAUserOrChangingThePasswordEndsSessions) {
  ASSERT_TRUE(auth_->users()->add("eve", "password-of-eve"));
  EXPECT_FALSE(auth_->users()->add("eve", "password-of-eve"));
  EXPECT_FALSE(auth_->users()->add("e v'e", "password-of-eve"));
  const std::string id = *auth_->users()->open_session("eve");
  EXPECT_TRUE(auth_->users()->find_session(id));
  ASSERT_TRUE(auth_->users()->set_password("eve", "another-password"));
  EXPECT_FALSE(auth_->users()->find_session(id));
  const std::string again = *auth_->users()->open_session("eve");
  ASSERT_TRUE(auth_->users()->remove("eve"));
  EXPECT_FALSE(auth_->users()->find_session(again));
  EXPECT_FALSE(auth_->users()->remove("admin")) << "the last one";
}

TEST_F(AuthTest, RouterChecksWhoAsksAndForWhat) {
  const auto bearer = [&](const std::string& text) {
    return net::HttpHeaders{{"Authorization", "Bearer " + text}};
  };
  const std::string live_front = token({"front"}, static_cast<Rights>(Right::kLive));
  const std::string past = token({"*"}, kAllRights, Interval{clock_.utc() - 2h, clock_.utc() - 1h});
  const struct {
    net::HttpRequest request;
    unsigned status;
  } cases[] = {
      {request_of("GET", "/"), 200},
      {request_of("HEAD", "/"), 200},
      {request_of("GET", "/nowhere"), 404},
      {request_of("GET", "/hls/front"), 404},
      {request_of("GET", "/hls/front/live.m3u8/"), 404},
      {request_of("PUT", "/whep/front", bearer(live_front)), 405},
      {request_of("GET", "/hls/front/live.m3u8"), 401},
      {request_of("GET", "/hls/front/live.m3u8", bearer("m1.x.y")), 401},
      {request_of("GET", "/hls/front/live.m3u8", bearer(live_front)), 200},
      {request_of("GET", "/t/" + live_front + "/hls/front/live.m3u8"), 200},
      {request_of("GET", "/t/bad/hls/front/live.m3u8", bearer(live_front)), 401},
      {request_of("GET", "/t/" + live_front + "/hls/back/live.m3u8"), 403},
      {request_of("GET", "/t/" + live_front + "/hls/front/vod.m3u8"), 403},
      {request_of("GET", "/hls/front/live.m3u8", bearer(past)), 403},
      {request_of("GET", "/hls/front/vod.m3u8", bearer(past)), 200},
      {request_of("GET", "/api/v1/tokens", bearer(past)), 403},
      {request_of("GET", "/api/v1/tokens"), 401},
      {request_of("GET", "/hls/front/live.m3u8", {{"Cookie", "miharu_session=unknown"}}), 401},
      {request_of("GET", "/hls/front/live.m3u8", {{"Cookie", "miharu_session=" + live_front}}), 200},
  };
  for (const auto& c : cases) {
    const auto response = ask(c.request);
    EXPECT_EQ(response.status, c.status) << c.request.method << " " << c.request.path;
    EXPECT_EQ(field(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(field(response, "WWW-Authenticate"), c.status == 401 ? "Bearer" : "");
    EXPECT_EQ(field(response, "Allow"), c.status == 405 ? "POST, DELETE" : "");
  }
  const auto tail = ask(request_of("GET", "/t/" + live_front + "/media/v1/front/a.mp4"));
  EXPECT_EQ(body_of(tail), "/media/v1/front/a.mp4||v1/front/a.mp4");
  EXPECT_NE(field(tail, "Content-Security-Policy").find("frame-ancestors 'none'"), std::string::npos);
}

TEST_F(AuthTest, ChangesWithACookieNeedOurOwnOrigin) {
  const std::string value = cookie();
  const struct {
    net::HttpHeaders headers;
    unsigned status;
  } cases[] = {
      {{{"Cookie", value}}, 200},
      {{{"Cookie", value}, {"Sec-Fetch-Site", "same-origin"}}, 200},
      {{{"Cookie", value}, {"Sec-Fetch-Site", "cross-site"}}, 403},
      {{{"Cookie", value}, {"Sec-Fetch-Site", "same-site"}}, 403},
      {{{"Cookie", value}, {"Origin", "http://nvr.local:8080"}}, 200},
      {{{"Cookie", value}, {"Origin", "https://evil.example"}}, 403},
      {{{"Cookie", value}, {"Origin", "null"}}, 403},
      {{{"Authorization", "Bearer " + token({"*"}, kAllRights)}, {"Origin", "https://other.example"}}, 200}};
  for (const auto& c : cases)
    EXPECT_EQ(ask(request_of("POST", "/whep/front", c.headers)).status, c.status) << c.headers.back().second;
  EXPECT_EQ(
      ask(request_of("GET", "/hls/front/live.m3u8", {{"Cookie", value}, {"Origin", "https://evil.example"}}))
          .status,
      200U);
}

TEST_F(AuthTest, IssuesListsSwapsAndRevokesTokens) {
  const net::HttpHeaders admin{{"Cookie", cookie()}};
  const auto created = ask(request_of(
      "POST", "/api/v1/tokens", admin,
      R"({"cameras":["front"],"rights":["live","playback"],"expires":"7d","from":"-2h","to":"-1h"})"));
  ASSERT_EQ(created.status, 201U) << body_of(created);
  const auto object = boost::json::parse(body_of(created));
  const std::string text(object.at("token").as_string());
  const std::string id(object.at("id").as_string());
  const auto listed = boost::json::parse(body_of(ask(request_of("GET", "/api/v1/tokens", admin))));
  ASSERT_EQ(listed.as_array().size(), 1U);
  EXPECT_EQ(listed.at(0).at("id").as_string(), id);
  EXPECT_EQ(listed.at(0).at("created_by").as_string(), "admin");
  EXPECT_FALSE(listed.at(0).as_object().contains("token"));

  const auto swapped = ask(request_of("POST", "/api/v1/session", {}, R"({"token":")" + text + R"("})"));
  ASSERT_EQ(swapped.status, 204U);
  const std::string set = field(swapped, "Set-Cookie");
  EXPECT_NE(set.find("Max-Age=604800;"), std::string::npos);
  const net::HttpHeaders guest{{"Cookie", set.substr(0, set.find(';'))}};
  EXPECT_EQ(ask(request_of("GET", "/hls/front/vod.m3u8", guest)).status, 200U);
  EXPECT_EQ(ask(request_of("GET", "/hls/back/vod.m3u8", guest)).status, 403U);
  EXPECT_EQ(ask(request_of("GET", "/api/v1/users", guest)).status, 403U);

  EXPECT_EQ(ask(request_of("DELETE", "/api/v1/tokens/" + id, admin)).status, 204U);
  EXPECT_EQ(ask(request_of("DELETE", "/api/v1/tokens/other", admin)).status, 404U);
  EXPECT_EQ(ask(request_of("GET", "/t/" + text + "/hls/front/vod.m3u8")).status, 401U);
  EXPECT_EQ(ask(request_of("GET", "/hls/front/vod.m3u8", guest)).status, 401U);
  for (const char* bad :
       {"", "[]", R"({"cameras":[],"rights":["live"]})", R"({"cameras":["a"],"rights":["root"]})",
        R"({"cameras":[1],"rights":["live"]})", R"({"cameras":["a"],"rights":["live"],"expires":"-1d"})",
        R"({"cameras":["a"],"rights":["live"],"from":"-1h"})"}) {
    EXPECT_EQ(ask(request_of("POST", "/api/v1/tokens", admin, bad)).status, 400U) << bad;
  }
}

TEST_F(AuthTest, ManagesUsers) {
  const net::HttpHeaders admin{{"Cookie", cookie()}};
  EXPECT_EQ(
      ask(request_of("POST", "/api/v1/users", admin, R"({"name":"bob","password":"longenough"})")).status,
      201U);
  EXPECT_EQ(
      ask(request_of("POST", "/api/v1/users", admin, R"({"name":"bob","password":"longenough"})")).status,
      409U);
  EXPECT_EQ(ask(request_of("PUT", "/api/v1/users/bob", admin, R"({"password":"evenlonger"})")).status, 204U);
  EXPECT_EQ(sign_in("bob", "evenlonger").status, 204U);
  EXPECT_EQ(ask(request_of("DELETE", "/api/v1/users/bob", admin)).status, 204U);
  EXPECT_EQ(sign_in("bob", "evenlonger").status, 401U);
}

TEST_F(AuthTest, OpenModeAnswersToLoopbackNamesOnly) {
  open(AuthMode::kOpen);
  auto request = request_of("GET", "/hls/front/live.m3u8");
  EXPECT_EQ(ask(request).status, 403U);
  for (const char* host : {"localhost:8080", "127.0.0.1", "[::1]:8080"}) {
    request.headers = {{"Host", host}};
    EXPECT_EQ(ask(request).status, 200U) << host;
  }
  for (const char* host : {"", "localhost.evil.example", "127.evil.example"}) {
    request.headers = {{"Host", host}};
    EXPECT_EQ(ask(request).status, 403U) << host;
  }
}

TEST_F(AuthTest, TokensModeNeedsTheKeyAlone) {
  const std::string text = token({"front"}, kAllRights);
  open(AuthMode::kTokens);
  EXPECT_EQ(ask(request_of("GET", "/t/" + text + "/hls/front/live.m3u8")).status, 200U);
  EXPECT_EQ(sign_in("admin", password_).status, 403U);
  EXPECT_FALSE(Auth::open({AuthMode::kTokens, {}, directory_ / "none.key", kCheap}, clock_));
}

TEST_F(AuthTest, TokenHoldsOnlyUnchangedAndUntilItExpires) {
  const std::string text = token({"front"}, kAllRights);
  const auto claims = auth_->key().verify(text, clock_.utc());
  ASSERT_TRUE(claims);
  EXPECT_EQ(claims->cameras, std::vector<std::string>{"front"});
  EXPECT_EQ(claims->rights, kAllRights);
  EXPECT_FALSE(auth_->key().verify(text, clock_.utc() + 1h));
  for (size_t i = 0; i < text.rfind('.'); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(auth_->key().verify(changed, clock_.utc())) << i;
  }
  for (const std::string bad : {"", "m1.", "m1..", ".", "m1.e30", "m1.e30.", "m2.e30.x"}) {
    EXPECT_FALSE(auth_->key().verify(bad, clock_.utc())) << bad;
  }
  EXPECT_FALSE(TokenKey(TokenKey::Bytes{}).verify(text, clock_.utc()));
}

TEST(Rights, IntervalsClampAndContain) {
  Access access;
  access.cameras = {"front"};
  access.rights = static_cast<Rights>(Right::kPlayback);
  const auto at = [](int64_t ms) { return base::from_unix_ms(ms); };
  EXPECT_TRUE(may(access, "front", Right::kPlayback, {at(0), at(1)}));
  EXPECT_FALSE(may(access, "front", Right::kExport, {at(0), at(1)}));
  EXPECT_FALSE(may(access, "back", Right::kPlayback, {at(0), at(1)}));
  access.interval = Interval{at(100), at(200)};
  EXPECT_TRUE(may(access, "front", Right::kPlayback, {at(100), at(200)}));
  EXPECT_FALSE(may(access, "front", Right::kPlayback, {at(99), at(200)}));
  EXPECT_FALSE(may(access, "front", Right::kPlayback, {at(100), at(201)}));
  const auto part = clamp(access, {at(50), at(150)});
  ASSERT_TRUE(part);
  EXPECT_EQ(part->from, at(100));
  EXPECT_EQ(part->to, at(150));
  EXPECT_FALSE(clamp(access, {at(200), at(300)}));
}

TEST(Gzip, RoundTripsAndIsSentOnlyToThoseWhoTakeIt) {
  const std::string text(100'000, 'm');
  const std::string packed = gzip(text, 6);
  EXPECT_LT(packed.size(), 1000U);
  std::string unpacked(text.size(), '\0');
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(unpacked.data());
  stream.avail_out = static_cast<uInt>(unpacked.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  EXPECT_EQ(unpacked, text);
  const struct {
    const char* value;
    bool accepts;
  } cases[] = {{"gzip", true},      {"br, GZIP;q=0.5", true},
               {"gzip;q=0", false}, {"gzip; q=0.000", false},
               {"br", false},       {"", false}};
  for (const auto& c : cases)
    EXPECT_EQ(accepts_gzip(request_of("GET", "/", {{"Accept-Encoding", c.value}})), c.accepts) << c.value;
}

}  // namespace
}  // namespace miharu::api
