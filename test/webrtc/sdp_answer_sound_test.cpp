#include <gtest/gtest.h>

#include <string>

#include "webrtc/sdp_answer.h"

namespace miharu::webrtc {
namespace {

// What a browser offers for sound.
SdpOffer browser_offer() {
  const std::string media =
      "c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"
      "a=fingerprint:sha-256 "
      "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
      "a=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\n";
  const std::string text =
      "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
      "m=video 9 UDP/TLS/RTP/SAVPF 102\r\n" +
      media +
      "a=mid:0\r\na=rtpmap:102 H264/90000\r\n"
      "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n"
      "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\n" +
      media + "a=mid:1\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";
  auto offer = parse_offer(text);
  EXPECT_TRUE(offer.has_value());
  return offer ? *offer : SdpOffer{};
}

std::optional<Negotiated::Sound> sound_for(media::Codec codec, uint32_t rate, uint32_t channels) {
  CameraTracks camera;
  camera.sound = CameraTracks::Sound{codec, rate, channels};
  auto chosen = negotiate(browser_offer(), camera);
  EXPECT_TRUE(chosen.has_value());
  return chosen ? chosen->sound : std::nullopt;
}

TEST(SdpAnswerSound, G711OfEightKilohertzPasses) {
  for (const auto codec : {media::Codec::kPcmu, media::Codec::kPcma}) {
    const auto sound = sound_for(codec, 8000, 1);
    ASSERT_TRUE(sound);
    EXPECT_EQ(sound->codec, codec);
    EXPECT_EQ(sound->clock_rate, 8000U);
  }
}

// A browser would play it at half the pitch, or as one channel.
TEST(SdpAnswerSound, G711OfOtherShapesIsRefusedAndThePictureStays) {
  for (const auto codec : {media::Codec::kPcmu, media::Codec::kPcma}) {
    EXPECT_FALSE(sound_for(codec, 16000, 1));
    EXPECT_FALSE(sound_for(codec, 8000, 2));
  }
}

}  // namespace
}  // namespace miharu::webrtc
