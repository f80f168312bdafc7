// A viewer's offer: what a browser's session description (RFC 8866, RFC 9429) says about transport and
// codecs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "media/sdp.h"
#include "webrtc/fingerprint.h"
#include "webrtc/ice_credentials.h"
#include "webrtc/sdp_lines.h"

namespace miharu::webrtc {

// Caps beside those of sdp_lines.h: what goes past them is kLimit.
inline constexpr size_t kMaxOfferMedia = 32;
inline constexpr size_t kMaxOfferCandidates = 128;  // of all media; more are left out, checks find the rest
inline constexpr size_t kMaxOfferFingerprints = 8;  // of the session, and of each media
inline constexpr size_t kMaxMidBytes = 64;

enum class SdpSetup : uint8_t { kUnspecified, kActpass, kActive, kPassive, kHoldconn };  // RFC 4145

// Of the session or of one media; each may say what the other does not (RFC 8829 section 5.8).
struct SdpTransport {
  std::optional<IceCredentials> ice;      // checked by check_ice_credentials
  std::vector<Fingerprint> fingerprints;  // those with SHA-256 and better; any one of them is enough
  bool weak_fingerprint = false;          // there was one by an older hash
  SdpSetup setup = SdpSetup::kUnspecified;
};

struct OfferFormat {
  uint8_t payload_type = 0;  // 0..127
  std::string encoding;  // upper case: "H264", "RTX"; of PCMU and PCMA also without an rtpmap; may be empty
  uint32_t clock_rate = 0;
  uint32_t channels = 1;
  std::map<std::string, std::string> parameters;  // fmtp; keys in lower case
  bool nack = false;                              // rtcp-fb (RFC 4585, RFC 5104), also by "*"
  bool nack_pli = false;
  bool ccm_fir = false;

  [[nodiscard]] std::string_view parameter(std::string_view key) const;  // empty when there is none
};

struct OfferMedia {
  std::string kind;                  // "video", "audio", "application": a token, lower case
  std::string protocol;              // "UDP/TLS/RTP/SAVPF": tokens with slashes
  std::string formats_text;          // as on the m= line: tokens with blanks
  std::vector<OfferFormat> formats;  // empty when the protocol is not RTP
  std::string mid;                   // a token; empty when there is none
  bool rejected = false;             // port 0 without bundle-only: not to be used
  media::SdpDirection direction = media::SdpDirection::kSendRecv;
  bool rtcp_mux = false;
  bool rtcp_rsize = false;
  SdpTransport transport;  // of the media alone: transport_of() adds the session's
  // Ids of header extensions (RFC 8285), 1..255; 0: not offered, or not in a direction that is of use.
  uint8_t capture_time_id = 0;
  uint8_t mid_id = 0;
  std::vector<std::string> candidates;  // "candidate:...", not looked at
  bool end_of_candidates = false;

  [[nodiscard]] bool is_rtp() const { return !formats.empty(); }
  // The viewer would take what we send.
  [[nodiscard]] bool receives() const {
    return !rejected &&
           (direction == media::SdpDirection::kSendRecv || direction == media::SdpDirection::kRecvOnly);
  }
};

struct SdpOffer {
  std::vector<std::vector<std::string>> bundles;  // mids of each a=group:BUNDLE, in order
  SdpTransport session;
  bool ice_lite = false;
  bool trickle = false;  // a=ice-options
  std::vector<OfferMedia> media;

  [[nodiscard]] std::optional<size_t> index_of(std::string_view mid) const;
  // Each of its parts from the media, else from the session.
  [[nodiscard]] SdpTransport transport_of(size_t index) const;
};

// Unknown lines and attributes are skipped; what we use must be well-formed. Errors name the line and have
// its offset: kLimit, kMalformed, kTruncated (no m= line at all). Nothing of the text is in an error.
base::Result<SdpOffer> parse_offer(std::string_view text);

inline constexpr std::string_view kCaptureTimeUri =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
inline constexpr std::string_view kMidUri = "urn:ietf:params:rtp-hdrext:sdes:mid";

}  // namespace miharu::webrtc
