#include "webrtc/ice_check_list.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace miharu::webrtc {

using base::SteadyTime;
using boost::asio::ip::address;

namespace {

// RFC 8445 section 6.1.2.3, the viewer being the controlling side.
uint64_t pair_priority(uint32_t controlling, uint32_t controlled) {
  return (uint64_t{std::min(controlling, controlled)} << 32) +
         uint64_t{std::max(controlling, controlled)} * 2 + (controlling > controlled ? 1 : 0);
}

// Whether a datagram from `local` can reach `remote`. Nobody may make us talk to our own machine, unless we
// live there only.
bool is_pair(const address& local, const address& remote) {
  if (local.is_v4() != remote.is_v4() || local.is_loopback() != remote.is_loopback()) return false;
  return !remote.is_v6() || !remote.to_v6().is_link_local();  // needs a zone, which a candidate cannot tell
}

}  // namespace

IceCheckList::IceCheckList(const IceCredentials& local, const IceCredentials& remote,
                           std::vector<address> local_addresses, uint32_t transaction_tag, Send send,
                           SteadyTime now)
    : username_(remote.ufrag + ":" + local.ufrag),
      key_(remote.password.reveal()),
      local_addresses_(std::move(local_addresses)),
      transaction_tag_(transaction_tag),
      send_(std::move(send)),
      next_send_(now) {
  if (local_addresses_.size() > kMaxLocalAddresses) local_addresses_.resize(kMaxLocalAddresses);
}

base::Status IceCheckList::add_candidate(const IceCandidate& candidate) {
  if (std::find(candidates_.begin(), candidates_.end(), candidate.address) != candidates_.end()) return {};
  if (candidates_.size() >= kMaxCandidates) return base::fail(base::Errc::kLimit, "too many candidates");
  if (!is_usable(candidate.address)) return {};
  candidates_.push_back(candidate.address);
  for (const address& local : local_addresses_) {
    if (is_pair(local, candidate.address.address()))
      add_pair({candidate.address, local}, candidate.priority, false);
  }
  return {};
}

void IceCheckList::trigger(SteadyTime now, const net::UdpPath& path, uint32_t priority) {
  const auto pair = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) { return p.path == path; });
  if (pair == pairs_.end()) {
    add_pair(path, priority, true);
  } else {
    pair->triggered = true;
  }
  next_send_ = std::max(next_send_, now);
}

void IceCheckList::add_pair(const net::UdpPath& path, uint32_t remote_priority, bool triggered) {
  // By a host candidate of ours: a server-reflexive one is sent from the same base (RFC 8445
  // section 6.1.2.4).
  const uint32_t own = candidate_priority(IceCandidateType::kHost, local_preference(path.local));
  Pair pair;
  pair.path = path;
  pair.priority = pair_priority(remote_priority, own);
  pair.triggered = triggered;
  const auto known =
      std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) { return p.path == path; });
  if (known != pairs_.end()) {
    known->priority = std::max(known->priority, pair.priority);
    return;
  }
  if (pairs_.size() < kMaxPairs) {
    pairs_.push_back(pair);
    return;
  }
  const auto worth = [](const Pair& p) {
    return std::tuple(p.state != State::kFailed, p.triggered || p.state == State::kSucceeded, p.priority);
  };
  const auto least = std::min_element(pairs_.begin(), pairs_.end(),
                                      [&](const Pair& a, const Pair& b) { return worth(a) < worth(b); });
  if (worth(*least) < worth(pair)) *least = pair;
}

uint16_t IceCheckList::local_preference(const address& local) const {
  const auto found = std::find(local_addresses_.begin(), local_addresses_.end(), local);
  return static_cast<uint16_t>(UINT16_MAX - (found - local_addresses_.begin()));
}

IceCheckList::Answer IceCheckList::on_answer(const net::UdpPath& path, const StunMessage& answer) {
  const auto pair = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) {
    return p.state == State::kInProgress && p.transaction == answer.transaction;
  });
  // RFC 8445 section 7.2.5.2.1: the addresses must be those of the request.
  if (pair == pairs_.end() || pair->path != path || !answer.is_signed_by(key_)) return Answer::kIgnored;
  const bool is_good =
      answer.type == StunClass::kSuccess && answer.unknown_count == 0 && answer.mapped.has_value();
  pair->state = is_good ? State::kSucceeded : State::kFailed;
  pair->triggered = false;
  return is_good ? Answer::kSuccess : Answer::kFailure;
}

SteadyTime IceCheckList::next_deadline() const {
  SteadyTime deadline = SteadyTime::max();
  for (const Pair& pair : pairs_) {
    if (pair.triggered || pair.state == State::kWaiting) return next_send_;
    if (pair.state == State::kInProgress) deadline = std::min(deadline, std::max(pair.due, next_send_));
  }
  return deadline;
}

void IceCheckList::on_time(SteadyTime now) {
  if (now < next_send_) return;
  Pair* next = nullptr;
  // New ones go before repetitions, so that many pairs without an answer do not hold up the last one.
  const auto urgency = [](const Pair& p) {
    return std::tuple(p.triggered, p.state == State::kWaiting, p.priority);
  };
  for (Pair& pair : pairs_) {
    const bool is_due = pair.state == State::kInProgress && pair.due <= now;
    if (is_due && pair.attempts >= kAttempts && !pair.triggered) {
      pair.state = State::kFailed;
    } else if ((pair.triggered || pair.state == State::kWaiting || is_due) &&
               (next == nullptr || urgency(*next) < urgency(pair))) {
      next = &pair;
    }
  }
  if (next != nullptr) send(now, *next);
}

void IceCheckList::send(SteadyTime now, Pair& pair) {
  if (pair.state != State::kInProgress || pair.attempts >= kAttempts) {
    pair.state = State::kInProgress;
    pair.transaction = make_transaction_id(transaction_tag_);
    pair.attempts = 0;
    pair.timeout = kFirstTimeout;
  } else if (pair.triggered) {
    pair.timeout = kFirstTimeout;  // the way may have opened only now
  }
  pair.triggered = false;
  ++pair.attempts;
  pair.due = now + pair.timeout;
  pair.timeout *= 2;
  next_send_ = now + kPace;

  buffer_.clear();
  StunBuilder request(buffer_, StunClass::kRequest, pair.transaction);
  request.username(username_);
  request.priority(candidate_priority(IceCandidateType::kPeerReflexive, local_preference(pair.path.local)));
  // The smallest tie-breaker, so that a viewer with a conflict of roles always takes the controlling one.
  request.ice_controlled(0);
  request.finish(&key_);
  send_(pair.path, buffer_);
}

}  // namespace miharu::webrtc
