#include <random>

#include <gtest/gtest.h>
#include <openssl/x509.h>

#include "webrtc/dtls_network.h"

namespace miharu::webrtc {
namespace {

using base::ByteVector;
using base::ByteView;
using base::Errc;
using base::milliseconds;
using std::chrono::seconds;

constexpr SrtpProfile kGcm = SrtpProfile::kAeadAes128Gcm;
constexpr SrtpProfile kCounterMode = SrtpProfile::kAesCm128Sha1_80;

void expect_same_keys(const DtlsNetwork& network) {
  ASSERT_TRUE(network.server.keys && network.client.keys);
  EXPECT_EQ(network.server.keys->profile, network.client.keys->profile);
  EXPECT_EQ(network.server.keys->send, network.client.keys->receive);
  EXPECT_EQ(network.server.keys->receive, network.client.keys->send);
  EXPECT_NE(network.server.keys->send, network.server.keys->receive);
  EXPECT_NE(network.server.keys->send.key, SrtpMaster{}.key);
}

void expect_small_datagrams(const DtlsPeer& peer) {
  for (const ByteVector& datagram : peer.sent) {
    EXPECT_LE(datagram.size(), DtlsSession::kMtu);
    EXPECT_TRUE(DtlsSession::is_dtls(datagram));
  }
}

// A record of DTLS 1.2 (RFC 6347 section 4.1).
ByteVector record(unsigned type, unsigned epoch, uint64_t sequence, ByteView body) {
  ByteVector out;
  base::ByteWriter writer(out);
  writer.u8(type);
  writer.u16(0xFEFD);
  writer.u16(epoch);
  writer.u16(sequence >> 32);
  writer.u32(sequence);
  writer.u16(body.size());
  writer.bytes(body);
  return out;
}

// A handshake message of one record, in pieces of a record each (section 4.2.3). At most 50 of them: the
// numbers of those records have to leave what comes afterwards within the window of 64.
std::vector<ByteVector> in_pieces(ByteView datagram, size_t piece_bytes) {
  constexpr size_t kRecordHeader = 13;
  constexpr size_t kMessageHeader = 12;
  const ByteView header = datagram.subspan(kRecordHeader, kMessageHeader);
  const ByteView body = datagram.subspan(kRecordHeader + kMessageHeader);
  std::vector<ByteVector> out;
  for (size_t at = 0; at < body.size(); at += piece_bytes) {
    const ByteView piece = body.subspan(at, std::min(piece_bytes, body.size() - at));
    ByteVector message;
    base::ByteWriter writer(message);
    writer.bytes(header.first(6));  // type, length of the whole, number
    writer.u24(at);
    writer.u24(piece.size());
    writer.bytes(piece);
    out.push_back(record(22, 0, 10 + out.size(), message));
  }
  return out;
}

ByteVector client_hello() {
  static const DtlsContext context = context_of(DtlsRole::kClient);
  DtlsPeer client;
  const DtlsSession session(context, certificate_of(DtlsRole::kServer).fingerprint(), base::SteadyTime{},
                            client);
  return client.sent.at(0);
}

TEST(Dtls, OwnOrderOfProfilesDecides) {
  for (const auto& [server, client, expected] :
       std::vector<std::tuple<std::vector<SrtpProfile>, std::vector<SrtpProfile>, SrtpProfile>>{
           {{}, {}, kGcm},
           {{}, {kCounterMode, kGcm}, kGcm},
           {{kCounterMode, kGcm}, {kGcm, kCounterMode}, kCounterMode},
           {{}, {kCounterMode}, kCounterMode},
           {{}, {kGcm}, kGcm},
           {{kCounterMode}, {}, kCounterMode}}) {
    DtlsNetworkOptions options;
    options.server_profiles = server;
    options.client_profiles = client;
    DtlsNetwork network(std::move(options));
    network.run();
    expect_same_keys(network);
    EXPECT_EQ(network.server.keys->profile, expected);
    EXPECT_FALSE(network.server.closed || network.client.closed);
    EXPECT_TRUE(network.server_session->established());
    EXPECT_FALSE(network.server_session->next_deadline().has_value());
    EXPECT_FALSE(network.client_session->next_deadline().has_value());
    expect_small_datagrams(network.server);
    expect_small_datagrams(network.client);
    EXPECT_EQ(network.server.sent.size(), 2u) << "one datagram a flight";
    // Of a salt for AES-GCM the rest is zero.
    EXPECT_EQ(network.server.keys->send.salt[13] == std::byte{0} &&
                  network.server.keys->send.salt[12] == std::byte{0},
              expected == kGcm);
  }
}

TEST(Dtls, NoProfileInCommon) {
  DtlsNetworkOptions options;
  options.server_profiles = {kGcm};
  options.client_profiles = {kCounterMode};
  DtlsNetwork network(std::move(options));
  network.run();
  EXPECT_FALSE(network.server.keys || network.client.keys);
  ASSERT_TRUE(network.server.closed && network.client.closed);
  EXPECT_EQ(network.server.closed->code, Errc::kUnsupported);
}

TEST(Dtls, AnotherCertificateIsRefused) {
  const Fingerprint another = Certificate::make(base::system_clock().utc())->fingerprint();
  for (const bool by_server : {true, false}) {
    DtlsNetworkOptions options;
    (by_server ? options.expected_by_server : options.expected_by_client) = another;
    DtlsNetwork network(std::move(options));
    network.run();
    EXPECT_FALSE(network.server.keys || network.client.keys);
    ASSERT_TRUE(network.server.closed && network.client.closed);
    EXPECT_EQ((by_server ? network.server : network.client).closed->code, Errc::kUnauthorized);
    EXPECT_EQ((by_server ? network.client : network.server).closed->code, Errc::kRefused);
    EXPECT_TRUE(network.server_session->ended() && network.client_session->ended());
  }
}

TEST(Dtls, FingerprintsOfOtherHashes) {
  const auto der = [](DtlsRole role) {
    unsigned char* bytes = nullptr;
    const int size = i2d_X509(certificate_of(role).x509(), &bytes);
    const auto* const first = reinterpret_cast<const std::byte*>(bytes);
    ByteVector out(first, first + size);
    OPENSSL_free(bytes);
    return out;
  };
  for (const auto hash : {Fingerprint::Hash::kSha384, Fingerprint::Hash::kSha512}) {
    DtlsNetworkOptions options;
    options.expected_by_server = Fingerprint::of(der(DtlsRole::kClient), hash);
    DtlsNetwork network(std::move(options));
    network.run();
    expect_same_keys(network);
  }
}

TEST(Dtls, NetworkThatLosesDoublesAndReorders) {
  for (unsigned seed = 0; seed < 150; ++seed) {
    auto random = std::make_shared<std::mt19937>(seed);
    DtlsNetworkOptions options;
    options.client_profiles = {seed % 2 == 0 ? kGcm : kCounterMode};
    options.fate = [random](DtlsRole) {
      std::vector<milliseconds> copies;
      const auto chance = (*random)() % 100;
      const unsigned count = chance < 25 ? 0 : chance < 40 ? 2 : 1;
      for (unsigned i = 0; i < count; ++i) copies.emplace_back((*random)() % 60);
      return copies;
    };
    DtlsNetwork network(std::move(options));
    network.run();
    SCOPED_TRACE(seed);
    expect_same_keys(network);
    EXPECT_FALSE(network.server.closed || network.client.closed);
  }
}

TEST(Dtls, LastFlightIsSaidAgain) {
  DtlsNetworkOptions options;
  auto lose = std::make_shared<bool>(false);
  options.fate = [lose](DtlsRole from) {
    if (from == DtlsRole::kServer && *lose) return std::vector<milliseconds>{};
    return std::vector{milliseconds(1)};
  };
  DtlsNetwork network(std::move(options));
  network.run([&] {
    *lose = network.server.sent.size() == 1 && !network.client.sent.empty();
    return network.server.keys.has_value();
  });
  ASSERT_FALSE(network.client.keys);
  const size_t before = network.server.sent.size();
  *lose = true;
  network.run([&] { return network.server.sent.size() > before + 2; });
  EXPECT_FALSE(network.client.keys) << "three times in vain";
  *lose = false;
  network.run();
  expect_same_keys(network);
  EXPECT_FALSE(network.server.closed || network.client.closed);
}

TEST(Dtls, TimesOfRetransmissions) {
  const DtlsContext context = context_of(DtlsRole::kServer);
  DtlsPeer server;
  base::SteadyTime now{seconds(100)};
  const base::SteadyTime start = now;
  DtlsSession session(context, certificate_of(DtlsRole::kClient).fingerprint(), now, server);
  EXPECT_EQ(session.next_deadline(), start + seconds(30)) << "nothing was said yet";
  session.receive(now, client_hello());
  ASSERT_EQ(server.sent.size(), 1u);
  std::vector<int64_t> seen;
  while (!server.closed) {
    const size_t before = server.sent.size();
    now = session.next_deadline().value();
    session.on_time(now - milliseconds(1));
    ASSERT_EQ(server.sent.size(), before) << "before it is time";
    ASSERT_FALSE(server.closed);
    session.on_time(now);
    if (server.sent.size() > before) seen.push_back((now - start) / milliseconds(1));
  }
  EXPECT_EQ(seen, (std::vector<int64_t>{100, 300, 700, 1500, 3100, 6300, 10300, 14300, 18300, 22300, 26300}));
  EXPECT_EQ(now, start + seconds(30));
  EXPECT_EQ(server.closed->code, Errc::kTimeout);
  EXPECT_FALSE(session.next_deadline().has_value());
  size_t bytes = 0;
  for (const ByteVector& datagram : server.sent) bytes += datagram.size();
  EXPECT_LT(bytes, 12 * DtlsSession::kMtu);
  expect_small_datagrams(server);
}

TEST(Dtls, GivesUpThoughBytesKeepComing) {
  const DtlsContext context = context_of(DtlsRole::kServer);
  DtlsPeer server;
  base::SteadyTime now{seconds(100)};
  DtlsSession session(context, certificate_of(DtlsRole::kClient).fingerprint(), now, server);
  const ByteVector hello = client_hello();
  for (; !server.closed && now < base::SteadyTime(seconds(200)); now += seconds(1)) {
    session.receive(now, hello);
    session.on_time(now);
  }
  ASSERT_TRUE(server.closed);
  EXPECT_EQ(server.closed->code, Errc::kTimeout);
  EXPECT_EQ(now, base::SteadyTime(seconds(131)));
}

TEST(Dtls, BytesOfAHandshakeAreCapped) {
  const DtlsContext context = context_of(DtlsRole::kServer);
  DtlsPeer server;
  DtlsSession session(context, certificate_of(DtlsRole::kClient).fingerprint(), base::SteadyTime{}, server);
  const ByteVector junk = record(22, 3, 5, ByteVector(1000));
  size_t sent = 0;
  for (; !server.closed && sent < 10'000'000; sent += junk.size()) session.receive(base::SteadyTime{}, junk);
  ASSERT_TRUE(server.closed);
  EXPECT_EQ(server.closed->code, Errc::kLimit);
  EXPECT_LE(sent, DtlsSession::kMostHandshakeBytes + 2 * junk.size());
  EXPECT_TRUE(server.sent.empty());
}

TEST(Dtls, ClientHelloInPieces) {
  DtlsNetworkOptions options;
  auto direct = std::make_shared<bool>(false);
  options.fate = [direct](DtlsRole) {
    return *direct ? std::vector{milliseconds(1)} : std::vector<milliseconds>{};
  };
  for (const size_t size : {7, 50, 100}) {
    for (const bool backwards : {false, true}) {
      *direct = false;
      DtlsNetwork network(options);
      *direct = true;
      std::vector<ByteVector> pieces = in_pieces(network.client.sent.at(0), size);
      ASSERT_GE(pieces.size(), 2u);
      if (backwards) std::reverse(pieces.begin(), pieces.end());
      for (const ByteVector& piece : pieces) network.server_session->receive(network.now, piece);
      ASSERT_EQ(network.server.sent.size(), 1u) << size;
      network.run();
      expect_same_keys(network);
    }
  }
  // Several records in one datagram.
  *direct = false;
  DtlsNetwork network(options);
  *direct = true;
  ByteVector glued;
  for (const ByteVector& piece : in_pieces(network.client.sent.at(0), 40))
    glued.insert(glued.end(), piece.begin(), piece.end());
  network.server_session->receive(network.now, glued);
  network.run();
  expect_same_keys(network);
}

TEST(Dtls, RecordsThatMakeNoSenseAreIgnored) {
  std::mt19937 random(3);
  const auto junk = [&random] {
    ByteVector body(random() % 400);
    for (std::byte& b : body) b = static_cast<std::byte>(random());
    switch (random() % 7) {
      case 0: {  // anything that the demultiplexer would take for DTLS
        body.insert(body.begin(), static_cast<std::byte>(20 + random() % 44));
        return body;
      }
      case 1:  // pretended to be encrypted
        return record(static_cast<unsigned>(20 + random() % 5), 1, random() % 8, body);
      case 2:
        return record(22, 7, random(), body);
      case 3: {  // longer than the datagram
        ByteVector cut = record(22, 0, 900, body);
        cut.resize(cut.size() / 2);
        return cut;
      }
      case 4:  // application data, in the clear
        return record(23, 0, 800, body);
      case 5: {  // of another protocol
        ByteVector other = record(22, 0, 900, body);
        other[1] = std::byte{3};
        return other;
      }
      default:
        return ByteVector(1 + random() % 12, std::byte{22});
    }
  };
  for (int round = 0; round < 30; ++round) {
    DtlsNetwork network;
    const auto disturb = [&] {
      for (const DtlsRole role : {DtlsRole::kServer, DtlsRole::kClient})
        for (int i = 0; i < 10; ++i) network.session(role).receive(network.now, junk());
    };
    disturb();
    network.run([&] {
      disturb();
      return network.both_established() || network.server.closed || network.client.closed;
    });
    disturb();
    network.run();
    expect_same_keys(network);
    ASSERT_FALSE(network.server.closed) << network.server.closed->to_string();
    ASSERT_FALSE(network.client.closed) << network.client.closed->to_string();
  }
}

TEST(Dtls, ANewHelloDoesNotEndASession) {
  DtlsNetwork network;
  network.run();
  expect_same_keys(network);
  const size_t before = network.server.sent.size();
  for (int i = 0; i < 10; ++i) network.server_session->receive(network.now, client_hello());
  EXPECT_EQ(network.server.sent.size(), before);
  EXPECT_FALSE(network.server.closed);
  EXPECT_TRUE(network.server_session->established());
}

TEST(Dtls, ClosingTellsThePeer) {
  for (const DtlsRole role : {DtlsRole::kServer, DtlsRole::kClient}) {
    DtlsNetwork network;
    network.run();
    expect_same_keys(network);
    network.session(role).close();
    network.run();
    DtlsPeer& closing = role == DtlsRole::kServer ? network.server : network.client;
    DtlsPeer& other = role == DtlsRole::kServer ? network.client : network.server;
    EXPECT_FALSE(closing.closed) << "who closes need not be told";
    ASSERT_TRUE(other.closed);
    EXPECT_EQ(other.closed->code, Errc::kClosed);
    EXPECT_TRUE(network.server_session->ended() && network.client_session->ended());
    network.session(role).close();
    network.session(role).receive(network.now, client_hello());
    network.session(role).on_time(network.now + seconds(100));
    EXPECT_FALSE(closing.closed);
  }
}

TEST(Dtls, ClosedInMidHandshakeItIsSilent) {
  const DtlsContext context = context_of(DtlsRole::kServer);
  DtlsPeer server;
  DtlsSession session(context, certificate_of(DtlsRole::kClient).fingerprint(), base::SteadyTime{}, server);
  session.receive(base::SteadyTime{}, client_hello());
  session.close();
  EXPECT_EQ(server.sent.size(), 1u);
  EXPECT_FALSE(session.next_deadline().has_value());
}

// The listener may destroy the session when it hears of its end.
TEST(Dtls, DestroyedWhenItEnds) {
  struct Owner final : DtlsListener {
    void on_dtls_send(ByteView) override {}
    void on_dtls_established(const SrtpKeys&) override {}
    void on_dtls_closed(const base::Error&) override { session.reset(); }
    std::unique_ptr<DtlsSession> session;
  };
  const DtlsContext context = context_of(DtlsRole::kServer);
  Owner owner;
  const Fingerprint& expected = certificate_of(DtlsRole::kClient).fingerprint();
  owner.session = std::make_unique<DtlsSession>(context, expected, base::SteadyTime{}, owner);
  owner.session->on_time(base::SteadyTime{} + seconds(30));
  EXPECT_EQ(owner.session, nullptr);
  owner.session = std::make_unique<DtlsSession>(context, expected, base::SteadyTime{}, owner);
  owner.session->receive(base::SteadyTime{}, record(21, 0, 0, *base::from_hex("0228")));  // a fatal alert
  EXPECT_EQ(owner.session, nullptr);
}

}  // namespace
}  // namespace miharu::webrtc
