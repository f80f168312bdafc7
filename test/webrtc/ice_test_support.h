// Requests and ends of an ICE session for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "webrtc/ice_agent.h"

namespace miharu::webrtc {

using base::milliseconds;
using base::seconds;
using base::SteadyTime;
using boost::asio::ip::udp;
using net::UdpPath;

constexpr SteadyTime kStart{std::chrono::hours(1)};

inline const IceCredentials kOurs{"AAourufrag12", base::Secret("our-password-of-24-chars")};
inline const IceCredentials kTheirs{"their", base::Secret("their-password-of-24-char")};

inline udp::endpoint endpoint(const char* address, uint16_t port) {
  return {boost::asio::ip::make_address(address), port};
}

inline UdpPath path_from(const char* address, uint16_t port, const char* local = "192.0.2.1") {
  return {endpoint(address, port), boost::asio::ip::make_address(local)};
}

// A check as a browser sends it; each test breaks one thing of it.
struct Check {
  std::string username = kOurs.ufrag + ":" + kTheirs.ufrag;
  std::string password = kOurs.password.reveal();
  bool with_username = true;
  bool with_integrity = true;
  bool with_fingerprint = true;
  bool with_priority = true;
  bool use_candidate = false;
  bool controlled = false;
  bool with_role = true;
  uint8_t id = 1;

  [[nodiscard]] StunTransactionId transaction() const {
    StunTransactionId made{};
    made.fill(std::byte{id});
    return made;
  }
  [[nodiscard]] base::ByteVector bytes(StunClass type = StunClass::kRequest) const {
    base::ByteVector out;
    StunBuilder builder(out, type, transaction());
    if (with_username) builder.username(username);
    if (with_priority) builder.priority(0x6e0001ff);
    if (with_role && controlled) builder.ice_controlled(UINT64_MAX);
    if (with_role && !controlled) builder.ice_controlling(7);
    if (use_candidate) builder.use_candidate();
    const StunKey key(password);
    builder.finish(with_integrity ? &key : nullptr);
    if (!with_fingerprint) {
      out.resize(out.size() - 8);
      out[3] = static_cast<std::byte>(std::to_integer<unsigned>(out[3]) - 8);
    }
    return out;
  }
};

inline Check nominating(uint8_t id = 1) {
  Check check;
  check.use_candidate = true;
  check.id = id;
  return check;
}

struct Sent {
  UdpPath path;
  base::ByteVector bytes;

  // Of what our agent sent: it must always be well-formed.
  [[nodiscard]] StunMessage message() const {
    auto parsed = parse_stun(bytes);
    EXPECT_TRUE(parsed.has_value()) << parsed.error().to_string();
    return parsed.value_or(StunMessage());
  }
};

struct RecordingListener final : IceListener {
  void send(const UdpPath& path, base::ByteView bytes) override {
    sent.push_back({path, base::ByteVector(bytes.begin(), bytes.end())});
  }
  void on_selected(const UdpPath& path) override { note("selected", path); }
  void on_unselected() override { events.emplace_back("unselected"); }
  void on_validated(const UdpPath& path) override { note("validated", path); }
  void on_forgotten(const UdpPath& path) override { note("forgotten", path); }
  void on_ufrag_retired(std::string_view ufrag) override {
    events.push_back("retired " + std::string(ufrag));
  }
  void on_probed(uint32_t id, base::nanoseconds round_trip) override {
    events.push_back("probed " + std::to_string(id) + " " + std::to_string(round_trip.count()));
  }

  void note(const char* what, const UdpPath& path) {
    events.push_back(std::string(what) + " " + std::to_string(path.remote.port()));
  }
  std::vector<std::string> take_events() { return std::exchange(events, {}); }
  std::vector<Sent> take_sent() { return std::exchange(sent, {}); }

  std::vector<Sent> sent;
  std::vector<std::string> events;
};

}  // namespace miharu::webrtc
