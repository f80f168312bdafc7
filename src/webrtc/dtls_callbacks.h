// What OpenSSL calls back with, for dtls.cpp and dtls_context.cpp alone.
#pragma once

#include <openssl/bio.h>
#include <openssl/types.h>

#include "webrtc/dtls.h"

namespace miharu::webrtc {

struct DtlsCallbacks {
  // The transport as OpenSSL sees it: one write is one datagram, and so is one read. (Its memory BIO joins
  // them.)
  static const BIO_METHOD* transport();
  static int verify(X509_STORE_CTX* store, void*);
  static unsigned timeout_us(SSL* ssl, unsigned previous_us);

 private:
  static int write(BIO* bio, const char* bytes, int size);
  static int read(BIO* bio, char* bytes, int size);
  static long control(BIO* bio, int command, long number, void* pointer);
};

}  // namespace miharu::webrtc
