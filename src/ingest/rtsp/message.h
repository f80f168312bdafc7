// RTSP on a stream of bytes (RFC 2326): replies, the camera's own requests and interleaved data, taken apart
// as they come. Pure: no socket and no clock inside.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace miharu::ingest::rtsp {

struct Message {
  bool is_request = false;
  unsigned status = 0;  // of a reply
  std::string reason;   // of a reply, may be empty (quirk R2)
  std::string method;   // of a request
  std::string uri;      // of a request
  std::vector<std::pair<std::string, std::string>>
      headers;  // folded lines joined, blanks trimmed, no control characters
  std::string body;

  [[nodiscard]] std::string_view header(
      std::string_view name) const;  // the first of that name in any case, or empty
  [[nodiscard]] std::vector<std::string_view> all(std::string_view name) const;
};

// Reads a whole header block, from the first line to the empty line, without a body.
base::Result<Message> parse_header_block(std::string_view text);

class StreamParser {
 public:
  static constexpr size_t kMaxHeaderBytes = 16 * 1024;
  static constexpr size_t kMaxBodyBytes = 1024 * 1024;
  static constexpr size_t kMaxJunkBytes = 64 * 1024;  // then the connection is worth nothing (quirk T3)
  static constexpr size_t kMaxFrameBytes = 4 + 0xffff;
  static constexpr size_t kDefaultCapacity = 256 * 1024;  // several packets a read
  static constexpr size_t kMinCapacity =
      2 * kMaxFrameBytes + 64;  // resynchronising looks at two frames in a row

  explicit StreamParser(size_t capacity = kDefaultCapacity);

  // Where the next bytes go. Never empty; makes the view of the last frame invalid.
  std::span<std::byte> space();
  void commit(size_t count) { end_ += count; }

  enum class Event : uint8_t {
    kNeedMore,
    kMessage,  // message()
    kFrame,    // channel() and frame(), which is valid until space() is called
    kFailed,   // error(); the connection has to be closed
  };
  Event next();

  Message& message() { return message_; }
  [[nodiscard]] uint8_t channel() const { return channel_; }
  [[nodiscard]] base::ByteView frame() const { return frame_; }
  [[nodiscard]] const base::Error& error() const { return error_; }

  // Channels that SETUP assigned. Frames on others are skipped over as frames (quirk T2), but never a place
  // to resynchronise at.
  void set_known_channel(uint8_t channel) { known_.set(channel); }

  // A body is begun and not all there. What to do about a Content-Length that is too long, too short or
  // absent (quirk R4): take_partial_body() makes a message of what came, to be read as message().
  [[nodiscard]] bool in_body() const { return state_ == State::kBody; }
  [[nodiscard]] bool body_length_known() const { return body_length_ != kUnknownLength; }
  void take_partial_body();

  // Framing is lost and no place to go on has been found yet.
  [[nodiscard]] bool in_junk() const { return state_ == State::kJunk; }
  [[nodiscard]] uint64_t resynchronisations() const { return resynchronisations_; }
  [[nodiscard]] uint64_t stray_line_ends() const { return stray_line_ends_; }

 private:
  enum class State : uint8_t { kBoundary, kBody, kJunk, kFailed };
  enum class Look : uint8_t { kNo, kYes, kMore };
  static constexpr size_t kUnknownLength = SIZE_MAX;

  [[nodiscard]] base::ByteView buffered() const { return {buffer_.get() + begin_, end_ - begin_}; }
  Event fail_with(base::Errc code, std::string text);
  // Nothing means that the state changed and next() has to look again: no recursion, the peer chooses how
  // often.
  using Step = std::optional<Event>;
  Step at_boundary();
  Step read_frame(base::ByteView bytes);
  Step read_header(base::ByteView bytes);
  Step read_body();
  Step search();
  Step begin_junk();
  Look looks_like_frame(base::ByteView bytes) const;
  // A frame of the same sender as the last one of its channel lies inside of this one, which was cut short
  // then.
  [[nodiscard]] bool swallows_another(base::ByteView frame) const;
  [[nodiscard]] static std::optional<uint32_t> ssrc_of(base::ByteView packet);
  Look looks_like_boundary(base::ByteView bytes) const;
  Look two_in_a_row(base::ByteView bytes) const;
  bool find_resumption(base::ByteView bytes, size_t from, size_t limit, size_t& found,
                       size_t& first_unsure) const;

  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_;
  size_t begin_ = 0;
  size_t end_ = 0;

  State state_ = State::kBoundary;
  Message message_;
  size_t body_length_ = 0;
  size_t header_scanned_ = 0;  // bytes of an unfinished header block that were looked at
  uint8_t channel_ = 0;
  base::ByteView frame_;
  base::Error error_;
  std::bitset<256> known_;
  std::array<std::optional<uint32_t>, 256> ssrcs_{};  // of the last packet of each channel
  size_t junk_bytes_ = 0;
  uint64_t resynchronisations_ = 0;
  uint64_t stray_line_ends_ = 0;
};

}  // namespace miharu::ingest::rtsp
