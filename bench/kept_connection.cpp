#include "kept_connection.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text.h"

namespace miharu::bench {
namespace {

base::ByteVector gunzip(base::ByteView bytes) {
  base::ByteVector out;
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int result = Z_OK;
  while (result == Z_OK) {
    const size_t at = out.size();
    out.resize(at + 65'536);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + at);
    stream.avail_out = 65'536;
    result = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END) out.clear();
  return out;
}

std::string_view header(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    std::string_view line = base::take_until(head, '\n');
    const std::string_view key = base::take_until(line, ':');
    if (base::equals_ignoring_case(key, name)) return base::trim(line);
  }
  return {};
}

}  // namespace

KeptConnection::KeptConnection(uint16_t port, const std::string& host)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  address.sin_port = htons(port);
  const int buffer = 2 << 20;
  const int one = 1;
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("connect");
    std::exit(3);
  }
}

KeptConnection::~KeptConnection() {
  ::close(fd_);
}

void KeptConnection::get(const std::string& path, const std::string& headers,
                         std::function<void(Answer)> then) {
  send(fmt::format("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", path, headers), std::move(then));
}

void KeptConnection::post(const std::string& path, const std::string& content_type, const std::string& body,
                          std::function<void(Answer)> then) {
  send(fmt::format("POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
                   path, content_type, body.size(), body),
       std::move(then));
}

void KeptConnection::send(const std::string& request, std::function<void(Answer)> then) {
  then_ = std::move(then);
  head_.clear();
  answer_ = {};
  in_body_ = false;
  // Small against the socket's buffer.
  if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    finish({});
}

void KeptConnection::finish(Answer answer) {
  const auto then = std::exchange(then_, nullptr);
  if (then) then(std::move(answer));
}

void KeptConnection::readable() {
  static std::byte buffer[1 << 20];
  const ssize_t count = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return finish({});
  base::ByteView bytes(buffer, static_cast<size_t>(count));
  if (!in_body_) {
    const size_t before = head_.size();
    head_ += base::as_text(bytes);
    const size_t end = head_.find("\r\n\r\n");
    if (end == std::string::npos) return;
    bytes = bytes.subspan(end + 4 - before);
    head_.resize(end + 2);
    const auto length = base::parse_number<size_t>(header(head_, "Content-Length"));
    answer_.status = base::parse_number<int>(std::string_view(head_).substr(9, 3)).value_or(0);
    if (!length) return finish({});
    left_ = *length;
    gzip_ = header(head_, "Content-Encoding") == "gzip";
    in_body_ = true;
    answer_.body.reserve(left_);
  }
  answer_.body.insert(answer_.body.end(), bytes.begin(), bytes.end());
  left_ -= std::min(left_, bytes.size());
  if (left_ > 0) return;
  if (gzip_) answer_.body = gunzip(answer_.body);
  finish(std::move(answer_));
}

}  // namespace miharu::bench
