#include "media/sdp.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.h"

namespace miharu::media {
namespace {

using base::Errc;
using base::fail;
using base::take_word;
using base::to_upper;
using base::trim;

// Beyond them a frame of sound would last microseconds or minutes.
constexpr uint32_t kMinSoundRate = 1'000;
constexpr uint32_t kMaxSoundRate = 1'000'000;

struct StaticType {
  uint8_t payload_type;
  std::string_view encoding;
  uint32_t clock_rate;
  uint32_t channels;
};
// RFC 3551 tables 4 and 5.
constexpr auto kStaticTypes = std::to_array<StaticType>({
    {0, "PCMU", 8000, 1},   {2, "G726-32", 8000, 1}, {3, "GSM", 8000, 1},    {4, "G723", 8000, 1},
    {5, "DVI4", 8000, 1},   {6, "DVI4", 16000, 1},   {7, "LPC", 8000, 1},    {8, "PCMA", 8000, 1},
    {9, "G722", 8000, 1},   {10, "L16", 44100, 2},   {11, "L16", 44100, 1},  {12, "QCELP", 8000, 1},
    {13, "CN", 8000, 1},    {14, "MPA", 90000, 0},   {15, "G728", 8000, 1},  {16, "DVI4", 11025, 1},
    {17, "DVI4", 22050, 1}, {18, "G729", 8000, 1},   {25, "CELB", 90000, 0}, {26, "JPEG", 90000, 0},
    {28, "NV", 90000, 0},   {31, "H261", 90000, 0},  {32, "MPV", 90000, 0},  {33, "MP2T", 90000, 0},
    {34, "H263", 90000, 0},
});

std::optional<uint8_t> parse_payload_type(std::string_view word) {
  const auto number = base::parse_number<unsigned>(word);
  if (!number || *number > 127) return std::nullopt;
  return static_cast<uint8_t>(*number);
}

SdpFormat* find_format(SdpMedia& media, uint8_t payload_type) {
  for (SdpFormat& format : media.formats) {
    if (format.payload_type == payload_type) return &format;
  }
  return nullptr;
}

std::map<std::string, std::string> parse_parameters(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty() && out.size() < kMaxSdpParameters) {
    std::string_view value = trim(base::take_until(text, ';'));
    const std::string_view key = trim(base::take_until(value, '='));
    if (!key.empty()) out[base::to_lower(key)] = std::string(trim(value));
  }
  return out;
}

class Parser {
 public:
  base::Result<Sdp> parse(std::string_view text) {
    bool any_media_line = false;
    while (!text.empty()) {
      const size_t end = std::min(text.find_first_of("\r\n"), text.size());
      const std::string_view line = trim(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (line.size() < 2 || line[1] != '=') {
        if (!line.empty()) oddity("S1");
        continue;
      }
      const std::string_view value = trim(line.substr(2));
      if (line[0] == 'm') {
        any_media_line = true;
        if (sdp_.media.size() == kMaxSdpMedia) break;
        on_media(value);
      } else if (line[0] == 'a') {
        on_attribute(value);
      } else if (line[0] == 's' && sdp_.media.empty()) {
        sdp_.name = value;
      }
    }
    if (!any_media_line) {
      return fail(Errc::kMalformed,
                  "the session description has no m= line: the camera offers no media at this URL");
    }
    assign_stray_fmtp();
    mark_back_channels();
    return std::move(sdp_);
  }

 private:
  struct StrayFmtp {
    uint8_t payload_type;
    std::string_view text;
  };

  void oddity(std::string_view id) {
    if (std::find(sdp_.oddities.begin(), sdp_.oddities.end(), id) == sdp_.oddities.end())
      sdp_.oddities.emplace_back(id);
  }

  // m=<media> <port> <proto> <fmt> ...
  void on_media(std::string_view value) {
    SdpMedia media;
    media.kind = base::to_lower(take_word(value));
    take_word(value);
    media.protocol = take_word(value);
    for (std::string_view word = take_word(value); !word.empty(); word = take_word(value)) {
      const auto payload_type = parse_payload_type(word);
      if (!payload_type) {
        oddity("S2");
        continue;
      }
      if (media.formats.size() == kMaxSdpFormats) break;
      if (find_format(media, *payload_type) != nullptr) continue;
      SdpFormat& format = media.formats.emplace_back();
      format.payload_type = *payload_type;
      for (const StaticType& known : kStaticTypes) {
        if (known.payload_type != *payload_type) continue;
        format.encoding = known.encoding;
        format.clock_rate = known.clock_rate;
        format.channels = known.channels;
      }
    }
    sdp_.media.push_back(std::move(media));
  }

  void on_attribute(std::string_view value) {
    const std::string name = base::to_lower(trim(base::take_until(value, ':')));
    value = trim(value);
    if (name == "control") {
      (sdp_.media.empty() ? sdp_.control : sdp_.media.back().control) = value;
    } else if (name == "tool" && sdp_.media.empty()) {
      sdp_.tool = value;
    } else if (name == "rtpmap") {
      on_rtpmap(value);
    } else if (name == "fmtp") {
      on_fmtp(value);
    } else if (name == "sendrecv") {
      on_direction(SdpDirection::kSendRecv);
    } else if (name == "sendonly") {
      on_direction(SdpDirection::kSendOnly);
    } else if (name == "recvonly") {
      on_direction(SdpDirection::kRecvOnly);
    } else if (name == "inactive") {
      on_direction(SdpDirection::kInactive);
    }
  }

  void on_direction(SdpDirection direction) {
    if (!sdp_.media.empty()) sdp_.media.back().direction = direction;
  }

  // a=rtpmap:<type> <encoding>/<clock rate>[/<channels>]
  void on_rtpmap(std::string_view value) {
    const auto payload_type = parse_payload_type(take_word(value));
    if (!payload_type || sdp_.media.empty()) return oddity("S3");
    SdpMedia& media = sdp_.media.back();
    SdpFormat* format = find_format(media, *payload_type);
    if (format == nullptr) return oddity("S3");
    value = trim(value);
    const std::string encoding = to_upper(trim(base::take_until(value, '/')));
    const bool was_static = *payload_type < 35 && !format->encoding.empty();
    if (was_static && format->encoding != encoding) oddity("S3");
    format->encoding = encoding;
    // Some write more behind the numbers: "vnd.onvif.metadata/90000/500".
    std::string_view rest = take_word(value);
    format->clock_rate = base::parse_number<uint32_t>(base::take_until(rest, '/')).value_or(0);
    if (format->clock_rate == 0) oddity("S3");
    const auto channels = base::parse_number<uint32_t>(base::take_until(rest, '/'));
    format->channels = media.kind == "audio" ? std::clamp<uint32_t>(channels.value_or(1), 1, 255) : 0;
    if (encoding == "OPUS") {
      // RFC 7587 section 7: always this, whatever the sound is.
      if (format->clock_rate != 48000) oddity("S10");
      format->clock_rate = 48000;
      format->channels = 2;
    }
  }

  // a=fmtp:<type> <key>=<value>; ...
  void on_fmtp(std::string_view value) {
    const auto payload_type = parse_payload_type(take_word(value));
    if (!payload_type) return oddity("S4");
    SdpFormat* format = sdp_.media.empty() ? nullptr : find_format(sdp_.media.back(), *payload_type);
    if (format == nullptr) {
      if (stray_fmtp_.size() < kMaxSdpFormats) stray_fmtp_.push_back({*payload_type, value});
      return;
    }
    for (auto& [key, text] : parse_parameters(value)) {
      if (format->parameters.size() < kMaxSdpParameters) format->parameters[key] = text;
    }
  }

  // Quirk S4: an fmtp under another media belongs to its type if only one media has that type and no fmtp for
  // it.
  void assign_stray_fmtp() {
    for (const StrayFmtp& stray : stray_fmtp_) {
      oddity("S4");
      SdpFormat* only = nullptr;
      bool ambiguous = false;
      for (SdpMedia& media : sdp_.media) {
        SdpFormat* format = find_format(media, stray.payload_type);
        if (format == nullptr) continue;
        ambiguous = ambiguous || only != nullptr;
        only = format;
      }
      if (only != nullptr && !ambiguous && only->parameters.empty())
        only->parameters = parse_parameters(stray.text);
    }
  }

  void mark_back_channels() {
    const bool receivable = std::any_of(sdp_.media.begin(), sdp_.media.end(), [](const SdpMedia& media) {
      return (media.kind == "video" || media.kind == "audio") && media.direction != SdpDirection::kSendOnly &&
             media.direction != SdpDirection::kInactive && !media.formats.empty();
    });
    for (SdpMedia& media : sdp_.media) {
      if (media.direction != SdpDirection::kSendOnly) continue;
      if (media.kind == "audio" && receivable) {
        media.back_channel = true;
      } else {
        oddity("S7");
      }
    }
  }

  Sdp sdp_;
  std::vector<StrayFmtp> stray_fmtp_;
};

std::optional<Codec> codec_of(std::string_view kind, std::string_view encoding) {
  if (kind == "video") return encoding == "H264" ? std::optional(Codec::kH264) : std::nullopt;
  if (kind != "audio") return std::nullopt;
  if (encoding == "MPEG4-GENERIC") return Codec::kAac;
  if (encoding == "PCMU") return Codec::kPcmu;
  if (encoding == "PCMA") return Codec::kPcma;
  if (encoding == "OPUS") return Codec::kOpus;
  return std::nullopt;
}

// Why a format is not for us, or empty.
std::string refusal(const SdpMedia& media, const SdpFormat& format) {
  if (format.encoding.empty()) {
    return "payload type " + std::to_string(format.payload_type) + " has no rtpmap that says what it is";
  }
  const auto codec = codec_of(media.kind, format.encoding);
  if (!codec) return format.encoding + " is not supported yet";
  const bool sound = media.kind == "audio";
  if (format.clock_rate == 0 ||
      (sound && (format.clock_rate < kMinSoundRate || format.clock_rate > kMaxSoundRate))) {
    return format.encoding + " has no valid clock rate";
  }
  if (codec == Codec::kH264) {
    const auto mode = format.parameters.find("packetization-mode");
    if (mode != format.parameters.end() && mode->second == "2") {
      return "H264 in interleaved packetization mode (2) is not supported";
    }
  }
  return {};
}

size_t scheme_size(std::string_view url) {
  for (const std::string_view scheme : {"rtsp://", "rtsps://"}) {
    if (base::starts_with_ignoring_case(url, scheme)) return scheme.size();
  }
  return 0;
}

// rtsp://::1/x and rtsp://::ffff:10.0.0.1:554/x, where a port can only be told behind a dotted quad.
std::string bracket_ipv6(std::string_view authority) {
  if (std::count(authority.begin(), authority.end(), ':') < 2 ||
      authority.find('[') != std::string_view::npos) {
    return std::string(authority);
  }
  const size_t dot = authority.rfind('.');
  const size_t port = dot == std::string_view::npos ? std::string_view::npos : authority.find(':', dot);
  const std::string_view host = authority.substr(0, port);
  return "[" + std::string(host) + "]" +
         (port == std::string_view::npos ? std::string() : std::string(authority.substr(port)));
}

}  // namespace

base::Result<Sdp> parse_sdp(std::string_view text) {
  if (text.size() > kMaxSdpBytes) return fail(Errc::kLimit, "the session description is larger than 1 MiB");
  return Parser().parse(text);
}

base::Result<SdpChoice> choose_format(const SdpMedia& media) {
  if (media.kind != "video" && media.kind != "audio") {
    return fail(Errc::kUnsupported, "media of kind \"" + media.kind + "\" is not recorded");
  }
  if (media.back_channel) return fail(Errc::kUnsupported, "this audio is the back channel to the camera");
  if (base::starts_with_ignoring_case(media.protocol, "RTP/SAVP")) {
    return fail(Errc::kUnsupported, "the camera encrypts this media (SRTP, " + media.protocol +
                                        "), which is not supported: turn it off in the camera or use RTSPS");
  }
  if (!base::starts_with_ignoring_case(media.protocol, "RTP/AVP")) {
    return fail(Errc::kUnsupported, "transport protocol " + media.protocol + " is not supported");
  }
  std::string reasons;
  for (const SdpFormat& format : media.formats) {
    const std::string reason = refusal(media, format);
    if (reason.empty()) return SdpChoice{format, *codec_of(media.kind, format.encoding)};
    if (!reasons.empty()) reasons += "; ";
    reasons += reason;
  }
  if (reasons.empty()) reasons = "the media has no payload type";
  return fail(Errc::kUnsupported, std::move(reasons));
}

std::string sdp_base_url(std::string_view request_url, std::string_view content_base,
                         std::string_view content_location) {
  std::string_view url = trim(content_base);
  if (url.empty()) url = trim(content_location);
  if (url.empty()) url = trim(request_url);
  const size_t request_scheme = scheme_size(request_url);
  std::string scheme(request_scheme != 0 ? request_url.substr(0, request_scheme) : "rtsp://");
  if (!url.empty() && url[0] == '/') {
    // A path alone: host and port are those of the request.
    std::string_view request = request_url.substr(request_scheme);
    return sdp_base_url(
        scheme + std::string(request.substr(0, request.find_first_of("/?"))) + std::string(url), {}, {});
  }
  if (const size_t size = scheme_size(url)) scheme = url.substr(0, size);
  while (const size_t size = scheme_size(url)) url.remove_prefix(size);
  const size_t path = std::min(url.find_first_of("/?"), url.size());
  std::string_view authority = url.substr(0, path);
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  return scheme + bracket_ipv6(authority) + std::string(url.substr(path));
}

std::string sdp_control_url(std::string_view base_url, std::string_view control) {
  control = trim(control);
  if (control.empty() || control == "*") return std::string(base_url);
  if (scheme_size(control) != 0) return std::string(control);
  std::string url(base_url);
  if (url.empty() || url.back() != '/') url += '/';
  if (control[0] == '/') control.remove_prefix(1);
  return url.append(control);
}

std::string sdp_aggregate_url(std::string_view base_url, const Sdp& sdp) {
  return sdp_control_url(base_url, sdp.control);
}

}  // namespace miharu::media
