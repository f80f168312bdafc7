// Bounds-checked reading and writing of wire bytes. Big-endian (network order) unless the name says
// otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace miharu::base {

using ByteView = std::span<const std::byte>;
using ByteVector = std::vector<std::byte>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Reads forward through a view that must outlive it. A read past the end returns zeros or an empty view,
// makes ok() false for good and leaves the position: parse first, ask once.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t position() const { return position_; }
  [[nodiscard]] size_t remaining() const { return bytes_.size() - position_; }
  [[nodiscard]] bool empty() const { return remaining() == 0; }

  uint8_t u8() { return static_cast<uint8_t>(big_endian(1)); }
  uint16_t u16() { return static_cast<uint16_t>(big_endian(2)); }
  uint32_t u24() { return static_cast<uint32_t>(big_endian(3)); }
  uint32_t u32() { return static_cast<uint32_t>(big_endian(4)); }
  uint64_t u64() { return big_endian(8); }
  ByteView bytes(size_t count) {
    if (!take(count)) return {};
    return bytes_.subspan(position_ - count, count);
  }
  ByteView rest() { return bytes(remaining()); }
  void skip(size_t count) { take(count); }

  // The error for a parser that stopped here: truncated when a read failed, else malformed.
  [[nodiscard]] tl::unexpected<Error> error(std::string text) const {
    return fail(ok_ ? Errc::kMalformed : Errc::kTruncated, std::move(text), static_cast<int64_t>(position_));
  }

 private:
  bool take(size_t count) {
    if (!ok_ || count > remaining()) {
      ok_ = false;
      return false;
    }
    position_ += count;
    return true;
  }
  uint64_t big_endian(size_t count) {
    if (!take(count)) return 0;
    uint64_t value = 0;
    for (size_t i = position_ - count; i < position_; ++i)
      value = value << 8 | std::to_integer<uint64_t>(bytes_[i]);
    return value;
  }

  ByteView bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

// Appends to a vector that it does not own. `patch_u32` fills in sizes known later.
class ByteWriter {
 public:
  explicit ByteWriter(ByteVector& out) : out_(out) {}

  void u8(uint64_t value) { big_endian(value, 1); }
  void u16(uint64_t value) { big_endian(value, 2); }
  void u24(uint64_t value) { big_endian(value, 3); }
  void u32(uint64_t value) { big_endian(value, 4); }
  void u64(uint64_t value) { big_endian(value, 8); }
  void bytes(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void text(std::string_view text) { bytes(as_bytes(text)); }
  void zeros(size_t count) { out_.insert(out_.end(), count, std::byte{0}); }
  [[nodiscard]] size_t size() const { return out_.size(); }
  void patch_u32(size_t at, uint64_t value) {
    for (size_t i = 0; i < 4; ++i) out_[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
  }

 private:
  void big_endian(uint64_t value, size_t count) {
    for (size_t i = count; i-- > 0;) out_.push_back(static_cast<std::byte>(value >> (8 * i)));
  }

  ByteVector& out_;
};

// Most significant bit first, as in ISO/IEC 14496-10 clause 7.2. Same failure rule as ByteReader.
class BitReader {
 public:
  explicit BitReader(ByteView bytes) : bytes_(bytes) {}

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] size_t position_bits() const { return position_; }
  [[nodiscard]] size_t remaining_bits() const { return bytes_.size() * 8 - position_; }
  uint32_t bits(unsigned count);  // count <= 32
  bool bit() { return bits(1) != 0; }
  void skip(size_t count);
  uint32_t ue();  // Exp-Golomb, clause 9.1
  int32_t se();

 private:
  ByteView bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

std::string to_hex(ByteView bytes);
Result<ByteVector> from_hex(std::string_view text);
std::string to_base64(ByteView bytes);
std::string to_base64url(ByteView bytes);                  // RFC 4648 section 5, without padding
Result<ByteVector> from_base64(std::string_view text);     // padding may be missing, blanks are not allowed
Result<ByteVector> from_base64url(std::string_view text);  // without padding

// CRC-32C (Castagnoli, RFC 3720 appendix B.4), continued from `crc` (0 at the start).
uint32_t crc32c(uint32_t crc, ByteView bytes);

// Unsigned LEB128: 7 bits a byte, least significant first. Zigzag for signed values.
void put_varint(ByteVector& out, uint64_t value);
Result<uint64_t> get_varint(ByteReader& in);
constexpr uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

}  // namespace miharu::base
