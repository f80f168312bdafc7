// Offers of viewers, and what is answered to them.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "webrtc/sdp_answer.h"

namespace {

using namespace miharu;

webrtc::AnswerOptions options() {
  webrtc::AnswerOptions made;
  made.ice = {"OursOursOurs", base::Secret("ourPasswordOurPassword12")};
  made.fingerprint.digest = base::ByteVector(32);
  made.candidates = {"candidate:1 1 udp 2130706431 192.0.2.7 8555 typ host"};
  made.stream = "front";
  made.cname = "cname";
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto offer = webrtc::parse_offer(text);
  if (!offer) {
    if (offer.error().offset < 0 || offer.error().offset > static_cast<int64_t>(size)) std::abort();
    return 0;
  }
  for (const auto codec : {media::Codec::kPcmu, media::Codec::kPcma, media::Codec::kAac}) {
    webrtc::CameraTracks camera;
    camera.profile_level_id = 0x64001f;
    camera.sound = webrtc::CameraTracks::Sound{codec, 8000, 1};
    const auto chosen = webrtc::negotiate(*offer, camera);
    if (!chosen) continue;
    // Nothing that was offered may break the answer: it has as many media, and is a description itself. The
    // caps are those of offers: an answer has our transport in each media, and may be longer.
    const std::string answer = webrtc::write_answer(*offer, *chosen, options());
    const auto lines = static_cast<size_t>(std::count(answer.begin(), answer.end(), '\n'));
    if (answer.size() > webrtc::kMaxSdpTextBytes || lines > webrtc::kMaxSdpTextLines) continue;
    const auto back = webrtc::parse_offer(answer);
    if (!back || back->media.size() != offer->media.size()) std::abort();
    for (size_t i = 0; i < back->media.size(); ++i) {
      const auto& one = back->media[i];
      if (one.kind != offer->media[i].kind || one.mid != offer->media[i].mid) std::abort();
      const bool sent = i == chosen->video.media || (chosen->sound && i == chosen->sound->media);
      if (one.rejected == sent) std::abort();
    }
  }
  return 0;
}
