// The certificate that we show to viewers: ECDSA P-256, signed by itself with SHA-256, new at every start.
#pragma once

#include <memory>

#include <openssl/types.h>

#include "base/clock.h"
#include "base/error.h"
#include "webrtc/fingerprint.h"

namespace miharu::webrtc {

// Immutable once made; any thread.
class Certificate {
 public:
  // Valid from a year before `now`, because clocks are wrong and nobody gains by our being strict, for ten
  // years. Its only name is a random one (RFC 8827 section 5.6 asks that it tell nothing).
  static base::Result<Certificate> make(base::UtcTime now);

  [[nodiscard]] const Fingerprint& fingerprint() const { return fingerprint_; }  // sha-256
  [[nodiscard]] X509* x509() const { return x509_.get(); }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

 private:
  struct Deleter {
    void operator()(X509* x509) const;
    void operator()(EVP_PKEY* key) const;
  };
  Certificate() = default;

  std::unique_ptr<X509, Deleter> x509_;
  std::unique_ptr<EVP_PKEY, Deleter> key_;
  Fingerprint fingerprint_;
};

}  // namespace miharu::webrtc
