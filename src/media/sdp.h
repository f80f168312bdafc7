// Session descriptions of cameras (RFC 8866, RFC 2326 appendix C), read line by line and leniently (quirks
// S1..S10).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "media/track.h"

namespace miharu::media {

// Caps: what goes past them is ignored, but a text above kMaxSdpBytes is refused.
inline constexpr size_t kMaxSdpBytes = 1 << 20;
inline constexpr size_t kMaxSdpMedia = 1000;
inline constexpr size_t kMaxSdpFormats = 64;     // a media
inline constexpr size_t kMaxSdpParameters = 64;  // an fmtp

struct SdpFormat {
  uint8_t payload_type = 0;
  std::string
      encoding;  // upper case: "H264", "MPEG4-GENERIC", "PCMU", "OPUS"; empty when nothing says what it is
  uint32_t clock_rate = 0;  // 0: unusable
  uint32_t channels = 0;    // audio; as the rtpmap says, 1 when it says nothing; AAC: the config knows better
  std::map<std::string, std::string>
      parameters;  // fmtp; keys in lower case, values as they are ("" without =)
};

enum class SdpDirection : uint8_t { kUnspecified, kSendRecv, kSendOnly, kRecvOnly, kInactive };

struct SdpMedia {
  std::string kind;      // lower case: "video", "audio", "application"
  std::string protocol;  // "RTP/AVP"
  std::string control;   // last a=control of the media, empty when there is none
  SdpDirection direction = SdpDirection::kUnspecified;
  bool back_channel = false;  // quirk S7: sound to the camera; not for SETUP by a recorder
  std::vector<SdpFormat>
      formats;  // in the order of the m= line; those that are not numbers 0..127 are left out
};

struct Sdp {
  std::string name;     // s=
  std::string tool;     // a=tool
  std::string control;  // a=control of the session, empty when there is none
  std::vector<SdpMedia> media;
  std::vector<std::string> oddities;  // ids of the quirks that were met, each once: "S3", "S7"
};

// Fails only on a text that is too large or has no m= line at all. Media that nobody can use are kept, so
// that a person can be told: see choose_format.
base::Result<Sdp> parse_sdp(std::string_view text);

// The formats that we record.
struct SdpChoice {
  SdpFormat format;
  Codec codec = Codec::kH264;
};
// The first format of the media that we can depacketize. The error (kUnsupported) names what was offered and
// why not.
base::Result<SdpChoice> choose_format(const SdpMedia& media);

// What relative controls are appended to: Content-Base, else Content-Location, else the URL of the request
// (RFC 2326 C.1.1), repaired (quirk R5): missing or doubled scheme, IPv6 without brackets. Credentials are
// removed. Header values may be empty. The host may differ from ours: send the URL, but never connect to it.
std::string sdp_base_url(std::string_view request_url, std::string_view content_base,
                         std::string_view content_location);
// Quirk R6: absolute as is, empty or "*" = the base, else appended with exactly one slash; never RFC 3986
// resolution.
std::string sdp_control_url(std::string_view base_url, std::string_view control);
// What PLAY, GET_PARAMETER and TEARDOWN of the whole session go to.
std::string sdp_aggregate_url(std::string_view base_url, const Sdp& sdp);

}  // namespace miharu::media
