#include "webrtc/sdp_offer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::webrtc {

using base::Errc;
using base::parse_number;
using base::take_until;
using base::take_word;
using base::to_upper;
using base::trim;
using media::SdpDirection;

namespace {

constexpr size_t kMaxParameters = 64;
constexpr size_t kMaxCredentialBytes = 256;

std::optional<SdpDirection> direction_of(std::string_view name) {
  if (name == "sendrecv") return SdpDirection::kSendRecv;
  if (name == "sendonly") return SdpDirection::kSendOnly;
  if (name == "recvonly") return SdpDirection::kRecvOnly;
  if (name == "inactive") return SdpDirection::kInactive;
  return std::nullopt;
}

// Credentials come in two lines, in any order.
struct Credentials {
  std::string ufrag;
  std::string password;
};

// Reads line by line; attributes before the first m= line are the session's.
class OfferReader {
 public:
  explicit OfferReader(SdpLines lines) : lines_(lines) {}

  base::Result<SdpOffer> read() {
    while (lines_.next()) {
      base::Status status;
      if (lines_.type() == 'm') {
        status = finish_media();
        if (status) status = read_media_line();
      } else if (lines_.type() == 'a') {
        status = read_attribute(split_attribute(lines_.value()));
      }
      if (!status) return tl::unexpected(status.error());
    }
    if (auto status = finish_media(); !status) return tl::unexpected(status.error());
    if (offer_.media.empty()) return lines_.fail(Errc::kTruncated, "there is no m= line");
    for (OfferMedia& media : offer_.media) add_session_extensions(media);
    return std::move(offer_);
  }

 private:
  OfferMedia* media() { return offer_.media.empty() ? nullptr : &offer_.media.back(); }
  SdpTransport& transport() { return media() ? media()->transport : offer_.session; }
  tl::unexpected<base::Error> malformed(std::string_view text) const {
    return lines_.fail(Errc::kMalformed, text);
  }

  // What could not be settled before all lines of the session or of the media were read.
  base::Status finish_media() {
    Credentials credentials = std::exchange(credentials_, {});
    if (credentials.ufrag.empty() != credentials.password.empty())
      return malformed("before it, ice-ufrag and ice-pwd do not come together");
    if (!credentials.ufrag.empty()) {
      IceCredentials ice{std::move(credentials.ufrag), base::Secret(std::move(credentials.password))};
      if (auto checked = check_ice_credentials(ice); !checked)
        return tl::unexpected(lines_.at_line(checked.error()));
      transport().ice = std::move(ice);
    }
    if (media()) {
      media()->rejected = port_ == 0 && !bundle_only_;
      for (OfferFormat& format : media()->formats) {
        format.nack |= feedback_of_all_.nack;
        format.nack_pli |= feedback_of_all_.nack_pli;
        format.ccm_fir |= feedback_of_all_.ccm_fir;
      }
    }
    feedback_of_all_ = {};
    bundle_only_ = false;
    return {};
  }

  // m=video 9 UDP/TLS/RTP/SAVPF 96 97
  base::Status read_media_line() {
    if (offer_.media.size() == kMaxOfferMedia)
      return lines_.fail(Errc::kLimit, fmt::format("there are more than {} m= lines", kMaxOfferMedia));
    std::string_view rest = lines_.value();
    OfferMedia made;
    const std::string_view kind = take_word(rest);
    if (!is_sdp_token(kind)) return malformed("the kind of the media is not a word");
    made.kind = base::to_lower(kind);
    std::string_view port = take_word(rest);
    const std::string_view first_port = take_until(port, '/');
    const auto number = parse_number<uint16_t>(first_port);
    if (!number) return malformed("the port is not a number of 0 to 65535");
    port_ = *number;
    made.protocol = take_word(rest);
    std::string_view parts = made.protocol;
    do {
      if (!is_sdp_token(take_until(parts, '/'))) return malformed("the protocol is not words with slashes");
    } while (!parts.empty());
    const bool rtp = made.protocol.find("RTP/") != std::string::npos;
    rest = trim(rest);
    made.formats_text = rest;
    while (!rest.empty()) {
      const std::string_view format = take_word(rest);
      if (!is_sdp_token(format)) return malformed("a format is not a word");
      if (!rtp) continue;
      const auto type = parse_number<uint8_t>(format);
      if (!type || *type > 127) return malformed("a payload type is not a number of 0 to 127");
      if (std::any_of(made.formats.begin(), made.formats.end(),
                      [&](const OfferFormat& other) { return other.payload_type == *type; })) {
        return malformed("a payload type stands there twice");
      }
      OfferFormat known{.payload_type = *type, .encoding = {}, .clock_rate = 0, .parameters = {}};
      if (*type == 0 || *type == 8) {
        known.encoding = *type == 0 ? "PCMU" : "PCMA";
        known.clock_rate = 8000;
      }
      made.formats.push_back(std::move(known));
    }
    if (made.formats_text.empty()) return malformed("the media has no formats");
    made.direction = session_direction_;
    offer_.media.push_back(std::move(made));
    return {};
  }

  base::Status read_attribute(const SdpAttribute& attribute) {
    const auto& [name, value] = attribute;
    if (name == "ice-ufrag") return read_credential(credentials_.ufrag, value);
    if (name == "ice-pwd") return read_credential(credentials_.password, value);
    if (name == "fingerprint") return read_fingerprint(value);
    if (name == "setup") return read_setup(value);
    if (name == "extmap") return read_extmap(value);
    if (name == "candidate") return read_candidate();
    if (const auto direction = direction_of(name)) {
      (media() ? media()->direction : session_direction_) = *direction;
      return {};
    }
    if (name == "ice-options") {
      for (std::string_view rest = value; !rest.empty();) offer_.trickle |= take_word(rest) == "trickle";
      return {};
    }
    if (media() == nullptr) {
      if (name == "ice-lite") offer_.ice_lite = true;
      if (name == "group") return read_group(value);
      return {};
    }
    if (name == "mid") return read_mid(trim(value));
    if (name == "rtpmap") return read_rtpmap(value);
    if (name == "fmtp") return read_fmtp(value);
    if (name == "rtcp-fb") return read_feedback(value);
    if (name == "rtcp-mux") media()->rtcp_mux = true;
    if (name == "rtcp-rsize") media()->rtcp_rsize = true;
    if (name == "bundle-only") bundle_only_ = true;
    if (name == "end-of-candidates") media()->end_of_candidates = true;
    return {};
  }

  base::Status read_credential(std::string& out, std::string_view value) {
    value = trim(value);
    if (value.empty() || value.size() > kMaxCredentialBytes)
      return malformed("the ICE credential has not 1 to 256 characters");
    out = value;
    return {};
  }

  base::Status read_fingerprint(std::string_view value) {
    auto parsed = Fingerprint::parse(value);
    SdpTransport& of = transport();
    if (!parsed) {
      if (parsed.error().code != Errc::kUnsupported) return tl::unexpected(lines_.at_line(parsed.error()));
      of.weak_fingerprint = true;
      return {};
    }
    if (of.fingerprints.size() == kMaxOfferFingerprints)
      return lines_.fail(Errc::kLimit,
                         fmt::format("there are more than {} fingerprints", kMaxOfferFingerprints));
    of.fingerprints.push_back(std::move(*parsed));
    return {};
  }

  base::Status read_setup(std::string_view value) {
    value = trim(value);
    SdpSetup& setup = transport().setup;
    if (value == "actpass") {
      setup = SdpSetup::kActpass;
    } else if (value == "active") {
      setup = SdpSetup::kActive;
    } else if (value == "passive") {
      setup = SdpSetup::kPassive;
    } else if (value == "holdconn") {
      setup = SdpSetup::kHoldconn;
    } else {
      return malformed("setup is none of actpass, active, passive and holdconn");
    }
    return {};
  }

  // a=extmap:3/recvonly URI attributes
  base::Status read_extmap(std::string_view value) {
    std::string_view head = take_word(value);
    const std::string_view uri = take_word(value);
    const auto id = parse_number<uint16_t>(take_until(head, '/'));
    // From 4096 on: to be given a number by the answer (RFC 8285 section 6), which we do not.
    const bool provisional = id && *id >= 4096 && *id <= 4351;
    if (!id || (!provisional && (*id < 1 || *id > 255)))
      return malformed("the id of a header extension is not a number of 1 to 255");
    if (uri.empty()) return malformed("the header extension has no name");
    const bool ours = head.empty() || head == "sendrecv" || head == "recvonly";
    if (provisional || !ours) return {};
    const auto number = static_cast<uint8_t>(*id);
    OfferMedia& of = media() ? *media() : session_extensions_;
    if (uri == kCaptureTimeUri) of.capture_time_id = number;
    if (uri == kMidUri) of.mid_id = number;
    return {};
  }

  void add_session_extensions(OfferMedia& of) const {
    if (of.capture_time_id == 0) of.capture_time_id = session_extensions_.capture_time_id;
    if (of.mid_id == 0) of.mid_id = session_extensions_.mid_id;
  }

  base::Status read_candidate() {
    if (media() && candidates_ < kMaxOfferCandidates) {
      media()->candidates.emplace_back(lines_.value());
      ++candidates_;
    }
    return {};
  }

  base::Status read_group(std::string_view value) {
    if (take_word(value) != "BUNDLE") return {};
    if (offer_.bundles.size() == kMaxOfferMedia)
      return lines_.fail(Errc::kLimit, "there are too many groups");
    std::vector<std::string> mids;
    while (!trim(value).empty()) {
      const std::string_view mid = take_word(value);
      if (!is_sdp_token(mid) || mid.size() > kMaxMidBytes)
        return malformed("a mid of the group is not a word");
      if (mids.size() == kMaxOfferMedia) return lines_.fail(Errc::kLimit, "the group has too many mids");
      mids.emplace_back(mid);
    }
    offer_.bundles.push_back(std::move(mids));
    return {};
  }

  base::Status read_mid(std::string_view value) {
    if (!is_sdp_token(value) || value.size() > kMaxMidBytes) return malformed("the mid is not a word");
    if (offer_.index_of(value)) return malformed("the mid is that of another media too");
    media()->mid = value;
    return {};
  }

  // The format that "96 what follows" is about: null when the m= line has it not. Takes the number off.
  base::Result<OfferFormat*> take_format(std::string_view& value) {
    const auto type = parse_number<uint8_t>(take_word(value));
    if (media()->is_rtp() && (!type || *type > 127))
      return malformed("the payload type is not a number of 0 to 127");
    if (type) {
      for (OfferFormat& format : media()->formats) {
        if (format.payload_type == *type) return &format;
      }
    }
    return nullptr;
  }

  // a=rtpmap:111 opus/48000/2
  base::Status read_rtpmap(std::string_view value) {
    const auto format = take_format(value);
    if (!format) return tl::unexpected(format.error());
    if (*format == nullptr) return {};
    value = trim(value);
    const std::string_view encoding = take_until(value, '/');
    const auto rate = parse_number<uint32_t>(take_until(value, '/'));
    if (!is_sdp_token(encoding) || !rate || *rate == 0)
      return malformed("the rtpmap is not a codec, a slash and a clock rate");
    const auto channels = value.empty() ? 1 : parse_number<uint32_t>(value);
    if (!channels || *channels == 0 || *channels > 255)
      return malformed("the channels of an rtpmap are not a number of 1 to 255");
    (*format)->encoding = to_upper(encoding);
    (*format)->clock_rate = *rate;
    (*format)->channels = *channels;
    return {};
  }

  // a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1
  base::Status read_fmtp(std::string_view value) {
    const auto format = take_format(value);
    if (!format) return tl::unexpected(format.error());
    if (*format == nullptr) return {};
    auto& parameters = (*format)->parameters;
    while (!value.empty()) {
      std::string_view pair = trim(take_until(value, ';'));
      if (pair.empty()) continue;
      if (parameters.size() == kMaxParameters)
        return lines_.fail(Errc::kLimit, "there are too many parameters");
      const std::string key = base::to_lower(trim(take_until(pair, '=')));
      parameters.insert_or_assign(key, std::string(trim(pair)));
    }
    return {};
  }

  // a=rtcp-fb:96 nack pli
  base::Status read_feedback(std::string_view value) {
    OfferFormat* format = &feedback_of_all_;
    std::string_view rest = value;
    if (take_word(rest) != "*") {
      const auto found = take_format(value);
      if (!found) return tl::unexpected(found.error());
      if (*found == nullptr) return {};
      format = *found;
      rest = value;
    }
    const std::string_view kind = take_word(rest);
    const std::string_view detail = take_word(rest);
    format->nack |= kind == "nack" && detail.empty();
    format->nack_pli |= kind == "nack" && detail == "pli";
    format->ccm_fir |= kind == "ccm" && detail == "fir";
    return {};
  }

  SdpLines lines_;
  SdpOffer offer_;
  SdpDirection session_direction_ = SdpDirection::kSendRecv;
  OfferMedia session_extensions_;  // only the ids of it
  size_t candidates_ = 0;
  // Of the media that is read.
  Credentials credentials_;
  OfferFormat feedback_of_all_;
  uint16_t port_ = 0;
  bool bundle_only_ = false;
};

}  // namespace

std::string_view OfferFormat::parameter(std::string_view key) const {
  const auto found = parameters.find(std::string(key));
  return found == parameters.end() ? std::string_view() : std::string_view(found->second);
}

std::optional<size_t> SdpOffer::index_of(std::string_view mid) const {
  for (size_t i = 0; i < media.size(); ++i) {
    if (!mid.empty() && media[i].mid == mid) return i;
  }
  return std::nullopt;
}

SdpTransport SdpOffer::transport_of(size_t index) const {
  SdpTransport out = media[index].transport;
  if (!out.ice) out.ice = session.ice;
  if (out.fingerprints.empty() && !out.weak_fingerprint) {
    out.fingerprints = session.fingerprints;
    out.weak_fingerprint = session.weak_fingerprint;
  }
  if (out.setup == SdpSetup::kUnspecified) out.setup = session.setup;
  return out;
}

base::Result<SdpOffer> parse_offer(std::string_view text) {
  auto lines = SdpLines::open(text);
  if (!lines) return tl::unexpected(lines.error());
  return OfferReader(*lines).read();
}

}  // namespace miharu::webrtc
