// One thread's socket of a UDP port that several threads share (SO_REUSEPORT), over IPv4 and IPv6.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <boost/asio/ip/udp.hpp>

#include "base/bytes.h"
#include "base/error.h"
#include "net/event_loop.h"
#include "net/udp_path.h"

namespace miharu::net {

struct UdpCounters {
  uint64_t received = 0;
  uint64_t sent = 0;
  uint64_t not_sent = 0;  // the kernel's buffer was full, or it had no way to there
};

// Lives on its loop's thread, but for open(). IPv4 addresses are given and taken as such, never in the form
// of IPv6. The local address of a path is the one that the datagram came to, and answers leave from it.
class UdpPort {
 public:
  // `datagram` may be changed, and is valid during the call.
  using Handler = std::function<void(const UdpPath& path, std::span<std::byte> datagram)>;

  enum class Reach : uint8_t {
    kAll,       // all addresses of the machine; IPv4 alone without IPv6 in the kernel
    kLoopback,  // 127.0.0.1
  };
  // Port 0: the kernel chooses one. The same port may be opened again, by this user. Nothing is read before
  // start().
  static base::Result<std::unique_ptr<UdpPort>> open(EventLoop& loop, Reach reach, uint16_t port,
                                                     Handler handler);
  // Whether nobody has the port, of this process or of another. Anything that can be opened is free.
  static bool is_free(Reach reach, uint16_t port);
  ~UdpPort();  // on the loop's thread, or when that has ended
  UdpPort(const UdpPort&) = delete;
  UdpPort& operator=(const UdpPort&) = delete;

  void start();
  [[nodiscard]] uint16_t port() const { return port_; }
  [[nodiscard]] bool has_ipv6() const { return ipv6_; }

  bool send(const UdpPath& path, base::ByteView datagram) {
    return send_segments(path, datagram, datagram.size());
  }
  // Datagrams of `segment_bytes` and a last one that may be shorter, in one call where the kernel can cut
  // them (UDP_SEGMENT): at most 64 and 65,000 bytes. False: not all were taken, and those are lost.
  bool send_segments(const UdpPath& path, base::ByteView bytes, size_t segment_bytes);

  [[nodiscard]] const UdpCounters& counters() const { return counters_; }

 private:
  UdpPort(EventLoop& loop, Handler handler);
  base::Status bind(Reach reach, uint16_t port);
  void wait();
  // False: nothing more is to be read for now.
  bool read_some();
  bool send_message(const UdpPath& path, base::ByteView bytes, size_t segment_bytes);

  struct Buffers;
  boost::asio::ip::udp::socket socket_;
  Handler handler_;
  std::unique_ptr<Buffers> buffers_;
  // Asked by a wait that ended after the port was destroyed.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  uint16_t port_ = 0;
  bool ipv6_ = false;
  bool cuts_ = true;  // the kernel knows UDP_SEGMENT on the way to where we send
  UdpCounters counters_;
};

}  // namespace miharu::net
