#include <string>

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "webrtc/dtls.h"
#include "webrtc/dtls_callbacks.h"

namespace miharu::webrtc {
namespace {

// The suite that every WebRTC peer has (RFC 8827 section 6.5) first. Those with RSA are for a client of ours
// before another server.
constexpr char kCiphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384";
constexpr char kGroups[] = "X25519:P-256:P-384";
// Also what a handshake message may make us allocate, though never less than 16 KiB.
constexpr long kMostCertificateBytes = 16 << 10;
// The library's write buffer has this size. What we send is smaller or fragmented.
constexpr long kMostRecordBytes = DtlsSession::kMtu;

}  // namespace

void DtlsContext::Deleter::operator()(SSL_CTX* context) const {
  SSL_CTX_free(context);
}

base::Result<DtlsContext> DtlsContext::make(DtlsRole role, const Certificate& certificate,
                                            std::span<const SrtpProfile> profiles) {
  DtlsContext out;
  out.role_ = role;
  out.context_.reset(SSL_CTX_new(role == DtlsRole::kServer ? DTLS_server_method() : DTLS_client_method()));
  SSL_CTX* const context = out.context_.get();
  if (context == nullptr) return base::fail(base::Errc::kInternal, "OpenSSL makes no context for DTLS");
  std::string names;
  for (const SrtpProfile profile : profiles) {
    if (!names.empty()) names += ':';
    names += name_of(profile);
  }
  SSL_CTX_set_options(context, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_cert_list(context, kMostCertificateBytes);
  // Nobody signs these certificates: what counts is the fingerprint that came with the offer.
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, DtlsCallbacks::verify, nullptr);
  const bool made = SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) == 1 &&
                    SSL_CTX_set_max_send_fragment(context, kMostRecordBytes) == 1 &&
                    SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
                    SSL_CTX_set1_groups_list(context, kGroups) == 1 &&
                    SSL_CTX_use_certificate(context, certificate.x509()) == 1 &&
                    SSL_CTX_use_PrivateKey(context, certificate.key()) == 1 &&
                    SSL_CTX_set_tlsext_use_srtp(context, names.c_str()) == 0;  // 0 is success
  if (!made) return base::fail(base::Errc::kInternal, "OpenSSL refuses the settings of DTLS");
  return out;
}

}  // namespace miharu::webrtc
