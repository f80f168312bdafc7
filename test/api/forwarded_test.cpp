#include "api/forwarded.h"

#include <gtest/gtest.h>

namespace miharu::api {
namespace {

net::HttpRequest request_from(const std::string& remote, const std::string& chain,
                              const std::string& proto = "") {
  net::HttpRequest request;
  request.method = "GET";
  request.path = "/cameras/hls/front/live.m3u8";
  request.remote = remote;
  if (!chain.empty()) request.headers.emplace_back("X-Forwarded-For", chain);
  if (!proto.empty()) request.headers.emplace_back("X-Forwarded-Proto", proto);
  return request;
}

TEST(Forwarded, BelievesOnlyProxiesThatAreNamed) {
  const auto forwarded = Forwarded::make({"10.0.0.0/8", "::1", "127.0.0.1"}, "");
  ASSERT_TRUE(forwarded.has_value());
  const struct {
    const char* remote;
    const char* chain;
    const char* expected;
  } rows[] = {
      {"192.168.1.9", "1.2.3.4", "192.168.1.9"},  // a stranger's claim
      {"10.1.2.3", "1.2.3.4", "1.2.3.4"},
      {"127.0.0.1", "6.6.6.6, 1.2.3.4, 10.9.9.9", "1.2.3.4"},  // what the client wrote itself stays unread
      {"::1", "2001:db8::7", "2001:db8::7"},
      {"::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"},
      {"10.1.2.3", "rubbish", "10.1.2.3"},
      {"10.1.2.3", "", "10.1.2.3"},
  };
  for (const auto& row : rows) {
    net::HttpRequest request = request_from(row.remote, row.chain, "https");
    EXPECT_TRUE(forwarded->apply(request));
    EXPECT_EQ(request.remote, row.expected) << row.remote << " " << row.chain;
    EXPECT_EQ(request.secure, std::string(row.remote) != "192.168.1.9");
  }
}

TEST(Forwarded, ALineOfTheProxysOwnStandsBehindThatOfTheClient) {
  const auto forwarded = Forwarded::make({"10.0.0.0/8"}, "");
  net::HttpRequest request = request_from("10.1.2.3", "6.6.6.6");
  request.headers.emplace_back("x-forwarded-for", "1.2.3.4");
  EXPECT_TRUE(forwarded->apply(request));
  EXPECT_EQ(request.remote, "1.2.3.4");
}

TEST(Forwarded, TakesTheBasePathOff) {
  const auto forwarded = Forwarded::make({}, "/cameras");
  net::HttpRequest inside = request_from("1.2.3.4", "");
  EXPECT_TRUE(forwarded->apply(inside));
  EXPECT_EQ(inside.path, "/hls/front/live.m3u8");
  for (const char* path : {"/", "/cameras", "/camerasx/", "/other"}) {
    net::HttpRequest outside = request_from("1.2.3.4", "");
    outside.path = path;
    EXPECT_FALSE(forwarded->apply(outside)) << path;
  }
}

TEST(Forwarded, RefusesWhatIsNoNetwork) {
  for (const char* wrong : {"proxy.example", "10.0.0.0/40", "", "1.2.3"}) {
    const auto made = Forwarded::make({wrong}, "");
    ASSERT_FALSE(made.has_value()) << wrong;
    EXPECT_NE(made.error().text.find("trusted proxies"), std::string::npos);
  }
}

}  // namespace
}  // namespace miharu::api
