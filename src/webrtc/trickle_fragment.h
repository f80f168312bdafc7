// application/trickle-ice-sdpfrag (RFC 8840 section 9): candidates that come after the offer, and ICE
// restarts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "webrtc/ice_credentials.h"
#include "webrtc/sdp_lines.h"

namespace miharu::webrtc {

inline constexpr std::string_view kTrickleContentType = "application/trickle-ice-sdpfrag";
inline constexpr size_t kMaxFragmentMedia = 32;
inline constexpr size_t kMaxFragmentCandidates = 128;  // of all media; more are left out

struct TrickleFragment {
  struct Media {
    std::string mid;                      // a token; empty when the fragment has none
    std::vector<std::string> candidates;  // "candidate:...", not looked at
    bool end_of_candidates = false;
  };
  std::optional<IceCredentials> ice;  // of the fragment, else of its first media that has any; checked
  std::vector<Media> media;
  bool end_of_candidates = false;  // of all media

  // Candidates of the media of that mid, and of those without any.
  [[nodiscard]] std::vector<std::string> candidates_of(std::string_view mid) const;
  [[nodiscard]] bool ended(std::string_view mid) const;
};

// Limits and errors are those of parse_offer; a ufrag without its password is kMalformed.
base::Result<TrickleFragment> parse_fragment(std::string_view text);

// What answers a restart: our new credentials, all of our candidates, end-of-candidates. `mid` and `kind` are
// those of the tagged media of the bundle.
std::string write_fragment(const IceCredentials& ice, std::string_view kind, std::string_view mid,
                           const std::vector<std::string>& candidates, bool ice_lite);

}  // namespace miharu::webrtc
