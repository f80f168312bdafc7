// The two ends of a UDP conversation: what a session is found by and sent along.
#pragma once

#include <cstddef>
#include <functional>

#include <boost/asio/ip/udp.hpp>

namespace miharu::net {

// Both addresses of one family; the local port is the same for all, so it is no part of it.
struct UdpPath {
  boost::asio::ip::udp::endpoint remote;
  boost::asio::ip::address local;  // the one that the datagram came to, from which the answer must go

  bool operator==(const UdpPath&) const = default;
};

struct UdpPathHash {
  size_t operator()(const UdpPath& path) const {
    const size_t remote = std::hash<boost::asio::ip::udp::endpoint>()(path.remote);
    return remote ^ (std::hash<boost::asio::ip::address>()(path.local) * 0x9E3779B97F4A7C15ULL);
  }
};

}  // namespace miharu::net
