#include "webrtc/certificate.h"

#include <array>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

namespace miharu::webrtc {
namespace {

using base::Errc;

base::Result<base::ByteVector> der_of(X509* x509) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(x509, &bytes);
  if (size <= 0) return base::fail(Errc::kInternal, "a certificate cannot be written");
  const auto* const first = reinterpret_cast<const std::byte*>(bytes);
  base::ByteVector out(first, first + size);
  OPENSSL_free(bytes);
  return out;
}

}  // namespace

void Certificate::Deleter::operator()(X509* x509) const {
  X509_free(x509);
}
void Certificate::Deleter::operator()(EVP_PKEY* key) const {
  EVP_PKEY_free(key);
}

base::Result<Certificate> Certificate::make(base::UtcTime now) {
  Certificate out;
  out.key_.reset(EVP_EC_gen("P-256"));
  out.x509_.reset(X509_new());
  std::array<unsigned char, 16> random;
  if (!out.key_ || !out.x509_ || RAND_bytes(random.data(), int{random.size()}) != 1)
    return base::fail(Errc::kInternal, "no key for DTLS can be made");
  random[0] = (random[0] & 0x7F) | 0x40;  // a serial number is positive, and here always of the same length

  time_t time = static_cast<time_t>(base::to_unix_ms(now) / 1000);
  ASN1_INTEGER* const serial = X509_get_serialNumber(out.x509_.get());
  X509_NAME* const name = X509_get_subject_name(out.x509_.get());
  const std::string text = base::to_hex(std::as_bytes(std::span(random)));
  const bool made =
      X509_set_version(out.x509_.get(), X509_VERSION_3) == 1 &&
      ASN1_STRING_set(serial, random.data(), int{random.size()}) == 1 &&
      X509_time_adj_ex(X509_getm_notBefore(out.x509_.get()), -365, 0, &time) != nullptr &&
      X509_time_adj_ex(X509_getm_notAfter(out.x509_.get()), 3650, 0, &time) != nullptr &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0) == 1 &&
      X509_set_issuer_name(out.x509_.get(), name) == 1 &&
      X509_set_pubkey(out.x509_.get(), out.key_.get()) == 1 &&
      X509_sign(out.x509_.get(), out.key_.get(), EVP_sha256()) > 0;
  if (!made) return base::fail(Errc::kInternal, "no certificate for DTLS can be made");
  auto der = der_of(out.x509_.get());
  if (!der) return tl::unexpected(std::move(der.error()));
  out.fingerprint_ = Fingerprint::of(*der);
  return out;
}

}  // namespace miharu::webrtc
