#include "webrtc/stun_client.h"

#include <vector>

#include <gtest/gtest.h>

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::seconds;
using base::SteadyTime;
using boost::asio::ip::udp;

udp::endpoint endpoint(const char* address, uint16_t port) {
  return {boost::asio::ip::make_address(address), port};
}

const udp::endpoint kServer = endpoint("198.51.100.1", 3478);
const udp::endpoint kMapped = endpoint("203.0.113.5", 40001);

struct Listener final : StunClientListener {
  void send_to_server(base::ByteView bytes) override { sent.emplace_back(bytes.begin(), bytes.end()); }
  void on_mapped(const udp::endpoint& address) override { mapped.push_back(address); }
  void on_failed(const base::Error& error) override { errors.push_back(error); }
  std::vector<base::ByteVector> sent;
  std::vector<udp::endpoint> mapped;
  std::vector<base::Error> errors;
};

class StunClientTest : public ::testing::Test {
 protected:
  // Runs all timers up to `end`.
  void run_until(SteadyTime end) {
    while (client_.next_deadline() <= end) {
      now_ = client_.next_deadline();
      client_.on_time(now_);
    }
    now_ = end;
  }
  [[nodiscard]] StunTransactionId last_transaction() const {
    return parse_stun(listener_.sent.back())->transaction;
  }
  [[nodiscard]] base::ByteVector answer(const udp::endpoint& mapped) const {
    base::ByteVector out;
    StunBuilder builder(out, StunClass::kSuccess, last_transaction());
    builder.xor_mapped_address(mapped);
    builder.finish(nullptr);
    return out;
  }
  bool take(const base::ByteVector& bytes, const udp::endpoint& from = kServer) {
    return client_.on_datagram(now_, from, bytes);
  }

  SteadyTime now_{std::chrono::hours(1)};
  const SteadyTime start_ = now_;
  Listener listener_;
  StunClient client_{kServer, 0xABCD, listener_, now_};
};

TEST_F(StunClientTest, TellsTheAddressAndKeepsAsking) {
  run_until(now_);
  ASSERT_EQ(listener_.sent.size(), 1U);
  EXPECT_EQ(answer_tag(answer(kMapped)), 0xABCDU);
  EXPECT_TRUE(take(answer(kMapped)));
  EXPECT_EQ(client_.mapped(), kMapped);
  EXPECT_EQ(listener_.mapped, std::vector{kMapped});
  const auto first = last_transaction();

  run_until(start_ + seconds(20) - milliseconds(1));
  EXPECT_EQ(listener_.sent.size(), 1U);
  run_until(start_ + seconds(20));
  ASSERT_EQ(listener_.sent.size(), 2U);
  EXPECT_NE(last_transaction(), first);
  EXPECT_TRUE(take(answer(kMapped)));
  EXPECT_EQ(listener_.mapped.size(), 1U) << "told again, though it is the same";

  run_until(start_ + seconds(40));
  const auto moved = endpoint("2001:db8::5", 40002);
  EXPECT_TRUE(take(answer(moved)));
  EXPECT_EQ(listener_.mapped, (std::vector{kMapped, moved}));
  EXPECT_TRUE(listener_.errors.empty());
}

// RFC 8489 section 6.2.1: at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms, given up at 39500.
TEST_F(StunClientTest, RepeatsAndGivesUp) {
  std::vector<int64_t> times;
  while (listener_.errors.empty()) {
    const size_t before = listener_.sent.size();
    now_ = client_.next_deadline();
    client_.on_time(now_);
    if (listener_.sent.size() > before) times.push_back((now_ - start_) / milliseconds(1));
  }
  EXPECT_EQ(times, (std::vector<int64_t>{0, 500, 1500, 3500, 7500, 15500, 31500}));
  EXPECT_EQ(now_ - start_, milliseconds(39500));
  EXPECT_EQ(listener_.errors[0].code, base::Errc::kTimeout);
  EXPECT_NE(listener_.errors[0].text.find("198.51.100.1 port 3478"), std::string::npos);
  for (const auto& bytes : listener_.sent) EXPECT_EQ(bytes, listener_.sent[0]);

  run_until(now_ + seconds(20));
  EXPECT_EQ(listener_.sent.size(), 8U);
  EXPECT_TRUE(take(answer(kMapped)));
  EXPECT_EQ(client_.mapped(), kMapped);
}

TEST_F(StunClientTest, ForgetsTheAddressWhenTheServerIsSilent) {
  run_until(now_);
  ASSERT_TRUE(take(answer(kMapped)));
  run_until(start_ + seconds(20) + milliseconds(39499));
  EXPECT_EQ(client_.mapped(), kMapped);
  run_until(start_ + seconds(20) + milliseconds(39500));
  EXPECT_EQ(client_.mapped(), std::nullopt);
  EXPECT_EQ(listener_.errors.size(), 1U);
}

TEST_F(StunClientTest, TakesOnlyTheAnswerOfItsServer) {
  EXPECT_FALSE(client_.on_datagram(now_, kServer, base::as_bytes("nothing asked yet")));
  run_until(now_);
  const auto good = answer(kMapped);
  EXPECT_FALSE(take(good, endpoint("198.51.100.1", 3479)));
  EXPECT_FALSE(take(good, endpoint("198.51.100.2", 3478)));
  EXPECT_FALSE(take(listener_.sent[0])) << "our own request, sent back";
  auto other = good;
  other[19] ^= std::byte{1};
  EXPECT_FALSE(take(other)) << "another transaction, and a wrong FINGERPRINT";
  base::ByteVector foreign;
  StunBuilder builder(foreign, StunClass::kSuccess, make_transaction_id(0xABCD));
  builder.xor_mapped_address(kMapped);
  builder.finish(nullptr);
  EXPECT_FALSE(take(foreign));
  EXPECT_FALSE(take({good.begin(), good.end() - 1}));
  EXPECT_TRUE(listener_.mapped.empty());
  EXPECT_TRUE(take(good));
  EXPECT_FALSE(take(good)) << "the second time nothing is under way";
}

TEST_F(StunClientTest, SaysWhyAnAnswerIsOfNoUse) {
  const auto without_address = [](StunBuilder&) {};
  const struct {
    const char* text;
    base::Errc code;
    StunClass type;
    std::function<void(StunBuilder&)> fill;
  } cases[] = {
      {"no address", base::Errc::kMalformed, StunClass::kSuccess, without_address},
      {"no address", base::Errc::kMalformed, StunClass::kSuccess,
       [](StunBuilder& b) { b.xor_mapped_address(endpoint("0.0.0.0", 1)); }},
      {"no address", base::Errc::kMalformed, StunClass::kSuccess,
       [](StunBuilder& b) { b.xor_mapped_address(endpoint("203.0.113.5", 0)); }},
      {"error 401", base::Errc::kRefused, StunClass::kError,
       [](StunBuilder& b) { b.error_code(401, "\r\nInjected: yes"); }},
      {": error", base::Errc::kRefused, StunClass::kError, without_address},
  };
  for (const auto& c : cases) {
    run_until(client_.next_deadline());
    base::ByteVector out;
    StunBuilder builder(out, c.type, last_transaction());
    c.fill(builder);
    builder.finish(nullptr);
    EXPECT_TRUE(take(out));
    ASSERT_FALSE(listener_.errors.empty()) << c.text;
    const base::Error error = listener_.errors.back();
    listener_.errors.clear();
    EXPECT_EQ(error.code, c.code) << error.text;
    EXPECT_NE(error.text.find(c.text), std::string::npos) << error.text;
    EXPECT_EQ(error.text.find('\n'), std::string::npos) << error.text;
    EXPECT_EQ(client_.mapped(), std::nullopt);
  }
}

TEST_F(StunClientTest, RefusesAnAttributeThatMustBeUnderstood) {
  run_until(now_);
  auto bytes = answer(kMapped);
  bytes.resize(bytes.size() - 8);  // without FINGERPRINT, which a server may leave out
  base::ByteWriter writer(bytes);
  writer.u16(0x7FFF);
  writer.u16(0);
  writer.patch_u32(0, uint64_t{0x0101} << 16 | (bytes.size() - kStunHeaderBytes));
  EXPECT_TRUE(take(bytes));
  ASSERT_EQ(listener_.errors.size(), 1U);
  EXPECT_NE(listener_.errors[0].text.find("0x7fff"), std::string::npos) << listener_.errors[0].text;
}

}  // namespace
}  // namespace miharu::webrtc
