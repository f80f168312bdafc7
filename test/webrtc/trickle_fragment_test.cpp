#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "webrtc/trickle_fragment.h"

namespace miharu::webrtc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kFragment =
    "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=group:BUNDLE 0 1\r\n"
    "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n"
    "a=end-of-candidates\r\n"
    "m=video 9 RTP/AVP 0\r\na=mid:1\r\na=candidate:2 1 udp 2 192.0.2.2 9 typ host\r\n";

TEST(TrickleFragment, CandidatesByMedia) {
  const auto fragment = parse_fragment(kFragment);
  ASSERT_TRUE(fragment) << fragment.error().to_string();
  ASSERT_TRUE(fragment->ice);
  EXPECT_EQ(fragment->ice->ufrag, "EsAw");
  EXPECT_EQ(fragment->ice->password.reveal(), "P2uYro0UCOQ4zxjKXaWCBui1");
  ASSERT_EQ(fragment->media.size(), 2U);
  EXPECT_THAT(
      fragment->candidates_of("0"),
      ElementsAre("candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw"));
  EXPECT_TRUE(fragment->ended("0"));
  EXPECT_FALSE(fragment->ended("1"));
  EXPECT_THAT(fragment->candidates_of("1"), ElementsAre("candidate:2 1 udp 2 192.0.2.2 9 typ host"));
}

TEST(TrickleFragment, TheMediaMayLack) {
  const auto bare = parse_fragment("a=candidate:2 1 udp 2 192.0.2.2 9 typ host\na=end-of-candidates\n");
  ASSERT_TRUE(bare);
  EXPECT_FALSE(bare->ice);
  EXPECT_EQ(bare->candidates_of("video").size(), 1U);
  EXPECT_TRUE(bare->ended("video"));

  const auto mid = parse_fragment("a=mid:v\r\na=candidate:2 1 udp 2 192.0.2.2 9 typ host\r\n");
  ASSERT_TRUE(mid);
  EXPECT_EQ(mid->candidates_of("v").size(), 1U);
  EXPECT_THAT(mid->candidates_of("w"), IsEmpty());

  const auto end = parse_fragment("a=end-of-candidates\r\nm=video 9 RTP/AVP 0\r\na=mid:1\r\n");
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->ended("1"));
  EXPECT_TRUE(parse_fragment(""));
}

TEST(TrickleFragment, CredentialsOfTheMedia) {
  const auto fragment = parse_fragment(
      "m=video 9 RTP/AVP 0\r\na=mid:1\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-ufrag:EsAw\r\n");
  ASSERT_TRUE(fragment);
  ASSERT_TRUE(fragment->ice);
  EXPECT_EQ(fragment->ice->ufrag, "EsAw");
}

TEST(TrickleFragment, WhatIsWrongIsToldWithItsLine) {
  using base::Errc;
  struct Case {
    std::string text;
    Errc code;
    const char* where;
    const char* what;
  };
  std::string many_media;
  for (size_t i = 0; i <= kMaxFragmentMedia; ++i) many_media += "m=audio 9 RTP/AVP 0\r\n";
  for (const Case& c : {
           Case{std::string(kMaxSdpTextBytes + 1, 'a'), Errc::kLimit, "", "bytes"},
           Case{many_media, Errc::kLimit, "line 33", "m= lines"},
           Case{"a=mid:1\r\nhello\r\n", Errc::kMalformed, "line 2", "not a letter"},
           Case{"a=mid:<>\r\n", Errc::kMalformed, "line 1", "mid"},
           Case{"a=ice-ufrag:\r\n", Errc::kMalformed, "line 1", "credential"},
           Case{"a=ice-ufrag:abcd\r\n", Errc::kMalformed, "line 1", "together"},
           Case{"a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n", Errc::kMalformed, "line 2", "ice-pwd"},
       }) {
    const auto fragment = parse_fragment(c.text);
    ASSERT_FALSE(fragment) << c.what;
    EXPECT_EQ(fragment.error().code, c.code) << c.what;
    EXPECT_THAT(fragment.error().text, HasSubstr(c.where));
    EXPECT_THAT(fragment.error().text, HasSubstr(c.what));
  }
  std::string many_candidates;
  for (size_t i = 0; i < kMaxFragmentCandidates + 5; ++i) many_candidates += "a=candidate:x\r\n";
  EXPECT_EQ(parse_fragment(many_candidates)->candidates_of("").size(), kMaxFragmentCandidates);
}

TEST(TrickleFragment, WhatIsWrittenIsRead) {
  const std::vector<std::string> candidates = {"candidate:1 1 udp 9 192.0.2.7 8555 typ host"};
  const std::string text = write_fragment({"newUfragNewU", base::Secret("newPasswordNewPassword12")}, "video",
                                          "1", candidates, true);
  EXPECT_THAT(text, HasSubstr("a=ice-lite\r\n"));
  const auto fragment = parse_fragment(text);
  ASSERT_TRUE(fragment) << fragment.error().to_string();
  EXPECT_EQ(fragment->ice->ufrag, "newUfragNewU");
  EXPECT_EQ(fragment->ice->password.reveal(), "newPasswordNewPassword12");
  EXPECT_EQ(fragment->candidates_of("1"), candidates);
  EXPECT_TRUE(fragment->ended("1"));
}

}  // namespace
}  // namespace miharu::webrtc
