#include "webrtc/sdp_lines.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::webrtc {

using base::Errc;

base::Result<SdpLines> SdpLines::open(std::string_view text) {
  if (text.size() > kMaxSdpTextBytes)
    return base::fail(Errc::kLimit, fmt::format("the description has more than {} bytes", kMaxSdpTextBytes),
                      static_cast<int64_t>(kMaxSdpTextBytes));
  SdpLines lines(text);
  while (lines.next()) {
    if (lines.line_ > kMaxSdpTextLines)
      return lines.fail(Errc::kLimit, fmt::format("there are more than {} lines", kMaxSdpTextLines));
    if (lines.type_ == 0) return lines.fail(Errc::kMalformed, "this is not a letter, \"=\" and a value");
    const bool control = std::any_of(lines.value_.begin(), lines.value_.end(), [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return byte < 0x20 || byte == 0x7f;
    });
    if (control) return lines.fail(Errc::kMalformed, "there is a control character");
  }
  return SdpLines(text);
}

bool SdpLines::next() {
  while (position_ < text_.size()) {
    begin_ = position_;
    ++line_;
    const size_t end = std::min(text_.find('\n', position_), text_.size());
    position_ = std::min(end + 1, text_.size());
    std::string_view line = text_.substr(begin_, end - begin_);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const bool whole = line.size() >= 2 && line[1] == '=' && line[0] >= 'a' && line[0] <= 'z';
    type_ = whole ? line[0] : '\0';
    value_ = whole ? line.substr(2) : std::string_view();
    return true;
  }
  return false;
}

tl::unexpected<base::Error> SdpLines::fail(Errc code, std::string_view text) const {
  return tl::unexpected(at_line({code, std::string(text), -1}));
}

base::Error SdpLines::at_line(base::Error error) const {
  error.offset = static_cast<int64_t>(begin_);
  return std::move(error).in(fmt::format("line {}", line_));
}

bool is_sdp_token(std::string_view text) {
  static constexpr std::string_view kSigns = "!#$%&'*+-.^_`{|}~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kSigns.find(c) != std::string_view::npos;
  });
}

SdpAttribute split_attribute(std::string_view line_value) {
  SdpAttribute out;
  out.name = base::take_until(line_value, ':');
  out.value = line_value;
  return out;
}

}  // namespace miharu::webrtc
