#include "webrtc/dtls.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "webrtc/dtls_callbacks.h"

namespace miharu::webrtc {
namespace {

using base::Errc;

// OpenSSL has its retransmission timer on the clock of the wall, which may be set at any time. Up to 3.1 it
// tells the BIO by BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT where its deadline is, and that lies in the SSL object: so
// we give it one that is never reached, and put it into the past when it is time by our own clock. Later
// versions tell a copy. With those its clock decides, and we only ask when it should be time.
bool deadline_is_in_reach() {
  static const bool result = OpenSSL_version_num() < 0x30200000UL;
  return result;
}
constexpr unsigned kNeverUs = 4'000'000'000;              // more than an hour
constexpr base::milliseconds kAskAgain{20};               // it rounds by 15 ms
constexpr char kExporterLabel[] = "EXTRACTOR-dtls_srtp";  // RFC 5764 section 4.2
constexpr size_t kSrtpKeyBytes = 16;
constexpr std::byte kApplicationData{23};

}  // namespace

const BIO_METHOD* DtlsCallbacks::transport() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagrams");
    CHECK(made != nullptr && BIO_meth_set_write(made, write) == 1 && BIO_meth_set_read(made, read) == 1 &&
          BIO_meth_set_ctrl(made, control) == 1);
    return made;
  }();
  return method;
}

int DtlsCallbacks::write(BIO* bio, const char* bytes, int size) {
  auto& session = *static_cast<DtlsSession*>(BIO_get_data(bio));
  const auto count = static_cast<size_t>(size);
  if (session.phase_ == DtlsSession::Phase::kHandshake) session.sent_bytes_ += count;
  if (session.sent_bytes_ <= DtlsSession::kMostHandshakeBytes)
    session.listener_.on_dtls_send(base::as_bytes({bytes, count}));
  return size;
}

int DtlsCallbacks::read(BIO* bio, char* bytes, int size) {
  auto& session = *static_cast<DtlsSession*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const base::ByteView datagram = std::exchange(session.incoming_, {});
  if (datagram.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  // What does not fit is lost, as with recv(). The library offers room for the largest record.
  const size_t count = std::min(datagram.size(), static_cast<size_t>(size));
  std::memcpy(bytes, datagram.data(), count);
  return static_cast<int>(count);
}

long DtlsCallbacks::control(BIO* bio, int command, long, void* pointer) {
  auto& session = *static_cast<DtlsSession*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_DGRAM_SET_NEXT_TIMEOUT: {
      auto* const deadline = static_cast<timeval*>(pointer);
      session.library_timeout_ = deadline;
      session.retransmission_.reset();
      if (deadline->tv_sec != 0) session.retransmission_ = session.now_ + session.timeout_;
      return 1;
    }
    case BIO_CTRL_FLUSH:
      return 1;
    default:
      return 0;
  }
}

unsigned DtlsCallbacks::timeout_us(SSL* ssl, unsigned previous_us) {
  auto& session = *static_cast<DtlsSession*>(SSL_get_app_data(ssl));
  session.timeout_ = previous_us == 0 ? DtlsSession::kFirstTimeout
                                      : std::min(session.timeout_ * 2, DtlsSession::kLongestTimeout);
  return deadline_is_in_reach() ? kNeverUs
                                : static_cast<unsigned>(base::microseconds(session.timeout_).count());
}

int DtlsCallbacks::verify(X509_STORE_CTX* store, void*) {
  const auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& session = *static_cast<DtlsSession*>(SSL_get_app_data(ssl));
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(X509_STORE_CTX_get0_cert(store), &bytes);
  if (size <= 0) return 0;
  const base::ByteView der(reinterpret_cast<const std::byte*>(bytes), static_cast<size_t>(size));
  session.peer_is_expected_ = Fingerprint::of(der, session.expected_peer_.hash) == session.expected_peer_;
  session.peer_is_another_ = !session.peer_is_expected_;
  OPENSSL_free(bytes);
  if (session.peer_is_expected_) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);  // the alert bad_certificate
  return 0;
}

void DtlsSession::Deleter::operator()(SSL* ssl) const {
  SSL_free(ssl);
}

DtlsSession::DtlsSession(const DtlsContext& context, Fingerprint expected_peer, base::SteadyTime now,
                         DtlsListener& listener)
    : listener_(listener),
      started_(now),
      now_(now),
      ssl_(SSL_new(context.get())),
      expected_peer_(std::move(expected_peer)),
      role_(context.role()) {
  BIO* const transport = BIO_new(DtlsCallbacks::transport());
  CHECK(ssl_ != nullptr && transport != nullptr);
  BIO_set_data(transport, this);
  BIO_set_init(transport, 1);
  SSL_set_bio(ssl_.get(), transport, transport);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_mtu(ssl_.get(), kMtu);
  DTLS_set_timer_cb(ssl_.get(), DtlsCallbacks::timeout_us);
  if (role_ == DtlsRole::kServer) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  end_if_failed(advance());
}

DtlsSession::~DtlsSession() = default;

void DtlsSession::receive(base::SteadyTime now, base::ByteView datagram) {
  CHECK(thread_.is_current());
  if (ended() || datagram.empty()) return;
  now_ = now;
  if (established()) {
    incoming_ = datagram;
    return end_if_failed(drain());
  }
  received_bytes_ += datagram.size();
  if (received_bytes_ > kMostHandshakeBytes)
    return end_if_failed(base::fail(Errc::kLimit, "a DTLS handshake of too many bytes"));
  // There is no such thing in a handshake, and the library would end it for that.
  if (datagram[0] == kApplicationData) return;
  incoming_ = datagram;
  end_if_failed(advance());
}

void DtlsSession::on_time(base::SteadyTime now) {
  CHECK(thread_.is_current());
  if (phase_ != Phase::kHandshake) return;
  now_ = now;
  if (now >= started_ + kPatience)
    return end_if_failed(base::fail(Errc::kTimeout, "the DTLS handshake did not come to an end"));
  if (retransmission_ && now >= *retransmission_) end_if_failed(retransmit());
}

std::optional<base::SteadyTime> DtlsSession::next_deadline() const {
  if (phase_ != Phase::kHandshake) return std::nullopt;
  const base::SteadyTime last = started_ + kPatience;
  return retransmission_ ? std::min(*retransmission_, last) : last;
}

void DtlsSession::close() {
  CHECK(thread_.is_current());
  if (established()) {
    ERR_clear_error();
    SSL_alloc_buffers(ssl_.get());
    SSL_shutdown(ssl_.get());
  }
  phase_ = Phase::kEnded;
  ssl_.reset();
}

base::Status DtlsSession::advance() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (sent_bytes_ > kMostHandshakeBytes)
    return base::fail(Errc::kLimit, "a DTLS handshake with too many bytes to answer");
  if (result == 1) {
    auto keys = export_keys();
    if (!keys) {
      SSL_shutdown(ssl_.get());
      return tl::unexpected(std::move(keys.error()));
    }
    phase_ = Phase::kEstablished;
    retransmission_.reset();
    listener_.on_dtls_established(*keys);
    OPENSSL_cleanse(&*keys, sizeof *keys);
    return drain();
  }
  if (SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ) return tl::unexpected(library_error(result));
  return {};
}

// Nobody sends us application data. What comes is the peer's last flight once more, which the library
// answers, and alerts.
base::Status DtlsSession::drain() {
  std::array<std::byte, 2048> unwanted;
  ERR_clear_error();
  SSL_alloc_buffers(ssl_.get());
  int result = 0;
  while ((result = SSL_read(ssl_.get(), unwanted.data(), int{unwanted.size()})) > 0) {
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) {
    SSL_free_buffers(ssl_.get());  // 18 KB, made again when a datagram comes
    return {};
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_ZERO_RETURN) {
    SSL_shutdown(ssl_.get());
    return base::fail(Errc::kClosed, "the viewer closed DTLS");
  }
  return tl::unexpected(library_error(result));
}

base::Status DtlsSession::retransmit() {
  ERR_clear_error();
  if (deadline_is_in_reach()) *library_timeout_ = {1, 0};
  const long result = DTLSv1_handle_timeout(ssl_.get());
  if (sent_bytes_ > kMostHandshakeBytes)
    return base::fail(Errc::kLimit, "a DTLS handshake with too many bytes to answer");
  if (result < 0) return base::fail(Errc::kTimeout, "the DTLS handshake was repeated in vain");
  if (result == 0) retransmission_ = now_ + kAskAgain;
  return {};
}

base::Result<SrtpKeys> DtlsSession::export_keys() const {
  if (!peer_is_expected_) return base::fail(Errc::kUnauthorized, "DTLS without the certificate of the offer");
  const SRTP_PROTECTION_PROFILE* const chosen = SSL_get_selected_srtp_profile(ssl_.get());
  if (chosen == nullptr) return base::fail(Errc::kUnsupported, "no SRTP profile in common with the peer");
  SrtpKeys keys;
  keys.profile =
      chosen->id == SRTP_AEAD_AES_128_GCM ? SrtpProfile::kAeadAes128Gcm : SrtpProfile::kAesCm128Sha1_80;
  const size_t salt = salt_bytes(keys.profile);
  std::array<unsigned char, 2 * (kSrtpKeyBytes + 14)> material;
  if (SSL_export_keying_material(ssl_.get(), material.data(), 2 * (kSrtpKeyBytes + salt), kExporterLabel,
                                 sizeof kExporterLabel - 1, nullptr, 0, 0) != 1)
    return base::fail(Errc::kInternal, "OpenSSL exports no keys for SRTP");
  // The client's key, the server's, the client's salt, the server's.
  SrtpMaster& client = role_ == DtlsRole::kClient ? keys.send : keys.receive;
  SrtpMaster& server = role_ == DtlsRole::kClient ? keys.receive : keys.send;
  const unsigned char* from = material.data();
  const auto take = [&from](std::byte* to, size_t count) {
    std::memcpy(to, from, count);
    from += count;
  };
  take(client.key.data(), kSrtpKeyBytes);
  take(server.key.data(), kSrtpKeyBytes);
  take(client.salt.data(), salt);
  take(server.salt.data(), salt);
  OPENSSL_cleanse(material.data(), material.size());
  return keys;
}

base::Error DtlsSession::library_error(int result) const {
  if (peer_is_another_) return {Errc::kUnauthorized, "DTLS with another certificate than that of the offer"};
  const unsigned long code = ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const char* const text = code != 0 ? ERR_reason_error_string(code) : nullptr;
  const std::string what =
      text != nullptr ? text : "error " + std::to_string(SSL_get_error(ssl_.get(), result));
  // An alert that came is told as an error of its own number behind this one.
  if (reason > SSL_AD_REASON_OFFSET) return {Errc::kRefused, "the peer ends DTLS: " + what};
  if (reason == SSL_R_READ_TIMEOUT_EXPIRED)
    return {Errc::kTimeout, "the DTLS handshake was repeated in vain"};
  return {Errc::kMalformed, "DTLS that OpenSSL refuses: " + what};
}

void DtlsSession::end_if_failed(base::Status status) {
  incoming_ = {};
  if (status) return;
  phase_ = Phase::kEnded;
  retransmission_.reset();
  ssl_.reset();
  ERR_clear_error();
  listener_.on_dtls_closed(status.error());
}

}  // namespace miharu::webrtc
