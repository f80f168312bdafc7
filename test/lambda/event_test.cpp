// Events of function URLs as AWS documents them, and answers within what a function may send.
#include "lambda/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <boost/json.hpp>

namespace miharu::lambda {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

// The example of the Developer Guide, shortened.
json::object example() {
  return json::parse(R"({
    "version": "2.0", "routeKey": "$default", "rawPath": "/hls/front/vod.m3u8",
    "rawQueryString": "from=-1h&to=now%20x", "cookies": ["miharu_session=m1.a.b", "other=1"],
    "headers": {"accept-encoding": "gzip, br", "host": "id.lambda-url.eu-central-1.on.aws",
                "x-forwarded-proto": "https", "cookie": "never=this"},
    "queryStringParameters": {"from": "ignored"},
    "requestContext": {"accountId": "1", "http": {"method": "GET", "path": "/elsewhere", "protocol": "HTTP/1.1",
                       "sourceIp": "203.0.113.7", "userAgent": "x"}, "timeEpoch": 1},
    "isBase64Encoded": false})")
      .as_object();
}

base::Result<net::HttpRequest> request_of(const json::object& event) {
  return lambda::request_of(json::serialize(event));
}

net::HttpRequest plain(std::string method = "GET") {
  net::HttpRequest request;
  request.method = std::move(method);
  return request;
}

json::object answer(const net::HttpRequest& request, net::HttpResponse response) {
  return json::parse(answer_to(request, std::move(response))).as_object();
}

std::string text_in(const json::object& object, std::string_view name) {
  return std::string(object.at(json::string_view(name.data(), name.size())).as_string());
}

std::string decoded(const json::object& object) {
  EXPECT_TRUE(object.at("isBase64Encoded").as_bool());
  const auto bytes = base::from_base64(text_in(object, "body"));
  return bytes ? std::string(base::as_text(*bytes)) : "no base64";
}

TEST(LambdaEvent, IsTheRequestThatTheServerWouldSee) {
  const auto request = request_of(example());
  ASSERT_TRUE(request) << request.error().text;
  EXPECT_EQ(request->method, "GET");
  EXPECT_EQ(request->path, "/hls/front/vod.m3u8");
  EXPECT_EQ(request->query_value("to"), "now x");
  EXPECT_EQ(request->query_value("from"), "-1h");
  EXPECT_EQ(request->remote, "203.0.113.7");
  EXPECT_EQ(request->header("Accept-Encoding"), "gzip, br");
  EXPECT_EQ(request->header("Cookie"), "miharu_session=m1.a.b; other=1");
  EXPECT_TRUE(request->secure);
  EXPECT_TRUE(request->body.empty());
}

TEST(LambdaEvent, HasABodyAsTextOrAsBase64) {
  json::object event = example();
  event["body"] = R"({"user":"a"})";
  EXPECT_EQ(request_of(event)->body, R"({"user":"a"})");
  event["body"] = "eyJ1c2VyIjoiYSJ9";
  event["isBase64Encoded"] = true;
  EXPECT_EQ(request_of(event)->body, R"({"user":"a"})");
  event["body"] = "no base64 !";
  EXPECT_EQ(request_of(event).error().code, base::Errc::kMalformed);
  event["isBase64Encoded"] = false;
  event["body"] = std::string(kMostBodyBytes + 1, 'x');
  EXPECT_EQ(request_of(event).error().code, base::Errc::kLimit);
}

TEST(LambdaEvent, IsRefusedWhereTheServerWouldRefuse) {
  for (const char* path : {"/media/../auth/users.json", "/media/%2e%2e/auth/users.json", "/a//b", "media", "",
                           "/a%2fb", "/a%0ab"}) {
    json::object event = example();
    event["rawPath"] = path;
    EXPECT_FALSE(request_of(event)) << path;
  }
  for (const char* text :
       {"", "{", "[]", "null", R"({"version":"1.0","rawPath":"/"})", R"({"version":"2.0"})",
        R"({"version":"2.0","rawPath":"/","requestContext":{"http":{}}})",
        R"({"version":"2.0","rawPath":7,"requestContext":{"http":{"method":"GET"}}})"}) {
    EXPECT_FALSE(lambda::request_of(text)) << text;
  }
  json::object event = example();
  event["headers"].as_object()["x-evil"] = "a\r\nSet-Cookie: b";
  EXPECT_FALSE(request_of(event));
  event = example();
  event["cookies"].as_array()[0] = "a\nb";
  EXPECT_FALSE(request_of(event));
}

TEST(LambdaAnswer, CarriesCookiesApartAndFieldsOnce) {
  net::HttpResponse response;
  response.status = 204;
  response.headers = {{"Set-Cookie", "a=1; HttpOnly"}, {"Set-Cookie", "b=2"}, {"Vary", "A"}, {"Vary", "B"}};
  const json::object out = answer(plain(), std::move(response));
  EXPECT_EQ(out.at("statusCode").to_number<int>(), 204);
  EXPECT_EQ(json::serialize(out.at("cookies")), R"(["a=1; HttpOnly","b=2"])");
  EXPECT_EQ(json::serialize(out.at("headers")), R"({"vary":"A, B"})");
}

TEST(LambdaAnswer, IsTextWhereItIsShortAndGzipWhereThatIsTaken) {
  const auto respond = [](std::string text) {
    net::HttpResponse response;
    response.headers = {{"Content-Type", "application/json"}};
    response.body = std::move(text);
    return response;
  };
  net::HttpRequest request = plain();
  request.headers = {{"accept-encoding", "gzip"}};
  json::object out = answer(request, respond(R"({"a":"ü"})"));
  EXPECT_FALSE(out.at("isBase64Encoded").as_bool());
  EXPECT_EQ(text_in(out, "body"), R"({"a":"ü"})");

  const std::string text = "{\"a\":\"" + std::string(100'000, 'a') + "\"}";
  out = answer(request, respond(text));
  EXPECT_EQ(text_in(out.at("headers").as_object(), "content-encoding"), "gzip");
  const std::string compressed = decoded(out);
  EXPECT_LT(compressed.size(), 1000U);
  std::string back(text.size(), '\0');
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  inflateEnd(&stream);
  EXPECT_EQ(back, text);

  EXPECT_EQ(text_in(answer(plain(), respond(text)), "body"), text);
}

TEST(LambdaAnswer, WhatIsCompressedAlreadyOrNoTextGoesAsBase64) {
  net::HttpResponse response;
  response.headers = {{"Content-Type", "application/vnd.apple.mpegurl"}, {"Content-Encoding", "gzip"}};
  response.body = std::make_shared<const std::string>("\x1f\x8b\x00\xff", 4);
  EXPECT_EQ(decoded(answer(plain(), std::move(response))), std::string("\x1f\x8b\x00\xff", 4));
  net::HttpResponse media;
  media.headers = {{"Content-Type", "video/mp4"}};
  media.body = net::PulledBody{[](uint64_t offset, uint64_t length, net::PulledBody::Done done) {
                                 done(std::string(length, offset == 7 ? 'a' : 'b'));
                               },
                               7, (1 << 20) + 3};
  EXPECT_EQ(decoded(answer(plain(), media)), std::string(1 << 20, 'a') + "bbb");
  // Nothing is fetched for HEAD.
  std::get<net::PulledBody>(media.body).pull = nullptr;
  EXPECT_EQ(text_in(answer(plain("HEAD"), media), "body"), "");
}

TEST(LambdaAnswer, WhatJsonCannotHoldGoesAsBase64) {
  for (const std::string text :
       {"\xff", "a\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"}) {
    net::HttpResponse response;
    response.headers = {{"Content-Type", "application/problem+json"}};
    response.body = text;
    EXPECT_EQ(decoded(answer(plain(), std::move(response))), text);
  }
  for (const std::string text : {"\xc2\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf", "\xe0\xa0\x80"}) {
    net::HttpResponse response;
    response.headers = {{"Content-Type", "text/plain"}};
    response.body = text;
    EXPECT_EQ(text_in(answer(plain(), std::move(response)), "body"), text);
  }
}

TEST(LambdaAnswer, AStoreThatFailsAndAnObjectThatIsShorterAreTold) {
  net::HttpResponse media;
  media.body = net::PulledBody{[](uint64_t, uint64_t, net::PulledBody::Done done) {
                                 done(base::fail(base::Errc::kTimeout, "the store sleeps"));
                               },
                               0, 10};
  json::object out = answer(plain(), media);
  EXPECT_EQ(out.at("statusCode").to_number<int>(), 502);
  EXPECT_THAT(text_in(out, "body"), HasSubstr("the store sleeps"));
  std::get<net::PulledBody>(media.body).pull = [](uint64_t, uint64_t, net::PulledBody::Done done) {
    done("");
  };
  EXPECT_EQ(answer(plain(), media).at("statusCode").to_number<int>(), 502);
}

TEST(LambdaAnswer, WhatIsTooLongSaysTheWay) {
  net::HttpResponse media;
  media.headers = {{"Content-Type", "video/mp4"}};
  media.body = net::PulledBody{nullptr, 0, 5 << 20};
  json::object out = answer(plain(), std::move(media));
  EXPECT_EQ(out.at("statusCode").to_number<int>(), 501);
  EXPECT_THAT(text_in(out, "body"), HasSubstr("MIHARU_DELIVERY"));
  // Text that JSON makes six times as long.
  net::HttpResponse text;
  text.headers = {{"Content-Type", "text/plain"}};
  text.body = std::string(2 << 20, '\x01');
  out = answer(plain(), std::move(text));
  EXPECT_EQ(out.at("statusCode").to_number<int>(), 501);
  EXPECT_THAT(text_in(out, "body"), HasSubstr("shorter interval"));
  for (const size_t bytes :
       {kMostAnswerBytes - 1000, kMostAnswerBytes - 10, kMostAnswerBytes, kMostAnswerBytes + 10}) {
    net::HttpResponse long_text;
    long_text.headers = {{"Content-Type", "text/plain"}};
    long_text.body = std::string(bytes, 'x');
    EXPECT_LE(answer_to(plain(), std::move(long_text)).size(), kMostAnswerBytes);
  }
}

}  // namespace
}  // namespace miharu::lambda
