#include <algorithm>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "webrtc/offers.h"
#include "webrtc/sdp_answer.h"

namespace miharu::webrtc {
namespace {

using media::Codec;
using test::kSmallOffer;
using test::offer_of;
using test::offer_text;
using test::replaced;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

CameraTracks camera(uint32_t profile, std::optional<Codec> sound = std::nullopt) {
  CameraTracks tracks;
  tracks.profile_level_id = profile;
  if (sound) {
    const bool g711 = *sound == Codec::kPcmu || *sound == Codec::kPcma;
    tracks.sound = CameraTracks::Sound{*sound, g711 ? 8000U : 16000U, 1};
  }
  return tracks;
}

Negotiated chosen_of(const SdpOffer& offer, const CameraTracks& tracks) {
  auto chosen = negotiate(offer, tracks);
  EXPECT_TRUE(chosen) << chosen.error().to_string();
  return chosen ? *chosen : Negotiated{};
}

AnswerOptions options() {
  AnswerOptions made;
  made.session_id = 4711;
  made.ice = {"OursOursOurs", base::Secret("ourPasswordOurPassword12")};
  made.fingerprint = {Fingerprint::Hash::kSha256, base::ByteVector(32, std::byte{0xAB})};
  made.candidates = {"candidate:1 1 udp 2130706431 192.0.2.7 8555 typ host"};
  made.stream = "front";
  made.cname = "miharu-cname";
  made.video_ssrc = 1001;
  made.rtx_ssrc = 1002;
  made.sound_ssrc = 1003;
  return made;
}

std::string answer_to(const SdpOffer& offer, const CameraTracks& tracks) {
  return write_answer(offer, chosen_of(offer, tracks), options());
}

// The text of the n-th m= section, 0 for what is before the first one.
std::string section(const std::string& text, size_t n) {
  size_t begin = 0;
  for (size_t i = 0; i < n; ++i) begin = text.find("\r\nm=", begin) + 2;
  const size_t end = text.find("\r\nm=", begin);
  return text.substr(begin, end == std::string::npos ? end : end + 2 - begin);
}

size_t count(const std::string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST(SdpAnswer, TheNearestProfileIsChosen) {
  struct Case {
    const char* offer;
    uint32_t profile;
    int type;
    int rtx;
  };
  for (const Case& c : {
           Case{"chromium-156", 0x42001f, 102, 103},
           Case{"chromium-156", 0x42e01f, 108, 109},
           Case{"chromium-156", 0x42c028, 108, 109},  // constrained baseline by constraint_set1
           Case{"chromium-156", 0x4d0029, 116, 117},  // main, of a higher level
           Case{"chromium-156", 0x640029, 116, 117},  // high: main is nearer than 4:4:4
           Case{"chromium-156", 0xf4001f, 41, 42},
           Case{"firefox-form", 0x640029, 126, 127},
           Case{"firefox-form", 0x42e01f, 126, 127},
           Case{"safari-form", 0x640029, 96, 97},
           Case{"safari-form", 0x42e01f, 98, 99},
           Case{"pion-4.0", 0x640029, 112, 113},
           Case{"pion-4.0", 0x4d001f, 127, 125},
           Case{"aiortc-1.16", 0x640029, 99, 100},
       }) {
    const Negotiated chosen = chosen_of(offer_of(offer_text(c.offer)), camera(c.profile));
    EXPECT_EQ(chosen.video.payload_type, c.type) << c.offer << fmt::format(" {:06x}", c.profile);
    ASSERT_TRUE(chosen.video.rtx_payload_type);
    EXPECT_EQ(*chosen.video.rtx_payload_type, c.rtx) << c.offer << fmt::format(" {:06x}", c.profile);
  }
}

TEST(SdpAnswer, OfTwoProfilesEquallyNearTheGreaterIsChosen) {
  const std::string text = replaced(kSmallOffer, "SAVPF 96", "SAVPF 96 97") +
                           "a=fmtp:96 profile-level-id=42001f\r\na=rtpmap:97 H264/90000\r\n"
                           "a=fmtp:97 packetization-mode=1;profile-level-id=640c1f\r\n";
  EXPECT_EQ(chosen_of(offer_of(text), camera(0x4d001f)).video.payload_type, 97);
}

TEST(SdpAnswer, WithoutAProfile42e01fCounts) {
  const SdpOffer offer = offer_of(kSmallOffer + "a=fmtp:96 profile-level-id=42<01f\r\n");
  EXPECT_THAT(
      answer_to(offer, camera(0x640029)),
      HasSubstr("a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"));
}

TEST(SdpAnswer, Mode0OnlyWhereThereIsNothingElse) {
  const SdpOffer offer = offer_of(replaced(kSmallOffer, "packetization-mode=1", "profile-level-id=42e01f"));
  EXPECT_THAT(answer_to(offer, camera(0x42e01f)), HasSubstr(";packetization-mode=0;"));
}

TEST(SdpAnswer, NoH264NamesTheCodecsOfBothSides) {
  const SdpOffer offer = offer_of(replaced(offer_text("firefox-form"), " H264/90000", " H265/90000"));
  const auto chosen = negotiate(offer, camera(0x42e01f));
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().code, base::Errc::kUnsupported);
  EXPECT_EQ(chosen.error().text, "the camera sends h264, the viewer offers VP8, VP9, H265");

  const auto sound_only = negotiate(offer_of(replaced(kSmallOffer, "m=video", "m=audio")), camera(0x42e01f));
  ASSERT_FALSE(sound_only);
  EXPECT_THAT(sound_only.error().text, HasSubstr("no picture to receive"));
}

TEST(SdpAnswer, AViewerThatDoesNotReceiveIsRefused) {
  for (const char* direction : {"sendonly", "inactive"}) {
    const auto chosen = negotiate(offer_of(kSmallOffer + "a=" + direction + "\r\n"), camera(0x42e01f));
    ASSERT_FALSE(chosen) << direction;
    EXPECT_EQ(chosen.error().code, base::Errc::kUnsupported);
  }
}

TEST(SdpAnswer, RtxOnlyWithNacks) {
  const std::string with_rtx =
      replaced(kSmallOffer, "SAVPF 96", "SAVPF 96 97") + "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
  EXPECT_FALSE(chosen_of(offer_of(with_rtx), camera(0x42e01f)).video.rtx_payload_type);
  const Negotiated chosen = chosen_of(offer_of(with_rtx + "a=rtcp-fb:96 nack\r\n"), camera(0x42e01f));
  EXPECT_EQ(chosen.video.rtx_payload_type, 97);
  EXPECT_TRUE(chosen.video.nack);
  EXPECT_FALSE(chosen.video.nack_pli);
}

TEST(SdpAnswer, Sound) {
  struct Case {
    const char* offer;
    Codec codec;
    Codec sent;
    int type;
    const char* rtpmap;
  };
  for (const Case& c : {
           Case{"chromium-156", Codec::kPcmu, Codec::kPcmu, 0, "a=rtpmap:0 PCMU/8000\r\n"},
           Case{"chromium-156", Codec::kPcma, Codec::kPcma, 8, "a=rtpmap:8 PCMA/8000\r\n"},
           Case{"chromium-156", Codec::kOpus, Codec::kOpus, 111, "a=rtpmap:111 opus/48000/2\r\n"},
           Case{"chromium-156", Codec::kAac, Codec::kOpus, 111, "a=rtpmap:111 opus/48000/2\r\n"},
           Case{"firefox-form", Codec::kAac, Codec::kOpus, 109, "a=rtpmap:109 opus/48000/2\r\n"},
           Case{"safari-form", Codec::kPcma, Codec::kPcma, 8, "a=rtpmap:8 PCMA/8000\r\n"},
           Case{"aiortc-1.16", Codec::kOpus, Codec::kOpus, 96, "a=rtpmap:96 opus/48000/2\r\n"},
           Case{"pion-4.0", Codec::kPcmu, Codec::kPcmu, 0, "a=rtpmap:0 PCMU/8000\r\n"},
       }) {
    const SdpOffer offer = offer_of(offer_text(c.offer));
    const Negotiated chosen = chosen_of(offer, camera(0x42e01f, c.codec));
    ASSERT_TRUE(chosen.sound) << c.offer;
    EXPECT_EQ(chosen.sound->codec, c.sent);
    EXPECT_EQ(chosen.sound->payload_type, c.type);
    EXPECT_EQ(chosen.bundle.size(), 2U);
    const std::string text = section(write_answer(offer, chosen, options()), chosen.sound->media + 1);
    EXPECT_THAT(text, HasSubstr(c.rtpmap));
    EXPECT_THAT(text, HasSubstr(fmt::format("m=audio 9 UDP/TLS/RTP/SAVPF {}\r\n", c.type)));
    EXPECT_THAT(text, HasSubstr("a=ssrc:1003 cname:miharu-cname\r\n"));
  }
}

TEST(SdpAnswer, SoundThatIsNotOfferedIsRejected) {
  const SdpOffer offer =
      offer_of(replaced(offer_text("firefox-form"), "a=rtpmap:109 opus/48000/2", "a=rtpmap:109 speex/32000"));
  for (const Codec codec : {Codec::kAac, Codec::kOpus})
    EXPECT_FALSE(chosen_of(offer, camera(0x42e01f, codec)).sound);
  CameraTracks wide = camera(0x42e01f, Codec::kPcmu);
  wide.sound->sample_rate = 16000;
  EXPECT_FALSE(chosen_of(offer, wide).sound);
}

TEST(SdpAnswer, TheWholeText) {
  const SdpOffer offer = offer_of(offer_text("firefox-form"));
  const std::string fingerprint = options().fingerprint.to_string();
  const std::string transport =
      "a=ice-ufrag:OursOursOurs\r\na=ice-pwd:ourPasswordOurPassword12\r\n"
      "a=ice-options:trickle\r\na=fingerprint:" +
      fingerprint + "\r\na=setup:passive\r\n";
  EXPECT_EQ(answer_to(offer, camera(0x640029)),
            "v=0\r\no=- 4711 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
            "a=group:BUNDLE 0\r\na=msid-semantic:WMS front\r\n"
            "m=video 9 UDP/TLS/RTP/SAVPF 126 127\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n" +
                transport +
                "a=candidate:1 1 udp 2130706431 192.0.2.7 8555 typ host\r\na=end-of-candidates\r\n"
                "a=sendonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"
                "a=rtpmap:126 H264/90000\r\n"
                "a=rtcp-fb:126 nack\r\na=rtcp-fb:126 nack pli\r\na=rtcp-fb:126 ccm fir\r\n"
                "a=fmtp:126 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
                "a=rtpmap:127 rtx/90000\r\na=fmtp:127 apt=126\r\n"
                "a=msid:front front-video\r\na=ssrc-group:FID 1001 1002\r\n"
                "a=ssrc:1001 cname:miharu-cname\r\na=ssrc:1002 cname:miharu-cname\r\n"
                "m=audio 0 UDP/TLS/RTP/SAVPF 109 9 0 8 101\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n" +
                transport +
                "a=inactive\r\na=rtcp-mux\r\n"
                "a=rtpmap:109 OPUS/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n"
                "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 TELEPHONE-EVENT/8000\r\n");
}

TEST(SdpAnswer, AsManyMediaInTheSameOrder) {
  for (const char* name : test::kOffers) {
    const SdpOffer offer = offer_of(offer_text(name));
    const std::string text = answer_to(offer, camera(0x4d001f, Codec::kAac));
    ASSERT_EQ(count(text, "\r\nm="), offer.media.size()) << name;
    for (size_t i = 0; i < offer.media.size(); ++i) {
      const std::string part = section(text, i + 1);
      EXPECT_TRUE(part.starts_with("m=" + offer.media[i].kind + " ")) << part;
      EXPECT_THAT(part, HasSubstr("a=mid:" + offer.media[i].mid + "\r\n"));
    }
    // It is a description by our own reading too, and says what was chosen.
    const SdpOffer back = offer_of(text);
    EXPECT_THAT(back.bundles, ElementsAre(testing::SizeIs(2)));
    EXPECT_EQ(count(text, "a=candidate:"), 1U) << "in the tagged media only";
  }
}

TEST(SdpAnswer, WhenTheFirstOfTheBundleIsRejectedTheNextHasTheTransport) {
  // Each media with credentials of its own, as before bundling is agreed on.
  std::string text = offer_text("safari-form");
  const size_t video = text.find("m=video");
  text = text.substr(0, video) + replaced(text.substr(video), "//pY", "vvvv");
  const SdpOffer offer = offer_of(text);

  const Negotiated silent = chosen_of(offer, camera(0x42e01f));
  EXPECT_THAT(silent.bundle, ElementsAre(1));
  EXPECT_EQ(silent.ice.ufrag, "vvvv");
  const std::string answer = write_answer(offer, silent, options());
  EXPECT_THAT(answer, HasSubstr("a=group:BUNDLE 1\r\n"));
  EXPECT_THAT(section(answer, 1), HasSubstr("m=audio 0 "));
  EXPECT_THAT(section(answer, 2), HasSubstr("a=candidate:"));

  const Negotiated both = chosen_of(offer, camera(0x42e01f, Codec::kOpus));
  EXPECT_THAT(both.bundle, ElementsAre(0, 1));
  EXPECT_EQ(both.ice.ufrag, "//pY");
  EXPECT_THAT(section(write_answer(offer, both, options()), 1), HasSubstr("a=candidate:"));
}

TEST(SdpAnswer, BundleOnlyMediaHaveTheTransportOfTheFirst) {
  const std::string text = replaced(kSmallOffer, "t=0 0\r\n", "t=0 0\r\na=group:BUNDLE a v\r\n");
  const size_t m = text.find("m=video");
  const size_t credentials = text.find("a=ice-ufrag");
  const std::string own = text.substr(credentials, m - credentials);
  const SdpOffer offer =
      offer_of(text.substr(0, credentials) + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=rtcp-mux\r\n" +
               own + "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n" +
               replaced(text.substr(m), "m=video 9", "m=video 0") + "a=mid:v\r\na=bundle-only\r\n");
  const Negotiated chosen = chosen_of(offer, camera(0x42e01f));
  EXPECT_EQ(chosen.video.media, 1U);
  EXPECT_EQ(chosen.ice.ufrag, "abcd");
  EXPECT_EQ(chosen.candidates.size(), 1U);
  EXPECT_TRUE(chosen.end_of_candidates);
}

TEST(SdpAnswer, WithoutBundleThePictureAloneIsSent) {
  const SdpOffer offer = offer_of(replaced(offer_text("chromium-156"), "a=group:BUNDLE 0 1\r\n", ""));
  const Negotiated chosen = chosen_of(offer, camera(0x42e01f, Codec::kOpus));
  EXPECT_FALSE(chosen.sound);
  EXPECT_THAT(chosen.bundle, IsEmpty());
  const std::string answer = write_answer(offer, chosen, options());
  EXPECT_THAT(answer, Not(HasSubstr("a=group")));
  EXPECT_THAT(answer, HasSubstr("m=audio 0 "));
}

TEST(SdpAnswer, OnlyOnePictureIsAnswered) {
  const SdpOffer offer =
      offer_of(kSmallOffer + "a=mid:0\r\n" + kSmallOffer.substr(kSmallOffer.find("m=")) + "a=mid:1\r\n");
  const std::string answer = answer_to(offer, camera(0x42e01f));
  EXPECT_THAT(section(answer, 1), HasSubstr("m=video 9 "));
  EXPECT_THAT(section(answer, 2), HasSubstr("m=video 0 "));
}

TEST(SdpAnswer, ExtensionsThatAreUsed) {
  const std::string text =
      replaced(offer_text("chromium-156"), "a=extmap:1 urn:ietf:params:rtp-hdrext:toffset",
               "a=extmap:1 " + std::string(kCaptureTimeUri));
  const SdpOffer offer = offer_of(text);
  const Negotiated chosen = chosen_of(offer, camera(0x42e01f));
  EXPECT_EQ(chosen.video.capture_time_id, 1);
  EXPECT_EQ(count(write_answer(offer, chosen, options()), "a=extmap:"), 1U);
  // Its id would need the two-byte form.
  const SdpOffer high = offer_of(replaced(text, "a=extmap:1 http", "a=extmap:15 http"));
  EXPECT_EQ(chosen_of(high, camera(0x42e01f)).video.capture_time_id, 0);
}

TEST(SdpAnswer, IceLiteOnlyWhenTold) {
  const SdpOffer offer = offer_of(kSmallOffer);
  AnswerOptions made = options();
  EXPECT_THAT(write_answer(offer, chosen_of(offer, camera(0x42e01f)), made), Not(HasSubstr("ice-lite")));
  made.ice_lite = true;
  EXPECT_THAT(section(write_answer(offer, chosen_of(offer, camera(0x42e01f)), made), 0),
              HasSubstr("a=ice-lite\r\n"));
}

TEST(SdpAnswer, TransportsThatCannotBeOurs) {
  struct Case {
    const char* from;
    const char* to;
    base::Errc code;
    const char* text;
  };
  using base::Errc;
  for (const Case& c : {
           Case{"a=rtcp-mux\r\n", "", Errc::kUnsupported, "rtcp-mux"},
           Case{"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=setup:passive\r\n", Errc::kUnsupported, "setup"},
           Case{"a=rtcp-mux\r\n", "a=rtcp-mux\r\na=setup:holdconn\r\n", Errc::kUnsupported, "setup"},
           Case{"a=fingerprint:sha-256", "a=fingerprint:sha-1", Errc::kUnsupported, "older"},
           Case{"a=fingerprint:", "a=print:", Errc::kMalformed, "no fingerprint"},
           Case{"a=ice-", "a=ace-", Errc::kMalformed, "ice-ufrag"},
           Case{"UDP/TLS/RTP/SAVPF", "RTP/AVP", Errc::kUnsupported, "the viewer offers H264"},
       }) {
    const auto chosen = negotiate(offer_of(replaced(kSmallOffer, c.from, c.to)), camera(0x42e01f));
    ASSERT_FALSE(chosen) << c.text;
    EXPECT_EQ(chosen.error().code, c.code) << c.text;
    EXPECT_THAT(chosen.error().text, HasSubstr(c.text));
  }
}

TEST(CameraTracks, OfConfigurations) {
  media::TrackConfig video;
  video.codec_string = "avc1.64002A";
  EXPECT_EQ(CameraTracks::of(video, nullptr).profile_level_id, 0x64002aU);
  EXPECT_FALSE(CameraTracks::of(video, nullptr).sound);
  video.codec_string = "avc1";
  media::TrackConfig sound;
  sound.codec = Codec::kPcma;
  sound.sample_rate = 8000;
  sound.channels = 1;
  const CameraTracks tracks = CameraTracks::of(video, &sound);
  EXPECT_EQ(tracks.profile_level_id, 0x42e01fU);
  ASSERT_TRUE(tracks.sound);
  EXPECT_EQ(tracks.sound->codec, Codec::kPcma);
  EXPECT_EQ(tracks.sound->sample_rate, 8000U);
}

}  // namespace
}  // namespace miharu::webrtc
