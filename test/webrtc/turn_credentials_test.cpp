#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "webrtc/turn_credentials.h"

namespace miharu::webrtc {
namespace {

using testing::ElementsAre;

const base::UtcTime kNow = base::from_unix_ms(1'795'230'000'000);

// The password by: printf 1795273200:alice | openssl dgst -sha1 -hmac north -binary | base64
TEST(TurnCredentials, EndByThemselves) {
  const TurnCredentials made =
      make_turn_credentials(base::Secret("north"), "alice", base::from_unix_ms(1'795'273'200'999));
  EXPECT_EQ(made.username, "1795273200:alice");
  EXPECT_EQ(made.password.reveal(), "w4sShmfyDsNBjTa9wbUQ1Hs0sCY=");
}

TEST(TurnCredentials, NamesCannotLeaveTheirQuotes) {
  EXPECT_EQ(make_turn_credentials(base::Secret("s"), "a\"b\r\n:c", base::from_unix_ms(1000)).username,
            "1:a_b___c");
}

TEST(TurnCredentials, Links) {
  IceServers servers;
  EXPECT_THAT(ice_server_links(servers, "alice", kNow), testing::IsEmpty());
  servers.stun = {"stun:stun.example.org:3478"};
  servers.turn = {"turn:turn.example.org:3478?transport=udp"};
  servers.turn_secret = base::Secret("north");
  EXPECT_THAT(ice_server_links(servers, "alice", kNow),
              ElementsAre("<stun:stun.example.org:3478>; rel=\"ice-server\"",
                          "<turn:turn.example.org:3478?transport=udp>; rel=\"ice-server\"; "
                          "username=\"1795273200:alice\"; credential=\"w4sShmfyDsNBjTa9wbUQ1Hs0sCY=\"; "
                          "credential-type=\"password\""));
}

}  // namespace
}  // namespace miharu::webrtc
