// STUN messages, alone and given to an agent and a client. The first byte chooses what is made right before:
// a length, and with a password MESSAGE-INTEGRITY and FINGERPRINT, which no fuzzer guesses.
#include <algorithm>
#include <cstdlib>
#include <optional>

#include "webrtc/ice_agent.h"
#include "webrtc/stun_client.h"

namespace {

using namespace miharu;
using boost::asio::ip::udp;
using namespace std::chrono_literals;

const webrtc::IceCredentials kOurs{"AAourufrag12", base::Secret("our-password-of-24-chars")};
const webrtc::IceCredentials kTheirs{"their", base::Secret("their-password-of-24-char")};

void require(bool condition) {
  if (!condition) std::abort();
}

struct Listener final : webrtc::IceListener, webrtc::StunClientListener {
  void send(const net::UdpPath& path, base::ByteView bytes) override {
    const auto message = webrtc::parse_stun(bytes);
    require(message && message->has_fingerprint);
    if (message->type == webrtc::StunClass::kRequest) {
      check_path = path;
      check = message->transaction;
    } else {
      require(bytes.size() <= received_bytes);
    }
  }
  void on_selected(const net::UdpPath&) override {}
  void on_unselected() override {}
  void on_validated(const net::UdpPath&) override { ++validated; }
  void on_forgotten(const net::UdpPath&) override { --validated; }
  void on_ufrag_retired(std::string_view) override {}
  void on_probed(uint32_t, base::nanoseconds) override { std::abort(); }  // none was sent
  void send_to_server(base::ByteView bytes) override { question = webrtc::parse_stun(bytes)->transaction; }
  void on_mapped(const udp::endpoint& address) override { require(webrtc::is_usable(address)); }
  void on_failed(const base::Error& error) override { require(!error.text.empty()); }

  size_t received_bytes = 0;
  int validated = 0;
  std::optional<net::UdpPath> check_path;
  webrtc::StunTransactionId check{};
  webrtc::StunTransactionId question{};
};

// The message of these attributes, signed as its peer would.
base::ByteVector message_of(base::ByteView attributes, webrtc::StunClass type,
                            const webrtc::StunTransactionId& transaction, const webrtc::StunKey* key,
                            bool with_username) {
  base::ByteVector out;
  webrtc::StunBuilder builder(out, type, transaction);
  if (with_username) builder.username(kOurs.ufrag + ":" + kTheirs.ufrag);
  base::ByteWriter writer(out);
  writer.bytes(attributes.first(std::min<size_t>(attributes.size(), 1500)));
  writer.zeros((4 - out.size() % 4) % 4);
  builder.finish(key);
  return out;
}

void parse(base::ByteView bytes) {
  const auto message = webrtc::parse_stun(bytes);
  const auto ufrag = webrtc::local_ufrag_of(bytes);
  (void)webrtc::answer_tag(bytes);
  if (!message) {
    require(!ufrag && message.error().offset <= static_cast<int64_t>(bytes.size()));
    return;
  }
  require(webrtc::is_stun(bytes));
  if (ufrag) require(message->has_fingerprint && message->username->starts_with(*ufrag));
  (void)message->is_signed_by(webrtc::StunKey("password"));
  if (!message->mapped) return;
  base::ByteVector again;
  webrtc::StunBuilder builder(again, webrtc::StunClass::kSuccess, message->transaction);
  builder.xor_mapped_address(*message->mapped);
  builder.finish(nullptr);
  require(webrtc::parse_stun(again)->mapped == message->mapped);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const base::ByteView rest(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  parse(rest);

  Listener listener;
  base::SteadyTime now{1h};
  const udp::endpoint server(boost::asio::ip::make_address_v4("198.51.100.1"), 3478);
  const net::UdpPath path{server, boost::asio::ip::make_address_v4("192.0.2.1")};
  webrtc::IceAgent agent({kOurs, kTheirs, (data[0] & 1) != 0, {path.local}, 7}, listener, now);
  webrtc::StunClient client(server, 8, listener, now);
  client.on_time(now);
  const auto give = [&](const base::ByteVector& bytes) {
    listener.received_bytes = bytes.size();
    const auto verdict = agent.on_datagram(now, path, bytes);
    require(!webrtc::name_of(verdict).empty());
    (void)client.on_datagram(now, server, bytes);
    now += 100ms;
    agent.on_time(now);
    require((listener.validated == 1) == agent.validated(path));
  };

  give({rest.begin(), rest.end()});
  require(!agent.validated(path));  // nobody has the password
  const webrtc::StunKey ours(kOurs.password.reveal());
  const webrtc::StunKey theirs(kTheirs.password.reveal());
  const bool is_error = (data[0] & 2) != 0;
  const auto type = is_error ? webrtc::StunClass::kError : webrtc::StunClass::kSuccess;
  give(message_of(rest, webrtc::StunClass::kRequest, {}, nullptr, true));
  require(!agent.validated(path));
  give(message_of(rest, webrtc::StunClass::kRequest, {}, &ours, true));
  give(message_of(rest, type, listener.question, nullptr, false));
  if (listener.check_path) give(message_of(rest, type, listener.check, &theirs, false));
  agent.on_time(now + 60s);
  require(!agent.validated(path) && !agent.selected());
  return 0;
}
