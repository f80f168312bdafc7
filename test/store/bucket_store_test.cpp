#include "store/bucket_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/scripted_server.h"

namespace miharu::store {
namespace {

using base::Errc;
using test::Peer;

std::string reply(unsigned status, std::string_view body, std::string_view fields = "") {
  return fmt::format("HTTP/1.1 {} x\r\n{}Content-Length: {}\r\n\r\n{}", status, fields, body.size(), body);
}

// A revoked token must not hold because something in between has no such page.
TEST(BucketStore, OnlyTheStoreItselfSaysThatThereIsNoObject) {
  const std::vector<std::string> answers = {
      reply(200, "{}", "ETag: \"1\"\r\n"),
      reply(404, "<Error><Code>NoSuchKey</Code></Error>"),
      reply(404, "<Error><Code>NoSuchBucket</Code></Error>"),
      reply(404, "<html><body>no such site</body></html>"),
      reply(404, ""),
      reply(200, "<html>sign in to this network</html>"),
  };
  test::Scripted server({[&](Peer& peer) {
    for (const std::string& answer : answers) {
      peer.head();
      peer.say(answer);
    }
  }});
  const std::string endpoint = fmt::format("http://127.0.0.1:{}", server.port());
  BucketStore store(s3::make_bucket("s3://footage/home", endpoint, "").value(),
                    {"key", base::Secret("secret"), ""}, {});
  const auto there = store.get_versioned("auth/users.json", 1000);
  ASSERT_TRUE(there) << there.error().text;
  EXPECT_EQ(there->text, "{}");
  EXPECT_EQ(there->version, "\"1\"");
  const auto none = store.get_versioned("auth/users.json", 1000);
  ASSERT_TRUE(none) << none.error().text;
  EXPECT_EQ(none->version, "");
  for (size_t i = 2; i < answers.size(); ++i) {
    const auto unknown = store.get_versioned("auth/users.json", 1000);
    ASSERT_FALSE(unknown) << answers[i];
    EXPECT_EQ(unknown.error().code, Errc::kIo) << answers[i];
  }
}

}  // namespace
}  // namespace miharu::store
