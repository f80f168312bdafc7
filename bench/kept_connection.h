// A kept HTTP/1.1 connection of a load client: one request at a time, its body gathered, gunzipped where it
// is compressed.
#pragma once

#include <functional>
#include <string>

#include "base/bytes.h"

namespace miharu::bench {

struct Answer {
  int status = 0;
  base::ByteVector body;
};

// Belongs to one epoll loop that calls readable() when the socket may be read.
class KeptConnection {
 public:
  // Connects at once; aborts the program if nobody listens: nothing can be measured then.
  explicit KeptConnection(uint16_t port, const std::string& address = "127.0.0.1");
  KeptConnection(const KeptConnection&) = delete;
  KeptConnection& operator=(const KeptConnection&) = delete;
  ~KeptConnection();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool busy() const { return static_cast<bool>(then_); }
  // `headers` in lines that end with CRLF.
  void get(const std::string& path, const std::string& headers, std::function<void(Answer)> then);
  void post(const std::string& path, const std::string& content_type, const std::string& body,
            std::function<void(Answer)> then);
  // An error, or a close by the server, is an answer with status 0.
  void readable();

 private:
  void send(const std::string& request, std::function<void(Answer)> then);
  void finish(Answer answer);

  int fd_;
  std::string head_;
  bool in_body_ = false;
  bool gzip_ = false;
  size_t left_ = 0;
  Answer answer_;
  std::function<void(Answer)> then_;
};

}  // namespace miharu::bench
