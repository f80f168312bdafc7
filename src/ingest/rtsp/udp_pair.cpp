#include "ingest/rtsp/udp_pair.h"

#include <array>
#include <cstring>

#include <netinet/in.h>
#include <unistd.h>

#include "media/rtcp.h"

namespace miharu::ingest::rtsp {

namespace {

constexpr int kAttempts = 32;
constexpr int kRounds = 16;  // then the other sockets have their turn

base::Result<base::File> bind_socket(PeerAddress address, uint16_t port, uint16_t& bound) {
  base::File socket(::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return base::fail_system("socket for RTP over UDP");
  address.set_port(port);
  if (::bind(socket.fd(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    return base::fail_system("bind a port for RTP over UDP");
  }
  PeerAddress name;
  name.size = sizeof name.storage;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name.storage), &name.size) != 0) {
    return base::fail_system("getsockname");
  }
  bound = name.port();
  return socket;
}

void send_to(const base::File& socket, base::ByteView packet, const PeerAddress& peer) {
  if (peer.port() == 0) return;
  static_cast<void>(::sendto(socket.fd(), packet.data(), packet.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&peer.storage), peer.size));
}

}  // namespace

uint16_t PeerAddress::port() const {
  // The port lies at the same place in both families; memcpy keeps clear of aliasing rules.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  uint16_t value = 0;
  std::memcpy(&value, reinterpret_cast<const char*>(&storage) + offsetof(sockaddr_in, sin_port),
              sizeof value);
  return ntohs(value);
}

void PeerAddress::set_port(uint16_t port) {
  const uint16_t value = htons(port);
  std::memcpy(reinterpret_cast<char*>(&storage) + offsetof(sockaddr_in, sin_port), &value, sizeof value);
}

bool PeerAddress::same_host(const PeerAddress& other) const {
  if (storage.ss_family != other.storage.ss_family) return false;
  const size_t offset =
      storage.ss_family == AF_INET6 ? offsetof(sockaddr_in6, sin6_addr) : offsetof(sockaddr_in, sin_addr);
  const size_t length = storage.ss_family == AF_INET6 ? sizeof(in6_addr) : sizeof(in_addr);
  return std::memcmp(reinterpret_cast<const char*>(&storage) + offset,
                     reinterpret_cast<const char*>(&other.storage) + offset, length) == 0;
}

void DatagramBuffer::receive(int fd,
                             const std::function<void(base::ByteView, const PeerAddress&)>& on_datagram) {
  std::array<mmsghdr, kDatagrams> messages{};
  std::array<iovec, kDatagrams> vectors{};
  std::array<PeerAddress, kDatagrams> peers;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < kDatagrams; ++i) {
      vectors[i] = {bytes_.get() + i * kBytes, kBytes};
      messages[i].msg_hdr = {};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_name = &peers[i].storage;
      messages[i].msg_hdr.msg_namelen = sizeof peers[i].storage;
    }
    const int count = ::recvmmsg(fd, messages.data(), kDatagrams, MSG_DONTWAIT, nullptr);
    for (int n = 0; n < count; ++n) {
      const auto i = static_cast<size_t>(n);
      peers[i].size = messages[i].msg_hdr.msg_namelen;
      on_datagram({bytes_.get() + i * kBytes, messages[i].msg_len}, peers[i]);
    }
    if (count < static_cast<int>(kDatagrams)) return;
  }
}

base::Result<UdpPair> UdpPair::bind(const PeerAddress& local) {
  base::Error error;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    uint16_t first_port = 0;
    auto first = bind_socket(local, 0, first_port);
    if (!first) return tl::unexpected(std::move(first.error()));
    const bool even = first_port % 2 == 0;
    uint16_t second_port = 0;
    auto second =
        bind_socket(local, static_cast<uint16_t>(even ? first_port + 1 : first_port - 1), second_port);
    if (!second) {
      error = std::move(second.error());
      continue;
    }
    UdpPair out;
    out.rtp = std::move(even ? *first : *second);
    out.rtcp = std::move(even ? *second : *first);
    out.port = even ? first_port : second_port;
    ::setsockopt(out.rtp.fd(), SOL_SOCKET, SO_RCVBUF, &kReceiveBufferBytes, sizeof kReceiveBufferBytes);
    return out;
  }
  return tl::unexpected(std::move(error).in("no two ports in a row are free"));
}

void UdpPair::punch() const {
  base::ByteVector packet;
  base::ByteWriter(packet).u8(0x80);  // RTP version 2, payload type 0, and nothing in it
  base::ByteWriter(packet).zeros(11);
  send_to(rtp, packet, rtp_peer);
  packet.clear();
  media::append_receiver_report(packet, 0, {}, "miharu");
  send_to(rtcp, packet, rtcp_peer);
}

void UdpPair::send_rtcp(base::ByteView packet) const {
  send_to(rtcp, packet, rtcp_peer);
}

}  // namespace miharu::ingest::rtsp
