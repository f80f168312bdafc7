// A key to sign what a CDN is to give.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <string>

#include "base/secret.h"

namespace miharu::test {

// As PEM; one a process.
inline base::Secret pem_key() {
  static const std::string pem = [] {
    EVP_PKEY* key = EVP_RSA_gen(2048);
    BIO* text = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(text, key, nullptr, nullptr, 0, nullptr, nullptr);
    char* data = nullptr;
    const long size = BIO_get_mem_data(text, &data);
    std::string made(data, static_cast<size_t>(size));
    BIO_free(text);
    EVP_PKEY_free(key);
    return made;
  }();
  return base::Secret(pem);
}

}  // namespace miharu::test
