// Datagrams into a DTLS server in every state of a handshake with a real client. Commands of a byte each: 0 a
// datagram as it is, with its length; 1 the client's next datagram; 2 the same with a byte changed; 3 time
// passes. Chance is the same every time, so that what is in the corpus fits to the session.
#define OPENSSL_SUPPRESS_DEPRECATED  // of RAND_set_rand_method

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <random>

#include <openssl/rand.h>

#include "base/check.h"
#include "webrtc/dtls.h"

namespace {

using namespace miharu;
using namespace miharu::webrtc;

std::mt19937 chance;

void make_chance_repeat() {
  static RAND_METHOD method{};
  method.bytes = [](unsigned char* out, int count) {
    std::generate_n(out, count, [] { return static_cast<unsigned char>(chance()); });
    return 1;
  };
  method.pseudorand = method.bytes;
  method.status = [] { return 1; };
  CHECK(RAND_set_rand_method(&method) == 1);
}

class Peer final : public DtlsListener {
 public:
  void on_dtls_send(base::ByteView datagram) override {
    CHECK(!closed && datagram.size() <= DtlsSession::kMtu);
    sent_bytes += datagram.size();
    sent.emplace_back(datagram.begin(), datagram.end());
  }
  void on_dtls_established(const SrtpKeys& given) override {
    CHECK(!closed && !keys);
    keys = given;
  }
  void on_dtls_closed(const base::Error&) override {
    CHECK(!closed);
    closed = true;
  }

  std::deque<base::ByteVector> sent;
  size_t sent_bytes = 0;
  std::optional<SrtpKeys> keys;
  bool closed = false;
};

struct Shared {
  Shared() {
    make_chance_repeat();
    const base::UtcTime now{std::chrono::hours(500'000)};
    const Certificate ours = std::move(*Certificate::make(now));
    const Certificate theirs = std::move(*Certificate::make(now));
    server_fingerprint = ours.fingerprint();
    client_fingerprint = theirs.fingerprint();
    server.emplace(std::move(*DtlsContext::make(DtlsRole::kServer, ours)));
    client.emplace(std::move(*DtlsContext::make(DtlsRole::kClient, theirs)));
  }
  Fingerprint server_fingerprint;
  Fingerprint client_fingerprint;
  std::optional<DtlsContext> server;
  std::optional<DtlsContext> client;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Shared shared;
  chance.seed(1);
  base::SteadyTime now{std::chrono::hours(1)};
  Peer server;
  Peer client;
  DtlsSession server_session(*shared.server, shared.client_fingerprint, now, server);
  DtlsSession client_session(*shared.client, shared.server_fingerprint, now, client);

  base::ByteReader in({reinterpret_cast<const std::byte*>(data), size});
  while (in.ok() && !in.empty() && !server.closed) {
    const unsigned command = in.u8() % 4;
    if (command == 0) {
      const size_t count = std::min<size_t>(in.u16(), in.remaining());
      server_session.receive(now, in.bytes(count));
    } else if (command == 3) {
      now += base::milliseconds(20 * in.u8());
      server_session.on_time(now);
      client_session.on_time(now);
    } else {
      for (; !server.sent.empty(); server.sent.pop_front()) client_session.receive(now, server.sent.front());
      if (client.sent.empty()) continue;
      base::ByteVector datagram = std::move(client.sent.front());
      client.sent.pop_front();
      if (command == 2) {
        const size_t at = in.u16() % datagram.size();
        datagram[at] ^= static_cast<std::byte>(in.u8());
      }
      server_session.receive(now, datagram);
    }
    CHECK(!server_session.next_deadline() || *server_session.next_deadline() <= now + DtlsSession::kPatience);
  }
  CHECK(server.keys || server.sent_bytes <= DtlsSession::kMostHandshakeBytes + DtlsSession::kMtu);
  if (server.keys && client.keys) CHECK(server.keys->send == client.keys->receive);
  return 0;
}
