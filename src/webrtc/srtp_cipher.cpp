// SHA-1 by the interface that OpenSSL 3 calls deprecated, because its state is a plain structure: to go on
// from the padded key is a copy of 96 bytes, where EVP_MAC allocates (figures: bench/srtp_bench.cpp).
#define OPENSSL_SUPPRESS_DEPRECATED

#include "webrtc/srtp_cipher.h"

#include <array>
#include <cstring>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/check.h"

namespace miharu::webrtc {
namespace {

constexpr size_t kRtcpClearBytes = 8;  // the first header and its SSRC
constexpr uint32_t kEncrypted = 0x80000000;

uint8_t* octets(std::byte* bytes) {
  return reinterpret_cast<uint8_t*>(bytes);
}
const uint8_t* octets(const std::byte* bytes) {
  return reinterpret_cast<const uint8_t*>(bytes);
}
int size_of(base::ByteView bytes) {
  return static_cast<int>(bytes.size());
}

template <size_t kSize>
std::array<std::byte, kSize> big_endian(uint64_t value) {
  std::array<std::byte, kSize> out;
  for (size_t i = 0; i < kSize; ++i) out[i] = static_cast<std::byte>(value >> (8 * (kSize - 1 - i)));
  return out;
}

uint32_t ssrc_at(const std::byte* at) {
  uint32_t ssrc = 0;
  for (size_t i = 0; i < 4; ++i) ssrc = ssrc << 8 | std::to_integer<uint32_t>(at[i]);
  return ssrc;
}

// In both profiles the SSRC and 48 bits of index follow each other in the IV, over the salt.
void mix(std::byte* at, uint32_t ssrc, uint64_t index) {
  const auto first = big_endian<4>(ssrc);
  const auto second = big_endian<6>(index);
  for (size_t i = 0; i < first.size(); ++i) at[i] ^= first[i];
  for (size_t i = 0; i < second.size(); ++i) at[first.size() + i] ^= second[i];
}

}  // namespace

// HMAC-SHA1 (RFC 2104), begun: the states of its two digests behind the padded key.
class HmacSha1 {
 public:
  explicit HmacSha1(base::ByteView key) {
    std::array<uint8_t, SHA_CBLOCK> pad{};
    std::memcpy(pad.data(), key.data(), key.size());
    for (uint8_t& b : pad) b ^= 0x36;
    SHA1_Init(&inner_);
    SHA1_Update(&inner_, pad.data(), pad.size());
    for (uint8_t& b : pad) b ^= 0x36 ^ 0x5C;
    SHA1_Init(&outer_);
    SHA1_Update(&outer_, pad.data(), pad.size());
    OPENSSL_cleanse(pad.data(), pad.size());
  }
  HmacSha1(const HmacSha1&) = delete;
  HmacSha1& operator=(const HmacSha1&) = delete;
  ~HmacSha1() {
    OPENSSL_cleanse(&inner_, sizeof inner_);
    OPENSSL_cleanse(&outer_, sizeof outer_);
  }

  void tag(base::ByteView first, base::ByteView second, std::byte* out) const {
    std::array<uint8_t, SHA_DIGEST_LENGTH> digest;
    SHA_CTX state = inner_;
    SHA1_Update(&state, first.data(), first.size());
    SHA1_Update(&state, second.data(), second.size());
    SHA1_Final(digest.data(), &state);
    state = outer_;
    SHA1_Update(&state, digest.data(), digest.size());
    SHA1_Final(digest.data(), &state);
    std::memcpy(out, digest.data(), SrtpCipher::kHmacTagBytes);
  }

 private:
  SHA_CTX inner_;
  SHA_CTX outer_;
};

void SrtpCipher::ContextDeleter::operator()(EVP_CIPHER_CTX* context) const {
  EVP_CIPHER_CTX_free(context);
}

SrtpCipher::SrtpCipher(SrtpProfile profile, const SrtpSessionKeys& keys)
    : salt_(keys.salt), context_(EVP_CIPHER_CTX_new()) {
  // Fetching looks algorithms up under a lock, so once a process. Never freed: threads may outlive statics.
  static EVP_CIPHER* const gcm = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  static EVP_CIPHER* const counter_mode = EVP_CIPHER_fetch(nullptr, "AES-128-CTR", nullptr);
  EVP_CIPHER* const cipher = profile == SrtpProfile::kAeadAes128Gcm ? gcm : counter_mode;
  CHECK(context_ != nullptr && cipher != nullptr);
  CHECK(EVP_EncryptInit_ex2(context_.get(), cipher, octets(keys.cipher.data()), nullptr, nullptr) == 1);
  if (profile == SrtpProfile::kAesCm128Sha1_80) hmac_ = std::make_unique<HmacSha1>(keys.authentication);
}

SrtpCipher::~SrtpCipher() = default;

size_t SrtpCipher::protect_rtp(uint64_t extended_sequence, base::ByteView header, base::ByteView payload,
                               std::span<std::byte> out) {
  const size_t packet_bytes = header.size() + payload.size();
  CHECK(header.size() >= 12 && out.size() >= packet_bytes + tag_bytes());
  CHECK((std::to_integer<unsigned>(header[2]) << 8 | std::to_integer<unsigned>(header[3])) ==
        (extended_sequence & 0xFFFF));
  const uint32_t ssrc = ssrc_at(header.data() + 8);
  if (header.data() != out.data()) std::memcpy(out.data(), header.data(), header.size());
  std::byte* const body = out.data() + header.size();
  std::byte* const tag = out.data() + packet_bytes;
  if (hmac_ == nullptr) {
    begin_gcm(ssrc, extended_sequence);
    authenticate(header);
    encrypt(payload, body);
    finish_gcm(tag);
  } else {
    begin_counter_mode(ssrc, extended_sequence);
    encrypt(payload, body);
    hmac_->tag(out.first(packet_bytes), big_endian<4>(extended_sequence >> 16), tag);
  }
  return packet_bytes + tag_bytes();
}

size_t SrtpCipher::protect_rtcp(uint32_t index, std::span<std::byte> buffer, size_t packet_bytes) {
  const size_t protected_bytes = packet_bytes + kRtcpIndexBytes + tag_bytes();
  CHECK(packet_bytes >= kRtcpClearBytes && buffer.size() >= protected_bytes && index < kEncrypted);
  const uint32_t ssrc = ssrc_at(buffer.data() + 4);
  const auto last_word = big_endian<kRtcpIndexBytes>(kEncrypted | index);
  const std::span<std::byte> body = buffer.subspan(kRtcpClearBytes, packet_bytes - kRtcpClearBytes);
  std::byte* const end = buffer.data() + packet_bytes;
  if (hmac_ == nullptr) {
    // RFC 7714 section 9.2: the last word is authenticated behind the header, and sent behind the tag.
    begin_gcm(ssrc, index);
    authenticate(buffer.first(kRtcpClearBytes));
    authenticate(last_word);
    encrypt(body, body.data());
    finish_gcm(end);
    std::memcpy(end + kGcmTagBytes, last_word.data(), last_word.size());
  } else {
    begin_counter_mode(ssrc, index);
    encrypt(body, body.data());
    std::memcpy(end, last_word.data(), last_word.size());
    hmac_->tag(buffer.first(packet_bytes + kRtcpIndexBytes), {}, end + kRtcpIndexBytes);
  }
  return protected_bytes;
}

// RFC 7714 sections 8.1 and 9.1.
void SrtpCipher::begin_gcm(uint32_t ssrc, uint64_t index) {
  std::array<std::byte, 12> iv;
  std::memcpy(iv.data(), salt_.data(), iv.size());
  mix(iv.data() + 2, ssrc, index);
  CHECK(EVP_EncryptInit_ex2(context_.get(), nullptr, nullptr, octets(iv.data()), nullptr) == 1);
}

void SrtpCipher::authenticate(base::ByteView clear) {
  int length = 0;
  CHECK(EVP_EncryptUpdate(context_.get(), nullptr, &length, octets(clear.data()), size_of(clear)) == 1);
}

void SrtpCipher::finish_gcm(std::byte* tag) {
  int length = 0;
  CHECK(EVP_EncryptFinal_ex(context_.get(), octets(tag), &length) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, int{kGcmTagBytes}, tag) == 1);
}

// RFC 3711 section 4.1.1.
void SrtpCipher::begin_counter_mode(uint32_t ssrc, uint64_t index) {
  std::array<std::byte, 16> iv{};
  std::memcpy(iv.data(), salt_.data(), salt_.size());
  mix(iv.data() + 4, ssrc, index);
  CHECK(EVP_EncryptInit_ex2(context_.get(), nullptr, nullptr, octets(iv.data()), nullptr) == 1);
}

void SrtpCipher::encrypt(base::ByteView in, std::byte* out) {
  int length = 0;
  if (in.empty()) return;
  CHECK(EVP_EncryptUpdate(context_.get(), octets(out), &length, octets(in.data()), size_of(in)) == 1);
}

}  // namespace miharu::webrtc
