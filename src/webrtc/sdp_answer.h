// What of an offer a camera can fulfil, and the answer that says so (RFC 9429 section 5.3, RFC 9143
// bundling).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "media/track.h"
#include "webrtc/sdp_offer.h"

namespace miharu::webrtc {

struct CameraTracks {
  media::Codec video = media::Codec::kH264;
  uint32_t profile_level_id = 0x42e01f;  // of the SPS, as in an fmtp: profile, constraints, level
  struct Sound {
    media::Codec codec = media::Codec::kAac;
    uint32_t sample_rate = 0;
    uint32_t channels = 1;
  };
  std::optional<Sound> sound;

  static CameraTracks of(const media::TrackConfig& video, const media::TrackConfig* sound);
};

struct Negotiated {
  struct Video {
    size_t media = 0;  // index into SdpOffer::media
    uint8_t payload_type = 0;
    std::optional<uint8_t> rtx_payload_type;  // offered, and so are NACKs
    bool nack = false;
    bool nack_pli = false;
    bool ccm_fir = false;
    uint8_t capture_time_id = 0;  // 1..14, so that the one-byte form of RFC 8285 does; 0: not offered
  };
  struct Sound {
    size_t media = 0;
    media::Codec codec = media::Codec::kOpus;  // what is sent: kPcmu, kPcma or kOpus (for kAac too)
    uint8_t payload_type = 0;
    uint32_t clock_rate = 48000;
    uint32_t channels = 2;  // as in the rtpmap
    uint8_t capture_time_id = 0;
  };
  Video video;
  std::optional<Sound> sound;
  std::vector<size_t> bundle;  // media of the one transport; the first is the tagged one; empty: no BUNDLE
  size_t tagged = 0;           // the media whose transport it is, bundled or not
  // The viewer's end.
  IceCredentials ice;
  bool ice_lite = false;
  std::vector<Fingerprint> fingerprints;  // not empty: one of them must be the certificate's
  std::vector<std::string> candidates;
  bool end_of_candidates = false;
};

// H.264: of the payload types with packetization-mode=1 the one whose profile is nearest to the camera's;
// where profiles are not told, 42e01f counts; mode 0 only when there is nothing else. We send anyway:
// decoders take more than they say. Sound only where its codec is offered in the bundle of the picture.
// Everything else is rejected. Errors: kUnsupported when no H.264 is offered (the text names the codecs of
// both sides), or the transport cannot be ours: no rtcp-mux, setup:passive, an old fingerprint. kMalformed
// when credentials or a fingerprint lack.
base::Result<Negotiated> negotiate(const SdpOffer& offer, const CameraTracks& camera);

struct AnswerOptions {
  uint64_t session_id = 0;  // of the o= line: random, below 2^63
  uint64_t version = 1;
  IceCredentials ice;
  bool ice_lite = false;
  Fingerprint fingerprint;
  std::vector<std::string> candidates;  // "candidate:..." as format_candidate() makes them; all of them
  std::string stream;                   // msid of both tracks, a token: the camera's name
  std::string cname;
  uint32_t video_ssrc = 0;
  uint32_t rtx_ssrc = 0;  // used when rtx was chosen
  uint32_t sound_ssrc = 0;
};

// `offer` is the one of `chosen`.
std::string write_answer(const SdpOffer& offer, const Negotiated& chosen, const AnswerOptions& options);

}  // namespace miharu::webrtc
