// What reading an offer and reading a trickle fragment have in common: lines, attributes, tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::webrtc {

inline constexpr size_t kMaxSdpTextBytes = 64 << 10;
inline constexpr size_t kMaxSdpTextLines = 1000;

// Reads a text line by line; lines end with CRLF or LF, empty ones are skipped. The text must outlive it.
class SdpLines {
 public:
  // kLimit when the text or its number of lines is too large, kMalformed when a line has a control character
  // or is not "x=...". Checked here once, so that next() cannot fail.
  static base::Result<SdpLines> open(std::string_view text);

  // False at the end. Then type() and value() are those of the line: "a" and what follows "a=".
  bool next();
  [[nodiscard]] char type() const { return type_; }
  [[nodiscard]] std::string_view value() const { return value_; }

  // An error at the line that was read last. `text` must have nothing of the peer's in it.
  [[nodiscard]] tl::unexpected<base::Error> fail(base::Errc code, std::string_view text) const;
  // The place of the line, put before an error of whatever reads a part of it.
  [[nodiscard]] base::Error at_line(base::Error error) const;

 private:
  explicit SdpLines(std::string_view text) : text_(text) {}

  std::string_view text_;
  size_t position_ = 0;
  size_t line_ = 0;
  size_t begin_ = 0;
  char type_ = 0;
  std::string_view value_;
};

// RFC 8866 section 9, `token`: letters, digits and some signs; not empty. What passes may be written into an
// answer.
bool is_sdp_token(std::string_view text);

// Splits at the first colon: "mid:0" is {"mid", "0"}, "sendonly" is {"sendonly", ""}.
struct SdpAttribute {
  std::string_view name;
  std::string_view value;
};
SdpAttribute split_attribute(std::string_view line_value);

}  // namespace miharu::webrtc
