#include "s3/failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3/xml.h"

namespace miharu::s3 {
namespace {

using testing::HasSubstr;

Failure failure_of(unsigned status, const std::string& code, net::HttpHeaders headers = {}) {
  net::HttpReply reply;
  reply.status = status;
  reply.headers = std::move(headers);
  if (!code.empty())
    reply.body = "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>words</Message></Error>";
  return classify(reply);
}

TEST(Failure, IsClassifiedByStatusThenByCode) {
  struct Case {
    unsigned status;
    const char* code;
    Fault fault;
    bool passes;
  };
  for (const Case& each : {
           Case{403, "AccessDenied", Fault::kForbidden, false},
           Case{403, "", Fault::kForbidden, false},
           Case{403, "RequestTimeTooSkewed", Fault::kSkew, false},
           Case{403, "InvalidAccessKeyId", Fault::kCredentials, false},
           Case{403, "SignatureDoesNotMatch", Fault::kCredentials, false},
           Case{400, "ExpiredToken", Fault::kCredentials, false},
           Case{400, "BadDigest", Fault::kChecksum, false},
           Case{400, "InvalidDigest", Fault::kChecksum, false},
           Case{400, "XAmzContentChecksumMismatch", Fault::kChecksum, false},
           Case{400, "XAmzContentSHA256Mismatch", Fault::kChecksum, false},
           Case{400, "AuthorizationHeaderMalformed", Fault::kRegion, false},
           Case{301, "PermanentRedirect", Fault::kRegion, false},
           Case{404, "NoSuchBucket", Fault::kNoBucket, false},
           Case{404, "NoSuchKey", Fault::kNoKey, false},
           Case{404, "", Fault::kNoKey, false},
           Case{412, "PreconditionFailed", Fault::kExists, false},
           Case{412, "", Fault::kExists, false},
           Case{409, "ConditionalRequestConflict", Fault::kConflict, true},
           Case{503, "SlowDown", Fault::kBusy, true},
           Case{500, "", Fault::kBusy, true},
           // A gateway that made up its mind about nothing.
           Case{502, "AccessDenied", Fault::kBusy, true},
           Case{429, "", Fault::kBusy, true},
           Case{400, "RequestTimeout", Fault::kBusy, true},
           Case{507, "XMinioStorageFull", Fault::kFull, false},
           Case{403, "QuotaExceeded", Fault::kFull, false},
           Case{400, "Strange", Fault::kOther, false},
       }) {
    SCOPED_TRACE(std::to_string(each.status) + each.code);
    const Failure failure = failure_of(each.status, each.code);
    EXPECT_EQ(failure.fault, each.fault);
    EXPECT_EQ(failure.passes_by_itself(), each.passes);
    EXPECT_THAT(failure.error().text, HasSubstr("the store answered " + std::to_string(each.status)));
    EXPECT_THAT(failure.error().text, HasSubstr("; "));  // what to do
  }
  const Failure network =
      classify(base::Error{base::Errc::kClosed, "http://x: the server ended the connection", -1});
  EXPECT_EQ(network.fault, Fault::kNetwork);
  EXPECT_TRUE(network.passes_by_itself());
}

TEST(Failure, TellsWhatTheStoreSays) {
  net::HttpReply reply;
  reply.status = 301;
  reply.headers = {{"X-Amz-Bucket-Region", "eu-north-1"}, {"Date", "Sat, 21 Nov 2026 15:50:59 GMT"}};
  EXPECT_THAT(classify(reply).error().text, HasSubstr("set [cloud] region = \"eu-north-1\""));
  const Failure skew = failure_of(403, "RequestTimeTooSkewed", reply.headers);
  EXPECT_THAT(skew.error().text, HasSubstr("2026-11-21T15:50:59.000Z"));
}

TEST(Failure, DatesAreThoseOfHttp) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), base::from_unix_ms(784'111'777'000));
  for (const char* text :
       {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 28:49:37 GMT", "Sun, 06 Nov -994 08:49:37 GMT"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

TEST(Xml, ErrorsThatAreNoneGiveNothing) {
  EXPECT_EQ(parse_error("").code, "");
  EXPECT_EQ(parse_error("<html><body>502</body></html>").code, "");
  const ErrorText text = parse_error(
      "<Error><Code>A&amp;B</Code><Message>two\x1b[31m\nlines</Message>"
      "<RequestId>7</RequestId><Region>eu</Region></Error>");
  EXPECT_EQ(text.code, "A&B");
  EXPECT_EQ(text.message, "two [31m lines");  // nothing that a terminal obeys
  EXPECT_EQ(text.request_id, "7");
  EXPECT_EQ(text.region, "eu");
}

std::string listing(const std::string& inside) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult "
         "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" +
         inside + "</ListBucketResult>";
}

TEST(Xml, KeysAreDecodedOnlyWhenTheStoreSaysThatTheyAreEncoded) {
  const std::string contents =
      "<Contents><Key>a%2Bb+c</Key><Size>12</Size></Contents><CommonPrefixes><Prefix>d%2F</Prefix></"
      "CommonPrefixes>";
  const auto plain = parse_list(listing(contents));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->keys.at(0).key, "a%2Bb+c");
  EXPECT_EQ(plain->keys.at(0).size_bytes, 12U);
  EXPECT_EQ(plain->prefixes.at(0), "d%2F");
  EXPECT_EQ(plain->next, "");
  const auto encoded = parse_list(listing("<EncodingType>url</EncodingType>" + contents));
  ASSERT_TRUE(encoded);
  EXPECT_EQ(encoded->keys.at(0).key, "a+b c");
  EXPECT_EQ(encoded->prefixes.at(0), "d/");
}

TEST(Xml, AListingThatGoesOnSaysWhere) {
  EXPECT_EQ(
      parse_list(listing("<IsTruncated>true</IsTruncated><NextContinuationToken>t+=</NextContinuationToken>"))
          .value()
          .next,
      "t+=");
  EXPECT_EQ(parse_list(listing("<IsTruncated>false</IsTruncated>")).value().next, "");
  EXPECT_FALSE(parse_list(listing("<IsTruncated>true</IsTruncated>")));
}

TEST(Xml, OtherAnswersAreNoListings) {
  EXPECT_FALSE(parse_list(""));
  EXPECT_FALSE(parse_list("<html/>"));
  EXPECT_FALSE(parse_list("<ListBucketResult><Contents>"));
  EXPECT_FALSE(parse_list(listing("<Contents><Key></Key><Size>1</Size></Contents>")));
  EXPECT_FALSE(parse_list(listing("<Contents><Key>a</Key><Size>-1</Size></Contents>")));
  EXPECT_FALSE(
      parse_list(listing("<Contents><Key>" + std::string(1025, 'a') + "</Key><Size>1</Size></Contents>")));
}

TEST(Xml, VersionsAndMarkersInTheirOrder) {
  const auto page = parse_versions(
      "<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
      "<NextKeyMarker>a%2Fb</NextKeyMarker><NextVersionIdMarker>v0</NextVersionIdMarker>"
      "<DeleteMarker><Key>a%2Fb</Key><VersionId>v2</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
      "<Version><Key>a%2Fb</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest><Size>7</Size>"
      "<LastModified>2026-11-21T03:20:59.000Z</LastModified></Version></ListVersionsResult>");
  ASSERT_TRUE(page) << page.error().text;
  ASSERT_EQ(page->versions.size(), 2U);
  EXPECT_TRUE(page->versions[0].marker);
  EXPECT_TRUE(page->versions[0].latest);
  EXPECT_EQ(page->versions[0].version, "v2");
  EXPECT_FALSE(page->versions[1].marker);
  EXPECT_EQ(page->versions[1].key, "a/b");
  EXPECT_EQ(page->versions[1].size_bytes, 7U);
  EXPECT_EQ(page->versions[1].modified, "2026-11-21T03:20:59.000Z");
  EXPECT_EQ(page->next_key, "a/b");
  EXPECT_EQ(page->next_version, "v0");
}

TEST(Xml, OtherAnswersAreNoListingsOfVersions) {
  for (const char* text : {"", "<ListBucketResult/>",
                           "<ListVersionsResult><IsTruncated>true</IsTruncated>"
                           "</ListVersionsResult>",
                           "<ListVersionsResult><Version><Key>a</Key></Version></ListVersionsResult>",
                           "<ListVersionsResult><DeleteMarker/></ListVersionsResult>"})
    EXPECT_FALSE(parse_versions(text)) << text;
}

TEST(Xml, WhatDidNotGoIsTold) {
  const auto errors = parse_remove_errors(
      "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
      "<Message>no</Message></Error></DeleteResult>");
  ASSERT_TRUE(errors);
  ASSERT_EQ(errors->size(), 1U);
  EXPECT_EQ(errors->front().key, "b");
  EXPECT_EQ(errors->front().code, "AccessDenied");
  EXPECT_TRUE(parse_remove_errors("<DeleteResult/>")->empty());
  EXPECT_FALSE(parse_remove_errors("<Error/>"));
}

}  // namespace
}  // namespace miharu::s3
