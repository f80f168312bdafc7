#include "ingest/rtsp/message.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/text.h"

namespace miharu::ingest::rtsp {

using base::ByteView;
using base::Errc;

namespace {

constexpr auto kDollar = std::byte{'$'};
constexpr std::string_view kProtocol = "RTSP/";

bool is_method_character(char c) {
  return (c >= 'A' && c <= 'Z') || c == '_';
}

std::string clean(std::string_view text) {
  std::string out(base::trim(text));
  // Values are repeated in our requests (nonce, session): a bare CR in one must not become a line of ours.
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

std::string_view take_line(std::string_view& text) {
  std::string_view line = base::take_until(text, '\n');
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

bool is_sdp(const Message& message) {
  return base::starts_with_ignoring_case(message.header("Content-Type"), "application/sdp");
}

// What follows a body of the announced length is more of it: Content-Length was too short (quirk R4).
bool goes_on(std::string_view rest) {
  rest = base::trim(rest);
  if (rest.empty() || rest.front() == '$') return false;
  const std::string_view line = rest.substr(0, rest.find('\n'));
  return line.find(kProtocol) == std::string_view::npos && !kProtocol.starts_with(line);
}

base::Status parse_first_line(std::string_view line, Message& out) {
  if (base::starts_with_ignoring_case(line, kProtocol)) {
    base::take_until(line, ' ');
    line = base::trim(line);
    const auto status = base::parse_number<unsigned>(base::take_until(line, ' '));
    if (!status || *status < 100 || *status > 999)
      return base::fail(Errc::kMalformed, "status line without a status");
    out.status = *status;
    out.reason = clean(line);
    return {};
  }
  out.is_request = true;
  out.method = base::take_until(line, ' ');
  line = base::trim(line);
  const size_t version = line.rfind(' ');
  if (out.method.empty() || version == std::string_view::npos ||
      !base::starts_with_ignoring_case(line.substr(version + 1), kProtocol)) {
    return base::fail(Errc::kMalformed, "neither a status line nor a request line");
  }
  out.uri = clean(line.substr(0, version));
  return {};
}

}  // namespace

std::string_view Message::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (base::equals_ignoring_case(key, name)) return value;
  }
  return {};
}

std::vector<std::string_view> Message::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& [key, value] : headers) {
    if (base::equals_ignoring_case(key, name)) out.push_back(value);
  }
  return out;
}

base::Result<Message> parse_header_block(std::string_view text) {
  Message out;
  if (auto status = parse_first_line(take_line(text), out); !status) return tl::unexpected(status.error());
  while (!text.empty()) {
    const bool folded = text.front() == ' ' || text.front() == '\t';
    std::string_view line = take_line(text);
    if (line.empty()) break;
    if (folded && !out.headers.empty()) {
      out.headers.back().second += ' ' + clean(line);
      continue;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // one bad header never ends a session
    out.headers.emplace_back(clean(line.substr(0, colon)), clean(line.substr(colon + 1)));
  }
  return out;
}

StreamParser::StreamParser(size_t capacity)
    : buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity)), capacity_(capacity) {
  CHECK(capacity >= kMinCapacity);
}

std::span<std::byte> StreamParser::space() {
  frame_ = {};
  if (begin_ == end_) begin_ = end_ = 0;
  // Moving what is left is rare: it happens once in as many bytes as the buffer has.
  if (begin_ > 0 && capacity_ - end_ < capacity_ / 4) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  CHECK(end_ < capacity_);
  return {buffer_.get() + end_, capacity_ - end_};
}

StreamParser::Event StreamParser::fail_with(Errc code, std::string text) {
  state_ = State::kFailed;
  error_ = {code, std::move(text), -1};
  return Event::kFailed;
}

StreamParser::Event StreamParser::next() {
  for (;;) {
    Step step;
    switch (state_) {
      case State::kBoundary:
        step = at_boundary();
        break;
      case State::kBody:
        step = read_body();
        break;
      case State::kJunk:
        step = search();
        break;
      case State::kFailed:
        return Event::kFailed;
    }
    if (step) return *step;
  }
}

StreamParser::Step StreamParser::at_boundary() {
  if (header_scanned_ == 0) {
    while (begin_ < end_ && (buffer_[begin_] == std::byte{'\r'} || buffer_[begin_] == std::byte{'\n'})) {
      ++begin_;
      ++stray_line_ends_;
    }
  }
  const ByteView bytes = buffered();
  if (bytes.empty()) return Event::kNeedMore;
  return bytes[0] == kDollar ? read_frame(bytes) : read_header(bytes);
}

// RFC 2326 section 10.12: '$', channel, length in two bytes, then that many bytes.
StreamParser::Step StreamParser::read_frame(ByteView bytes) {
  if (bytes.size() < 4) return Event::kNeedMore;
  const size_t length = std::to_integer<size_t>(bytes[2]) << 8 | std::to_integer<size_t>(bytes[3]);
  const auto channel = std::to_integer<uint8_t>(bytes[1]);
  if (!known_.test(channel)) {
    const Look look = looks_like_frame(bytes);
    if (look == Look::kMore) return Event::kNeedMore;
    if (look == Look::kNo) {
      return begin_junk();
    }
  }
  if (bytes.size() < 4 + length) {
    // A false length would hold back what is after it; two good frames inside show that this one was cut
    // short.
    size_t found = 0;
    size_t unsure = 0;
    if (looks_like_frame(bytes) == Look::kNo && find_resumption(bytes, 1, bytes.size(), found, unsure)) {
      return begin_junk();
    }
    return Event::kNeedMore;
  }
  if (looks_like_boundary(bytes.subspan(4 + length)) == Look::kNo) {
    // Framing breaks after this frame. If frames go on inside it, the camera wrote only a part of it.
    size_t found = 0;
    size_t unsure = 0;
    if (find_resumption(bytes, 4, 4 + length, found, unsure)) {
      return begin_junk();
    }
    // What may be a frame inside has not come far enough to tell. Its length bounds the wait.
    if (unsure < 4 + length) return Event::kNeedMore;
  }
  // What follows may look like a boundary by chance, or not be there yet.
  if (swallows_another(bytes.first(4 + length))) return begin_junk();
  channel_ = channel;
  frame_ = bytes.subspan(4, length);
  if (known_.test(channel)) ssrcs_[channel] = ssrc_of(frame_);
  begin_ += 4 + length;
  return Event::kFrame;
}

StreamParser::Step StreamParser::read_header(ByteView bytes) {
  const std::string_view text = base::as_text(bytes);
  if (header_scanned_ == 0 && looks_like_boundary(bytes) == Look::kNo) {
    return begin_junk();
  }
  const size_t line_end = text.find('\n');
  const std::string_view first_line = text.substr(0, line_end);
  const bool readable = std::all_of(first_line.begin(), first_line.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 || c == '\r' || c == '\t';
  });
  if (!readable ||
      (line_end != std::string_view::npos && first_line.find(kProtocol) == std::string_view::npos)) {
    return begin_junk();
  }
  size_t end = std::string_view::npos;
  // The block ends at an empty line, whichever line ends the camera uses.
  for (size_t at = text.find('\n', header_scanned_ > 2 ? header_scanned_ - 2 : 0);
       at != std::string_view::npos; at = text.find('\n', at + 1)) {
    if (at + 1 < text.size() && text[at + 1] == '\n') {
      end = at + 2;
    } else if (at + 2 < text.size() && text[at + 1] == '\r' && text[at + 2] == '\n') {
      end = at + 3;
    } else {
      continue;
    }
    break;
  }
  if (end == std::string_view::npos) {
    if (text.size() > kMaxHeaderBytes)
      return fail_with(Errc::kLimit, "the camera sent a header of more than 16 KiB");
    header_scanned_ = text.size();
    return Event::kNeedMore;
  }
  header_scanned_ = 0;
  if (end > kMaxHeaderBytes) return fail_with(Errc::kLimit, "the camera sent a header of more than 16 KiB");
  auto parsed = parse_header_block(text.substr(0, end));
  if (!parsed) {
    return begin_junk();
  }
  begin_ += end;
  message_ = std::move(*parsed);
  const auto length = base::parse_number<size_t>(message_.header("Content-Length"));
  if (length && *length > kMaxBodyBytes)
    return fail_with(Errc::kLimit, "the camera announced a body of more than 1 MiB");
  if (length) {
    body_length_ = *length;
  } else {
    body_length_ = is_sdp(message_) ? kUnknownLength : 0;
  }
  if (body_length_ == 0) return Event::kMessage;
  state_ = State::kBody;
  return std::nullopt;
}

StreamParser::Step StreamParser::read_body() {
  const size_t wanted = body_length_ == kUnknownLength ? kMaxBodyBytes : body_length_;
  const std::string_view text = base::as_text(buffered());
  const std::string_view part = text.substr(0, wanted - message_.body.size());
  message_.body += part;
  begin_ += part.size();
  if (message_.body.size() < wanted) return Event::kNeedMore;
  if (body_length_ == kUnknownLength) {
    state_ = State::kBoundary;
    return fail_with(Errc::kLimit, "the camera sent a body without an end");
  }
  if (is_sdp(message_) && goes_on(base::as_text(buffered()))) {
    body_length_ = kUnknownLength;
    return std::nullopt;
  }
  state_ = State::kBoundary;
  return Event::kMessage;
}

void StreamParser::take_partial_body() {
  CHECK(in_body());
  state_ = State::kBoundary;
}

StreamParser::Step StreamParser::begin_junk() {
  state_ = State::kJunk;
  junk_bytes_ = 0;
  header_scanned_ = 0;
  return std::nullopt;
}

StreamParser::Step StreamParser::search() {
  const ByteView bytes = buffered();
  size_t found = 0;
  size_t unsure = bytes.size();
  // Not at the place where framing broke: what stands there was refused already.
  const size_t from = junk_bytes_ == 0 ? 1 : 0;
  if (find_resumption(bytes, std::min(from, bytes.size()), bytes.size(), found, unsure)) {
    begin_ += found;
    ++resynchronisations_;
    state_ = State::kBoundary;
    return std::nullopt;
  }
  begin_ += unsure;
  junk_bytes_ += unsure;
  if (junk_bytes_ > kMaxJunkBytes) {
    return fail_with(Errc::kMalformed,
                     "the camera's data lost its framing and did not find it again within 64 KiB");
  }
  return Event::kNeedMore;
}

// The first place in [from, limit) where the stream surely goes on; else the first that may yet prove to be
// one.
bool StreamParser::find_resumption(ByteView bytes, size_t from, size_t limit, size_t& found,
                                   size_t& first_unsure) const {
  first_unsure = bytes.size();
  for (size_t at = from; at < limit; ++at) {
    const Look look = two_in_a_row(bytes.subspan(at));
    if (look == Look::kYes) {
      found = at;
      return true;
    }
    if (look == Look::kMore) first_unsure = std::min(first_unsure, at);
  }
  return false;
}

// Channel, length and the fixed part of RTP or RTCP: version 2, and room for its header (RFC 3550
// sections 5.1 and 6.4).
StreamParser::Look StreamParser::looks_like_frame(ByteView bytes) const {
  if (bytes.empty()) return Look::kMore;
  if (bytes[0] != kDollar) return Look::kNo;
  if (bytes.size() < 4) return Look::kMore;
  const size_t length = std::to_integer<size_t>(bytes[2]) << 8 | std::to_integer<size_t>(bytes[3]);
  if (length < 8) return Look::kNo;
  if (bytes.size() < 5) return Look::kMore;
  return std::to_integer<unsigned>(bytes[4]) >> 6 == 2 ? Look::kYes : Look::kNo;
}

// Of RTP (RFC 3550 section 5.1), or of the reports of RTCP (section 6.4).
std::optional<uint32_t> StreamParser::ssrc_of(ByteView packet) {
  base::ByteReader in(packet);
  const uint8_t version = in.u8() >> 6;
  const uint8_t type = in.u8();
  in.skip(type >= 192 && type <= 223 ? 2 : 6);
  const uint32_t ssrc = in.u32();
  if (!in.ok() || version != 2) return std::nullopt;
  return ssrc;
}

bool StreamParser::swallows_another(ByteView frame) const {
  constexpr size_t kLeast = 4 + 8;
  for (size_t at = 4; at + kLeast <= frame.size(); ++at) {
    const void* found = std::memchr(frame.data() + at, '$', frame.size() - at - kLeast + 1);
    if (found == nullptr) return false;
    at = static_cast<size_t>(static_cast<const std::byte*>(found) - frame.data());
    const auto& expected = ssrcs_[std::to_integer<uint8_t>(frame[at + 1])];
    if (expected && looks_like_frame(frame.subspan(at)) == Look::kYes &&
        ssrc_of(frame.subspan(at + 4)) == expected) {
      return true;
    }
  }
  return false;
}

StreamParser::Look StreamParser::looks_like_boundary(ByteView bytes) const {
  if (bytes.empty()) return Look::kMore;
  const std::string_view text = base::as_text(bytes.subspan(0, std::min<size_t>(bytes.size(), 8)));
  if (text.front() == '\r' || text.front() == '\n') return Look::kYes;
  if (text.front() == '$') {
    if (text.size() < 2) return Look::kMore;
    return known_.test(static_cast<uint8_t>(text[1])) ? Look::kYes : looks_like_frame(bytes);
  }
  if (base::starts_with_ignoring_case(text, kProtocol)) return Look::kYes;
  if (base::starts_with_ignoring_case(kProtocol, text)) return Look::kMore;
  // A request: a word in capitals and a blank.
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ' && i > 2) return Look::kYes;
    if (!is_method_character(text[i])) return Look::kNo;
  }
  return text.size() == 8 ? Look::kYes : Look::kMore;
}

StreamParser::Look StreamParser::two_in_a_row(ByteView bytes) const {
  if (bytes[0] == std::byte{'R'}) {
    constexpr std::string_view kReply = "RTSP/1.0 ";
    const std::string_view text = base::as_text(bytes);
    if (text.substr(0, kReply.size()) == kReply) return Look::kYes;
    return kReply.substr(0, text.size()) == text ? Look::kMore : Look::kNo;
  }
  if (bytes[0] != kDollar) return Look::kNo;
  if (bytes.size() >= 2 && !known_.test(std::to_integer<uint8_t>(bytes[1]))) return Look::kNo;
  const Look first = looks_like_frame(bytes);
  if (first != Look::kYes) return first;
  const size_t length = std::to_integer<size_t>(bytes[2]) << 8 | std::to_integer<size_t>(bytes[3]);
  if (bytes.size() <= 4 + length) return Look::kMore;
  const ByteView after = bytes.subspan(4 + length);
  if (after[0] == kDollar) {
    if (after.size() >= 2 && !known_.test(std::to_integer<uint8_t>(after[1]))) return Look::kNo;
    return looks_like_frame(after);
  }
  return base::starts_with_ignoring_case(base::as_text(after), kProtocol) ? Look::kYes : Look::kNo;
}

}  // namespace miharu::ingest::rtsp
