#include "webrtc/stun.h"

#include <algorithm>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <zlib.h>

#include "base/check.h"

namespace miharu::webrtc {
namespace {

using base::ByteReader;
using base::ByteView;
using base::Errc;
using base::fail;
using base::Result;
using boost::asio::ip::address_v4;
using boost::asio::ip::address_v6;
using boost::asio::ip::udp;

// RFC 8489 section 18.3, RFC 8445 section 20.1.
constexpr uint16_t kMappedAddress = 0x0001;
constexpr uint16_t kUsername = 0x0006;
constexpr uint16_t kMessageIntegrity = 0x0008;
constexpr uint16_t kErrorCode = 0x0009;
constexpr uint16_t kUnknownAttributes = 0x000A;
constexpr uint16_t kXorMappedAddress = 0x0020;
constexpr uint16_t kPriority = 0x0024;
constexpr uint16_t kUseCandidate = 0x0025;
constexpr uint16_t kFingerprint = 0x8028;
constexpr uint16_t kIceControlled = 0x8029;
constexpr uint16_t kIceControlling = 0x802A;
constexpr uint16_t kFirstOptional = 0x8000;  // from here on, an attribute may be ignored

constexpr uint32_t kMagicCookie = 0x2112A442;
constexpr uint32_t kFingerprintMask = 0x5354554E;
constexpr size_t kAttributeHeaderBytes = 4;
constexpr size_t kIntegrityBytes = kAttributeHeaderBytes + 20;
constexpr size_t kFingerprintBytes = kAttributeHeaderBytes + 4;
constexpr size_t kMaxUsernameBytes = 513;  // RFC 8489 section 14.3
constexpr size_t kMaxReasonBytes = 763;    // section 14.8

// The class is bits 4 and 8 of the type; the method has the others, and Binding is 1 (RFC 8489 section 5).
constexpr uint16_t type_of(StunClass type) {
  const auto bits = static_cast<unsigned>(type);
  return static_cast<uint16_t>(0x0001 | (bits & 1) << 4 | (bits >> 1) << 8);
}
constexpr uint16_t kClassBits = 0x0110;

uint32_t fingerprint_of(ByteView bytes) {
  const auto* data = reinterpret_cast<const Bytef*>(bytes.data());
  return static_cast<uint32_t>(crc32_z(crc32_z(0, nullptr, 0), data, bytes.size())) ^ kFingerprintMask;
}

tl::unexpected<base::Error> malformed(std::string_view text, size_t offset) {
  return fail(Errc::kMalformed, std::string(text), static_cast<int64_t>(offset));
}

// The value of MAPPED-ADDRESS, or with `mask` (cookie and transaction id) that of XOR-MAPPED-ADDRESS:
//   0                   8                   16                                  31
//   | zero              | family            | port                              |
//   | address, 4 or 16 bytes                                                    |
std::optional<udp::endpoint> read_address(ByteView value, ByteView mask) {
  ByteReader in(value);
  in.skip(1);
  const uint8_t family = in.u8();
  auto port = in.u16();
  const ByteView masked = in.rest();
  if (!in.ok() || masked.size() != (family == 1 ? 4U : family == 2 ? 16U : SIZE_MAX)) return std::nullopt;
  std::array<uint8_t, 16> bytes{};
  for (size_t i = 0; i < masked.size(); ++i)
    bytes[i] = std::to_integer<uint8_t>(mask.empty() ? masked[i] : masked[i] ^ mask[i]);
  if (!mask.empty()) port ^= kMagicCookie >> 16;
  if (family == 1) return udp::endpoint(address_v4({bytes[0], bytes[1], bytes[2], bytes[3]}), port);
  return udp::endpoint(address_v6(bytes), port);
}

std::optional<StunError> read_error(ByteView value) {
  ByteReader in(value);
  in.skip(2);
  const unsigned hundreds = in.u8() & 7U;
  const unsigned number = in.u8();
  const ByteView reason = in.rest();
  if (!in.ok() || hundreds < 3 || hundreds > 6 || number > 99 || reason.size() > kMaxReasonBytes)
    return std::nullopt;
  return StunError{static_cast<uint16_t>(hundreds * 100 + number), base::as_text(reason)};
}

// Takes the value of an attribute, false if it has not the form of its type.
bool take_attribute(StunMessage& message, uint16_t type, ByteView value) {
  ByteReader in(value);
  const auto number = [&]<class T>(std::optional<T>& field) {
    if (value.size() != sizeof(T)) return false;
    if (!field) field = static_cast<T>(sizeof(T) == 8 ? in.u64() : in.u32());
    return true;
  };
  switch (type) {
    case kUsername:
      if (!message.username) message.username = base::as_text(value);
      return value.size() <= kMaxUsernameBytes;
    case kPriority:
      return number(message.priority);
    case kIceControlling:
      return number(message.ice_controlling);
    case kIceControlled:
      return number(message.ice_controlled);
    case kUseCandidate:
      message.use_candidate = true;
      return value.empty();
    case kErrorCode: {
      const auto error = read_error(value);
      if (!message.error) message.error = error;
      return error.has_value();
    }
    case kUnknownAttributes:
      return value.size() % 2 == 0;
    default:
      if (type < kFirstOptional && message.unknown_count < StunMessage::kMaxUnknown)
        message.unknown[message.unknown_count++] = type;
      return true;
  }
}

// The two kinds of address: the masked one counts where there are both, since some NATs rewrite the other.
bool take_address(StunMessage& message, uint16_t type, ByteView value, bool& has_masked) {
  const bool is_masked = type == kXorMappedAddress;
  const auto address = read_address(value, is_masked ? message.bytes.subspan(4, 16) : ByteView());
  if (address && !has_masked && (is_masked || !message.mapped)) message.mapped = address;
  has_masked = has_masked || is_masked;
  return address.has_value();
}

Result<StunMessage> parse_header(ByteView datagram) {
  ByteReader in(datagram);
  const uint16_t type = in.u16();
  const uint16_t length = in.u16();
  const uint32_t cookie = in.u32();
  const ByteView transaction = in.bytes(12);
  if (!in.ok()) return in.error("shorter than a STUN header");
  if (cookie != kMagicCookie || type >= 0x4000) return malformed("not STUN", cookie != kMagicCookie ? 4 : 0);
  if (datagram.size() > kMaxStunBytes) return fail(Errc::kLimit, "STUN message is too long");
  if (length % 4 != 0 || length > in.remaining()) return malformed("STUN length is wrong", 2);
  if (length < in.remaining()) return malformed("bytes after the STUN message", kStunHeaderBytes + length);
  if ((type & ~kClassBits) != type_of(StunClass::kRequest))
    return fail(Errc::kUnsupported, "STUN method is not Binding", 0);

  StunMessage message;
  message.type = static_cast<StunClass>((type >> 4 & 1) | (type >> 7 & 2));
  std::copy(transaction.begin(), transaction.end(), message.transaction.begin());
  message.bytes = datagram;
  return message;
}

}  // namespace

StunTransactionId make_transaction_id(uint32_t tag) {
  StunTransactionId id;
  for (size_t i = 0; i < 4; ++i) id[i] = static_cast<std::byte>(tag >> (24 - 8 * i));
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(id.data() + 4), 8) == 1);
  return id;
}

void StunKey::Free::operator()(evp_mac_ctx_st* context) const {
  EVP_MAC_CTX_free(context);
}

StunKey::StunKey(std::string_view password) {
  static EVP_MAC* const kHmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CHECK(kHmac != nullptr);
  context_.reset(EVP_MAC_CTX_new(kHmac));
  char digest[] = "SHA1";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                                   OSSL_PARAM_construct_end()};
  CHECK(context_ && EVP_MAC_init(context_.get(), reinterpret_cast<const unsigned char*>(password.data()),
                                 password.size(), parameters) == 1);
}

StunKey::Digest StunKey::sign(ByteView head, ByteView body) const {
  Digest digest;
  size_t size = 0;
  EVP_MAC_CTX* const mac = context_.get();
  const auto update = [mac](ByteView bytes) {
    return EVP_MAC_update(mac, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
  };
  // Without a key: begins anew with the one before.
  CHECK(EVP_MAC_init(mac, nullptr, 0, nullptr) == 1 && update(head) && update(body));
  CHECK(EVP_MAC_final(mac, reinterpret_cast<unsigned char*>(digest.data()), &size, digest.size()) == 1);
  CHECK(size == digest.size());
  return digest;
}

bool StunMessage::is_signed_by(const StunKey& key) const {
  if (!has_integrity()) return false;
  // Signed was a message that ended with MESSAGE-INTEGRITY (RFC 8489 section 14.5).
  std::array<std::byte, kStunHeaderBytes> head;
  std::copy_n(bytes.begin(), head.size(), head.begin());
  const size_t length = integrity_offset + kIntegrityBytes - kStunHeaderBytes;
  head[2] = static_cast<std::byte>(length >> 8);
  head[3] = static_cast<std::byte>(length);
  const auto digest = key.sign(head, bytes.subspan(head.size(), integrity_offset - head.size()));
  return CRYPTO_memcmp(digest.data(), bytes.data() + integrity_offset + kAttributeHeaderBytes,
                       digest.size()) == 0;
}

Result<StunMessage> parse_stun(ByteView datagram) {
  auto message = parse_header(datagram);
  if (!message) return message;
  bool has_masked = false;
  ByteReader in(datagram);
  in.skip(kStunHeaderBytes);
  while (!in.empty()) {
    const size_t offset = in.position();
    const uint16_t type = in.u16();
    const uint16_t length = in.u16();
    const ByteView value = in.bytes(length);
    in.skip((4 - length % 4) % 4);
    if (!in.ok()) return in.error("STUN attribute is cut off");

    if (type == kFingerprint) {
      if (length != kFingerprintBytes - kAttributeHeaderBytes || !in.empty())
        return malformed("FINGERPRINT of a wrong length or not at the end", offset);
      if (ByteReader(value).u32() != fingerprint_of(datagram.first(offset)))
        return malformed("FINGERPRINT is wrong", offset);
      message->has_fingerprint = true;
    } else if (message->has_integrity()) {
      continue;  // nobody has signed it
    } else if (type == kMessageIntegrity) {
      if (value.size() != std::tuple_size_v<StunKey::Digest>)
        return malformed("MESSAGE-INTEGRITY of a wrong length", offset);
      message->integrity_offset = offset;
    } else if (!(type == kMappedAddress || type == kXorMappedAddress
                     ? take_address(*message, type, value, has_masked)
                     : take_attribute(*message, type, value))) {
      return malformed("STUN attribute of a wrong form", offset);
    }
  }
  return message;
}

std::optional<std::string_view> local_ufrag_of(ByteView datagram) {
  const auto message = parse_stun(datagram);
  if (!message || message->type != StunClass::kRequest || !message->has_fingerprint || !message->username)
    return std::nullopt;
  const size_t colon = message->username->find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  return message->username->substr(0, colon);
}

std::optional<uint32_t> answer_tag(ByteView datagram) {
  ByteReader in(datagram);
  const uint16_t type = in.u16();
  in.skip(2);
  const uint32_t cookie = in.u32();
  const uint32_t tag = in.u32();
  if (!in.ok() || datagram.size() < kStunHeaderBytes || cookie != kMagicCookie) return std::nullopt;
  if (type != type_of(StunClass::kSuccess) && type != type_of(StunClass::kError)) return std::nullopt;
  return tag;
}

StunBuilder::StunBuilder(base::ByteVector& out, StunClass type, const StunTransactionId& transaction)
    : out_(out), writer_(out), type_(type_of(type)) {
  CHECK(out.empty());
  writer_.u16(type_);
  writer_.u16(0);
  writer_.u32(kMagicCookie);
  writer_.bytes(transaction);
}

void StunBuilder::header(uint16_t attribute, size_t value_bytes) {
  writer_.u16(attribute);
  writer_.u16(value_bytes);
}

void StunBuilder::pad() {
  writer_.zeros((4 - writer_.size() % 4) % 4);
}

void StunBuilder::set_length(size_t total_bytes) {
  writer_.patch_u32(0, uint64_t{type_} << 16 | (total_bytes - kStunHeaderBytes));
}

void StunBuilder::username(std::string_view text) {
  header(kUsername, text.size());
  writer_.text(text);
  pad();
}

void StunBuilder::priority(uint32_t value) {
  header(kPriority, 4);
  writer_.u32(value);
}

void StunBuilder::use_candidate() {
  header(kUseCandidate, 0);
}

void StunBuilder::ice_controlling(uint64_t tie_breaker) {
  header(kIceControlling, 8);
  writer_.u64(tie_breaker);
}

void StunBuilder::ice_controlled(uint64_t tie_breaker) {
  header(kIceControlled, 8);
  writer_.u64(tie_breaker);
}

void StunBuilder::xor_mapped_address(const udp::endpoint& address) {
  const auto masked = [this](const auto& bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) writer_.u8(bytes[i] ^ std::to_integer<uint8_t>(out_[4 + i]));
  };
  const bool is_v4 = address.address().is_v4();
  header(kXorMappedAddress, is_v4 ? 8 : 20);
  writer_.u8(0);
  writer_.u8(is_v4 ? 1 : 2);
  writer_.u16(address.port() ^ kMagicCookie >> 16);
  if (is_v4) {
    masked(address.address().to_v4().to_bytes());
  } else {
    masked(address.address().to_v6().to_bytes());
  }
}

void StunBuilder::error_code(uint16_t code, std::string_view reason) {
  header(kErrorCode, 4 + reason.size());
  writer_.u16(0);
  writer_.u8(code / 100);
  writer_.u8(code % 100);
  writer_.text(reason);
  pad();
}

void StunBuilder::unknown_attributes(std::span<const uint16_t> types) {
  header(kUnknownAttributes, types.size() * 2);
  for (const uint16_t type : types) writer_.u16(type);
  pad();
}

void StunBuilder::finish(const StunKey* key) {
  if (key != nullptr) {
    set_length(out_.size() + kIntegrityBytes);
    const auto digest = key->sign(out_, {});
    header(kMessageIntegrity, digest.size());
    writer_.bytes(digest);
  }
  set_length(out_.size() + kFingerprintBytes);
  const uint32_t fingerprint = fingerprint_of(out_);
  header(kFingerprint, 4);
  writer_.u32(fingerprint);
}

}  // namespace miharu::webrtc
