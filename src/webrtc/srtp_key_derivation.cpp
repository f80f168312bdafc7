#include "webrtc/srtp_key_derivation.h"

#include <algorithm>
#include <memory>
#include <span>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace miharu::webrtc {
namespace {

// Section 4.3.1 and 4.3.3: the key stream of AES in counter mode, begun at (salt XOR label) * 2^16. With a
// derivation rate of 0 the label is the upper byte of 7 at the end of the salt.
void derive(const SrtpMaster& master, uint8_t label, std::span<std::byte> out) {
  std::array<uint8_t, 16> iv{};
  std::transform(master.salt.begin(), master.salt.end(), iv.begin(),
                 [](std::byte b) { return std::to_integer<uint8_t>(b); });
  iv[7] ^= label;
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(EVP_CIPHER_CTX_new(),
                                                                                EVP_CIPHER_CTX_free);
  std::fill(out.begin(), out.end(), std::byte{0});
  auto* const bytes = reinterpret_cast<uint8_t*>(out.data());
  int length = 0;
  CHECK(context != nullptr &&
        EVP_EncryptInit_ex2(context.get(), EVP_aes_128_ctr(),
                            reinterpret_cast<const uint8_t*>(master.key.data()), iv.data(), nullptr) == 1 &&
        EVP_EncryptUpdate(context.get(), bytes, &length, bytes, static_cast<int>(out.size())) == 1);
}

}  // namespace

SrtpSessionKeys::~SrtpSessionKeys() {
  OPENSSL_cleanse(this, sizeof *this);
}

SrtpSessionKeys derive_session_keys(const SrtpMaster& master, SrtpStream stream) {
  const uint8_t first_label = stream == SrtpStream::kRtp ? 0 : 3;
  SrtpSessionKeys keys;
  derive(master, first_label, keys.cipher);
  derive(master, static_cast<uint8_t>(first_label + 1), keys.authentication);
  derive(master, static_cast<uint8_t>(first_label + 2), keys.salt);
  return keys;
}

}  // namespace miharu::webrtc
