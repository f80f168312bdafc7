#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "webrtc/offers.h"

namespace miharu::webrtc {
namespace {

using media::SdpDirection;
using test::kSmallOffer;
using test::offer_of;
using test::offer_text;
using test::replaced;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const OfferFormat* format_of(const OfferMedia& media, uint8_t type) {
  for (const OfferFormat& format : media.formats) {
    if (format.payload_type == type) return &format;
  }
  return nullptr;
}

TEST(SdpOffer, OfChromium) {
  const SdpOffer offer = offer_of(offer_text("chromium-156"));
  EXPECT_THAT(offer.bundles, ElementsAre(ElementsAre("0", "1")));
  EXPECT_TRUE(offer.trickle);
  EXPECT_FALSE(offer.ice_lite);
  ASSERT_EQ(offer.media.size(), 2U);
  const OfferMedia& video = offer.media[0];
  EXPECT_EQ(video.kind, "video");
  EXPECT_EQ(video.mid, "0");
  EXPECT_EQ(video.direction, SdpDirection::kRecvOnly);
  EXPECT_TRUE(video.receives());
  EXPECT_TRUE(video.rtcp_mux);
  EXPECT_TRUE(video.rtcp_rsize);
  EXPECT_EQ(video.mid_id, 9);
  EXPECT_EQ(video.capture_time_id, 0);
  EXPECT_EQ(video.transport.setup, SdpSetup::kActpass);
  ASSERT_TRUE(video.transport.ice);
  EXPECT_EQ(video.transport.fingerprints.size(), 1U);
  const OfferFormat* h264 = format_of(video, 108);
  ASSERT_TRUE(h264);
  EXPECT_EQ(h264->encoding, "H264");
  EXPECT_EQ(h264->clock_rate, 90000U);
  EXPECT_EQ(h264->parameter("profile-level-id"), "42e01f");
  EXPECT_EQ(h264->parameter("packetization-mode"), "1");
  EXPECT_TRUE(h264->nack && h264->nack_pli && h264->ccm_fir);
  EXPECT_EQ(format_of(video, 109)->parameter("apt"), "108");
  const OfferFormat* opus = format_of(offer.media[1], 111);
  ASSERT_TRUE(opus);
  EXPECT_EQ(opus->encoding, "OPUS");
  EXPECT_EQ(opus->channels, 2U);
  EXPECT_FALSE(opus->nack);
}

TEST(SdpOffer, OfFirefoxHasItsFingerprintInTheSession) {
  const SdpOffer offer = offer_of(offer_text("firefox-form"));
  ASSERT_EQ(offer.media.size(), 2U);
  EXPECT_TRUE(offer.media[0].transport.fingerprints.empty());
  const SdpTransport transport = offer.transport_of(0);
  EXPECT_EQ(transport.fingerprints.size(), 1U);
  EXPECT_EQ(transport.ice->ufrag, "1c5ba9a4");
  EXPECT_EQ(offer.media[0].direction, SdpDirection::kRecvOnly);
}

TEST(SdpOffer, OfAiortcHasThreeFingerprintsAndCandidates) {
  const SdpOffer offer = offer_of(offer_text("aiortc-1.16"));
  ASSERT_EQ(offer.media.size(), 2U);
  EXPECT_EQ(offer.media[1].transport.fingerprints.size(), 3U);
  EXPECT_EQ(offer.media[1].candidates.size(), 2U);
  EXPECT_THAT(offer.media[1].candidates[0], testing::StartsWith("candidate:"));
  EXPECT_TRUE(offer.media[1].end_of_candidates);
}

TEST(SdpOffer, OfPionHasADataChannel) {
  const SdpOffer offer = offer_of(offer_text("pion-4.0"));
  ASSERT_EQ(offer.media.size(), 3U);
  EXPECT_EQ(offer.media[2].kind, "application");
  EXPECT_EQ(offer.media[2].protocol, "UDP/DTLS/SCTP");
  EXPECT_EQ(offer.media[2].formats_text, "webrtc-datachannel");
  EXPECT_FALSE(offer.media[2].is_rtp());
}

TEST(SdpOffer, WhatTheSessionSaysIsSaidOfAllMedia) {
  const SdpOffer offer = offer_of(replaced(
      kSmallOffer, "t=0 0\r\n",
      "t=0 0\r\na=recvonly\r\na=setup:active\r\na=extmap:3 " + std::string(kCaptureTimeUri) + "\r\n"));
  ASSERT_EQ(offer.media.size(), 1U);
  EXPECT_EQ(offer.media[0].direction, SdpDirection::kRecvOnly);
  EXPECT_EQ(offer.media[0].capture_time_id, 3);
  const SdpTransport transport = offer.transport_of(0);
  EXPECT_EQ(transport.ice->ufrag, "abcd");
  EXPECT_EQ(transport.ice->password.reveal(), "abcdefghijklmnopqrstuv");
  EXPECT_EQ(transport.setup, SdpSetup::kActive);
}

TEST(SdpOffer, LineFeedsAloneWillDo) {
  const SdpOffer offer = offer_of(replaced(kSmallOffer, "\r\n", "\n"));
  ASSERT_EQ(offer.media.size(), 1U);
  EXPECT_EQ(offer.media[0].formats[0].encoding, "H264");
}

TEST(SdpOffer, PortZeroIsRejectedUnlessBundleOnly) {
  const std::string zero = replaced(kSmallOffer, "m=video 9", "m=video 0");
  EXPECT_TRUE(offer_of(zero).media[0].rejected);
  EXPECT_FALSE(offer_of(zero + "a=bundle-only\r\n").media[0].rejected);
}

TEST(SdpOffer, FeedbackForAllFormats) {
  const SdpOffer offer = offer_of(kSmallOffer + "a=rtcp-fb:* nack\r\na=rtcp-fb:96 ccm fir\r\n");
  EXPECT_TRUE(offer.media[0].formats[0].nack);
  EXPECT_TRUE(offer.media[0].formats[0].ccm_fir);
  EXPECT_FALSE(offer.media[0].formats[0].nack_pli);
}

TEST(SdpOffer, ExtensionsOfTheWrongDirectionAreNotOffered) {
  const std::string uri(kCaptureTimeUri);
  EXPECT_EQ(offer_of(kSmallOffer + "a=extmap:4/sendonly " + uri + "\r\n").media[0].capture_time_id, 0);
  EXPECT_EQ(offer_of(kSmallOffer + "a=extmap:4/recvonly " + uri + "\r\n").media[0].capture_time_id, 4);
  EXPECT_EQ(offer_of(kSmallOffer + "a=extmap:4100 " + uri + "\r\n").media[0].capture_time_id, 0);
}

TEST(SdpOffer, AnOlderFingerprintIsRemembered) {
  const SdpOffer offer = offer_of(
      kSmallOffer + "a=fingerprint:sha-1 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13\r\n");
  EXPECT_TRUE(offer.transport_of(0).weak_fingerprint);
  EXPECT_TRUE(offer.transport_of(0).fingerprints.empty());
}

TEST(SdpOffer, CandidatesBeyondTheCapAreLeftOut) {
  std::string text = kSmallOffer;
  for (size_t i = 0; i < kMaxOfferCandidates + 5; ++i)
    text += "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
  EXPECT_EQ(offer_of(text).media[0].candidates.size(), kMaxOfferCandidates);
}

TEST(SdpOffer, WhatIsWrongIsToldWithItsLine) {
  struct Case {
    std::string text;
    base::Errc code;
    const char* where;
    const char* what;
  };
  using base::Errc;
  const auto with = [](const char* line) { return kSmallOffer + line + "\r\n"; };
  std::string many_media = kSmallOffer;
  for (size_t i = 0; i < kMaxOfferMedia; ++i) many_media += "m=audio 9 RTP/AVP 0\r\n";
  std::string many_lines = kSmallOffer;
  for (size_t i = 0; i < kMaxSdpTextLines; ++i) many_lines += "a=x\r\n";
  std::string many_parameters = "a=fmtp:96 ";
  for (int i = 0; i < 70; ++i) many_parameters += fmt::format("p{}=1;", i);
  std::string many_fingerprints = kSmallOffer;
  const size_t begin = kSmallOffer.find("a=fingerprint");
  for (size_t i = 0; i <= kMaxOfferFingerprints; ++i)
    many_fingerprints += kSmallOffer.substr(begin, kSmallOffer.find("m=") - begin);
  for (const Case& c : {
           Case{"", Errc::kTruncated, "line 0", "no m= line"},
           Case{"v=0\r\n", Errc::kTruncated, "line 1", "no m= line"},
           Case{std::string(kMaxSdpTextBytes + 1, 'a'), Errc::kLimit, "", "65536 bytes"},
           Case{many_lines, Errc::kLimit, "line 1001", "lines"},
           Case{many_media, Errc::kLimit, "line 43", "m= lines"},
           Case{with(many_parameters.c_str()), Errc::kLimit, "line 12", "parameters"},
           Case{many_fingerprints, Errc::kLimit, "line 20", "fingerprints"},
           Case{with("hello"), Errc::kMalformed, "line 12", "not a letter"},
           Case{with("a=mid:x\rb"), Errc::kMalformed, "line 12", "control character"},
           Case{with("a=mid:x\x01"), Errc::kMalformed, "line 12", "control character"},
           Case{with("a=mid:"), Errc::kMalformed, "line 12", "mid"},
           Case{with("a=mid:a b"), Errc::kMalformed, "line 12", "mid"},
           Case{with(("a=mid:" + std::string(65, 'm')).c_str()), Errc::kMalformed, "line 12", "mid"},
           Case{with("a=mid:x\r\nm=audio 9 RTP/AVP 0\r\na=mid:x"), Errc::kMalformed, "line 14", "another"},
           Case{with("m=video 65536 RTP/AVP 96"), Errc::kMalformed, "line 12", "port"},
           Case{with("m=video -1 RTP/AVP 96"), Errc::kMalformed, "line 12", "port"},
           Case{with("m=video 9 RTP/AVP 128"), Errc::kMalformed, "line 12", "0 to 127"},
           Case{with("m=video 9 RTP/AVP 96 96"), Errc::kMalformed, "line 12", "twice"},
           Case{with("m=video 9 RTP/AVP"), Errc::kMalformed, "line 12", "formats"},
           Case{with("m=video 9 R/<b> 96"), Errc::kMalformed, "line 12", "protocol"},
           Case{with("m=<b> 9 RTP/AVP 96"), Errc::kMalformed, "line 12", "kind"},
           Case{with("m=application 9 DTLS/SCTP <b>"), Errc::kMalformed, "line 12", "format"},
           Case{with("a=rtpmap:300 H264/90000"), Errc::kMalformed, "line 12", "payload type"},
           Case{with("a=rtpmap:96 H264"), Errc::kMalformed, "line 12", "rtpmap"},
           Case{with("a=rtpmap:96 H264/0"), Errc::kMalformed, "line 12", "rtpmap"},
           Case{with("a=rtpmap:96 H2<64/90000"), Errc::kMalformed, "line 12", "rtpmap"},
           Case{with("a=rtpmap:96 L16/8000/0"), Errc::kMalformed, "line 12", "channels"},
           Case{with("a=fmtp:x y=1"), Errc::kMalformed, "line 12", "payload type"},
           Case{with("a=rtcp-fb:-1 nack"), Errc::kMalformed, "line 12", "payload type"},
           Case{with("a=extmap:0 urn:x"), Errc::kMalformed, "line 12", "header extension"},
           Case{with("a=extmap:256 urn:x"), Errc::kMalformed, "line 12", "header extension"},
           Case{with("a=extmap:3"), Errc::kMalformed, "line 12", "name"},
           Case{with("a=setup:me"), Errc::kMalformed, "line 12", "setup"},
           Case{with("a=fingerprint:sha-256 00"), Errc::kMalformed, "line 12", "fingerprint"},
           Case{with("a=ice-ufrag:"), Errc::kMalformed, "line 12", "credential"},
           Case{with("a=ice-ufrag:abcd"), Errc::kMalformed, "line 12", "do not come together"},
           Case{with("a=ice-ufrag:ab\r\na=ice-pwd:abcdefghijklmnopqrstuv"), Errc::kMalformed, "line 13",
                "ice-ufrag"},
           Case{replaced(kSmallOffer, "t=0 0\r\n", "t=0 0\r\na=group:BUNDLE a<b\r\n"), Errc::kMalformed,
                "line 5", "group"},
       }) {
    const auto offer = parse_offer(c.text);
    ASSERT_FALSE(offer) << c.what;
    EXPECT_EQ(offer.error().code, c.code) << c.what;
    EXPECT_THAT(offer.error().text, HasSubstr(c.where)) << c.what;
    EXPECT_THAT(offer.error().text, HasSubstr(c.what));
    EXPECT_THAT(offer.error().text, Not(HasSubstr("<"))) << c.what;
    EXPECT_GE(offer.error().offset, 0) << c.what;
  }
}

TEST(SdpOffer, CutAnywhereItIsReadOrRefused) {
  for (const char* name : test::kOffers) {
    const std::string text = offer_text(name);
    for (size_t size = 0; size < text.size(); size += 7) {
      const auto offer = parse_offer(std::string_view(text).substr(0, size));
      if (!offer) {
        EXPECT_LE(offer.error().offset, static_cast<int64_t>(size));
      }
    }
  }
}

}  // namespace
}  // namespace miharu::webrtc
