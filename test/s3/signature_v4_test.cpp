#include "s3/signature_v4.h"

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/file.h"
#include "support/data_path.h"

namespace miharu::s3 {
namespace {

boost::json::array vectors() {
  const auto bytes = base::read_file(test::data_path("s3/signature_v4.json"), 1 << 20);
  return boost::json::parse(base::as_text(bytes.value())).as_array();
}

std::string text(const boost::json::value& value) {
  return std::string(value.is_null() ? "" : value.as_string().c_str());
}

NameValues pairs(const boost::json::value& value) {
  NameValues out;
  for (const auto& each : value.as_array()) out.emplace_back(text(each.at(0)), text(each.at(1)));
  return out;
}

SigningScope suite_scope() {
  return {"us-east-1", "service"};
}
const base::UtcTime kSuiteTime = base::from_unix_ms(1'440'938'160'000);  // 2015-08-30T12:36:00Z

Credentials suite_credentials(const boost::json::value& vector) {
  const bool with_token = !vector.at("omit_token").as_bool();
  return {"AKIDEXAMPLE", base::Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
          with_token ? text(vector.at("token")) : ""};
}

SignedParts suite_parts(const boost::json::value& vector) {
  return {text(vector.at("method")), text(vector.at("path")), pairs(vector.at("query")),
          pairs(vector.at("headers")), sha256_hex(base::as_bytes(text(vector.at("body"))))};
}

TEST(SignatureV4, IsThatOfThePublishedSuite) {
  const auto all = vectors();
  ASSERT_EQ(all.size(), 28U);
  for (const auto& vector : all) {
    SCOPED_TRACE(text(vector.at("name")));
    const Credentials credentials = suite_credentials(vector);
    SignedParts parts = suite_parts(vector);
    parts.headers.emplace_back("X-Amz-Date", amz_date(kSuiteTime));
    if (vector.at("sign_body").as_bool()) parts.headers.emplace_back("x-amz-content-sha256", parts.payload);
    if (!credentials.session_token.empty())
      parts.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
    EXPECT_EQ(canonical_request(parts), text(vector.at("canonical")));
    EXPECT_EQ(
        authorization(parts, suite_scope(), credentials, kSuiteTime),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
            text(vector.at("signed_headers")) + ", Signature=" + text(vector.at("signature")));
  }
}

TEST(SignatureV4, PresignsAsThePublishedSuite) {
  for (const auto& vector : vectors()) {
    SCOPED_TRACE(text(vector.at("name")));
    const std::string query =
        presigned_query(suite_parts(vector), suite_scope(), suite_credentials(vector), kSuiteTime,
                        std::chrono::seconds(vector.at("expires").as_int64()));
    EXPECT_TRUE(query.ends_with("&X-Amz-Signature=" + text(vector.at("presigned")))) << query;
  }
}

// Of the S3 API Reference, "Authenticating Requests": Authorization header and query parameters.
class OfTheS3Manual : public testing::Test {
 protected:
  static constexpr std::string_view kHost = "examplebucket.s3.amazonaws.com";
  const base::UtcTime time_ = base::from_unix_ms(1'369'353'600'000);  // 2013-05-24T00:00:00Z
  const Credentials credentials_{"AKIAIOSFODNN7EXAMPLE",
                                 base::Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), ""};
  const SigningScope scope_{"us-east-1"};

  std::string sign(const std::string& method, const std::string& path, NameValues query, NameValues headers,
                   std::string_view body = "") {
    SignedParts parts{method, path, std::move(query), std::move(headers), sha256_hex(base::as_bytes(body))};
    parts.headers.emplace_back("Host", kHost);
    parts.headers.emplace_back("x-amz-content-sha256", parts.payload);
    parts.headers.emplace_back("x-amz-date", amz_date(time_));
    const std::string value = authorization(parts, scope_, credentials_, time_);
    return value.substr(value.find("Signature=") + 10);
  }
};

TEST_F(OfTheS3Manual, HeadersOfGetPutAndList) {
  EXPECT_EQ(sign("GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  EXPECT_EQ(sign("PUT", "/test%24file.text", {},
                 {{"Date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                 "Welcome to Amazon S3."),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  EXPECT_EQ(sign("GET", "/", {{"lifecycle", ""}}, {}),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
  EXPECT_EQ(sign("GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_F(OfTheS3Manual, PresignedGet) {
  SignedParts parts{"GET", "/test.txt", {}, {{"host", std::string(kHost)}}, std::string(kUnsignedPayload)};
  EXPECT_EQ(
      presigned_query(parts, scope_, credentials_, time_, std::chrono::hours(24)),
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
      "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST_F(OfTheS3Manual, NoPresignedUrlOutlivesAWeek) {
  SignedParts parts;
  EXPECT_NE(presigned_query(parts, scope_, credentials_, time_, std::chrono::hours(24 * 30))
                .find("X-Amz-Expires=604800&"),
            std::string::npos);
}

}  // namespace
}  // namespace miharu::s3
