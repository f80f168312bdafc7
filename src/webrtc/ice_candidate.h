// Candidates as lines of a session description (RFC 8839 section 5.1). UDP only, one component.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/ip/udp.hpp>

#include "base/error.h"

namespace miharu::webrtc {

enum class IceCandidateType : uint8_t { kHost, kServerReflexive, kPeerReflexive, kRelay };

struct IceCandidate {
  std::string foundation;
  uint32_t priority = 0;
  boost::asio::ip::udp::endpoint address;
  IceCandidateType type = IceCandidateType::kHost;
  std::optional<boost::asio::ip::udp::endpoint>
      related;        // raddr and rport: the base, or what is behind a relay
  std::string ufrag;  // extension of browsers: the generation that it belongs to; empty = not told
};

constexpr size_t kMaxCandidateBytes = 1024;

// RFC 8445 section 5.1.2.1, for component 1. The greater `local_preference` is preferred among those of a
// type.
uint32_t candidate_priority(IceCandidateType type, uint16_t local_preference);

// Ours. Foundations are equal for equal type, base address and family (RFC 8445 section 5.1.1.3).
IceCandidate host_candidate(const boost::asio::ip::udp::endpoint& address, uint16_t local_preference);
IceCandidate server_reflexive_candidate(const boost::asio::ip::udp::endpoint& mapped,
                                        const boost::asio::ip::udp::endpoint& base,
                                        uint16_t local_preference);

// Whether a datagram to it makes sense: a port, and neither unspecified, multicast nor broadcast.
bool is_usable(const boost::asio::ip::udp::endpoint& address);

// Reads "candidate:...", with or without "a=" before it. Nothing: well-formed, but nothing for us, that is
// another transport, another component, a name (mDNS hides a browser's address: it is found by its checks),
// or an address that is not usable. Errors: kMalformed with the offset, kLimit.
base::Result<std::optional<IceCandidate>> parse_candidate(std::string_view line);

// "candidate:...", without "a=" and line end.
std::string format_candidate(const IceCandidate& candidate);

}  // namespace miharu::webrtc
