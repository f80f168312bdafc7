// Trickle fragments of viewers.
#include <cstdlib>
#include <string_view>

#include "webrtc/trickle_fragment.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto fragment = webrtc::parse_fragment(text);
  if (!fragment) {
    if (fragment.error().offset < 0 || fragment.error().offset > static_cast<int64_t>(size)) std::abort();
    return 0;
  }
  const std::string mid = fragment->media.empty() ? "" : fragment->media.front().mid;
  const auto candidates = fragment->candidates_of(mid);
  (void)fragment->ended(mid);
  if (!fragment->ice) return 0;
  const std::string written = webrtc::write_fragment(*fragment->ice, "video", mid, candidates, true);
  if (written.size() > webrtc::kMaxSdpTextBytes) return 0;
  const auto back = webrtc::parse_fragment(written);
  if (!back || back->ice->ufrag != fragment->ice->ufrag || back->candidates_of(mid) != candidates ||
      !back->ended(mid)) {
    std::abort();
  }
  return 0;
}
