#include "s3/client.h"

#include <fcntl.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/manual_clock.h"
#include "support/scripted_server.h"
#include "support/temp_dir.h"

namespace miharu::s3 {
namespace {

using test::Peer;
using test::Scripted;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const base::UtcTime kNow = base::from_unix_ms(1'795'230'000'000);  // 2026-11-21T03:00:00Z

std::string reply(unsigned status, std::string_view body = "", std::string_view fields = "") {
  return fmt::format("HTTP/1.1 {} x\r\n{}Content-Length: {}\r\n\r\n{}", status, fields, body.size(), body);
}
std::string refusal(unsigned status, std::string_view code, std::string_view fields = "") {
  return reply(status, fmt::format("<Error><Code>{}</Code></Error>", code), fields);
}

class ClientTest : public testing::Test {
 protected:
  Client& client(const Scripted& server) {
    const std::string endpoint = fmt::format("http://127.0.0.1:{}", server.port());
    client_.emplace(make_bucket("s3://footage/home", endpoint, "").value(),
                    Credentials{"key", base::Secret("secret"), ""}, net::HttpClientOptions{}, clock_);
    return *client_;
  }
  test::ManualClock clock_{kNow};
  std::optional<Client> client_;
};

TEST_F(ClientTest, PutsWithoutOverwriting) {
  Scripted server({[](Peer& peer) {
    const std::string head = peer.head();
    EXPECT_THAT(head, StartsWith("PUT /footage/home/a/b.json HTTP/1.1\r\n"));
    EXPECT_THAT(head, HasSubstr("if-none-match: *\r\n"));
    EXPECT_THAT(head, HasSubstr("x-amz-date: 20261121T030000Z\r\n"));
    EXPECT_THAT(head, HasSubstr("x-amz-content-sha256: " + sha256_hex(base::as_bytes("{}")) + "\r\n"));
    EXPECT_EQ(peer.bytes(2), "{}");
    peer.say(reply(200));
    EXPECT_THAT(peer.head(), Not(HasSubstr("if-none-match")));
    peer.bytes(2);
    peer.say(reply(200));
  }});
  Client& bucket = client(server);
  EXPECT_TRUE(bucket.put("a/b.json", "{}"));
  PutOptions replace;
  replace.create_only = false;
  EXPECT_TRUE(bucket.put("a/b.json", "{}", replace));
}

TEST_F(ClientTest, PutsAFile) {
  const test::TempDir folder;
  const auto path = folder.path() / "object";
  ASSERT_TRUE(base::write_file(path, base::as_bytes("0123456789"), 0600));
  auto file = std::make_shared<const base::File>(std::move(*base::File::open(path, O_RDONLY, 0)));
  Scripted server({[](Peer& peer) {
    EXPECT_THAT(peer.head(),
                HasSubstr("x-amz-content-sha256: " + sha256_hex(base::as_bytes("2345")) + "\r\n"));
    EXPECT_EQ(peer.bytes(4), "2345");
    peer.say(reply(200));
  }});
  Client& bucket = client(server);
  EXPECT_TRUE(bucket.put("object", net::FileBody{file, 2, 4}));
  // Shorter than it was: nothing is sent.
  const auto cut = bucket.put("object", net::FileBody{file, 2, 400});
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().fault, Fault::kOther);
  EXPECT_EQ(server.served(), 1);
}

TEST_F(ClientTest, WhatPassesByItselfIsTriedAgain) {
  Scripted server({[](Peer& peer) {
                     peer.head();
                     peer.say(refusal(503, "SlowDown"));
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\nContent-Le");  // and ends
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say(reply(200, "here"));
                     for (int i = 0; i < Client::kAttempts; ++i) {
                       peer.head();
                       peer.say(refusal(500, "InternalError"));
                     }
                     // Tried for good, and no more than that.
                     peer.head();
                     peer.say(refusal(404, "NoSuchKey"));
                   }});
  Client& bucket = client(server);
  EXPECT_EQ(bucket.get("a").value(), "here");
  EXPECT_EQ(bucket.get("a").error().fault, Fault::kBusy);
  EXPECT_EQ(bucket.get("a").error().fault, Fault::kNoKey);
}

TEST_F(ClientTest, AKeyThatIsTakenIsOursOnlyAfterAnAttempt) {
  Scripted server({[](Peer& peer) {
                     peer.head();
                     peer.bytes(2);
                     peer.say(refusal(412, "PreconditionFailed"));
                     peer.head();
                     peer.bytes(2);  // stored; and the connection ends without an answer
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.bytes(2);
                     peer.say(refusal(412, "PreconditionFailed"));
                     // A read that is refused so is no success, whatever went before.
                     peer.head();
                     peer.say(refusal(503, "SlowDown"));
                     peer.head();
                     peer.say(refusal(412, "PreconditionFailed"));
                   }});
  Client& bucket = client(server);
  EXPECT_EQ(bucket.put("a", "{}").error().fault, Fault::kExists);
  EXPECT_TRUE(bucket.put("a", "{}"));
  EXPECT_EQ(bucket.get("a").error().fault, Fault::kExists);
}

TEST_F(ClientTest, AClockThatIsOffIsPutRightByTheStores) {
  const std::string date = "Date: Sat, 21 Nov 2026 02:00:00 GMT\r\n";
  Scripted server({[&](Peer& peer) {
    EXPECT_THAT(peer.head(), HasSubstr("x-amz-date: 20261121T030000Z"));
    peer.say(refusal(403, "RequestTimeTooSkewed", date));
    EXPECT_THAT(peer.head(), HasSubstr("x-amz-date: 20261121T020000Z"));
    peer.say(reply(200, "here", date));
    // From now on it is known.
    EXPECT_THAT(peer.head(), HasSubstr("x-amz-date: 20261121T020000Z"));
    peer.say(refusal(403, "RequestTimeTooSkewed", date));
    peer.head();
    // Once is enough.
    peer.say(refusal(403, "RequestTimeTooSkewed", date));
  }});
  Client& bucket = client(server);
  EXPECT_EQ(bucket.clock_difference(), std::nullopt);
  EXPECT_EQ(bucket.get("a").value(), "here");
  EXPECT_EQ(bucket.clock_difference(), -std::chrono::hours(1));
  EXPECT_THAT(bucket.presigned_get("a", std::chrono::seconds(60)),
              HasSubstr("X-Amz-Date=20261121T020000Z&X-Amz-Expires=60"));
  EXPECT_EQ(bucket.get("a").error().fault, Fault::kSkew);
}

TEST_F(ClientTest, ReadsPieces) {
  Scripted server({[](Peer& peer) {
    EXPECT_THAT(peer.head(), HasSubstr("range: bytes=2-5\r\n"));
    peer.say(reply(206, "2345"));
    EXPECT_THAT(peer.head(), HasSubstr("range: bytes=6-\r\n"));
    peer.say(reply(206, "6789"));
    EXPECT_THAT(peer.head(), StartsWith("HEAD /footage/home/a HTTP/1.1\r\n"));
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"x\"\r\n\r\n");
    EXPECT_THAT(peer.head(), StartsWith("DELETE /footage/home/a HTTP/1.1\r\n"));
    peer.say("HTTP/1.1 204 No Content\r\n\r\n");
    peer.head();
    peer.say(refusal(403, "AccessDenied"));
  }});
  Client& bucket = client(server);
  EXPECT_EQ(bucket.get("a", 2, 4).value(), "2345");
  EXPECT_EQ(bucket.get("a", 6).value(), "6789");
  const auto head = bucket.head("a").value();
  EXPECT_EQ(head.size_bytes, 10U);
  EXPECT_EQ(head.etag, "\"x\"");
  EXPECT_TRUE(bucket.remove("a"));
  EXPECT_EQ(bucket.remove("a").error().fault, Fault::kForbidden);
}

TEST_F(ClientTest, ListsBelowThePrefix) {
  const auto listing = [](std::string_view inside) {
    return reply(200, fmt::format("<ListBucketResult>{}</ListBucketResult>", inside));
  };
  Scripted server({[&](Peer& peer) {
    EXPECT_THAT(peer.head(), AllOf(StartsWith("GET /footage?"), HasSubstr("delimiter=%2F"),
                                   HasSubstr("prefix=home%2Frec%2F"), HasSubstr("max-keys=2"),
                                   HasSubstr("start-after=home%2Frec%2Fa")));
    peer.say(
        listing("<IsTruncated>true</IsTruncated><NextContinuationToken>t+</NextContinuationToken>"
                "<Contents><Key>home/rec/b</Key><Size>7</Size></Contents>"
                "<CommonPrefixes><Prefix>home/rec/c/</Prefix></CommonPrefixes>"));
    EXPECT_THAT(peer.head(), HasSubstr("continuation-token=t%2B"));
    peer.say(listing("<Contents><Key>elsewhere/b</Key><Size>7</Size></Contents>"));
    peer.head();
    peer.say(listing("<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>"));
    peer.head();
    peer.say(listing("<Contents>"));
    peer.head();
    peer.say(refusal(404, "NoSuchBucket"));
  }});
  Client& bucket = client(server);
  ListOptions options;
  options.prefix = "rec/";
  options.start_after = "rec/a";
  options.one_level = true;
  options.max_keys = 2;
  const auto page = bucket.list(options);
  ASSERT_TRUE(page) << page.error().message;
  ASSERT_EQ(page->keys.size(), 1U);
  EXPECT_EQ(page->keys[0].key, "rec/b");
  EXPECT_EQ(page->keys[0].size_bytes, 7U);
  EXPECT_THAT(page->prefixes, testing::ElementsAre("rec/c/"));
  options.next = page->next;
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(bucket.list(options).error().message, HasSubstr("keys that do not begin with the prefix"))
        << i;
  }
  EXPECT_THAT(bucket.list(options).error().message, HasSubstr("no XML"));
  EXPECT_EQ(bucket.list(options).error().fault, Fault::kNoBucket);
}

}  // namespace
}  // namespace miharu::s3
