// HTTP/1.1 server (RFC 9110, RFC 9112) on one event loop: keep-alive, pipelined requests answered in order,
// files by sendfile(2), TLS. Every read and write has a deadline and everything a peer sends has a limit.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "net/event_loop.h"
#include "net/http.h"

namespace miharu::net {

struct HttpServerOptions {
  std::string listen =
      "127.0.0.1:0";  // "ADDR:PORT", "[v6]:PORT" or "localhost:PORT"; port 0 is the kernel's choice
  std::string tls_cert, tls_key;  // PEM files; both or none

  struct Limits {
    size_t uri_bytes = 8 << 10;
    size_t header_bytes = 16 << 10;  // request line and header fields together
    size_t body_bytes = 64 << 10;
    size_t connections = 1024;
    size_t connections_per_remote = 256;
    size_t stream_bytes = 256 << 10;  // waiting in one HttpExchange::Stream
  } limits;

  struct Deadlines {
    std::chrono::milliseconds header{
        10'000};  // from its first byte; the TLS handshake and the first request have the same
    std::chrono::milliseconds body{30'000};
    std::chrono::milliseconds write{30'000};  // without any progress
    std::chrono::milliseconds idle{60'000};   // between requests
  } deadlines;
};

struct HttpServerStats {
  uint64_t accepted = 0;
  uint64_t refused = 0;  // connections over a limit
  uint64_t open = 0;
  uint64_t requests = 0;
  uint64_t bad_requests = 0;  // answered by the server itself: malformed or over a limit
  uint64_t timeouts = 0;
  uint64_t bytes_sent = 0;  // before TLS
};

struct ListenAddress {
  std::string address;
  uint16_t port = 0;
  bool loopback = false;
};
base::Result<ListenAddress> parse_listen_address(std::string_view text);

// Construct, start and stop on any thread but the loop's own. The loop must run by the time stop() or the
// destructor is called, and must outlive the server. `handler` runs on the loop; it is not called any more
// once stop() has returned.
class HttpServer {
 public:
  HttpServer(EventLoop& loop, HttpServerOptions options, HttpHandler handler);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // stop()

  base::Status start();                         // listens; errors name the address or the TLS file
  void stop();                                  // closes every connection; safe to call twice
  [[nodiscard]] uint16_t port() const;          // 0 before start()
  [[nodiscard]] HttpServerStats stats() const;  // any thread

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;  // shared with the accept that is under way
};

}  // namespace miharu::net
