// What the API answers to bodies that it cannot use, and which status an error becomes.
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "api/auth/session_routes.h"
#include "api/router.h"
#include "support/manual_clock.h"
#include "support/temp_dir.h"

namespace miharu::api {
namespace {

using testing::HasSubstr;

const base::UtcTime kNow = base::from_unix_ms(1'795'230'000'000);  // 2026-11-21T03:00:00Z

class Answer final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse response) override { promise.set_value(std::move(response)); }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override { return nullptr; }
  std::promise<net::HttpResponse> promise;
};

std::string text_of(const net::HttpResponse& response) {
  const auto* text = std::get_if<std::string>(&response.body);
  return text ? *text : "";
}

TEST(Router, AnErrorBecomesItsStatus) {
  using base::Errc;
  struct Case {
    Errc code;
    unsigned status;
  };
  for (const Case& c : {Case{Errc::kMalformed, 400},
                        {Errc::kTruncated, 400},
                        {Errc::kUnsupported, 400},
                        {Errc::kInvalid, 400},
                        {Errc::kUnauthorized, 401},
                        {Errc::kForbidden, 403},
                        {Errc::kNotFound, 404},
                        {Errc::kExists, 409},
                        {Errc::kLimit, 413},
                        {Errc::kTimeout, 502},
                        {Errc::kClosed, 502},
                        {Errc::kRefused, 502},
                        {Errc::kNoSpace, 503},
                        {Errc::kReadOnly, 503},
                        {Errc::kStalled, 503},
                        {Errc::kIo, 500},
                        {Errc::kInternal, 500}}) {
    const auto response = problem_of({c.code, "this \"went\" wrong", 17});
    EXPECT_EQ(response.status, c.status) << base::name_of(c.code);
    EXPECT_EQ(boost::json::parse(text_of(response)).at("detail").as_string(), "this \"went\" wrong");
  }
}

// Without sign-in, so that every request is the administrator's.
class RequestsTest : public testing::Test {
 protected:
  RequestsTest() {
    AuthOptions options;
    options.mode = AuthMode::kOpen;
    options.database = folder.path() / "miharu.db";
    options.token_key = folder.path() / "token.key";
    options.password_cost = {1, 8192};
    auth = std::move(*Auth::open(options, clock));
    router = std::make_unique<Router>(*auth);
    add_session_routes(*router, *auth);
  }
  net::HttpResponse ask(std::string method, std::string path, std::string body = {}) {
    net::HttpRequest request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.headers = {{"Host", "localhost"}};
    request.body = std::move(body);
    request.remote = "127.0.0.1";
    const auto answer = std::make_shared<Answer>();
    auto response = answer->promise.get_future();
    router->handler()(std::move(request), answer);
    return response.get();
  }

  test::TempDir folder;
  test::ManualClock clock{kNow};
  std::unique_ptr<Auth> auth;
  std::unique_ptr<Router> router;
};

TEST_F(RequestsTest, BodiesThatAreNoneOfTheirRoute) {
  struct Case {
    const char* method;
    const char* path;
    const char* body;
    const char* detail;
  };
  const std::string long_name(65, 'u');
  const std::string too_long = R"({"user":")" + long_name + R"(","password":"longenough"})";
  for (const Case& c : {
           Case{"POST", "/api/v1/session", "", "Send"},
           Case{"POST", "/api/v1/session", "{\"user\":\"a\"}", "Send"},
           Case{"POST", "/api/v1/session", "{\"user\":1,\"password\":\"x\"}", "Send"},
           Case{"POST", "/api/v1/session", too_long.c_str(), "Send"},
           Case{"POST", "/api/v1/users", "{", "Send"},
           Case{"POST", "/api/v1/users", "{\"name\":\"eve\"}", "Send"},
           Case{"POST", "/api/v1/users", "{\"name\":\"e v\",\"password\":\"longenough\"}", "name"},
           Case{"POST", "/api/v1/users", "{\"name\":\"eve\",\"password\":\"short\"}", "password"},
           Case{"PUT", "/api/v1/users/eve", "[\"password\"]", "Send"},
           Case{"POST", "/api/v1/tokens", "[]", "not a JSON object"},
           Case{"POST", "/api/v1/tokens", R"({"rights":["live"]})", "cameras"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":["a"]})", "rights"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":["a"],"rights":[]})", "rights"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":["a"],"rights":[1]})", "rights"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":[""],"rights":["live"]})", "not a name"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":["a"],"rights":["live"],"expires":"soon"})",
                "expires"},
           Case{"POST", "/api/v1/tokens",
                R"({"cameras":["a"],"rights":["live"],"from":"-1h","to":"2026-13-01T00:00:00Z"})",
                "no interval"},
           Case{"POST", "/api/v1/tokens", R"({"cameras":["a"],"rights":["live"],"from":"-1h","to":"-2h"})",
                "no interval"},
           // What cannot be signed must not become a token that nobody can use or revoke.
           Case{"POST", "/api/v1/tokens",
                R"({"cameras":["a"],"rights":["live"],"from":"1950-01-01T00:00:00Z","to":"-2h"})",
                "no interval"},
           Case{"POST", "/api/v1/tokens",
                R"({"cameras":["a"],"rights":["live"],"from":"1795230000.0001","to":"1795230000.0002"})",
                "no interval"},
       }) {
    const auto response = ask(c.method, c.path, c.body);
    EXPECT_EQ(response.status, 400U) << c.path << " " << c.body;
    EXPECT_THAT(text_of(response), HasSubstr(c.detail)) << c.path << " " << c.body;
  }
  EXPECT_EQ(text_of(ask("GET", "/api/v1/tokens")), "[]");
}

TEST_F(RequestsTest, DeepJsonIsRefused) {
  EXPECT_EQ(ask("POST", "/api/v1/tokens", std::string(60'000, '[')).status, 400U);
}

TEST_F(RequestsTest, WhatIsNotThereIsNotFound) {
  ASSERT_EQ(ask("POST", "/api/v1/users", R"({"name":"eve","password":"longenough"})").status, 201U);
  ASSERT_EQ(ask("POST", "/api/v1/users", R"({"name":"bob","password":"longenough"})").status, 201U);
  EXPECT_EQ(ask("DELETE", "/api/v1/users/nobody").status, 404U);
  EXPECT_EQ(ask("PUT", "/api/v1/users/nobody", R"({"password":"longenough"})").status, 404U);
  EXPECT_EQ(ask("DELETE", "/api/v1/tokens/nothing").status, 404U);
}

TEST_F(RequestsTest, UsersAreListedWithoutTheirPasswords) {
  ASSERT_EQ(ask("POST", "/api/v1/users", R"({"name":"eve","password":"longenough"})").status, 201U);
  const auto response = ask("GET", "/api/v1/users");
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(text_of(response), R"([{"name":"eve","role":"admin","created":"2026-11-21T03:00:00.000Z"}])");
}

TEST_F(RequestsTest, ATokenTellsWhatItOpens) {
  const auto made =
      ask("POST", "/api/v1/tokens",
          R"({"cameras":["front"],"rights":["playback"],"from":"-2h","to":"-1h","expires":"1d"})");
  ASSERT_EQ(made.status, 201U);
  const std::string token(boost::json::parse(text_of(made)).at("token").as_string());
  const auto who = ask("GET", "/t/" + token + "/api/v1/session");
  const auto object = boost::json::parse(text_of(who)).as_object();
  EXPECT_TRUE(object.at("user").is_null());
  EXPECT_EQ(object.at("from").as_string(), "2026-11-21T01:00:00.000Z");
  EXPECT_EQ(object.at("to").as_string(), "2026-11-21T02:00:00.000Z");
  EXPECT_EQ(object.at("expires").as_string(), "2026-11-22T03:00:00.000Z");
  EXPECT_EQ(object.at("rights"), boost::json::parse(R"(["playback"])"));
  // The same text swapped for a cookie: only while it holds.
  const std::string swap = R"({"token":")" + token + R"("})";
  EXPECT_EQ(ask("POST", "/api/v1/session", swap).status, 204U);
  clock.advance(std::chrono::hours(24));
  EXPECT_EQ(ask("POST", "/api/v1/session", swap).status, 401U);
  EXPECT_EQ(ask("POST", "/api/v1/session", R"({"token":"m1.a.b"})").status, 401U);
}

TEST(TokenKey, AFileThatIsNoKeyIsNamed) {
  const test::TempDir folder;
  const auto path = folder.path() / "token.key";
  for (const char* text : {"", "short", "not base64url at all, but long enough for a key"}) {
    ASSERT_TRUE(base::write_file(path, base::as_bytes(text)));
    const auto key = TokenKey::load_or_create(path);
    ASSERT_FALSE(key) << text;
    EXPECT_EQ(key.error().code, base::Errc::kInvalid);
    EXPECT_THAT(key.error().text, HasSubstr(path.string()));
  }
  std::filesystem::remove(path);
  const auto made = TokenKey::load_or_create(path);
  ASSERT_TRUE(made);
  const TokenClaims claims{"id", {"*"}, kAllRights, std::nullopt, kNow + std::chrono::hours(1)};
  EXPECT_TRUE(TokenKey::load(path)->verify(made->sign(claims), kNow));
}

TEST(TokenClaims, MalformedOnesAreRefused) {
  const std::string good = R"({"id":"a","cameras":["front"],"rights":["live"],"expires":1795230000000})";
  ASSERT_TRUE(claims_from_json(good));
  for (const char* text :
       {"", "null", R"({"cameras":["front"],"rights":["live"],"expires":1})",
        R"({"id":1,"cameras":["front"],"rights":["live"],"expires":1})",
        R"({"id":"a","cameras":"front","rights":["live"],"expires":1})",
        R"({"id":"a","cameras":[1],"rights":["live"],"expires":1})",
        R"({"id":"a","cameras":["front"],"rights":[null],"expires":1})",
        R"({"id":"a","cameras":["front"],"rights":["live"],"expires":"1"})",
        R"({"id":"a","cameras":["front"],"rights":["live"],"expires":-1})",
        R"({"id":"a","cameras":["front"],"rights":["live"],"expires":9214646400000})",
        R"({"id":"a","cameras":["front"],"rights":["live"],"expires":1,"from":1})",
        R"({"id":"a","cameras":["front"],"rights":["live"],"expires":1,"from":2,"to":2})"}) {
    const auto claims = claims_from_json(text);
    ASSERT_FALSE(claims) << text;
    EXPECT_EQ(claims.error().code, base::Errc::kMalformed);
  }
  const auto later = claims_from_json(
      R"({"id":"a","cameras":["front"],"rights":["live","fly"],"expires":1,"from":1,"to":2,"new":[]})");
  ASSERT_TRUE(later) << "of a later version";
  EXPECT_EQ(later->rights, static_cast<Rights>(Right::kLive));
}

}  // namespace
}  // namespace miharu::api
