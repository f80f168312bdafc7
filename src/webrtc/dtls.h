// DTLS 1.2 with the use_srtp extension (RFC 6347, RFC 5764) on OpenSSL 3: it proves who the peer is and
// yields the keys of SRTP. Takes datagrams and times, no socket and no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <sys/time.h>

#include <openssl/types.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/live_count.h"
#include "base/thread_check.h"
#include "webrtc/certificate.h"
#include "webrtc/fingerprint.h"
#include "webrtc/srtp_keys.h"

namespace miharu::webrtc {

// kClient is for tests and for the load generator: to a browser we are always the server.
enum class DtlsRole : uint8_t { kServer, kClient };

// What all sessions of a role share. Immutable once made; sessions of any thread use it and must end before
// it.
class DtlsContext {
 public:
  // `profiles` in order of preference, at least one. A server goes by its own order.
  static base::Result<DtlsContext> make(DtlsRole role, const Certificate& certificate,
                                        std::span<const SrtpProfile> profiles = kProfiles);

  [[nodiscard]] DtlsRole role() const { return role_; }
  [[nodiscard]] SSL_CTX* get() const { return context_.get(); }

 private:
  // AES-GCM is the cheaper one for us, by a factor of two or more.
  static constexpr SrtpProfile kProfiles[] = {SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAesCm128Sha1_80};
  struct Deleter {
    void operator()(SSL_CTX* context) const;
  };
  DtlsContext() = default;

  DtlsRole role_ = DtlsRole::kServer;
  std::unique_ptr<SSL_CTX, Deleter> context_;
};

// Outlives the session. Called from within the session's own methods; may not call them in turn.
class DtlsListener {
 public:
  virtual ~DtlsListener() = default;
  // One datagram of at most DtlsSession::kMtu bytes, valid during the call.
  virtual void on_dtls_send(base::ByteView datagram) = 0;
  // Once: the handshake is complete and the peer's certificate has the expected fingerprint.
  virtual void on_dtls_established(const SrtpKeys& keys) = 0;
  // Once, and the last call: kClosed (the peer's close_notify), kTimeout, kLimit, kUnauthorized (another
  // certificate than the expected one), kRefused (an alert of the peer), kUnsupported (no SRTP profile in
  // common), kMalformed. The session may be destroyed in it.
  virtual void on_dtls_closed(const base::Error& reason) = 0;
};

// One handshake, and what follows it on the same pair of addresses. Of one thread. Give it datagrams only of
// a pair that ICE has validated (RFC 8445): there is no HelloVerifyRequest.
class DtlsSession {
 public:
  static constexpr size_t kMtu = 1200;  // bytes of UDP payload that get through wherever WebRTC does
  static constexpr base::milliseconds kFirstTimeout{100};
  static constexpr base::milliseconds kLongestTimeout{4000};
  static constexpr base::seconds kPatience{30};  // for the whole handshake, from the session's start
  // Until the handshake is complete, in either direction. Certificates of browsers have 300 to 700 bytes.
  static constexpr size_t kMostHandshakeBytes = size_t{128} << 10;

  // A client says hello at once: the listener is called from the constructor.
  DtlsSession(const DtlsContext& context, Fingerprint expected_peer, base::SteadyTime now,
              DtlsListener& listener);
  DtlsSession(const DtlsSession&) = delete;
  DtlsSession& operator=(const DtlsSession&) = delete;
  ~DtlsSession();  // says nothing to the peer

  // Whether a datagram on a shared port is for DTLS (RFC 7983 section 7).
  static bool is_dtls(base::ByteView datagram) {
    return !datagram.empty() && datagram[0] >= std::byte{20} && datagram[0] <= std::byte{63};
  }

  // Records that make no sense are ignored, as RFC 6347 section 4.1.2.7 wants it.
  void receive(base::SteadyTime now, base::ByteView datagram);
  void on_time(base::SteadyTime now);
  // When on_time wants to be called; nothing once the handshake is complete or the session has ended.
  [[nodiscard]] std::optional<base::SteadyTime> next_deadline() const;
  // Sends close_notify (where there is an association to close); the listener hears nothing more.
  void close();

  [[nodiscard]] bool established() const { return phase_ == Phase::kEstablished; }
  [[nodiscard]] bool ended() const { return phase_ == Phase::kEnded; }

 private:
  friend struct DtlsCallbacks;  // what the library calls, in dtls.cpp
  enum class Phase : uint8_t { kHandshake, kEstablished, kEnded };
  struct Deleter {
    void operator()(SSL* ssl) const;
  };

  base::Status advance();
  base::Status drain();
  base::Status retransmit();
  [[nodiscard]] base::Result<SrtpKeys> export_keys() const;
  [[nodiscard]] base::Error library_error(int result) const;
  void end_if_failed(
      base::Status status);  // last in every public method: the listener may destroy the session

  DtlsListener& listener_;
  base::SteadyTime started_;
  base::SteadyTime now_;  // of the call that is under way
  std::optional<base::SteadyTime> retransmission_;
  base::milliseconds timeout_ = kFirstTimeout;
  timeval* library_timeout_ = nullptr;
  std::unique_ptr<SSL, Deleter> ssl_;
  base::ByteView incoming_;  // the datagram that is being received, until the library reads it
  size_t received_bytes_ = 0;
  size_t sent_bytes_ = 0;
  Fingerprint expected_peer_;
  DtlsRole role_;
  Phase phase_ = Phase::kHandshake;
  bool peer_is_expected_ = false;
  bool peer_is_another_ = false;
  base::ThreadCheck thread_;
  [[no_unique_address]] base::LiveCount<DtlsSession> counted_;
};

}  // namespace miharu::webrtc
