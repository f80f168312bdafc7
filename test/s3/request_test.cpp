#include "s3/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/bucket.h"

namespace miharu::s3 {
namespace {

using testing::HasSubstr;

const base::UtcTime kTime = base::from_unix_ms(1'369'353'600'000);
const Credentials kKeys{"AKIAIOSFODNN7EXAMPLE", base::Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), ""};

std::string header(const net::HttpClientRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (key == name) return value;
  }
  return "(none)";
}

TEST(Bucket, IsAddressedByHostAtAwsAndByPathElsewhere) {
  struct Case {
    const char *url, *endpoint, *region;
    Addressing addressing;
    const char *origin, *root, *path;
  };
  for (const Case& each : {
           Case{"s3://footage/home", "", "eu-1", Addressing::kAuto, "https://footage.s3.eu-1.amazonaws.com",
                "/", "/home/a/b%2Bc"},
           Case{"s3://footage", "", "", Addressing::kPath, "https://s3.us-east-1.amazonaws.com", "/footage",
                "/footage/a/b%2Bc"},
           Case{"s3://dotted.name/", "", "", Addressing::kAuto, "https://s3.us-east-1.amazonaws.com",
                "/dotted.name", "/dotted.name/a/b%2Bc"},
           Case{"s3://footage/x/y/", "http://127.0.0.1:7070", "", Addressing::kAuto, "http://127.0.0.1:7070",
                "/footage", "/footage/x/y/a/b%2Bc"},
           Case{"s3://footage", "https://s3.example.org", "", Addressing::kVirtual,
                "https://footage.s3.example.org", "/", "/a/b%2Bc"},
       }) {
    SCOPED_TRACE(each.url);
    const auto bucket = make_bucket(each.url, each.endpoint, each.region, each.addressing);
    ASSERT_TRUE(bucket) << bucket.error().text;
    EXPECT_EQ(net::format_origin(bucket->origin), each.origin);
    EXPECT_EQ(bucket->root_path(), each.root);
    EXPECT_EQ(bucket->path_of("a/b+c"), each.path);
  }
}

TEST(Bucket, RefusesWhatStoresDisagreeOn) {
  for (const char* url :
       {"s3://ab", "s3://Upper", "s3://a..b", "s3://-ab", "https://footage", "s3://footage//x",
        "s3://footage/a//b", "s3://footage/a b", "s3://footage/../x", "s3://footage/./x"}) {
    EXPECT_FALSE(make_bucket(url, "", "")) << url;
  }
  for (const char* endpoint : {"s3.example.org", "https://", "https://host/path", "https://host:0",
                               "https://a@b", "https://[::1", "https://[::1]x"}) {
    EXPECT_FALSE(make_bucket("s3://footage", endpoint, "")) << endpoint;
  }
  EXPECT_EQ(make_bucket("s3://footage", "http://[::1]:80", "").value().origin,
            (net::Origin{false, "::1", 80}));
}

TEST(Requests, PutCreatesAloneAndSignsTheBody) {
  const RequestMaker maker(make_bucket("s3://examplebucket/home", "", "").value(), kKeys);
  const auto put = maker.put("r1/x.mp4", std::string("bytes"), {}, kTime);
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.target, "/home/r1/x.mp4");
  EXPECT_EQ(header(put, "if-none-match"), "*");
  EXPECT_EQ(header(put, "x-amz-content-sha256"), sha256_hex(base::as_bytes("bytes")));
  EXPECT_THAT(header(put, "Authorization"),
              HasSubstr("SignedHeaders=content-type;host;if-none-match;x-amz-content-sha256;x-amz-date,"));

  PutOptions change;
  change.if_match = "\"etag\"";
  const auto changed = maker.put("control/r1/wanted.json", std::string("{}"), change, kTime);
  EXPECT_EQ(header(changed, "if-match"), "\"etag\"");
  EXPECT_EQ(header(changed, "if-none-match"), "(none)");
}

TEST(Requests, OfARoleCarryItsToken) {
  Credentials keys = kKeys;
  keys.session_token = "token";
  const RequestMaker maker(make_bucket("s3://examplebucket", "", "").value(), keys);
  const auto head = maker.head("x", kTime);
  EXPECT_EQ(header(head, "x-amz-security-token"), "token");
  EXPECT_THAT(header(head, "Authorization"), HasSubstr(";x-amz-security-token,"));
  EXPECT_THAT(maker.presigned_get("x", kTime, std::chrono::hours(1)),
              HasSubstr("&X-Amz-Security-Token=token&"));
}

TEST(Requests, RangesAndListings) {
  const RequestMaker maker(make_bucket("s3://examplebucket/home", "http://127.0.0.1:1", "").value(), kKeys);
  EXPECT_EQ(header(maker.get("x", 5, 10, kTime), "range"), "bytes=5-14");
  EXPECT_EQ(header(maker.get("x", 5, 0, kTime), "range"), "bytes=5-");
  EXPECT_EQ(header(maker.get("x", 0, 0, kTime), "range"), "(none)");

  ListOptions options;
  options.prefix = "r1/rec/";
  options.start_after = "r1/rec/a";
  options.one_level = true;
  options.max_keys = 7;
  options.next = "a+b=";
  EXPECT_EQ(
      maker.list(options, kTime).target,
      "/examplebucket?continuation-token=a%2Bb%3D&delimiter=%2F&encoding-type=url&list-type=2&max-keys=7&"
      "prefix=home%2Fr1%2Frec%2F&start-after=home%2Fr1%2Frec%2Fa");
}

TEST(Requests, OfVersionsAndOfTheBucket) {
  const RequestMaker maker(make_bucket("s3://examplebucket/home", "http://127.0.0.1:1", "").value(), kKeys);
  EXPECT_EQ(
      maker.list_versions({"r1/", "r1/a", "v1"}, kTime).target,
      "/examplebucket?encoding-type=url&key-marker=home%2Fr1%2Fa&prefix=home%2Fr1%2F&version-id-marker=v1&"
      "versions=");
  const std::vector<ObjectVersion> objects{{"r1/a", "v1"}, {"r1/b", ""}};
  const auto remove = maker.remove_many(objects, kTime);
  EXPECT_EQ(remove.method, "POST");
  EXPECT_EQ(remove.target, "/examplebucket?delete=");
  EXPECT_EQ(
      std::get<std::string>(remove.body),
      "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object>"
      "<Key>home/r1/a</Key><VersionId>v1</VersionId></Object><Object><Key>home/r1/b</Key></Object></Delete>");
  const auto put = maker.of_bucket("PUT", "policy", "Hello World!", kTime);
  EXPECT_EQ(put.target, "/examplebucket?policy=");
  EXPECT_EQ(header(put, "content-md5"), "7Qdih1MuhjZehB6Sv8UNjA==");
  EXPECT_THAT(header(put, "Authorization"), HasSubstr("SignedHeaders=content-md5;host;"));
  EXPECT_EQ(maker.of_bucket("PUT", "", "", kTime).target, "/examplebucket");
  EXPECT_EQ(maker.of_server("PATCH", "/create-user", "x", kTime).target, "/create-user");
}

}  // namespace
}  // namespace miharu::s3
