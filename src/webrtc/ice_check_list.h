// The checks that a full agent sends (RFC 8445 sections 6.1.2 to 7.2), here always as the controlled side.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/ip/udp.hpp>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/udp_path.h"
#include "webrtc/ice_candidate.h"
#include "webrtc/ice_credentials.h"
#include "webrtc/stun.h"

namespace miharu::webrtc {

// Pairs of our addresses with the viewer's candidates, and one transaction at most for each. One datagram in
// kPace leaves here, whatever the number of pairs, and none when all were answered or given up: somebody who
// names foreign addresses as candidates gets kMaxPairs * kAttempts small datagrams sent there, in half a
// minute or more. One thread.
class IceCheckList {
 public:
  static constexpr size_t kMaxCandidates = 64;
  static constexpr size_t kMaxLocalAddresses = 8;
  static constexpr size_t kMaxPairs = 100;                 // RFC 8445 section 6.1.2.5
  static constexpr base::milliseconds kPace{50};           // Ta
  static constexpr base::milliseconds kFirstTimeout{500};  // RTO, doubled each time
  static constexpr unsigned kAttempts = 7;                 // RFC 8489 section 6.2.1: Rc

  using Send = std::function<void(const net::UdpPath& path, base::ByteView bytes)>;

  IceCheckList(const IceCredentials& local, const IceCredentials& remote,
               std::vector<boost::asio::ip::address> local_addresses, uint32_t transaction_tag, Send send,
               base::SteadyTime now);

  // Pairs it with our addresses of its family. One that is known already is ignored. Error: kLimit.
  base::Status add_candidate(const IceCandidate& candidate);

  // Checks that path next, because a check came by it (triggered check, RFC 8445 section 7.3.1.4).
  // `priority` is that of the request, the priority of a peer-reflexive candidate.
  void trigger(base::SteadyTime now, const net::UdpPath& path, uint32_t priority);

  // Takes a response. True: a check of this path was answered with success, signed by the viewer's password.
  // A response by another path than the request, with a wrong signature or without one is ignored.
  enum class Answer : uint8_t { kIgnored, kFailure, kSuccess };
  Answer on_answer(const net::UdpPath& path, const StunMessage& answer);

  [[nodiscard]] size_t pair_count() const { return pairs_.size(); }

  // SteadyTime::max() when there is nothing to send.
  [[nodiscard]] base::SteadyTime next_deadline() const;
  void on_time(base::SteadyTime now);

 private:
  enum class State : uint8_t { kWaiting, kInProgress, kSucceeded, kFailed };
  struct Pair {
    net::UdpPath path;
    uint64_t priority = 0;
    State state = State::kWaiting;
    bool triggered = false;  // waits before all others
    StunTransactionId transaction{};
    unsigned attempts = 0;
    base::milliseconds timeout{};
    base::SteadyTime due;  // of the next attempt or of giving up
  };

  void add_pair(const net::UdpPath& path, uint32_t remote_priority, bool triggered);
  [[nodiscard]] uint16_t local_preference(const boost::asio::ip::address& local) const;
  void send(base::SteadyTime now, Pair& pair);

  std::string username_;
  StunKey key_;  // the viewer's password
  std::vector<boost::asio::ip::address> local_addresses_;
  uint32_t transaction_tag_;
  Send send_;
  std::vector<boost::asio::ip::udp::endpoint> candidates_;
  std::vector<Pair> pairs_;
  base::SteadyTime next_send_;
  base::ByteVector buffer_;
};

}  // namespace miharu::webrtc
