#include "webrtc/sdp_answer.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::webrtc {

using base::Errc;
using base::parse_number;

namespace {

constexpr uint32_t kAssumedProfile = 0x42e01f;  // constrained baseline, level 3.1: what everybody decodes
constexpr uint8_t kMaxOneByteExtensionId = 14;

// Profiles in the order of what they can do (RFC 6184 table 5).
int profile_rank(uint32_t profile_level_id) {
  const uint32_t profile = profile_level_id >> 16;
  const uint32_t constraints = profile_level_id >> 8 & 0xff;
  switch (profile) {
    case 0x42:
      return (constraints & 0x40) != 0 ? 0 : 1;
    case 0x58:  // extended: with constraint_set0 it is baseline
      return (constraints & 0xc0) == 0xc0 ? 0 : 1;
    case 0x4d:
      return (constraints & 0x80) != 0 ? 0 : 2;
    case 0x64:
      return (constraints & 0x0c) == 0x0c ? 3 : 4;
    case 0x6e:
      return 5;
    case 0x7a:
      return 6;
    case 0xf4:
      return 7;
    default:
      return 8;
  }
}

bool is_h264(const OfferFormat& format) {
  return format.encoding == "H264" && format.clock_rate == 90000;
}

uint32_t profile_level_id_of(const OfferFormat& format) {
  const std::string_view text = format.parameter("profile-level-id");
  return text.size() == 6 ? parse_number<uint32_t>(text, 16).value_or(kAssumedProfile) : kAssumedProfile;
}

bool is_mode_1(const OfferFormat& format) {
  return format.parameter("packetization-mode") == "1";
}

// Smaller is better; the viewer's own order decides between equals.
auto misfit(const OfferFormat& format, uint32_t camera) {
  const uint32_t offered = profile_level_id_of(format);
  const int distance = profile_rank(offered) - profile_rank(camera);
  return std::tuple(!is_mode_1(format), std::abs(distance), distance < 0, (offered & 0xff) < (camera & 0xff));
}

const OfferFormat* choose_h264(const OfferMedia& media, uint32_t camera) {
  const OfferFormat* best = nullptr;
  for (const OfferFormat& format : media.formats) {
    if (is_h264(format) && (best == nullptr || misfit(format, camera) < misfit(*best, camera)))
      best = &format;
  }
  return best;
}

const OfferFormat* rtx_of(const OfferMedia& media, uint8_t payload_type) {
  for (const OfferFormat& format : media.formats) {
    if (format.encoding == "RTX" && parse_number<uint8_t>(format.parameter("apt")) == payload_type)
      return &format;
  }
  return nullptr;
}

const OfferFormat* choose_sound(const OfferMedia& media, const CameraTracks::Sound& sound) {
  for (const OfferFormat& format : media.formats) {
    switch (sound.codec) {
      case media::Codec::kPcmu:
      case media::Codec::kPcma:
        if (format.encoding == (sound.codec == media::Codec::kPcmu ? "PCMU" : "PCMA") &&
            format.clock_rate == sound.sample_rate && format.channels == sound.channels) {
          return &format;
        }
        break;
      case media::Codec::kOpus:
      case media::Codec::kAac:
        // RFC 7587 section 7: always 48000/2, whatever is in it.
        if (format.encoding == "OPUS" && format.clock_rate == 48000 && format.channels == 2) return &format;
        break;
      case media::Codec::kH264:
        break;
    }
  }
  return nullptr;
}

bool is_secure_rtp(const OfferMedia& media) {
  constexpr std::string_view kProtocols[] = {"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF",
                                             "RTP/SAVP"};
  return std::find(std::begin(kProtocols), std::end(kProtocols), media.protocol) != std::end(kProtocols);
}

// For the error: the codecs of all media of that kind, each once, a few of them.
std::string offered_codecs(const SdpOffer& offer, std::string_view kind) {
  constexpr size_t kShown = 8;
  std::vector<std::string_view> names;
  for (const OfferMedia& media : offer.media) {
    if (media.kind != kind || !media.receives()) continue;
    for (const OfferFormat& format : media.formats) {
      constexpr std::string_view kHelpers[] = {"", "RTX", "RED", "ULPFEC", "FLEXFEC-03"};
      if (std::find(std::begin(kHelpers), std::end(kHelpers), format.encoding) != std::end(kHelpers) ||
          std::find(names.begin(), names.end(), format.encoding) != names.end() ||
          format.encoding.size() > 16) {
        continue;
      }
      if (names.size() < kShown) names.push_back(format.encoding);
    }
  }
  return names.empty() ? "no picture to receive" : fmt::format("{}", fmt::join(names, ", "));
}

// The group with this media, as indices of media that exist, in its order.
std::vector<size_t> bundle_with(const SdpOffer& offer, size_t media) {
  for (const auto& mids : offer.bundles) {
    std::vector<size_t> group;
    for (const std::string& mid : mids) {
      const auto index = offer.index_of(mid);
      if (index && std::find(group.begin(), group.end(), *index) == group.end()) group.push_back(*index);
    }
    if (std::find(group.begin(), group.end(), media) != group.end()) return group;
  }
  return {};
}

uint8_t one_byte_id(uint8_t id) {
  return id <= kMaxOneByteExtensionId ? id : uint8_t{0};
}

base::Result<Negotiated::Video> choose_video(const SdpOffer& offer, const CameraTracks& camera) {
  for (size_t i = 0; i < offer.media.size(); ++i) {
    const OfferMedia& media = offer.media[i];
    if (media.kind != "video" || !media.receives() || !is_secure_rtp(media)) continue;
    const OfferFormat* format = choose_h264(media, camera.profile_level_id);
    if (format == nullptr) continue;
    if (!media.rtcp_mux)
      return base::fail(Errc::kUnsupported,
                        "the offer has no rtcp-mux for the picture, and there is one port");
    Negotiated::Video video;
    video.media = i;
    video.payload_type = format->payload_type;
    video.nack = format->nack;
    video.nack_pli = format->nack_pli;
    video.ccm_fir = format->ccm_fir;
    if (const OfferFormat* rtx = rtx_of(media, format->payload_type); rtx && format->nack)
      video.rtx_payload_type = rtx->payload_type;
    video.capture_time_id = one_byte_id(media.capture_time_id);
    return video;
  }
  return base::fail(Errc::kUnsupported,
                    fmt::format("the camera sends {}, the viewer offers {}", media::name_of(camera.video),
                                offered_codecs(offer, "video")));
}

// Only in the bundle of the picture: there is one transport.
std::optional<Negotiated::Sound> choose_sound(const SdpOffer& offer, const CameraTracks::Sound& sound,
                                              const std::vector<size_t>& bundle) {
  for (const size_t index : bundle) {
    const OfferMedia& media = offer.media[index];
    if (media.kind != "audio" || !media.receives() || !is_secure_rtp(media) || !media.rtcp_mux) continue;
    const OfferFormat* format = choose_sound(media, sound);
    if (format == nullptr) continue;
    Negotiated::Sound chosen;
    chosen.media = index;
    chosen.codec = sound.codec == media::Codec::kAac ? media::Codec::kOpus : sound.codec;
    chosen.payload_type = format->payload_type;
    chosen.clock_rate = format->clock_rate;
    chosen.channels = format->channels;
    chosen.capture_time_id = one_byte_id(media.capture_time_id);
    return chosen;
  }
  return std::nullopt;
}

base::Status take_transport(const SdpOffer& offer, size_t suggested, Negotiated& out) {
  SdpTransport transport = offer.transport_of(out.tagged);
  // A media that is bundle-only has no transport of its own: that of the group's first counts.
  const SdpTransport first = offer.transport_of(suggested);
  size_t candidates_of = out.tagged;
  if (!transport.ice) {
    transport.ice = first.ice;
    candidates_of = suggested;
  }
  if (transport.fingerprints.empty() && !transport.weak_fingerprint) {
    transport.fingerprints = first.fingerprints;
    transport.weak_fingerprint = first.weak_fingerprint;
  }
  if (transport.setup == SdpSetup::kUnspecified) transport.setup = first.setup;

  if (!transport.ice) return base::fail(Errc::kMalformed, "the offer has no ice-ufrag and ice-pwd");
  if (transport.fingerprints.empty()) {
    return transport.weak_fingerprint
               ? base::fail(Errc::kUnsupported, "the offer's fingerprint is older than sha-256")
               : base::fail(Errc::kMalformed, "the offer has no fingerprint");
  }
  if (transport.setup == SdpSetup::kPassive || transport.setup == SdpSetup::kHoldconn)
    return base::fail(Errc::kUnsupported,
                      "the offer must let the viewer begin DTLS: setup:actpass or active");
  out.ice = std::move(*transport.ice);
  out.fingerprints = std::move(transport.fingerprints);
  out.candidates = offer.media[candidates_of].candidates;
  out.end_of_candidates = offer.media[candidates_of].end_of_candidates;
  return {};
}

void write_transport(std::string& out, const AnswerOptions& options) {
  out += fmt::format("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=ice-options:trickle\r\n", options.ice.ufrag,
                     options.ice.password.reveal());
  out += fmt::format("a=fingerprint:{}\r\na=setup:passive\r\n", options.fingerprint.to_string());
}

void write_candidates(std::string& out, const std::vector<std::string>& candidates) {
  for (const std::string& candidate : candidates) out += fmt::format("a={}\r\n", candidate);
  out += "a=end-of-candidates\r\n";
}

void write_rtpmap(std::string& out, uint8_t type, std::string_view name, uint32_t rate, uint32_t channels) {
  out += fmt::format("a=rtpmap:{} {}/{}", type, name, rate);
  if (channels > 1) out += fmt::format("/{}", channels);
  out += "\r\n";
}

// Transport and codecs stand here too: aiortc and pion refuse a media without them even where it is rejected.
void write_rejected(std::string& out, const OfferMedia& media, const AnswerOptions& options) {
  out += fmt::format("m={} 0 {} {}\r\nc=IN IP4 0.0.0.0\r\n", media.kind, media.protocol, media.formats_text);
  if (!media.mid.empty()) out += fmt::format("a=mid:{}\r\n", media.mid);
  write_transport(out, options);
  if (!media.is_rtp()) return;
  out += "a=inactive\r\na=rtcp-mux\r\n";
  for (const OfferFormat& format : media.formats) {
    if (!format.encoding.empty())
      write_rtpmap(out, format.payload_type, format.encoding, format.clock_rate, format.channels);
  }
}

void write_extension(std::string& out, uint8_t id, std::string_view uri) {
  if (id != 0) out += fmt::format("a=extmap:{} {}\r\n", id, uri);
}

// The lines of a media that we send, up to its codecs.
void write_media_head(std::string& out, const OfferMedia& media, std::string_view formats,
                      const AnswerOptions& options, bool tagged) {
  out += fmt::format("m={} 9 {} {}\r\nc=IN IP4 0.0.0.0\r\n", media.kind, media.protocol, formats);
  if (!media.mid.empty()) out += fmt::format("a=mid:{}\r\n", media.mid);
  write_transport(out, options);
  if (tagged) write_candidates(out, options.candidates);
  out += "a=sendonly\r\na=rtcp-mux\r\n";
  if (media.rtcp_rsize) out += "a=rtcp-rsize\r\n";
}

void write_video(std::string& out, const OfferMedia& media, const Negotiated& chosen,
                 const AnswerOptions& options) {
  const Negotiated::Video& video = chosen.video;
  const uint8_t type = video.payload_type;
  std::string formats = std::to_string(type);
  if (video.rtx_payload_type) formats += fmt::format(" {}", *video.rtx_payload_type);
  write_media_head(out, media, formats, options, chosen.tagged == video.media);
  write_extension(out, video.capture_time_id, kCaptureTimeUri);
  out += fmt::format("a=rtpmap:{} H264/90000\r\n", type);
  if (video.nack) out += fmt::format("a=rtcp-fb:{} nack\r\n", type);
  if (video.nack_pli) out += fmt::format("a=rtcp-fb:{} nack pli\r\n", type);
  if (video.ccm_fir) out += fmt::format("a=rtcp-fb:{} ccm fir\r\n", type);
  // As offered and not as the camera has it: browsers take an answer only with the profile that they know.
  const auto format = std::find_if(media.formats.begin(), media.formats.end(),
                                   [type](const OfferFormat& f) { return f.payload_type == type; });
  out += fmt::format("a=fmtp:{} level-asymmetry-allowed=1;packetization-mode={};profile-level-id={:06x}\r\n",
                     type, is_mode_1(*format) ? 1 : 0, profile_level_id_of(*format));
  if (video.rtx_payload_type)
    out += fmt::format("a=rtpmap:{0} rtx/90000\r\na=fmtp:{0} apt={1}\r\n", *video.rtx_payload_type, type);
  out += fmt::format("a=msid:{0} {0}-video\r\n", options.stream);
  if (video.rtx_payload_type)
    out += fmt::format("a=ssrc-group:FID {} {}\r\n", options.video_ssrc, options.rtx_ssrc);
  out += fmt::format("a=ssrc:{} cname:{}\r\n", options.video_ssrc, options.cname);
  if (video.rtx_payload_type) out += fmt::format("a=ssrc:{} cname:{}\r\n", options.rtx_ssrc, options.cname);
}

void write_sound(std::string& out, const OfferMedia& media, const Negotiated& chosen,
                 const AnswerOptions& options) {
  const Negotiated::Sound& sound = *chosen.sound;
  write_media_head(out, media, std::to_string(sound.payload_type), options, chosen.tagged == sound.media);
  write_extension(out, sound.capture_time_id, kCaptureTimeUri);
  const char* name =
      sound.codec == media::Codec::kPcmu ? "PCMU" : (sound.codec == media::Codec::kPcma ? "PCMA" : "opus");
  write_rtpmap(out, sound.payload_type, name, sound.clock_rate, sound.channels);
  out += fmt::format("a=msid:{0} {0}-audio\r\n", options.stream);
  out += fmt::format("a=ssrc:{} cname:{}\r\n", options.sound_ssrc, options.cname);
}

}  // namespace

CameraTracks CameraTracks::of(const media::TrackConfig& video, const media::TrackConfig* sound) {
  CameraTracks out;
  out.video = video.codec;
  const std::string_view codec = video.codec_string;
  if (codec.size() == 11 && codec.starts_with("avc1."))
    out.profile_level_id = parse_number<uint32_t>(codec.substr(5), 16).value_or(kAssumedProfile);
  if (sound) out.sound = Sound{sound->codec, sound->sample_rate, sound->channels};
  return out;
}

base::Result<Negotiated> negotiate(const SdpOffer& offer, const CameraTracks& camera) {
  auto video = choose_video(offer, camera);
  if (!video) return tl::unexpected(video.error());
  Negotiated out;
  out.video = *video;
  out.ice_lite = offer.ice_lite;
  const std::vector<size_t> group = bundle_with(offer, video->media);
  if (camera.sound) out.sound = choose_sound(offer, *camera.sound, group);
  // RFC 9143 section 7.3.1: the first of the group that is not rejected has the transport.
  for (const size_t index : group) {
    if (index == out.video.media || (out.sound && index == out.sound->media)) out.bundle.push_back(index);
  }
  out.tagged = out.bundle.empty() ? out.video.media : out.bundle.front();
  if (auto taken = take_transport(offer, group.empty() ? out.tagged : group.front(), out); !taken)
    return tl::unexpected(taken.error());
  return out;
}

std::string write_answer(const SdpOffer& offer, const Negotiated& chosen, const AnswerOptions& options) {
  std::string out = fmt::format("v=0\r\no=- {} {} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", options.session_id,
                                options.version);
  if (!chosen.bundle.empty()) {
    out += "a=group:BUNDLE";
    for (const size_t index : chosen.bundle) out += " " + offer.media[index].mid;
    out += "\r\n";
  }
  if (options.ice_lite) out += "a=ice-lite\r\n";
  out += fmt::format("a=msid-semantic:WMS {}\r\n", options.stream);
  for (size_t i = 0; i < offer.media.size(); ++i) {
    if (i == chosen.video.media) {
      write_video(out, offer.media[i], chosen, options);
    } else if (chosen.sound && i == chosen.sound->media) {
      write_sound(out, offer.media[i], chosen, options);
    } else {
      write_rejected(out, offer.media[i], options);
    }
  }
  return out;
}

}  // namespace miharu::webrtc
