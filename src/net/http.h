// HTTP requests and responses as values, and the exchange that joins them. The server is net/http_server.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/file.h"

namespace miharu::net {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET", "HEAD", "POST" ...
  std::string
      path;  // percent-decoded, begins with '/', no "." or ".." segment, no NUL: the server refuses those
  std::string query;  // raw, without the '?'
  HttpHeaders headers;
  std::string body;
  std::string remote;   // address of the peer, without port
  bool secure = false;  // came by TLS
  [[nodiscard]] std::string_view header(
      std::string_view name) const;  // first of that name, any case; empty if none
  [[nodiscard]] std::string query_value(std::string_view name) const;  // decoded; empty if there is none
};

// A piece of an open file, sent by sendfile. The file stays open until it is sent.
struct FileBody {
  std::shared_ptr<const base::File> file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// A body that is elsewhere, and fetched piece by piece as the client takes it.
struct PulledBody {
  using Done = std::function<void(base::Result<std::string>)>;
  // Called on the server's control thread, which it must not block; `done` may be called on any thread, once,
  // with exactly `length` bytes. An error ends the connection: the length was promised.
  std::function<void(uint64_t offset, uint64_t length, Done done)> pull;
  uint64_t offset = 0;
  uint64_t length = 0;
};

struct HttpResponse {
  unsigned status = 200;
  HttpHeaders headers;  // Content-Length, Date and Connection are the server's
  // The shared text lets one built body serve many; nothing is copied.
  std::variant<std::monostate, std::string, std::shared_ptr<const std::string>, std::vector<FileBody>,
               PulledBody>
      body;
};

// RFC 9457 problem+json with `title` from the status and `detail` for a person.
HttpResponse problem(unsigned status, std::string_view detail);

// One request's answer. Any thread may call; the first call of respond() or stream() wins, later ones are
// ignored. When the last reference goes without an answer the client gets 500.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  virtual void respond(HttpResponse response) = 0;

  // A response without end (server-sent events). write() returns false once the client is gone or has 256 KiB
  // waiting.
  class Stream {
   public:
    virtual ~Stream() = default;  // ends the response
    virtual bool write(std::string text) = 0;
  };
  virtual std::shared_ptr<Stream> stream(unsigned status, HttpHeaders headers) = 0;
};

// Runs on the server's control thread and must not block it.
using HttpHandler = std::function<void(HttpRequest request, std::shared_ptr<HttpExchange> exchange)>;

}  // namespace miharu::net
