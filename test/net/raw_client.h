// A client of raw bytes for the tests of the server: what it sends is exactly what a test says.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/text.h"

namespace miharu::net {

struct ClientResponse {
  unsigned status = 0;  // 0: the connection ended before a whole header
  std::string head;     // status line and fields, without the blank line
  std::string body;
  [[nodiscard]] std::string field(std::string_view name) const {
    std::string_view rest = head;
    base::take_until(rest, '\n');
    while (!rest.empty()) {
      std::string_view line = base::trim(base::take_until(rest, '\n'));
      const std::string_view key = base::take_until(line, ':');
      if (base::equals_ignoring_case(key, name)) return std::string(base::trim(line));
    }
    return {};
  }
};

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient() { ::close(fd_); }

  void send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t count = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<size_t>(count));
    }
  }

  // One response by its Content-Length (`with_body` false: of HEAD). For streams read() is used after it.
  ClientResponse response(bool with_body = true) {
    ClientResponse result;
    size_t end = 0;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return result;
    }
    result.head = buffer_.substr(0, end);
    buffer_.erase(0, end + 4);
    result.status = base::parse_number<unsigned>(std::string_view(result.head).substr(9, 3)).value_or(0);
    const size_t length = base::parse_number<size_t>(result.field("Content-Length")).value_or(0);
    if (!with_body) return result;
    while (buffer_.size() < length && more()) continue;
    result.body = buffer_.substr(0, length);
    buffer_.erase(0, length);
    return result;
  }
  // Until `needle` is in what was received; false when the connection ended before.
  bool read_until(std::string_view needle) {
    while (buffer_.find(needle) == std::string::npos) {
      if (!more()) return false;
    }
    return true;
  }
  // Whether the server ended the connection, with nothing more sent; waits for it.
  bool at_end() {
    while (buffer_.empty() && more()) continue;
    return buffer_.empty() && ended_;
  }
  std::string& buffer() { return buffer_; }

 private:
  bool more() {
    char bytes[65536];
    const ssize_t count = ::recv(fd_, bytes, sizeof(bytes), 0);
    if (count <= 0) {
      ended_ = count == 0 || errno == ECONNRESET;
      return false;
    }
    buffer_.append(bytes, static_cast<size_t>(count));
    return true;
  }

  int fd_;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace miharu::net
