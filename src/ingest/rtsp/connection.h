// The connection to a camera: name lookup, connect and TLS, then bytes either way. Its socket is not one of
// the loop's: the loop would wake for every packet, the ReadCoalescer does not.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "base/file.h"
#include "ingest/rtsp/udp_pair.h"
#include "net/event_loop.h"
#include "net/read_coalescer.h"
#include "net/tls_client.h"

namespace miharu::ingest::rtsp {

struct ConnectionOptions {
  std::string host;
  uint16_t port = 554;
  bool tls = false;
  std::string pinned_fingerprint;     // SHA-256 of the certificate in hex, colons allowed; empty = any
  base::milliseconds timeout{5'000};  // of lookup, connect and TLS together
};

// Lives on the loop's thread. Destroying it closes the connection; no callback comes after.
class Connection {
 public:
  struct Callbacks {
    std::function<void(base::Status)> on_connected;  // once
    std::function<void()> on_readable;               // call read() until it returns 0 or an error
  };
  Connection(net::EventLoop& loop, net::ReadCoalescer& coalescer, ConnectionOptions options,
             Callbacks callbacks);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void start();
  // 0: nothing more now. kClosed: the camera ended the connection.
  base::Result<size_t> read(std::span<std::byte> out);
  // Queues what the socket does not take; false when 64 KiB wait: the camera does not read.
  bool send(base::ByteView bytes);

  [[nodiscard]] const PeerAddress& local() const { return local_; }
  [[nodiscard]] const PeerAddress& remote() const { return remote_; }
  [[nodiscard]] std::string fingerprint() const { return tls_ ? tls_->fingerprint() : std::string{}; }

 private:
  struct Attempt;  // lookup and connect, with the loop's objects
  void on_connected_socket(int fd);
  void hand_shake();
  void on_event();
  void flush();
  void complete(base::Status status);

  net::EventLoop& loop_;
  net::ReadCoalescer& coalescer_;
  ConnectionOptions options_;
  Callbacks callbacks_;
  std::shared_ptr<Attempt> attempt_;
  boost::asio::steady_timer timeout_;
  boost::asio::steady_timer retry_;  // of writes, and of a TLS hand-shake that waits to write
  base::File socket_;
  std::unique_ptr<net::TlsClient> tls_;
  bool connected_ = false;
  bool retrying_ = false;
  base::ByteVector unsent_;
  PeerAddress local_;
  PeerAddress remote_;
};

}  // namespace miharu::ingest::rtsp
