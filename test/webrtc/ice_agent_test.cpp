#include "webrtc/ice_agent.h"

#include "ice_test_support.h"

namespace miharu::webrtc {
namespace {

using Events = std::vector<std::string>;

class IceAgentTest : public ::testing::Test {
 protected:
  IceVerdict take(const Check& check, const UdpPath& path) {
    return agent_.on_datagram(now_, path, check.bytes());
  }
  IceVerdict take(const base::ByteVector& bytes, const UdpPath& path) {
    return agent_.on_datagram(now_, path, bytes);
  }
  void expect_untouched(const char* what) {
    EXPECT_EQ(listener_.take_events(), Events{}) << what;
    EXPECT_EQ(agent_.selected(), std::nullopt) << what;
    EXPECT_FALSE(agent_.validated(path_)) << what;
  }

  SteadyTime now_ = kStart;
  RecordingListener listener_;
  IceAgent agent_{{kOurs, kTheirs, false, {}, 0}, listener_, now_};
  const UdpPath path_ = path_from("203.0.113.1", 1001);
  const UdpPath other_ = path_from("203.0.113.1", 1002);
};

TEST_F(IceAgentTest, AnswersAGoodCheck) {
  EXPECT_FALSE(agent_.validated(path_));
  EXPECT_EQ(take(Check(), path_), IceVerdict::kAccepted);
  EXPECT_TRUE(agent_.validated(path_));
  EXPECT_EQ(agent_.selected(), std::nullopt) << "DTLS may begin, media may not";
  EXPECT_EQ(listener_.events, Events{"validated 1001"});

  ASSERT_EQ(listener_.sent.size(), 1U);
  EXPECT_EQ(listener_.sent[0].path, path_);
  const StunMessage answer = listener_.sent[0].message();
  EXPECT_EQ(answer.type, StunClass::kSuccess);
  EXPECT_EQ(answer.transaction, Check().transaction());
  EXPECT_EQ(answer.mapped, path_.remote);
  EXPECT_TRUE(answer.has_fingerprint);
  EXPECT_TRUE(answer.is_signed_by(StunKey(kOurs.password.reveal())));
  EXPECT_LE(listener_.sent[0].bytes.size(), Check().bytes().size());
}

TEST_F(IceAgentTest, TheWholeTupleIsThePath) {
  take(Check(), path_);
  EXPECT_FALSE(agent_.validated(other_));
  EXPECT_FALSE(agent_.validated(path_from("203.0.113.2", 1001)));
  EXPECT_FALSE(agent_.validated(path_from("203.0.113.1", 1001, "192.0.2.2")));
  const UdpPath v6 = path_from("2001:db8::1", 1001, "2001:db8::2");
  EXPECT_EQ(take(Check(), v6), IceVerdict::kAccepted);
  EXPECT_EQ(listener_.sent.back().message().mapped, v6.remote);
  EXPECT_TRUE(agent_.validated(v6));
}

// What must change nothing, and what is answered to it: 0 is silence.
TEST_F(IceAgentTest, TakesNothingElse) {
  const auto with = [](const std::function<void(Check&)>& change) {
    Check check = nominating();
    change(check);
    return check.bytes();
  };
  const auto shortened = [](size_t bytes) {
    auto out = nominating().bytes();
    out.resize(out.size() - bytes);
    return out;
  };
  const struct {
    const char* what;
    base::ByteVector bytes;
    IceVerdict verdict;
    uint16_t code;
    bool is_signed;
  } cases[] = {
      {"no FINGERPRINT", with([](Check& c) { c.with_fingerprint = false; }), IceVerdict::kNoFingerprint, 0,
       false},
      {"no USERNAME", with([](Check& c) { c.with_username = false; }), IceVerdict::kWrongUsername, 0, false},
      {"another session's USERNAME", with([](Check& c) { c.username = "AAother12345:their"; }),
       IceVerdict::kWrongUsername, 0, false},
      {"another session's check, whole", with([](Check& c) {
         c.username = "AAother12345:their";
         c.password = "password-of-another-sess";
       }),
       IceVerdict::kWrongUsername, 0, false},
      {"another viewer", with([](Check& c) { c.username = kOurs.ufrag + ":them"; }),
       IceVerdict::kWrongUsername, 0, false},
      {"names swapped", with([](Check& c) { c.username = kTheirs.ufrag + ":" + kOurs.ufrag; }),
       IceVerdict::kWrongUsername, 0, false},
      {"only our name", with([](Check& c) { c.username = kOurs.ufrag; }), IceVerdict::kWrongUsername, 0,
       false},
      {"more behind the name", with([](Check& c) { c.username += "x"; }), IceVerdict::kWrongUsername, 0,
       false},
      {"wrong password", with([](Check& c) { c.password = "our-password-of-24-charS"; }),
       IceVerdict::kUnauthenticated, 401, false},
      {"the viewer's password", with([](Check& c) { c.password = kTheirs.password.reveal(); }),
       IceVerdict::kUnauthenticated, 401, false},
      {"no password", with([](Check& c) { c.password.clear(); }), IceVerdict::kUnauthenticated, 401, false},
      {"moves media without MESSAGE-INTEGRITY", with([](Check& c) { c.with_integrity = false; }),
       IceVerdict::kUnauthenticated, 400, false},
      {"no PRIORITY", with([](Check& c) { c.with_priority = false; }), IceVerdict::kBadRequest, 400, true},
      {"controlled, like us", with([](Check& c) { c.controlled = true; }), IceVerdict::kRoleConflict, 487,
       true},
      {"an indication", nominating().bytes(StunClass::kIndication), IceVerdict::kUnexpected, 0, false},
      {"an answer", nominating().bytes(StunClass::kSuccess), IceVerdict::kUnexpected, 0, false},
      {"an error", nominating().bytes(StunClass::kError), IceVerdict::kUnexpected, 0, false},
      {"cut off", shortened(4), IceVerdict::kMalformed, 0, false},
      {"one byte", base::ByteVector(1), IceVerdict::kMalformed, 0, false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(take(c.bytes, path_), c.verdict) << c.what << ": " << name_of(c.verdict);
    expect_untouched(c.what);
    const auto sent = listener_.take_sent();
    ASSERT_EQ(sent.size(), c.code == 0 ? 0U : 1U) << c.what;
    if (c.code == 0) continue;
    const StunMessage answer = sent[0].message();
    EXPECT_EQ(answer.type, StunClass::kError) << c.what;
    ASSERT_TRUE(answer.error.has_value()) << c.what;
    EXPECT_EQ(answer.error->code, c.code) << c.what;
    EXPECT_EQ(answer.transaction, nominating().transaction()) << c.what;
    EXPECT_TRUE(answer.has_fingerprint) << c.what;
    EXPECT_EQ(answer.is_signed_by(StunKey(kOurs.password.reveal())), c.is_signed) << c.what;
    if (!c.is_signed) {
      EXPECT_LE(sent[0].bytes.size(), c.bytes.size()) << c.what;
    }
  }
  EXPECT_EQ(agent_.next_deadline(), kStart + IceAgent::kConsent) << "none of them is a sign of life";
}

TEST_F(IceAgentTest, NamesWhatItDoesNotUnderstand) {
  auto bytes = Check().bytes();
  base::ByteVector body(bytes.begin() + kStunHeaderBytes, bytes.end() - 32);
  base::ByteVector out;
  StunBuilder builder(out, StunClass::kRequest, Check().transaction());
  base::ByteWriter(out).bytes(body);
  base::ByteWriter(out).u32(0x7abc0000);
  const StunKey key(kOurs.password.reveal());
  builder.finish(&key);
  EXPECT_EQ(take(out, path_), IceVerdict::kBadRequest);
  expect_untouched("unknown attribute");
  const auto answer = listener_.sent.at(0).message();
  EXPECT_EQ(answer.error->code, 420);
  EXPECT_NE(base::to_hex(listener_.sent[0].bytes).find("000a00027abc"), std::string::npos);
}

TEST_F(IceAgentTest, IgnoresANominationThatNobodySigned) {
  auto bytes = Check().bytes();
  bytes.resize(bytes.size() - 8);
  // Behind MESSAGE-INTEGRITY, with a new FINGERPRINT: by somebody on the way.
  const StunMessage good = *parse_stun(Check().bytes());
  base::ByteVector out;
  StunBuilder builder(out, StunClass::kRequest, good.transaction);
  base::ByteWriter(out).bytes(base::ByteView(bytes).subspan(kStunHeaderBytes));
  builder.use_candidate();
  builder.finish(nullptr);
  EXPECT_EQ(take(out, path_), IceVerdict::kAccepted);
  EXPECT_EQ(agent_.selected(), std::nullopt);
}

TEST_F(IceAgentTest, LetsAnOlderViewerWithoutRolePass) {
  Check check;
  check.with_role = false;
  EXPECT_EQ(take(check, path_), IceVerdict::kAccepted);
}

TEST_F(IceAgentTest, TheNewestNominationWins) {
  take(nominating(1), path_);
  EXPECT_EQ(agent_.selected(), path_);
  take(nominating(2), path_);
  take(Check(), other_);
  EXPECT_EQ(agent_.selected(), path_);
  take(nominating(3), other_);
  EXPECT_EQ(agent_.selected(), other_);
  EXPECT_TRUE(agent_.validated(path_)) << "packets under way may still come";
  take(nominating(4), path_);
  EXPECT_EQ(listener_.events,
            (Events{"validated 1001", "selected 1001", "validated 1002", "selected 1002", "selected 1001"}));
}

TEST_F(IceAgentTest, ConsentEndsAfterThirtySeconds) {
  take(nominating(), path_);
  now_ += seconds(20);
  take(Check(), other_);
  listener_.events.clear();
  EXPECT_EQ(agent_.next_deadline(), kStart + seconds(30));

  agent_.on_time(kStart + seconds(30) - milliseconds(1));
  EXPECT_EQ(agent_.selected(), path_);
  agent_.on_time(kStart + seconds(30));
  EXPECT_EQ(agent_.selected(), std::nullopt) << "other paths give no consent for this one";
  EXPECT_EQ(listener_.take_events(), (Events{"unselected", "forgotten 1001"}));
  EXPECT_FALSE(agent_.expired(kStart + seconds(30)));
  EXPECT_EQ(agent_.next_deadline(), kStart + seconds(50));
  EXPECT_FALSE(agent_.expired(kStart + seconds(50) - milliseconds(1)));
  EXPECT_TRUE(agent_.expired(kStart + seconds(50)));
  agent_.on_time(kStart + seconds(50));
  EXPECT_EQ(listener_.take_events(), Events{"forgotten 1002"});
}

TEST_F(IceAgentTest, ChecksRenewConsent) {
  for (int i = 0; i < 100; ++i) {
    take(nominating(), path_);
    now_ += seconds(29);
    agent_.on_time(now_);
    EXPECT_FALSE(agent_.expired(now_));
  }
  EXPECT_EQ(agent_.selected(), path_);
}

TEST_F(IceAgentTest, OneThatNeverComesExpires) {
  EXPECT_FALSE(agent_.expired(kStart + seconds(30) - milliseconds(1)));
  EXPECT_TRUE(agent_.expired(kStart + seconds(30)));
}

TEST_F(IceAgentTest, KeepsSixteenPathsAndTheSelectedOne) {
  take(nominating(), path_from("203.0.113.1", 2000));
  for (uint16_t i = 1; i < 1000; ++i) {
    now_ += milliseconds(1);
    take(Check(), path_from("203.0.113.1", static_cast<uint16_t>(2000 + i)));
  }
  size_t kept = 0;
  for (uint16_t i = 0; i < 1000; ++i)
    kept += agent_.validated(path_from("203.0.113.1", static_cast<uint16_t>(2000 + i))) ? 1 : 0;
  EXPECT_EQ(kept, IceAgent::kMaxPaths);
  EXPECT_EQ(agent_.selected(), path_from("203.0.113.1", 2000));
  EXPECT_TRUE(agent_.validated(path_from("203.0.113.1", 2000)));
  EXPECT_TRUE(agent_.validated(path_from("203.0.113.1", 2999)));
  EXPECT_FALSE(agent_.validated(path_from("203.0.113.1", 2984)));
  // Whoever keeps the table of tuples was told of each.
  EXPECT_EQ(std::count_if(listener_.events.begin(), listener_.events.end(),
                          [](const auto& e) { return e.starts_with("forgotten"); }),
            1000 - static_cast<int>(IceAgent::kMaxPaths));
}

TEST_F(IceAgentTest, AFloodWithAWrongPasswordGetsFewAnswers) {
  take(nominating(), path_);
  listener_.take_sent();
  Check wrong = nominating();
  wrong.password = "wrong-password-of-24-cha";
  size_t sent_bytes = 0;
  size_t got_bytes = 0;
  for (int i = 0; i < 5000; ++i) {
    now_ += milliseconds(1);
    const auto bytes = wrong.bytes();
    got_bytes += bytes.size();
    EXPECT_EQ(take(bytes, other_), IceVerdict::kUnauthenticated);
  }
  for (const auto& sent : listener_.sent) sent_bytes += sent.bytes.size();
  EXPECT_LE(listener_.sent.size(), 6U * IceAgent::kErrorAnswersPerSecond);
  EXPECT_GE(listener_.sent.size(), 5U * IceAgent::kErrorAnswersPerSecond);
  EXPECT_LT(sent_bytes, got_bytes / 50);
  EXPECT_EQ(agent_.selected(), path_);
  EXPECT_FALSE(agent_.validated(other_));
  listener_.take_sent();
  EXPECT_EQ(take(Check(), other_), IceVerdict::kAccepted) << "the viewer is answered all the same";
  EXPECT_EQ(listener_.sent.size(), 1U);
}

TEST_F(IceAgentTest, ALiteOneNeverSpeaksFirst) {
  const auto candidate = parse_candidate("candidate:1 1 udp 2122252543 203.0.113.9 5000 typ host");
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(agent_.add_remote_candidate(**candidate).has_value());
  for (; now_ < kStart + seconds(29); now_ += milliseconds(50)) agent_.on_time(now_);
  EXPECT_TRUE(listener_.sent.empty());
  take(Check(), path_);
  EXPECT_EQ(listener_.sent.size(), 1U);
}

class IceRestartTest : public IceAgentTest {
 protected:
  IceRestartTest() {
    take(nominating(), path_);
    listener_.take_events();
    listener_.take_sent();
    now_ += seconds(5);
    agent_.restart(now_, new_ours_, new_theirs_);
  }
  [[nodiscard]] Check with_new(bool use_candidate, uint8_t id = 9) const {
    Check check;
    check.username = new_ours_.ufrag + ":" + new_theirs_.ufrag;
    check.password = new_ours_.password.reveal();
    check.use_candidate = use_candidate;
    check.id = id;
    return check;
  }

  const IceCredentials new_ours_{"AAnewufrag12", base::Secret("new-password-of-24-chars")};
  const IceCredentials new_theirs_{"newt", base::Secret("new-their-password-of-24")};
};

TEST_F(IceRestartTest, KeepsMediaUntilTheNewNomination) {
  EXPECT_EQ(agent_.local_ufrag(), "AAnewufrag12");
  EXPECT_TRUE(agent_.restarting());
  EXPECT_EQ(agent_.selected(), path_);
  EXPECT_EQ(take(nominating(), path_), IceVerdict::kAccepted) << "the credentials before still count";
  EXPECT_EQ(take(with_new(false), other_), IceVerdict::kAccepted);
  EXPECT_EQ(listener_.sent.back().message().is_signed_by(StunKey(new_ours_.password.reveal())), true);
  EXPECT_EQ(agent_.selected(), path_);
  EXPECT_TRUE(agent_.restarting());

  EXPECT_EQ(take(with_new(true), other_), IceVerdict::kAccepted);
  EXPECT_EQ(agent_.selected(), other_);
  EXPECT_FALSE(agent_.restarting());
  EXPECT_EQ(listener_.take_events(), (Events{"validated 1002", "selected 1002", "retired " + kOurs.ufrag}));
  EXPECT_EQ(take(nominating(), path_), IceVerdict::kWrongUsername);
  EXPECT_EQ(agent_.selected(), other_);
}

TEST_F(IceRestartTest, MayEndOnTheSamePath) {
  EXPECT_EQ(take(with_new(true), path_), IceVerdict::kAccepted);
  EXPECT_EQ(agent_.selected(), path_);
  EXPECT_EQ(listener_.take_events(), Events{"retired " + kOurs.ufrag});
}

TEST_F(IceRestartTest, TheOldCredentialsEndByTimeToo) {
  const SteadyTime end = now_ + IceAgent::kOldCredentials;
  for (; now_ < end; now_ += seconds(1)) {
    EXPECT_EQ(take(nominating(), path_), IceVerdict::kAccepted);
    agent_.on_time(now_);
  }
  EXPECT_EQ(agent_.next_deadline(), end);
  agent_.on_time(end);
  EXPECT_EQ(listener_.take_events(), Events{"retired " + kOurs.ufrag});
  EXPECT_EQ(take(nominating(), path_), IceVerdict::kWrongUsername);
}

TEST_F(IceRestartTest, ASecondOneEndsTheFirst) {
  const IceCredentials third{"AAthirdufrag", base::Secret("third-password-of-24-cha")};
  agent_.restart(now_, third, new_theirs_);
  EXPECT_EQ(listener_.take_events(), Events{"retired " + kOurs.ufrag});
  EXPECT_EQ(take(nominating(), path_), IceVerdict::kWrongUsername);
  EXPECT_EQ(take(with_new(false), path_), IceVerdict::kAccepted);
  EXPECT_EQ(agent_.selected(), path_);
}

TEST_F(IceRestartTest, MixedCredentialsAreNone) {
  Check check = with_new(true);
  check.username = new_ours_.ufrag + ":" + kTheirs.ufrag;
  EXPECT_EQ(take(check, other_), IceVerdict::kWrongUsername);
  check = with_new(true);
  check.password = kOurs.password.reveal();
  EXPECT_EQ(take(check, other_), IceVerdict::kUnauthenticated);
  EXPECT_EQ(agent_.selected(), path_);
}

// A binding request like any check, signed for the viewer, and its answer tells a time and nothing else.
TEST_F(IceAgentTest, AProbeTellsTheRoundTrip) {
  agent_.probe(now_, 7);
  EXPECT_TRUE(listener_.take_sent().empty()) << "media goes nowhere yet";
  take(nominating(), path_);
  take(Check(), other_);
  listener_.take_events();
  listener_.take_sent();
  agent_.probe(now_, 7);
  const auto sent = listener_.take_sent();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].path, path_);
  const StunMessage request = sent[0].message();
  EXPECT_EQ(request.type, StunClass::kRequest);
  EXPECT_EQ(request.username, kTheirs.ufrag + ":" + kOurs.ufrag);
  EXPECT_TRUE(request.is_signed_by(StunKey(kTheirs.password.reveal())));
  EXPECT_TRUE(request.has_fingerprint);
  EXPECT_TRUE(request.priority.has_value());
  EXPECT_TRUE(request.ice_controlled.has_value());
  EXPECT_FALSE(request.use_candidate);

  const auto answer = [&](const StunTransactionId& transaction, const char* password, StunClass type) {
    base::ByteVector out;
    StunBuilder builder(out, type, transaction);
    if (type == StunClass::kError) builder.error_code(kStunBadRequest);
    builder.xor_mapped_address(endpoint("192.0.2.1", 8555));
    const StunKey key(password);
    builder.finish(&key);
    return out;
  };
  const std::string password = kTheirs.password.reveal();
  const auto deadline = agent_.next_deadline();
  now_ += milliseconds(30);
  EXPECT_EQ(take(answer(request.transaction, "another password of them", StunClass::kSuccess), path_),
            IceVerdict::kUnexpected);
  EXPECT_EQ(take(answer(Check().transaction(), password.c_str(), StunClass::kSuccess), path_),
            IceVerdict::kUnexpected);
  EXPECT_EQ(take(answer(request.transaction, password.c_str(), StunClass::kSuccess), other_),
            IceVerdict::kUnexpected);
  EXPECT_EQ(take(answer(request.transaction, password.c_str(), StunClass::kError), path_),
            IceVerdict::kUnexpected);
  EXPECT_EQ(listener_.take_events(), Events{});
  EXPECT_EQ(take(answer(request.transaction, password.c_str(), StunClass::kSuccess), path_),
            IceVerdict::kAnswer);
  EXPECT_EQ(listener_.take_events(), Events{"probed 7 30000000"});
  EXPECT_EQ(take(answer(request.transaction, password.c_str(), StunClass::kSuccess), path_),
            IceVerdict::kUnexpected)
      << "twice";
  EXPECT_EQ(agent_.next_deadline(), deadline) << "consent is the viewer's own check";
}

TEST_F(IceAgentTest, OldProbesAreForgotten) {
  take(nominating(), path_);
  listener_.take_sent();
  for (uint32_t id = 0; id <= IceAgent::kMaxProbes; ++id) agent_.probe(now_, id);
  listener_.take_events();
  const StunKey key(kTheirs.password.reveal());
  for (const Sent& each : listener_.take_sent()) {
    base::ByteVector out;
    StunBuilder builder(out, StunClass::kSuccess, each.message().transaction);
    builder.finish(&key);
    take(out, path_);
  }
  EXPECT_EQ(listener_.take_events(), (Events{"probed 1 0", "probed 2 0", "probed 3 0", "probed 4 0"}));
}

}  // namespace
}  // namespace miharu::webrtc
