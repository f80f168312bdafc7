// Encryption and authentication of RTP or of RTCP by session keys: what srtp_sender.h is made of, apart so
// that the RFCs' test vectors can be tried.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <openssl/types.h>

#include "base/bytes.h"
#include "webrtc/srtp_key_derivation.h"
#include "webrtc/srtp_keys.h"

namespace miharu::webrtc {

class HmacSha1;

// Of one thread at a time. Aborts on broken promises of the caller: see SrtpSender.
class SrtpCipher {
 public:
  static constexpr size_t kGcmTagBytes = 16;
  static constexpr size_t kHmacTagBytes = 10;
  static constexpr size_t kRtcpIndexBytes = 4;

  SrtpCipher(SrtpProfile profile, const SrtpSessionKeys& keys);
  SrtpCipher(const SrtpCipher&) = delete;
  SrtpCipher& operator=(const SrtpCipher&) = delete;
  ~SrtpCipher();

  [[nodiscard]] size_t tag_bytes() const { return hmac_ == nullptr ? kGcmTagBytes : kHmacTagBytes; }

  // As SrtpSender::protect.
  size_t protect_rtp(uint64_t extended_sequence, base::ByteView header, base::ByteView payload,
                     std::span<std::byte> out);
  // As SrtpSender::protect_rtcp; `index` has 31 bits.
  size_t protect_rtcp(uint32_t index, std::span<std::byte> buffer, size_t packet_bytes);

 private:
  struct ContextDeleter {
    void operator()(EVP_CIPHER_CTX* context) const;
  };

  void begin_gcm(uint32_t ssrc, uint64_t index);
  void authenticate(base::ByteView clear);
  void finish_gcm(std::byte* tag);
  void begin_counter_mode(uint32_t ssrc, uint64_t index);
  void encrypt(base::ByteView in, std::byte* out);

  std::array<std::byte, 14> salt_;
  std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter> context_;
  std::unique_ptr<HmacSha1> hmac_;  // none for AES-GCM
};

}  // namespace miharu::webrtc
