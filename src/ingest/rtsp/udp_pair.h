// The two sockets that receive one track over UDP: RTP on an even port, RTCP on the next (RFC 3550 section
// 11).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include <sys/socket.h>

#include "base/bytes.h"
#include "base/file.h"

namespace miharu::ingest::rtsp {

// An address of a datagram's sender or receiver.
struct PeerAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  [[nodiscard]] uint16_t port() const;
  void set_port(uint16_t port);
  [[nodiscard]] bool same_host(const PeerAddress& other) const;
};

// Datagrams of up to 64 KiB (quirk U4), several a system call. One for all sockets of a source.
class DatagramBuffer {
 public:
  static constexpr size_t kDatagrams = 8;
  static constexpr size_t kBytes = 64 * 1024;
  DatagramBuffer() : bytes_(std::make_unique_for_overwrite<std::byte[]>(kDatagrams * kBytes)) {}

  // Reads what `fd` has, at most some rounds of it, and hands out each datagram.
  void receive(int fd, const std::function<void(base::ByteView, const PeerAddress&)>& on_datagram);

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

struct UdpPair {
  static constexpr int kReceiveBufferBytes = 2 * 1024 * 1024;  // quirk T5
  base::File rtp;
  base::File rtcp;
  uint16_t port = 0;     // of rtp; rtcp has the next
  PeerAddress rtp_peer;  // where the camera sends from; port 0 while unknown (quirk U1)
  PeerAddress rtcp_peer;
  bool latched = false;  // rtp_peer has sent a valid packet

  // On the local address `local` (its port is ignored), with ports from the kernel.
  static base::Result<UdpPair> bind(const PeerAddress& local);
  // One datagram to each of the camera's ports opens the way through firewalls and NAT (quirk U3). Errors do
  // not matter.
  void punch() const;
  void send_rtcp(base::ByteView packet) const;
};

}  // namespace miharu::ingest::rtsp
