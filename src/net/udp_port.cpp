#include "net/udp_port.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <boost/asio/ip/v6_only.hpp>

namespace miharu::net {
namespace {

using boost::asio::ip::address;
using boost::asio::ip::address_v4;
using boost::asio::ip::address_v6;
using boost::asio::ip::udp;

constexpr size_t kDatagramsAtOnce = 16;
// A datagram of Ethernet and more; what is longer is cut off by the kernel and makes no sense then.
constexpr size_t kMaxDatagram = 2048;
// Then others have their turn.
constexpr int kReadsAtOnce = 16;
// A key frame for a few hundred viewers, as far as net.core.wmem_max allows without CAP_NET_ADMIN.
constexpr int kSendBuffer = 4 << 20;
constexpr int kReceiveBuffer = 1 << 20;

void set_buffer(int fd, int forced, int plain, int size) {
  if (::setsockopt(fd, SOL_SOCKET, forced, &size, sizeof size) != 0)
    ::setsockopt(fd, SOL_SOCKET, plain, &size, sizeof size);
}

address from_wire(const in6_addr& wire, uint32_t scope) {
  address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &wire, bytes.size());
  const address_v6 six(bytes, scope);
  if (six.is_v4_mapped()) return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, six);
  return six;
}

address from_wire(const in_addr& wire) {
  return address_v4(ntohl(wire.s_addr));
}

in6_addr to_wire6(const address& value) {
  const address_v6 six = value.is_v6()
                             ? value.to_v6()
                             : boost::asio::ip::make_address_v6(boost::asio::ip::v4_mapped, value.to_v4());
  in6_addr wire{};
  const address_v6::bytes_type bytes = six.to_bytes();
  std::memcpy(&wire, bytes.data(), bytes.size());
  return wire;
}

// True: of both families.
bool open_socket(udp::socket& socket, UdpPort::Reach reach, boost::system::error_code& error) {
  if (reach == UdpPort::Reach::kAll) {
    socket.open(udp::v6(), error);
    if (!error) {
      socket.set_option(boost::asio::ip::v6_only(false), error);
      return true;
    }
  }
  socket.open(udp::v4(), error);
  return false;
}

udp::endpoint any_endpoint(UdpPort::Reach reach, const udp::socket& socket, uint16_t port) {
  if (reach == UdpPort::Reach::kLoopback) return {address_v4::loopback(), port};
  return {socket.local_endpoint().protocol(), port};
}

class ControlWriter {
 public:
  explicit ControlWriter(msghdr& header) : header_(header) {
    header_.msg_control = buffer_.data();
    header_.msg_controllen = 0;
  }
  template <class T>
  void add(int level, int type, const T& value) {
    auto* entry = reinterpret_cast<cmsghdr*>(buffer_.data() + header_.msg_controllen);
    entry->cmsg_level = level;
    entry->cmsg_type = type;
    entry->cmsg_len = CMSG_LEN(sizeof value);
    std::memcpy(CMSG_DATA(entry), &value, sizeof value);
    header_.msg_controllen += CMSG_SPACE(sizeof value);
  }

 private:
  msghdr& header_;
  alignas(cmsghdr)
      std::array<std::byte, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))> buffer_{};
};

}  // namespace

struct UdpPort::Buffers {
  std::array<std::array<std::byte, kMaxDatagram>, kDatagramsAtOnce> data;
  // Of an IPv4 datagram a socket of both families gets the address in both forms.
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(in_pktinfo))> bytes;
  };
  std::array<Control, kDatagramsAtOnce> control;
  std::array<sockaddr_in6, kDatagramsAtOnce> names;  // IPv4's is smaller
  std::array<iovec, kDatagramsAtOnce> vectors;
  std::array<mmsghdr, kDatagramsAtOnce> headers;
};

UdpPort::UdpPort(EventLoop& loop, Handler handler)
    : socket_(loop.context()), handler_(std::move(handler)), buffers_(std::make_unique<Buffers>()) {}

UdpPort::~UdpPort() {
  *alive_ = false;
}

base::Result<std::unique_ptr<UdpPort>> UdpPort::open(EventLoop& loop, Reach reach, uint16_t port,
                                                     Handler handler) {
  std::unique_ptr<UdpPort> mine(new UdpPort(loop, std::move(handler)));
  if (auto bound = mine->bind(reach, port); !bound) return tl::unexpected(bound.error());
  return mine;
}

bool UdpPort::is_free(Reach reach, uint16_t port) {
  boost::asio::io_context context;
  udp::socket socket(context);
  boost::system::error_code error;
  (void)open_socket(socket, reach, error);
  if (!error) socket.bind(any_endpoint(reach, socket, port), error);
  return !error;
}

base::Status UdpPort::bind(Reach reach, uint16_t port) {
  boost::system::error_code error;
  ipv6_ = open_socket(socket_, reach, error);
  if (error) return tl::unexpected(base::system_error("open a UDP socket", error.value()));
  const int fd = socket_.native_handle();
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  if (ipv6_) ::setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, kSendBuffer);
  set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, kReceiveBuffer);
  socket_.non_blocking(true, error);
  if (!error) socket_.bind(any_endpoint(reach, socket_, port), error);
  if (error)
    return tl::unexpected(base::system_error(fmt::format("listen on UDP port {}", port), error.value()));
  port_ = socket_.local_endpoint(error).port();
  return {};
}

void UdpPort::start() {
  wait();
}

void UdpPort::wait() {
  socket_.async_wait(udp::socket::wait_read, [this, alive = alive_](const boost::system::error_code& error) {
    if (error || !*alive) return;
    for (int i = 0; i < kReadsAtOnce && read_some(); ++i) {
      if (!*alive) return;
    }
    if (*alive) wait();
  });
}

bool UdpPort::read_some() {
  Buffers& in = *buffers_;
  for (size_t i = 0; i < kDatagramsAtOnce; ++i) {
    in.vectors[i] = {in.data[i].data(), in.data[i].size()};
    in.headers[i] = {};
    in.headers[i].msg_hdr.msg_name = &in.names[i];
    in.headers[i].msg_hdr.msg_namelen = sizeof in.names[i];
    in.headers[i].msg_hdr.msg_iov = &in.vectors[i];
    in.headers[i].msg_hdr.msg_iovlen = 1;
    in.headers[i].msg_hdr.msg_control = in.control[i].bytes.data();
    in.headers[i].msg_hdr.msg_controllen = in.control[i].bytes.size();
  }
  const int count =
      ::recvmmsg(socket_.native_handle(), in.headers.data(), kDatagramsAtOnce, MSG_DONTWAIT, nullptr);
  if (count <= 0) return false;
  counters_.received += static_cast<uint64_t>(count);
  const std::shared_ptr<bool> alive = alive_;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    msghdr& header = in.headers[i].msg_hdr;
    if ((header.msg_flags & MSG_TRUNC) != 0) continue;
    UdpPath path;
    if (in.names[i].sin6_family == AF_INET6) {
      path.remote = {from_wire(in.names[i].sin6_addr, in.names[i].sin6_scope_id),
                     ntohs(in.names[i].sin6_port)};
    } else {
      sockaddr_in name{};
      std::memcpy(&name, &in.names[i], sizeof name);
      path.remote = {from_wire(name.sin_addr), ntohs(name.sin_port)};
    }
    for (cmsghdr* entry = CMSG_FIRSTHDR(&header); entry != nullptr; entry = CMSG_NXTHDR(&header, entry)) {
      if (entry->cmsg_level == IPPROTO_IPV6 && entry->cmsg_type == IPV6_PKTINFO) {
        in6_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(entry), sizeof info);
        path.local = from_wire(info.ipi6_addr, 0);
      } else if (entry->cmsg_level == IPPROTO_IP && entry->cmsg_type == IP_PKTINFO) {
        in_pktinfo info{};
        std::memcpy(&info, CMSG_DATA(entry), sizeof info);
        path.local = from_wire(info.ipi_addr);
      }
    }
    handler_(path, std::span(in.data[i]).first(in.headers[i].msg_len));
    if (!*alive) return false;
  }
  return static_cast<size_t>(count) == kDatagramsAtOnce;
}

bool UdpPort::send_message(const UdpPath& path, base::ByteView bytes, size_t segment_bytes) {
  sockaddr_in6 name6{};
  sockaddr_in name4{};
  iovec vector{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  ControlWriter control(header);
  if (ipv6_) {
    name6.sin6_family = AF_INET6;
    name6.sin6_addr = to_wire6(path.remote.address());
    name6.sin6_port = htons(path.remote.port());
    if (path.remote.address().is_v6()) {
      name6.sin6_scope_id = static_cast<uint32_t>(path.remote.address().to_v6().scope_id());
    }
    header.msg_name = &name6;
    header.msg_namelen = sizeof name6;
    if (!path.local.is_unspecified()) {
      in6_pktinfo info{};
      info.ipi6_addr = to_wire6(path.local);
      control.add(IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
  } else {
    name4.sin_family = AF_INET;
    name4.sin_addr.s_addr = htonl(path.remote.address().to_v4().to_uint());
    name4.sin_port = htons(path.remote.port());
    header.msg_name = &name4;
    header.msg_namelen = sizeof name4;
    if (!path.local.is_unspecified()) {
      in_pktinfo info{};
      info.ipi_spec_dst.s_addr = htonl(path.local.to_v4().to_uint());
      control.add(IPPROTO_IP, IP_PKTINFO, info);
    }
  }
  if (segment_bytes < bytes.size()) control.add(SOL_UDP, UDP_SEGMENT, static_cast<uint16_t>(segment_bytes));
  if (header.msg_controllen == 0) header.msg_control = nullptr;
  while (::sendmsg(socket_.native_handle(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

bool UdpPort::send_segments(const UdpPath& path, base::ByteView bytes, size_t segment_bytes) {
  if (path.remote.address().is_v6() && !ipv6_) return false;
  const size_t count = (bytes.size() + segment_bytes - 1) / segment_bytes;
  if (cuts_ && count > 1) {
    if (send_message(path, bytes, segment_bytes)) {
      counters_.sent += count;
      return true;
    }
    if (errno != EINVAL && errno != EIO && errno != ENOPROTOOPT) {
      counters_.not_sent += count;
      return false;
    }
  }
  bool all = true;
  bool any = false;
  while (!bytes.empty()) {
    const base::ByteView datagram = bytes.first(std::min(segment_bytes, bytes.size()));
    bytes = bytes.subspan(datagram.size());
    const bool sent = send_message(path, datagram, datagram.size());
    ++(sent ? counters_.sent : counters_.not_sent);
    all = all && sent;
    any = any || sent;
  }
  // One by one they pass: this kernel or device cannot cut them, and never will.
  if (any && count > 1) cuts_ = false;
  return all;
}

}  // namespace miharu::net
