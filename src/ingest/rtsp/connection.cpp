#include "ingest/rtsp/connection.h"

#include <cerrno>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <boost/asio/connect.hpp>

#include "base/text.h"

namespace miharu::ingest::rtsp {

using base::Errc;
using boost::asio::ip::tcp;

namespace {

constexpr size_t kMaxUnsentBytes = 64 * 1024;
constexpr base::milliseconds kWriteRetry{20};

std::string plain_fingerprint(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ':' && c != ' ') out += base::to_lower(c);
  }
  return out;
}

}  // namespace

// Handlers share it, so that a connection may be destroyed while they wait.
struct Connection::Attempt {
  explicit Attempt(boost::asio::io_context& context, Connection* connection)
      : owner(connection), resolver(context), socket(context) {}
  Connection* owner;  // null once the connection is gone or through
  tcp::resolver resolver;
  tcp::socket socket;
};

Connection::Connection(net::EventLoop& loop, net::ReadCoalescer& coalescer, ConnectionOptions options,
                       Callbacks callbacks)
    : loop_(loop),
      coalescer_(coalescer),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      attempt_(std::make_shared<Attempt>(loop.context(), this)),
      timeout_(loop.context()),
      retry_(loop.context()) {}

Connection::~Connection() {
  attempt_->owner = nullptr;
  attempt_->resolver.cancel();
  boost::system::error_code ignored;
  attempt_->socket.close(ignored);
  if (socket_.is_open()) {
    flush();
    coalescer_.remove(socket_.fd());
  }
}

void Connection::start() {
  const std::string where = fmt::format("{}:{}", options_.host, options_.port);
  timeout_.expires_after(options_.timeout);
  timeout_.async_wait([attempt = attempt_, where,
                       seconds = options_.timeout.count() / 1000](const auto& error) {
    if (error || !attempt->owner) return;
    attempt->owner->complete(base::fail(
        Errc::kTimeout, fmt::format("no answer from {} within {} s: is the camera on, is the address right?",
                                    where, seconds)));
  });
  attempt_->resolver.async_resolve(
      options_.host, std::to_string(options_.port), tcp::resolver::numeric_service,
      [attempt = attempt_, where](const boost::system::error_code& error,
                                  const tcp::resolver::results_type& results) {
        if (!attempt->owner) return;
        if (error) {
          return attempt->owner->complete(
              base::fail(Errc::kNotFound,
                         fmt::format("the name of {} cannot be looked up: {}", where, error.message())));
        }
        boost::asio::async_connect(
            attempt->socket, results,
            [attempt, where](const boost::system::error_code& failed, const tcp::endpoint&) {
              if (!attempt->owner) return;
              if (failed) {
                return attempt->owner->complete(
                    base::fail(Errc::kIo, fmt::format("cannot connect to {}: {}", where, failed.message())));
              }
              boost::system::error_code ignored;
              attempt->socket.non_blocking(true, ignored);
              attempt->owner->on_connected_socket(attempt->socket.release(ignored));
            });
      });
}

void Connection::on_connected_socket(int fd) {
  socket_ = base::File(fd);
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &UdpPair::kReceiveBufferBytes, sizeof UdpPair::kReceiveBufferBytes);
  local_.size = sizeof local_.storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&local_.storage), &local_.size);
  remote_.size = sizeof remote_.storage;
  ::getpeername(fd, reinterpret_cast<sockaddr*>(&remote_.storage), &remote_.size);
  if (options_.tls) {
    auto tls = net::TlsClient::make(fd, options_.host);
    if (!tls) return complete(tl::unexpected(std::move(tls.error())));
    tls_ = std::move(*tls);
  }
  coalescer_.add(fd, [this] { on_event(); });
  if (tls_) return hand_shake();
  complete({});
}

void Connection::hand_shake() {
  const auto progress = tls_->handshake();
  if (!progress) {
    return complete(tl::unexpected(
        base::Error(progress.error())
            .in(fmt::format("{}:{} does not speak TLS as expected", options_.host, options_.port))));
  }
  if (*progress == net::TlsClient::Progress::kWantsWrite) {
    retry_.expires_after(kWriteRetry);
    retry_.async_wait([attempt = attempt_](const auto& error) {
      if (!error && attempt->owner) attempt->owner->hand_shake();
    });
  }
  if (*progress != net::TlsClient::Progress::kDone) return;
  const std::string pinned = plain_fingerprint(options_.pinned_fingerprint);
  if (!pinned.empty() && pinned != tls_->fingerprint()) {
    return complete(base::fail(
        Errc::kForbidden,
        fmt::format("{}:{} shows another certificate than the one that was pinned; its SHA-256 is {}. "
                    "Pin that one if the camera was replaced or reset",
                    options_.host, options_.port, tls_->fingerprint())));
  }
  complete({});
}

void Connection::complete(base::Status status) {
  timeout_.cancel();
  connected_ = status.has_value();
  // The callback may destroy this connection.
  const auto on_connected = std::move(callbacks_.on_connected);
  if (on_connected) on_connected(std::move(status));
}

void Connection::on_event() {
  if (!connected_) {
    if (tls_) hand_shake();
    return;
  }
  // The callback may destroy this connection, and itself with it.
  const auto on_readable = callbacks_.on_readable;
  on_readable();
}

base::Result<size_t> Connection::read(std::span<std::byte> out) {
  if (tls_) return tls_->read(out);
  for (;;) {
    const ssize_t count = ::recv(socket_.fd(), out.data(), out.size(), 0);
    if (count > 0) return static_cast<size_t>(count);
    if (count == 0) return base::fail(Errc::kClosed, "the camera ended the connection");
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    return base::fail_system("connection to the camera");
  }
}

bool Connection::send(base::ByteView bytes) {
  if (unsent_.size() + bytes.size() > kMaxUnsentBytes) return false;
  unsent_.insert(unsent_.end(), bytes.begin(), bytes.end());
  flush();
  return true;
}

void Connection::flush() {
  while (!unsent_.empty()) {
    size_t taken = 0;
    if (tls_) {
      const auto written = tls_->write(unsent_);
      if (written) taken = *written;
    } else {
      const ssize_t written =
          ::send(socket_.fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (written > 0) taken = static_cast<size_t>(written);
    }
    if (taken == 0) break;
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  // A broken connection shows when it is read; a full one is tried again.
  if (unsent_.empty() || retrying_) return;
  retrying_ = true;
  retry_.expires_after(kWriteRetry);
  retry_.async_wait([attempt = attempt_](const auto& error) {
    if (error || !attempt->owner) return;
    attempt->owner->retrying_ = false;
    attempt->owner->flush();
  });
}

}  // namespace miharu::ingest::rtsp
