#include "ingest/rtsp/headers.h"

#include <algorithm>

#include "base/text.h"

namespace miharu::ingest::rtsp {

using base::equals_ignoring_case;
using base::Errc;
using base::fail;
using base::to_lower;
using base::trim;

namespace {

constexpr size_t kMaxParts = 64;
constexpr size_t kMaxRtpInfos = 16;
constexpr size_t kMaxMethods = 32;
constexpr size_t kMaxChallenges = 8;
constexpr size_t kMaxSessionId = 512;

// A value up to `separator`; in quotes it may hold separators and escaped quotes, which stay escaped.
std::string take_value(std::string_view& text, char separator) {
  text = text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.empty() || text.front() != '"') {
    std::string_view value = trim(base::take_until(text, separator));
    if (!value.empty() && value.back() == '"') value.remove_suffix(1);
    return std::string(value);
  }
  size_t end = 1;
  while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
  end = std::min(end, text.size());
  std::string value(text.substr(1, end - 1));
  text.remove_prefix(std::min(end + 1, text.size()));
  base::take_until(text, separator);
  return value;
}

template <class Number>
std::optional<std::pair<Number, Number>> parse_range(std::string_view text) {
  text = trim(text);
  const bool pair = text.find('-') != std::string_view::npos;
  const auto first = base::parse_number<Number>(trim(base::take_until(text, '-')));
  if (!first) return std::nullopt;
  const auto second = base::parse_number<Number>(trim(text));
  if (pair && second) return std::pair{*first, *second};
  return std::pair{*first, static_cast<Number>(*first + 1)};
}

std::optional<uint32_t> parse_ssrc(std::string_view text) {
  text = trim(text);
  if (base::starts_with_ignoring_case(text, "0x")) text.remove_prefix(2);
  return base::parse_number<uint32_t>(text, 16);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_key_values(std::string_view text, char separator) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!text.empty() && out.size() < kMaxParts) {
    const size_t end = text.find_first_of(std::string{separator, '='});
    std::string key = to_lower(trim(text.substr(0, end)));
    const bool has_value = end != std::string_view::npos && text[end] == '=';
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    std::string value = has_value ? take_value(text, separator) : std::string{};
    if (!key.empty()) out.emplace_back(std::move(key), std::move(value));
  }
  return out;
}

base::Result<Transport> parse_transport(std::string_view text) {
  Transport out;
  bool known = false;
  // Several transports in a reply are a list of which the first was chosen.
  for (const auto& [key, value] : parse_key_values(text.substr(0, text.find(',')), ';')) {
    if (base::starts_with_ignoring_case(key, "rtp/")) {
      known = true;
      out.secure = key.find("savp") != std::string::npos;
      out.tcp = out.tcp || key.find("/tcp") != std::string::npos;
    } else if (key == "multicast") {
      out.multicast = true;
    } else if (key == "interleaved") {
      out.interleaved = parse_range<uint8_t>(value);
      out.tcp = out.tcp || out.interleaved;
      known = known || out.interleaved;
    } else if (key == "client_port") {
      out.client_port = parse_range<uint16_t>(value);
    } else if (key == "server_port") {
      out.server_port = parse_range<uint16_t>(value);
    } else if (key == "port") {
      out.port = parse_range<uint16_t>(value);
    } else if (key == "source") {
      out.source = value;
    } else if (key == "destination") {
      out.destination = value;
    } else if (key == "ssrc") {
      out.ssrc = parse_ssrc(value);
    } else if (key == "ttl") {
      out.ttl = base::parse_number<unsigned>(value);
    } else if (key == "mode") {
      out.mode = to_lower(value);
      if (out.mode == "receive") out.mode = "record";
    }
  }
  if (!known) return fail(Errc::kMalformed, "Transport header names no RTP transport");
  return out;
}

base::Result<SessionHeader> parse_session(std::string_view text) {
  SessionHeader out;
  out.id = trim(base::take_until(text, ';'));
  if (out.id.empty() || out.id.size() > kMaxSessionId)
    return fail(Errc::kMalformed, "Session header without a usable id");
  for (const auto& [key, value] : parse_key_values(text, ';')) {
    if (key == "timeout") out.timeout_s = base::parse_number<uint32_t>(value);
  }
  return out;
}

std::vector<RtpInfo> parse_rtp_info(std::string_view text) {
  std::vector<RtpInfo> out;
  while (!text.empty() && out.size() < kMaxRtpInfos) {
    // URLs may hold commas: an entry begins with "url=".
    size_t end = text.find(',');
    while (end != std::string_view::npos &&
           !base::starts_with_ignoring_case(trim(text.substr(end + 1)), "url=")) {
      end = text.find(',', end + 1);
    }
    RtpInfo info;
    for (const auto& [key, value] : parse_key_values(text.substr(0, end), ';')) {
      if (key == "url") {
        info.url = value;
      } else if (key == "seq") {
        info.sequence = base::parse_number<uint16_t>(value);
      } else if (key == "rtptime") {
        info.rtp_time = base::parse_number<uint32_t>(value);
      } else if (key == "ssrc") {
        info.ssrc = parse_ssrc(value);
      }
    }
    if (!info.url.empty()) out.push_back(std::move(info));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return out;
}

std::vector<std::string> parse_public(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty() && out.size() < kMaxMethods) {
    std::string method(trim(base::take_until(text, ',')));
    for (char& c : method) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (!method.empty()) out.push_back(std::move(method));
  }
  return out;
}

std::vector<Challenge> parse_challenges(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::vector<Challenge> out;
  for (;;) {
    text = text.substr(std::min(text.find_first_not_of(" \t\r\n,"), text.size()));
    if (text.empty()) return out;
    const size_t end = std::min(text.find_first_of(" \t\r\n,="), text.size());
    const std::string_view token = text.substr(0, end);
    const std::string_view after = text.substr(std::min(text.find_first_not_of(kBlank, end), text.size()));
    if (!after.empty() && after.front() == '=') {
      text = after.substr(1);
      const std::string value = take_value(text, ',');
      if (out.empty()) continue;
      Challenge& challenge = out.back();
      if (equals_ignoring_case(token, "realm")) {
        challenge.realm = value;
      } else if (equals_ignoring_case(token, "nonce")) {
        challenge.nonce = value;
      } else if (equals_ignoring_case(token, "opaque")) {
        challenge.opaque = value;
      } else if (equals_ignoring_case(token, "algorithm")) {
        challenge.algorithm = value;
      } else if (equals_ignoring_case(token, "stale")) {
        challenge.stale = equals_ignoring_case(trim(value), "true");
      } else if (equals_ignoring_case(token, "qop")) {
        for (const auto& [option, unused] : parse_key_values(value, ','))
          challenge.qop_auth |= option == "auth";
      }
      continue;
    }
    text.remove_prefix(end);
    // A word without "=": a scheme, unless it is a parameter that lost its value ("Digest realm, nonce=...").
    const bool scheme = out.empty() || equals_ignoring_case(token, "basic") ||
                        equals_ignoring_case(token, "digest") ||
                        (!after.empty() && after.front() != ',' && end < text.size());
    if (!scheme) continue;
    if (out.size() == kMaxChallenges) return out;
    out.push_back({});
    out.back().scheme = to_lower(token);
  }
}

}  // namespace miharu::ingest::rtsp
