#include "net/http_target.h"

#include <gtest/gtest.h>

#include "net/http.h"
#include "net/http_server.h"

namespace miharu::net {
namespace {

TEST(HttpTarget, DecodesThePathOnceAndKeepsTheQueryRaw) {
  const struct {
    const char* target;
    const char* path;
    const char* query;
  } cases[] = {
      {"/", "/", ""},
      {"/hls/front/vod.m3u8?from=1&to=%32", "/hls/front/vod.m3u8", "from=1&to=%32"},
      {"/a%20b/%c3%bc", "/a b/\xc3\xbc", ""},
      {"/%2541", "/%41", ""},
      {"/dir/", "/dir/", ""},
      {"/a?b?c", "/a", "b?c"},
      {"/...", "/...", ""},
      {"http://host:80/x?y", "/x", "y"},
      {"/x?../..", "/x", "../.."},
  };
  for (const auto& c : cases) {
    const auto target = parse_target(c.target);
    ASSERT_TRUE(target) << c.target;
    EXPECT_EQ(target->path, c.path);
    EXPECT_EQ(target->query, c.query);
  }
}

TEST(HttpTarget, RefusesWhatIsNotOnePlainPath) {
  using namespace std::string_view_literals;
  for (const auto target : {""sv,
                            "*"sv,
                            "x"sv,
                            "host:443"sv,
                            "http://host"sv,
                            "http://host?x"sv,
                            "//"sv,
                            "//etc/passwd"sv,
                            "/a//b"sv,
                            "/."sv,
                            "/.."sv,
                            "/a/../b"sv,
                            "/a/.."sv,
                            "/%2e%2e/x"sv,
                            "/.%2E"sv,
                            "/a%2fb"sv,
                            "/..%2f.."sv,
                            "/a\\b"sv,
                            "/a%5cb"sv,
                            "/a%00b"sv,
                            "/a\0b"sv,
                            "/a%0d%0ab"sv,
                            "/%7f"sv,
                            "/%"sv,
                            "/%4"sv,
                            "/%zz"sv,
                            "/a%2"sv}) {
    EXPECT_FALSE(parse_target(target)) << target;
  }
}

TEST(HttpRequest, FindsHeadersAndQueryValues) {
  HttpRequest request;
  request.headers = {{"Range", "bytes=1-"}, {"range", "second"}};
  EXPECT_EQ(request.header("RANGE"), "bytes=1-");
  EXPECT_EQ(request.header("x"), "");
  request.query = "from=-2h&to=+5m&name=a%26b%3D&empty&from=later&=x&&%66oo=bar";
  EXPECT_EQ(request.query_value("from"), "-2h");
  EXPECT_EQ(request.query_value("to"), "+5m");
  EXPECT_EQ(request.query_value("name"), "a&b=");
  EXPECT_EQ(request.query_value("empty"), "");
  EXPECT_EQ(request.query_value("foo"), "bar");
  EXPECT_EQ(request.query_value("fro"), "");
}

TEST(Problem, IsJsonWithTheStatusInIt) {
  const HttpResponse response = problem(404, "no \"x\"\n\\");
  EXPECT_EQ(response.status, 404U);
  EXPECT_EQ(std::get<std::string>(response.body),
            R"({"type":"about:blank","title":"Not Found","status":404,"detail":"no \"x\"\u000a\\"})");
}

TEST(ListenAddress, ParsesAddressesAndSaysWhichAreLoopback) {
  const struct {
    const char* text;
    const char* address;
    uint16_t port;
    bool loopback;
  } cases[] = {{"0.0.0.0:8080", "0.0.0.0", 8080, false},
               {"127.0.0.1:0", "127.0.0.1", 0, true},
               {"127.9.9.9:1", "127.9.9.9", 1, true},
               {"[::]:80", "::", 80, false},
               {"[::1]:80", "::1", 80, true},
               {"localhost:80", "127.0.0.1", 80, true}};
  for (const auto& c : cases) {
    const auto address = parse_listen_address(c.text);
    ASSERT_TRUE(address) << c.text;
    EXPECT_EQ(address->address, c.address);
    EXPECT_EQ(address->port, c.port);
    EXPECT_EQ(address->loopback, c.loopback);
  }
  for (const char* text :
       {"", "8080", "127.0.0.1", "::1:80", "[127.0.0.1]:80", "x:80", "127.0.0.1:65536", "127.0.0.1:"}) {
    EXPECT_FALSE(parse_listen_address(text)) << text;
  }
}

}  // namespace
}  // namespace miharu::net
