// Lines of candidates and of credentials, as a viewer's description or trickled fragment has them.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "webrtc/ice_candidate.h"
#include "webrtc/ice_credentials.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)webrtc::owner_of_ufrag(text);
  (void)webrtc::check_ice_credentials({std::string(text), base::Secret(std::string(text))});
  const auto candidate = webrtc::parse_candidate(text);
  if (!candidate) {
    if (candidate.error().offset > static_cast<int64_t>(size)) std::abort();
    return 0;
  }
  if (!*candidate) return 0;
  if (!webrtc::is_usable((*candidate)->address)) std::abort();
  const auto again = webrtc::parse_candidate(webrtc::format_candidate(**candidate));
  if (!again || !*again || (*again)->address != (*candidate)->address ||
      (*again)->type != (*candidate)->type || (*again)->priority != (*candidate)->priority ||
      (*again)->foundation != (*candidate)->foundation)
    std::abort();
  return 0;
}
