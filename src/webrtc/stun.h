// STUN messages of the Binding method (RFC 8489) with the attributes of ICE (RFC 8445 section 16.1).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <boost/asio/ip/udp.hpp>

#include "base/bytes.h"
#include "base/error.h"

struct evp_mac_ctx_st;

namespace miharu::webrtc {

constexpr size_t kStunHeaderBytes = 20;
// A check is about 100 bytes; browsers may carry a DTLS record inside one. Beyond, a message is refused
// unread.
constexpr size_t kMaxStunBytes = 2048;

enum class StunClass : uint8_t { kRequest = 0, kIndication = 1, kSuccess = 2, kError = 3 };

// The error codes that we send (RFC 8489 section 14.8, RFC 8445 section 16.2).
constexpr uint16_t kStunBadRequest = 400;
constexpr uint16_t kStunUnauthenticated = 401;
constexpr uint16_t kStunUnknownAttribute = 420;
constexpr uint16_t kStunRoleConflict = 487;

using StunTransactionId = std::array<std::byte, 12>;

// A transaction id for a request of ours: `tag` in its first four bytes, so that whichever thread receives
// the answer knows whose it is (`answer_tag`), and 64 random bits.
StunTransactionId make_transaction_id(uint32_t tag);

// The password of one side, ready to sign and verify (HMAC-SHA1, RFC 8489 section 14.5). For one thread.
// About a kilobyte; it replaces the set-up of the algorithm at each message, which costs more than the
// digest.
class StunKey {
 public:
  using Digest = std::array<std::byte, 20>;

  explicit StunKey(std::string_view password);
  [[nodiscard]] Digest sign(base::ByteView head, base::ByteView body) const;

 private:
  struct Free {
    void operator()(evp_mac_ctx_st* context) const;
  };
  std::unique_ptr<evp_mac_ctx_st, Free> context_;
};

struct StunError {
  uint16_t code = 0;        // 300 to 699
  std::string_view reason;  // of the peer: not to be trusted, may be any bytes
};

// A parsed message. Its views point into the datagram and are valid as long as that. Nothing in it is to be
// believed before `is_signed_by`. Of an attribute that comes twice the first counts, and what comes behind
// MESSAGE-INTEGRITY is left out, FINGERPRINT excepted (RFC 8489 sections 14, 14.5).
struct StunMessage {
  static constexpr size_t kMaxUnknown = 8;

  StunClass type = StunClass::kRequest;
  StunTransactionId transaction{};
  bool has_fingerprint = false;              // and it is right: a wrong one is a parse error
  std::optional<std::string_view> username;  // at most 513 bytes
  std::optional<uint32_t> priority;
  std::optional<uint64_t> ice_controlling;  // tie-breakers
  std::optional<uint64_t> ice_controlled;
  bool use_candidate = false;
  std::optional<boost::asio::ip::udp::endpoint> mapped;  // XOR-MAPPED-ADDRESS, else MAPPED-ADDRESS
  std::optional<StunError> error;
  std::array<uint16_t, kMaxUnknown> unknown{};  // comprehension-required, not known to us
  size_t unknown_count = 0;                     // further ones are not listed
  size_t integrity_offset = 0;                  // of MESSAGE-INTEGRITY in `bytes`, 0 = none
  base::ByteView bytes;

  [[nodiscard]] bool has_integrity() const { return integrity_offset != 0; }
  [[nodiscard]] bool is_signed_by(const StunKey& key) const;  // compares in constant time
};

// Whether a datagram of the media port belongs to STUN: its first byte is 0 to 3 (RFC 7983 section 7). It may
// still be no valid message.
constexpr bool is_stun(base::ByteView datagram) {
  return !datagram.empty() && datagram[0] <= std::byte{3};
}

// Errors: not one whole STUN message of the Binding method, an attribute that breaks its format, a wrong
// FINGERPRINT (kMalformed, kTruncated); too long (kLimit); another method (kUnsupported).
base::Result<StunMessage> parse_stun(base::ByteView datagram);

// For the way to the owner's thread, from one that knows no session. Costs no digest and no allocation unless
// the message is malformed.
//
// The receiver's fragment (before the colon) of a Binding request's USERNAME, if its FINGERPRINT is right.
std::optional<std::string_view> local_ufrag_of(base::ByteView datagram);
// The tag of `make_transaction_id` if this is an answer (success or error). FINGERPRINT is not looked at.
std::optional<uint32_t> answer_tag(base::ByteView datagram);

// Appends one message to `out`, which must be empty at the start. Attributes in the order of the calls;
// `finish` is the last one. SOFTWARE is never sent: it helps nobody but an attacker.
class StunBuilder {
 public:
  StunBuilder(base::ByteVector& out, StunClass type, const StunTransactionId& transaction);

  void username(std::string_view text);
  void priority(uint32_t value);
  void use_candidate();
  void ice_controlling(uint64_t tie_breaker);
  void ice_controlled(uint64_t tie_breaker);
  void xor_mapped_address(const boost::asio::ip::udp::endpoint& address);
  void error_code(uint16_t code, std::string_view reason = {});
  void unknown_attributes(std::span<const uint16_t> types);

  // Adds MESSAGE-INTEGRITY by `key`, unless that is null, and FINGERPRINT.
  void finish(const StunKey* key);

 private:
  void header(uint16_t attribute, size_t value_bytes);
  void pad();
  void set_length(size_t total_bytes);

  base::ByteVector& out_;
  base::ByteWriter writer_;
  uint16_t type_;
};

}  // namespace miharu::webrtc
