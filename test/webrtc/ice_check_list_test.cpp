#include "webrtc/ice_check_list.h"

#include <map>
#include <set>

#include "ice_test_support.h"

namespace miharu::webrtc {
namespace {

IceCandidate candidate_at(const char* address, uint16_t port, uint32_t priority = 2122252543) {
  IceCandidate made;
  made.foundation = "1";
  made.priority = priority;
  made.address = endpoint(address, port);
  return made;
}

class IceCheckListTest : public ::testing::Test {
 protected:
  struct Sending {
    int64_t at_ms;
    UdpPath path;
    base::ByteVector bytes;
  };

  [[nodiscard]] IceCheckList list_with(std::vector<boost::asio::ip::address> local) {
    return IceCheckList(
        kOurs, kTheirs, std::move(local), 77,
        [this](const UdpPath& path, base::ByteView bytes) {
          sendings_.push_back({(now_ - kStart) / milliseconds(1), path, {bytes.begin(), bytes.end()}});
        },
        now_);
  }
  // Runs all timers up to `end` and checks that each deadline moves on.
  void run_until(IceCheckList& list, SteadyTime end) {
    while (list.next_deadline() <= end) {
      const SteadyTime before = list.next_deadline();
      now_ = std::max(now_, before);
      list.on_time(now_);
      ASSERT_GT(list.next_deadline(), before);
    }
    now_ = end;
  }
  static base::ByteVector answer_to(const base::ByteVector& request, const std::string& password,
                                    StunClass type = StunClass::kSuccess) {
    base::ByteVector out;
    StunBuilder builder(out, type, parse_stun(request)->transaction);
    if (type == StunClass::kSuccess) builder.xor_mapped_address(endpoint("198.51.100.7", 4000));
    if (type == StunClass::kError) builder.error_code(kStunRoleConflict);
    const StunKey key(password);
    builder.finish(password.empty() ? nullptr : &key);
    return out;
  }
  static IceCheckList::Answer give(IceCheckList& list, const UdpPath& path, const base::ByteVector& bytes) {
    return list.on_answer(path, *parse_stun(bytes));
  }

  SteadyTime now_ = kStart;
  std::vector<Sending> sendings_;
  const boost::asio::ip::address local_ = boost::asio::ip::make_address("192.0.2.1");
  const UdpPath path_ = path_from("203.0.113.1", 1001);
};

TEST_F(IceCheckListTest, SendsTheCheckOfAControlledAgent) {
  IceCheckList list = list_with({local_});
  EXPECT_EQ(list.next_deadline(), SteadyTime::max());
  ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  run_until(list, kStart);
  ASSERT_EQ(sendings_.size(), 1U);
  EXPECT_EQ(sendings_[0].path, path_);
  const auto check = parse_stun(sendings_[0].bytes);
  ASSERT_TRUE(check.has_value());
  EXPECT_EQ(check->type, StunClass::kRequest);
  EXPECT_EQ(check->username, kTheirs.ufrag + ":" + kOurs.ufrag);
  EXPECT_EQ(check->priority, candidate_priority(IceCandidateType::kPeerReflexive, 65535));
  EXPECT_EQ(check->ice_controlled, 0U) << "the smallest tie-breaker: the viewer takes the controlling role";
  EXPECT_FALSE(check->use_candidate);
  EXPECT_TRUE(check->has_fingerprint);
  EXPECT_TRUE(check->is_signed_by(StunKey(kTheirs.password.reveal())));
  EXPECT_EQ(answer_tag(answer_to(sendings_[0].bytes, "")), 77U);
}

// RFC 8489 section 6.2.1, with Rc = 7.
TEST_F(IceCheckListTest, RepeatsAndGivesUp) {
  IceCheckList list = list_with({local_});
  ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  run_until(list, kStart + seconds(300));
  std::vector<int64_t> times;
  for (const auto& sending : sendings_) {
    times.push_back(sending.at_ms);
    EXPECT_EQ(sending.bytes, sendings_[0].bytes);
  }
  EXPECT_EQ(times, (std::vector<int64_t>{0, 500, 1500, 3500, 7500, 15500, 31500}));
  EXPECT_EQ(list.next_deadline(), SteadyTime::max());
}

TEST_F(IceCheckListTest, PacesAndBoundsWhatItSends) {
  std::vector<boost::asio::ip::address> local;
  for (uint32_t i = 0; i < 12; ++i) local.emplace_back(boost::asio::ip::address_v4(0xC0000201 + i));
  IceCheckList list = list_with(local);
  size_t taken = 0;
  for (uint16_t i = 0; i < 200; ++i)
    taken +=
        list.add_candidate(candidate_at("203.0.113.1", static_cast<uint16_t>(1000 + i), 1000U + i)) ? 1 : 0;
  EXPECT_EQ(taken, IceCheckList::kMaxCandidates);
  EXPECT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1000)).has_value()) << "known already";
  EXPECT_EQ(list.pair_count(), IceCheckList::kMaxPairs);
  run_until(list, kStart + seconds(600));
  EXPECT_EQ(sendings_.size(), IceCheckList::kMaxPairs * IceCheckList::kAttempts);
  std::map<std::string, int> sources;
  for (size_t i = 0; i < sendings_.size(); ++i) {
    ++sources[sendings_[i].path.local.to_string()];
    if (i > 0) {
      EXPECT_GE(sendings_[i].at_ms - sendings_[i - 1].at_ms, 50);
    }
  }
  EXPECT_EQ(sources.size(), IceCheckList::kMaxLocalAddresses);
  // Every pair is tried before much is repeated.
  std::set<std::string> first;
  for (size_t i = 0; i < IceCheckList::kMaxPairs; ++i) first.insert(base::to_hex(sendings_[i].bytes));
  EXPECT_EQ(first.size(), IceCheckList::kMaxPairs);
}

TEST_F(IceCheckListTest, TheBestPairGoesFirst) {
  IceCheckList list = list_with({local_});
  for (const uint16_t port : std::initializer_list<uint16_t>{1, 3, 2})
    ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", port, port)).has_value());
  list.trigger(now_, path_from("203.0.113.9", 9), 0);
  run_until(list, kStart + milliseconds(200));
  std::vector<uint16_t> ports;
  for (const auto& sending : sendings_) ports.push_back(sending.path.remote.port());
  EXPECT_EQ(ports, (std::vector<uint16_t>{9, 3, 2, 1}));
}

TEST_F(IceCheckListTest, NobodyMakesUsTalkToOurselves) {
  const struct {
    const char* local;
    const char* remote;
    size_t pairs;
  } cases[] = {
      {"192.0.2.1", "203.0.113.1", 1}, {"192.0.2.1", "127.0.0.1", 0},       {"127.0.0.1", "127.0.0.1", 1},
      {"127.0.0.1", "203.0.113.1", 0}, {"192.0.2.1", "2001:db8::1", 0},     {"2001:db8::2", "2001:db8::1", 1},
      {"2001:db8::2", "::1", 0},       {"2001:db8::2", "fe80::1", 0},       {"192.0.2.1", "224.0.0.5", 0},
      {"192.0.2.1", "0.0.0.0", 0},     {"192.0.2.1", "255.255.255.255", 0},
  };
  for (const auto& c : cases) {
    IceCheckList list = list_with({boost::asio::ip::make_address(c.local)});
    EXPECT_TRUE(list.add_candidate(candidate_at(c.remote, 1000)).has_value());
    EXPECT_EQ(list.pair_count(), c.pairs) << c.local << " to " << c.remote;
  }
}

TEST_F(IceCheckListTest, TakesOnlyTheAnswerOfTheViewer) {
  IceCheckList list = list_with({local_});
  ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  run_until(list, kStart);
  const auto request = sendings_.at(0).bytes;
  const std::string password = kTheirs.password.reveal();
  const auto good = answer_to(request, password);
  using Answer = IceCheckList::Answer;
  EXPECT_EQ(give(list, path_, answer_to(request, kOurs.password.reveal())), Answer::kIgnored);
  EXPECT_EQ(give(list, path_, answer_to(request, "")), Answer::kIgnored) << "nobody signed it";
  EXPECT_EQ(give(list, path_, answer_to(request, "", StunClass::kError)), Answer::kIgnored);
  EXPECT_EQ(give(list, path_from("203.0.113.1", 1002), good), Answer::kIgnored) << "from another port";
  EXPECT_EQ(give(list, path_from("203.0.113.1", 1001, "192.0.2.9"), good), Answer::kIgnored);
  EXPECT_EQ(give(list, path_, answer_to(Check().bytes(), password)), Answer::kIgnored)
      << "another transaction";
  EXPECT_EQ(give(list, path_, good), Answer::kSuccess);
  EXPECT_EQ(give(list, path_, good), Answer::kIgnored) << "a second time";
  run_until(list, kStart + seconds(60));
  EXPECT_EQ(sendings_.size(), 1U);
}

TEST_F(IceCheckListTest, ARefusedCheckIsNotRepeatedUntilTriggered) {
  IceCheckList list = list_with({local_});
  ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  run_until(list, kStart);
  const auto refusal = answer_to(sendings_.at(0).bytes, kTheirs.password.reveal(), StunClass::kError);
  EXPECT_EQ(give(list, path_, refusal), IceCheckList::Answer::kFailure);
  run_until(list, kStart + seconds(60));
  EXPECT_EQ(sendings_.size(), 1U);
  list.trigger(now_, path_, 1);
  run_until(list, now_);
  ASSERT_EQ(sendings_.size(), 2U);
  EXPECT_NE(parse_stun(sendings_[0].bytes)->transaction, parse_stun(sendings_[1].bytes)->transaction);
  EXPECT_EQ(give(list, path_, answer_to(sendings_[1].bytes, kTheirs.password.reveal())),
            IceCheckList::Answer::kSuccess);
}

TEST_F(IceCheckListTest, ATriggerHastensACheckUnderWay) {
  IceCheckList list = list_with({local_});
  ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  run_until(list, kStart + milliseconds(2000));  // 0, 500, 1500; the next one at 3500
  list.trigger(now_, path_, 1);
  run_until(list, kStart + milliseconds(3000));
  ASSERT_EQ(sendings_.size(), 5U);
  EXPECT_EQ(sendings_[3].at_ms, 2000);
  EXPECT_EQ(sendings_[4].at_ms, 2500);
  // Triggers do not outrun the pace.
  for (; now_ < kStart + milliseconds(4000); now_ += milliseconds(1)) {
    list.trigger(now_, path_, 1);
    list.on_time(now_);
  }
  EXPECT_LE(sendings_.size(), 5U + 21U);
}

TEST_F(IceCheckListTest, TriggeredPairsHaveRoomInAFullList) {
  std::vector<boost::asio::ip::address> local{local_, boost::asio::ip::make_address("192.0.2.2")};
  IceCheckList list = list_with(local);
  for (uint16_t i = 0; i < 64; ++i)
    ASSERT_TRUE(list.add_candidate(candidate_at("203.0.113.1", static_cast<uint16_t>(1000 + i))).has_value());
  ASSERT_EQ(list.pair_count(), IceCheckList::kMaxPairs);
  list.trigger(now_, path_from("203.0.113.77", 77), 1);
  EXPECT_EQ(list.pair_count(), IceCheckList::kMaxPairs);
  run_until(list, kStart);
  EXPECT_EQ(sendings_.at(0).path.remote.port(), 77);
}

// What the agent makes of it.
class IceFullAgentTest : public IceCheckListTest {
 protected:
  // The viewer's answer to the latest check of ours on that path.
  IceVerdict answer_latest(const UdpPath& path) {
    for (auto sent = listener_.sent.rbegin(); sent != listener_.sent.rend(); ++sent) {
      if (sent->path == path && sent->message().type == StunClass::kRequest)
        return agent_.on_datagram(now_, path, answer_to(sent->bytes, kTheirs.password.reveal()));
    }
    ADD_FAILURE() << "no check was sent";
    return IceVerdict::kMalformed;
  }
  [[nodiscard]] size_t checks_sent() const {
    return static_cast<size_t>(
        std::count_if(listener_.sent.begin(), listener_.sent.end(),
                      [](const Sent& sent) { return sent.message().type == StunClass::kRequest; }));
  }

  RecordingListener listener_;
  IceAgent agent_{{kOurs, kTheirs, true, {local_}, 77}, listener_, kStart};
};

TEST_F(IceFullAgentTest, ANominationCountsWhenOurCheckWasAnswered) {
  EXPECT_EQ(agent_.on_datagram(now_, path_, nominating().bytes()), IceVerdict::kAccepted);
  EXPECT_TRUE(agent_.validated(path_)) << "DTLS need not wait";
  EXPECT_EQ(agent_.selected(), std::nullopt);
  ASSERT_EQ(checks_sent(), 1U) << "a triggered check at once";
  EXPECT_EQ(answer_latest(path_), IceVerdict::kAnswer);
  EXPECT_EQ(agent_.selected(), path_);
  EXPECT_EQ(agent_.on_datagram(now_, path_, nominating(2).bytes()), IceVerdict::kAccepted);
  agent_.on_time(now_ += seconds(1));
  EXPECT_EQ(checks_sent(), 1U) << "what was answered is not checked again";
}

TEST_F(IceFullAgentTest, AReplayFromElsewhereMovesNoMedia) {
  agent_.on_datagram(now_, path_, nominating().bytes());
  answer_latest(path_);
  // Somebody who has listened sends the viewer's check from a place of his own, and cannot answer ours.
  const UdpPath thief = path_from("198.51.100.66", 66);
  agent_.on_datagram(now_ += seconds(1), thief, nominating().bytes());
  agent_.on_time(now_ += seconds(1));
  EXPECT_EQ(agent_.selected(), path_);
}

TEST_F(IceFullAgentTest, TheNewestAwaitedNominationWins) {
  const UdpPath other = path_from("203.0.113.1", 1002);
  agent_.on_datagram(now_, path_, nominating(1).bytes());
  agent_.on_datagram(now_ += milliseconds(60), other, nominating(2).bytes());
  answer_latest(path_);
  EXPECT_EQ(agent_.selected(), std::nullopt);
  answer_latest(other);
  EXPECT_EQ(agent_.selected(), other);
}

TEST_F(IceFullAgentTest, AnAnswerValidatesItsPath) {
  ASSERT_TRUE(agent_.add_remote_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  agent_.on_time(now_);
  EXPECT_FALSE(agent_.validated(path_));
  answer_latest(path_);
  EXPECT_TRUE(agent_.validated(path_));
  agent_.on_datagram(now_, path_, nominating().bytes());
  EXPECT_EQ(agent_.selected(), path_) << "answered before it was nominated";
}

TEST_F(IceFullAgentTest, CandidatesOfAnotherGenerationAreNotForIt) {
  IceCandidate candidate = candidate_at("203.0.113.1", 1001);
  candidate.ufrag = "old1";
  EXPECT_TRUE(agent_.add_remote_candidate(candidate).has_value());
  agent_.on_time(now_);
  EXPECT_EQ(checks_sent(), 0U);
  candidate.ufrag = kTheirs.ufrag;
  EXPECT_TRUE(agent_.add_remote_candidate(candidate).has_value());
  agent_.on_time(now_);
  EXPECT_EQ(checks_sent(), 1U);
}

TEST_F(IceFullAgentTest, ARestartChecksAnew) {
  const UdpPath other = path_from("203.0.113.1", 1002);
  const auto latest_check = [this](const UdpPath& path) {
    base::ByteVector found;
    for (const Sent& sent : listener_.sent) {
      if (sent.path == path && sent.message().type == StunClass::kRequest) found = sent.bytes;
    }
    return found;
  };
  for (const UdpPath& where : {path_, other}) {
    const IceCredentials ours{"AAnewufrag12", base::Secret("new-password-of-24-chars")};
    const IceCredentials theirs{"newt", base::Secret("new-their-password-of-24")};
    IceAgent agent({kOurs, kTheirs, true, {local_}, 77}, listener_, now_);
    agent.on_datagram(now_, path_, nominating().bytes());
    agent.on_datagram(now_, path_, answer_to(latest_check(path_), kTheirs.password.reveal()));
    ASSERT_EQ(agent.selected(), path_);
    agent.restart(now_ += seconds(1), ours, theirs);
    Check check = nominating(5);
    check.username = ours.ufrag + ":" + theirs.ufrag;
    check.password = ours.password.reveal();
    agent.on_datagram(now_, where, check.bytes());
    EXPECT_TRUE(agent.restarting()) << "our own check with the new password is not answered yet";
    // The old nomination, which may still be repeated, does not displace the new one.
    agent.on_datagram(now_, path_, nominating(6).bytes());
    EXPECT_EQ(agent.selected(), path_);
    const auto ours_sent = latest_check(where);
    EXPECT_EQ(parse_stun(ours_sent)->username, "newt:AAnewufrag12");
    EXPECT_EQ(agent.on_datagram(now_, where, answer_to(ours_sent, kTheirs.password.reveal())),
              IceVerdict::kUnexpected);
    EXPECT_EQ(agent.on_datagram(now_, where, answer_to(ours_sent, theirs.password.reveal())),
              IceVerdict::kAnswer);
    EXPECT_FALSE(agent.restarting());
    EXPECT_EQ(agent.selected(), where);
  }
}

TEST_F(IceFullAgentTest, ARestartForgetsWhatWasAwaited) {
  agent_.on_datagram(now_, path_, nominating().bytes());
  const IceCredentials theirs{"newt", base::Secret("new-their-password-of-24")};
  agent_.restart(now_ += seconds(1), {"AAnewufrag12", base::Secret("new-password-of-24-chars")}, theirs);
  listener_.take_sent();
  ASSERT_TRUE(agent_.add_remote_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  agent_.on_time(now_);
  ASSERT_EQ(checks_sent(), 1U);
  EXPECT_EQ(agent_.on_datagram(now_, path_, answer_to(listener_.sent[0].bytes, theirs.password.reveal())),
            IceVerdict::kAnswer);
  EXPECT_EQ(agent_.selected(), std::nullopt) << "nobody has nominated it since";
}

TEST_F(IceFullAgentTest, AnExpiredOneIsSilent) {
  ASSERT_TRUE(agent_.add_remote_candidate(candidate_at("203.0.113.1", 1001)).has_value());
  while (now_ < kStart + seconds(120)) {
    agent_.on_time(now_);
    now_ += milliseconds(10);
  }
  EXPECT_EQ(checks_sent(), 6U) << "the seventh would come 31.5 s after the start";
}

}  // namespace
}  // namespace miharu::webrtc
