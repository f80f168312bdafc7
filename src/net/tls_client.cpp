#include "net/tls_client.h"

#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace miharu::net {

using base::Errc;

base::Result<std::unique_ptr<TlsClient>> TlsClient::make(int fd, const std::string& host) {
  std::unique_ptr<TlsClient> out(new TlsClient);
  ERR_clear_error();
  out->context_ = SSL_CTX_new(TLS_client_method());
  if (out->context_) {
    SSL_CTX_set_verify(out->context_, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_mode(out->context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    out->ssl_ = SSL_new(out->context_);
  }
  if (!out->ssl_ || SSL_set_fd(out->ssl_, fd) != 1)
    return base::fail(Errc::kInternal, "TLS could not be set up");
  in6_addr address{};
  const bool is_address =
      inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
  if (!is_address) SSL_set_tlsext_host_name(out->ssl_, host.c_str());
  SSL_set_connect_state(out->ssl_);
  return out;
}

TlsClient::~TlsClient() {
  if (ssl_) {
    SSL_shutdown(ssl_);
    SSL_free(ssl_);
  }
  SSL_CTX_free(context_);
  ERR_clear_error();
}

base::Error TlsClient::last_error(const std::string& what, int code) const {
  if (code == SSL_ERROR_ZERO_RETURN) return {Errc::kClosed, "the other side ended the connection", -1};
  const unsigned long reason = ERR_peek_last_error();
  // Servers that close without a close_notify are common.
  if (code == SSL_ERROR_SYSCALL && reason == 0) {
    if (errno == 0) return {Errc::kClosed, "the other side ended the connection", -1};
    return base::system_error(what);
  }
  if (ERR_GET_REASON(reason) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return {Errc::kClosed, "the other side ended the connection", -1};
  }
  const char* text = ERR_reason_error_string(reason);
  return {Errc::kIo, what + ": " + (text ? text : "unknown error"), -1};
}

base::Result<TlsClient::Progress> TlsClient::handshake() {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return Progress::kDone;
  const int code = SSL_get_error(ssl_, result);
  if (code == SSL_ERROR_WANT_READ) return Progress::kWantsRead;
  if (code == SSL_ERROR_WANT_WRITE) return Progress::kWantsWrite;
  return tl::unexpected(last_error("TLS handshake", code));
}

std::string TlsClient::fingerprint() const {
  X509* certificate = SSL_get1_peer_certificate(ssl_);
  if (!certificate) return {};
  std::array<std::byte, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  X509_digest(certificate, EVP_sha256(), reinterpret_cast<unsigned char*>(out.data()), &size);
  X509_free(certificate);
  return base::to_hex(base::ByteView(out).first(size));
}

base::Result<size_t> TlsClient::read(std::span<std::byte> out) {
  ERR_clear_error();
  errno = 0;
  size_t count = 0;
  const int result = SSL_read_ex(ssl_, out.data(), out.size(), &count);
  if (result == 1) return count;
  const int code = SSL_get_error(ssl_, result);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return 0;
  return tl::unexpected(last_error("TLS read", code));
}

base::Result<size_t> TlsClient::write(base::ByteView bytes) {
  ERR_clear_error();
  errno = 0;
  size_t count = 0;
  const int result = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &count);
  if (result == 1) return count;
  const int code = SSL_get_error(ssl_, result);
  if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) return 0;
  return tl::unexpected(last_error("TLS write", code));
}

}  // namespace miharu::net
