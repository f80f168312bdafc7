// HTTP/1.1 (RFC 9112) from the client's side: one connection to one server, kept open between requests.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "net/event_loop.h"
#include "net/http.h"
#include "net/pacer.h"
#include "net/send_gate.h"

namespace boost::asio::ssl {
class context;
}

namespace miharu::net {

struct Origin {
  bool tls = true;
  std::string host;  // a name, or an address (IPv6 without brackets)
  uint16_t port = 443;
  bool operator==(const Origin&) const = default;
};
// "https://host[:port]" or "http://...", nothing behind it but "/".
base::Result<Origin> parse_origin(std::string_view url);
std::string format_origin(const Origin& origin);
// The Host field: with the port unless it is that of the scheme.
std::string host_field(const Origin& origin);

struct HttpClientRequest {
  std::string method = "GET";
  std::string target = "/";  // as it goes over the wire
  HttpHeaders headers;       // Host, Content-Length and Expect are the client's
  std::variant<std::monostate, std::string, FileBody> body;
  // The body waits for the server's consent (RFC 9110 section 10.1.1): a refusal costs no upload.
  bool expect_continue = false;
  // Called right before the first byte of the body goes out; again where the request goes out again.
  std::function<void()> on_body = {};
  uint64_t max_body_bytes = 1 << 20;  // of the reply: beyond it the request fails with kLimit
};

struct HttpReply {
  unsigned status = 0;
  HttpHeaders headers;
  std::string body;
  // The server had closed the kept connection: the request went out twice and may have been served twice.
  bool resent = false;
  uint64_t sent_bytes = 0;  // of the body, less than all where the server answered before
  [[nodiscard]] std::string_view header(std::string_view name) const;  // first of that name, any case
};

// Verifies certificates. `ca_file` (PEM) in place of the system's authorities unless empty.
base::Result<std::shared_ptr<boost::asio::ssl::context>> make_client_tls(
    const std::filesystem::path& ca_file = {});

struct HttpClientOptions {
  std::shared_ptr<boost::asio::ssl::context> tls;  // needed for an origin with TLS; shared by clients
  std::chrono::milliseconds connect{10'000};       // for one address and its handshake
  std::chrono::milliseconds stall{30'000};         // without a byte moved either way
  std::chrono::milliseconds continue_wait{3'000};  // then the body is sent without the server's consent
  Pacer* pacer = nullptr;                          // of bodies; null: as fast as the link takes them
  SendGate* gate = nullptr;                        // of bodies that can wait; null: they do not
  // So often a body that is held up sends a little: servers give up connections on which nothing moves.
  std::chrono::milliseconds longest_hold{5'000};
};

// Lives on the loop's thread. One request at a time.
class HttpClient {
 public:
  // kNotFound: the name is not known. kRefused: nobody listens, or the certificate is not trusted. kTimeout,
  // kClosed, kMalformed, kLimit, kTruncated (the file became shorter): as they say.
  using Done = std::function<void(base::Result<HttpReply>)>;

  // `loop`, the pacer and the gate must outlive it.
  HttpClient(EventLoop& loop, Origin origin, HttpClientOptions options);
  ~HttpClient();  // drops the request: its `done` is not called any more
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `done` is called once, later, on the loop's thread; it may send the next request.
  void send(HttpClientRequest request, Done done);
  [[nodiscard]] bool busy() const;
  // Whether the body of the last request went out whole: of one without an answer less was certainly not
  // served.
  [[nodiscard]] bool sent_all() const;

 private:
  class Connection;
  std::shared_ptr<Connection> connection_;
};

}  // namespace miharu::net
