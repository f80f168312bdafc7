// A server that says what a test wants it to say, byte by byte: for clients.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace miharu::test {

// One accepted connection, read and written as a test says.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { ::close(fd_); }

  std::string head() {
    while (buffer_.find("\r\n\r\n") == std::string::npos && more()) continue;
    return take(std::min(buffer_.find("\r\n\r\n"), buffer_.size() - 4) + 4);
  }
  std::string bytes(size_t count) {
    while (buffer_.size() < count && more()) continue;
    return take(std::min(count, buffer_.size()));
  }
  // Until the client ends the connection.
  void wait_for_end() {
    while (more()) continue;
  }
  void say(std::string_view text) { EXPECT_GT(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), 0); }

 private:
  bool more() {
    char piece[65536];
    const ssize_t count = ::recv(fd_, piece, sizeof(piece), 0);
    if (count > 0) buffer_.append(piece, static_cast<size_t>(count));
    return count > 0;
  }
  std::string take(size_t count) {
    std::string out = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return out;
  }
  int fd_;
  std::string buffer_;
};

// Serves its connections one after the other, each by the next of `scripts`.
class Scripted {
 public:
  using Script = std::function<void(Peer&)>;
  explicit Scripted(std::vector<Script> scripts) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_, 8), 0);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, all = std::move(scripts)] {
      for (const Script& each : all) {
        const int accepted = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        if (accepted < 0) return;
        Peer peer(accepted);
        served_.fetch_add(1);
        each(peer);
      }
    });
  }
  ~Scripted() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] int served() const { return served_; }

 private:
  int fd_;
  uint16_t port_ = 0;
  std::atomic<int> served_{0};
  std::thread thread_;
};

}  // namespace miharu::test
