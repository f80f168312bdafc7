// The client's side of TLS over a connected, non-blocking socket that belongs to the caller. For cameras:
// certificates are self-signed as a rule, so none is verified here; whoever cares compares fingerprint() with
// one seen before (quirk T9).
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"

struct ssl_st;
struct ssl_ctx_st;

namespace miharu::net {

// Not thread-safe. The socket must stay open for as long as this lives.
class TlsClient {
 public:
  // `host` goes into the server name indication unless it is an address.
  static base::Result<std::unique_ptr<TlsClient>> make(int fd, const std::string& host);
  ~TlsClient();
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  enum class Progress : uint8_t { kDone, kWantsRead, kWantsWrite };
  base::Result<Progress> handshake();
  // Of the server's certificate: SHA-256 in lower-case hex. Empty before the handshake.
  [[nodiscard]] std::string fingerprint() const;

  // 0 bytes: nothing now, try again when the socket is readable. kClosed: the other side ended the
  // connection.
  base::Result<size_t> read(std::span<std::byte> out);
  // How much was taken, 0 if the socket is full.
  base::Result<size_t> write(base::ByteView bytes);

 private:
  TlsClient() = default;
  base::Error last_error(const std::string& what, int code) const;

  ssl_ctx_st* context_ = nullptr;
  ssl_st* ssl_ = nullptr;
};

}  // namespace miharu::net
