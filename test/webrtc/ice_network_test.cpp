// An agent of ours and a viewer over a network that loses, delays and translates.
#include <map>
#include <queue>
#include <random>
#include <set>

#include "ice_test_support.h"

namespace miharu::webrtc {
namespace {

struct Datagram {
  SteadyTime arrival;
  udp::endpoint from;
  udp::endpoint to;
  base::ByteVector bytes;

  bool operator>(const Datagram& other) const { return arrival > other.arrival; }
};

// Address translation of one site, endpoint-independent mapping (RFC 4787): what is inside has one port
// outside. Lets in only what comes from an address and port that was written to (address and port-dependent
// filtering).
class Nat {
 public:
  explicit Nat(boost::asio::ip::address outside) : outside_(std::move(outside)) {}

  udp::endpoint out(const udp::endpoint& inside, const udp::endpoint& to) {
    const auto [mapping, is_new] = ports_.try_emplace(inside, static_cast<uint16_t>(next_port_));
    if (is_new) {
      inside_[mapping->second] = inside;
      ++next_port_;
    }
    open_.insert({mapping->second, to});
    return {outside_, mapping->second};
  }
  std::optional<udp::endpoint> in(const udp::endpoint& to, const udp::endpoint& from) const {
    if (!open_.contains({to.port(), from})) return std::nullopt;
    return inside_.at(to.port());
  }
  [[nodiscard]] const boost::asio::ip::address& outside() const { return outside_; }

 private:
  boost::asio::ip::address outside_;
  std::map<udp::endpoint, uint16_t> ports_;
  std::map<uint16_t, udp::endpoint> inside_;
  std::set<std::pair<uint16_t, udp::endpoint>> open_;
  uint16_t next_port_ = 40000;
};

struct Conditions {
  const char* what;
  double loss;
  milliseconds delay;
  milliseconds jitter;
  bool agent_behind_nat;
  bool viewer_behind_nat;
};

void PrintTo(const Conditions& conditions, std::ostream* out) {
  *out << conditions.what;
}

// The controlling side, as little as a browser must do: checks each address of ours until it is answered,
// nominates the first that was, renews consent, and answers checks.
class Viewer {
 public:
  using Send = std::function<void(const udp::endpoint& to, base::ByteVector bytes)>;

  Viewer(IceCredentials own, IceCredentials remote, std::vector<udp::endpoint> targets, Send send)
      : own_(std::move(own)),
        remote_(std::move(remote)),
        own_key_(own_.password.reveal()),
        remote_key_(remote_.password.reveal()),
        targets_(std::move(targets)),
        send_(std::move(send)) {}

  void on_time(SteadyTime now) {
    if (now < next_) return;
    next_ = now + milliseconds(connected_ ? 2500 : 100);
    if (nominated_) {
      check(*nominated_, true);
      return;
    }
    for (const auto& target : targets_) check(target, false);
  }
  void on_datagram(SteadyTime now, const udp::endpoint& from, const base::ByteVector& bytes) {
    const auto message = parse_stun(bytes);
    ASSERT_TRUE(message.has_value());
    ASSERT_TRUE(message->has_fingerprint);
    if (message->type == StunClass::kRequest) {
      if (message->username != own_.ufrag + ":" + remote_.ufrag || !message->is_signed_by(own_key_)) return;
      EXPECT_TRUE(message->ice_controlled.has_value() && message->priority.has_value());
      base::ByteVector out;
      StunBuilder answer(out, StunClass::kSuccess, message->transaction);
      answer.xor_mapped_address(from);
      answer.finish(&own_key_);
      send_(from, out);
      if (std::find(targets_.begin(), targets_.end(), from) == targets_.end()) targets_.push_back(from);
      return;
    }
    if (message->type != StunClass::kSuccess || !message->is_signed_by(remote_key_)) return;
    mapped_ = message->mapped;
    if (!nominated_) {
      nominated_ = from;
      next_ = now;
    } else {
      connected_ = true;
    }
  }
  [[nodiscard]] const std::optional<udp::endpoint>& nominated() const { return nominated_; }
  [[nodiscard]] const std::optional<udp::endpoint>& mapped() const { return mapped_; }

 private:
  void check(const udp::endpoint& target, bool nominate_it) {
    base::ByteVector out;
    StunBuilder request(out, StunClass::kRequest, make_transaction_id(1));
    request.username(remote_.ufrag + ":" + own_.ufrag);
    request.priority(candidate_priority(IceCandidateType::kPeerReflexive, 1));
    request.ice_controlling(12345);
    if (nominate_it) request.use_candidate();
    request.finish(&remote_key_);
    send_(target, std::move(out));
  }

  IceCredentials own_;
  IceCredentials remote_;
  StunKey own_key_;
  StunKey remote_key_;
  std::vector<udp::endpoint> targets_;
  Send send_;
  std::optional<udp::endpoint> nominated_;
  std::optional<udp::endpoint> mapped_;
  bool connected_ = false;
  SteadyTime next_ = kStart;
};

class IceNetworkTest : public ::testing::TestWithParam<Conditions>, public IceListener {
 protected:
  IceNetworkTest() {
    const Conditions& c = GetParam();
    IceAgentConfig config{ours_, theirs_, c.agent_behind_nat, {agent_address_.address()}, 3};
    agent_.emplace(std::move(config), *this, now_);
    const udp::endpoint target =
        c.agent_behind_nat ? agent_nat_.out(agent_address_, endpoint("198.51.100.9", 3478)) : agent_address_;
    viewer_.emplace(theirs_, ours_, std::vector{target},
                    [this](const udp::endpoint& to, base::ByteVector bytes) {
                      send_on(viewer_address_, to, std::move(bytes));
                    });
    if (!c.agent_behind_nat) return;
    // What the viewer found out by a STUN server of its own.
    const udp::endpoint seen = c.viewer_behind_nat
                                   ? viewer_nat_.out(viewer_address_, endpoint("198.51.100.9", 3478))
                                   : viewer_address_;
    IceCandidate candidate = host_candidate(seen, 1);
    EXPECT_TRUE(agent_->add_remote_candidate(candidate).has_value());
  }

  void send(const UdpPath& path, base::ByteView bytes) override {
    EXPECT_EQ(path.local, agent_address_.address());
    send_on(agent_address_, path.remote, {bytes.begin(), bytes.end()});
  }
  void on_selected(const UdpPath&) override { ++selections_; }
  void on_unselected() override { ++losses_; }
  void on_validated(const UdpPath& path) override { known_.insert(path.remote); }
  void on_forgotten(const UdpPath& path) override { known_.erase(path.remote); }
  void on_ufrag_retired(std::string_view) override { ++retired_; }
  void on_probed(uint32_t, base::nanoseconds) override {}

  void send_on(const udp::endpoint& from, const udp::endpoint& to, base::ByteVector bytes) {
    const Conditions& c = GetParam();
    udp::endpoint source = from;
    if (c.agent_behind_nat && from == agent_address_) source = agent_nat_.out(from, to);
    if (c.viewer_behind_nat && from == viewer_address_) source = viewer_nat_.out(from, to);
    if (is_down_ || std::uniform_real_distribution(0.0, 1.0)(random_) < c.loss) return;
    const auto jitter = std::uniform_int_distribution<int64_t>(0, c.jitter.count())(random_);
    network_.push({now_ + c.delay + milliseconds(jitter), source, to, std::move(bytes)});
  }
  void deliver(const Datagram& datagram) {
    std::optional<udp::endpoint> to = datagram.to;
    if (to->address() == agent_nat_.outside()) to = agent_nat_.in(datagram.to, datagram.from);
    if (to && to->address() == viewer_nat_.outside()) to = viewer_nat_.in(datagram.to, datagram.from);
    if (to == agent_address_) {
      agent_->on_datagram(now_, {datagram.from, to->address()}, datagram.bytes);
    } else if (to == viewer_address_) {
      viewer_->on_datagram(now_, datagram.from, datagram.bytes);
    }
  }
  template <class Condition>
  bool run_until(SteadyTime end, const Condition& condition) {
    for (; now_ < end; now_ += milliseconds(1)) {
      while (!network_.empty() && network_.top().arrival <= now_) {
        const Datagram datagram = network_.top();
        network_.pop();
        deliver(datagram);
      }
      viewer_->on_time(now_);
      if (agent_->next_deadline() <= now_) agent_->on_time(now_);
      if (condition()) return true;
    }
    return condition();
  }

  SteadyTime now_ = kStart;
  std::mt19937 random_{20261121};
  std::priority_queue<Datagram, std::vector<Datagram>, std::greater<>> network_;
  bool is_down_ = false;
  const udp::endpoint agent_address_ = endpoint("192.168.7.2", 8189);
  const udp::endpoint viewer_address_ = endpoint("10.11.12.13", 50505);
  Nat agent_nat_{boost::asio::ip::make_address("203.0.113.1")};
  Nat viewer_nat_{boost::asio::ip::make_address("203.0.113.2")};
  IceCredentials ours_ = make_ice_credentials(3);
  IceCredentials theirs_{"their", base::Secret("their-password-of-24-char")};
  std::optional<IceAgent> agent_;
  std::optional<Viewer> viewer_;
  std::set<udp::endpoint> known_;
  int selections_ = 0;
  int losses_ = 0;
  int retired_ = 0;
};

TEST_P(IceNetworkTest, ConnectsStaysRestartsAndEnds) {
  const auto agree = [this] {
    return agent_->selected() && viewer_->nominated() && agent_->selected()->remote == viewer_->mapped();
  };
  ASSERT_TRUE(run_until(kStart + seconds(25), agree));
  EXPECT_EQ(selections_, 1);
  EXPECT_TRUE(agent_->validated(*agent_->selected()));

  // Ten minutes later it is still the same.
  run_until(now_ + seconds(600), [this] { return !agent_->selected(); });
  EXPECT_TRUE(agree());
  EXPECT_EQ(losses_, 0);
  EXPECT_EQ(known_.size(), 1U);

  // The network is away for a while, shorter than consent lasts.
  is_down_ = true;
  run_until(now_ + seconds(20), [] { return false; });
  is_down_ = false;
  run_until(now_ + seconds(60), [this] { return !agent_->selected(); });
  EXPECT_TRUE(agree());

  // The same viewer with new credentials.
  ours_ = make_ice_credentials(3);
  theirs_ = {"newt", base::Secret("new-their-password-of-24")};
  const udp::endpoint target = *viewer_->nominated();
  agent_->restart(now_, ours_, theirs_);
  viewer_.emplace(theirs_, ours_, std::vector{target},
                  [this](const udp::endpoint& to, base::ByteVector bytes) {
                    send_on(viewer_address_, to, std::move(bytes));
                  });
  ASSERT_TRUE(run_until(now_ + seconds(25), [&] { return agree() && !agent_->restarting(); }));
  EXPECT_EQ(losses_, 0) << "media went on";
  EXPECT_EQ(retired_, 1);

  // The viewer is gone without a word.
  is_down_ = true;
  const SteadyTime gone = now_;
  ASSERT_TRUE(run_until(now_ + seconds(40), [this] { return agent_->expired(now_); }));
  EXPECT_GE(now_ - gone, seconds(26));
  EXPECT_LE(now_ - gone, seconds(30) + milliseconds(400));
  agent_->on_time(now_);
  EXPECT_EQ(agent_->selected(), std::nullopt);
  EXPECT_TRUE(known_.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, IceNetworkTest,
    ::testing::Values(Conditions{"a clean network", 0, milliseconds(1), milliseconds(0), false, false},
                      Conditions{"reordering", 0, milliseconds(5), milliseconds(300), false, false},
                      Conditions{"a third lost", 0.33, milliseconds(40), milliseconds(20), false, false},
                      Conditions{"viewer behind NAT", 0.05, milliseconds(40), milliseconds(20), false, true},
                      Conditions{"we are behind NAT", 0.05, milliseconds(40), milliseconds(20), true, false},
                      Conditions{"both behind NAT", 0, milliseconds(40), milliseconds(20), true, true},
                      Conditions{"both behind NAT, a third lost", 0.33, milliseconds(80), milliseconds(20),
                                 true, true}));

}  // namespace
}  // namespace miharu::webrtc
