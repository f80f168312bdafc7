// Offers of browsers and libraries (test/data/webrtc), and changes to them.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "support/data_path.h"
#include "webrtc/sdp_offer.h"

namespace miharu::test {

inline constexpr const char* kOffers[] = {"chromium-156", "firefox-form", "safari-form", "aiortc-1.16",
                                          "pion-4.0"};

inline std::string offer_text(std::string_view name) {
  std::ifstream file(data_path("webrtc/" + std::string(name) + ".sdp"), std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(text.empty()) << name;
  return text;
}

// Every `from`, of which there must be one at least.
inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  for (; at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
  return text;
}

inline webrtc::SdpOffer offer_of(std::string_view text) {
  auto offer = webrtc::parse_offer(text);
  EXPECT_TRUE(offer) << offer.error().to_string();
  return offer ? *offer : webrtc::SdpOffer{};
}

// The least that is an offer, of a viewer with an old and terse tongue.
inline const std::string kSmallOffer =
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
    "a=fingerprint:sha-256 "
    "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1\r\n";

}  // namespace miharu::test
