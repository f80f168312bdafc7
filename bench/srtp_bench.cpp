// What protecting a packet of 1200 bytes costs, by us and by libsrtp2, and what a viewer's cryptography keeps
// in memory (500 of them, by mallinfo2).
#include <malloc.h>

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include <benchmark/benchmark.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <srtp2/srtp.h>

#include "base/check.h"
#include "webrtc/dtls.h"
#include "webrtc/srtcp_receiver.h"
#include "webrtc/srtp_sender.h"

namespace miharu::webrtc {
namespace {

constexpr SrtpProfile kGcm = SrtpProfile::kAeadAes128Gcm;
constexpr SrtpProfile kCounterMode = SrtpProfile::kAesCm128Sha1_80;
constexpr size_t kPacketBytes = 1200;
constexpr size_t kHeaderBytes = 20;  // with an extension of 4 bytes
constexpr int kViewers = 500;

struct Packet {
  explicit Packet(uint64_t sequence = 0) {
    header[0] = std::byte{0x90};
    header[12] = std::byte{0xBE};
    header[13] = std::byte{0xDE};
    header[15] = std::byte{1};
    number(sequence);
  }
  void number(uint64_t sequence) {
    header[2] = static_cast<std::byte>(sequence >> 8);
    header[3] = static_cast<std::byte>(sequence);
  }
  std::array<std::byte, kHeaderBytes> header{};
  std::array<std::byte, kPacketBytes - kHeaderBytes> payload{};
};

void ours(benchmark::State& state, SrtpProfile profile) {
  SrtpSender sender(profile, SrtpMaster{});
  Packet packet;
  std::array<std::byte, kPacketBytes + SrtpSender::kMostRtpOverhead> out;
  uint64_t sequence = 0;
  for (auto _ : state) {
    packet.number(++sequence);
    benchmark::DoNotOptimize(sender.protect(sequence, packet.header, packet.payload, out));
    benchmark::ClobberMemory();
  }
}

void libsrtp2(benchmark::State& state, SrtpProfile profile) {
  CHECK(SrtcpReceiver::make(profile, SrtpMaster{}).has_value());  // initialises the library
  srtp_policy_t policy{};
  if (profile == kGcm) {
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
    srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
  } else {
    srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
  }
  unsigned char key[30] = {};
  policy.key = key;
  policy.ssrc.type = ssrc_any_outbound;
  srtp_t session = nullptr;
  CHECK(srtp_create(&session, &policy) == srtp_err_status_ok);
  Packet packet;
  std::array<std::byte, kPacketBytes + SRTP_MAX_TRAILER_LEN> out;
  uint64_t sequence = 0;
  for (auto _ : state) {
    packet.number(++sequence);
    std::memcpy(out.data(), packet.header.data(), kHeaderBytes);
    std::memcpy(out.data() + kHeaderBytes, packet.payload.data(), packet.payload.size());
    int size = kPacketBytes;
    CHECK(srtp_protect(session, out.data(), &size) == srtp_err_status_ok);
    benchmark::ClobberMemory();
  }
  srtp_dealloc(session);
}

// The least that AES-GCM by EVP can take: five calls, the same IV every time.
void evp_gcm_alone(benchmark::State& state) {
  EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr);
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  const unsigned char key[16] = {};
  const unsigned char iv[12] = {};
  EVP_EncryptInit_ex2(context, cipher, key, iv, nullptr);
  const std::array<unsigned char, kPacketBytes> packet{};
  std::array<unsigned char, kPacketBytes + 16> out;
  for (auto _ : state) {
    int length = 0;
    EVP_EncryptInit_ex2(context, nullptr, nullptr, iv, nullptr);
    EVP_EncryptUpdate(context, nullptr, &length, packet.data(), kHeaderBytes);
    EVP_EncryptUpdate(context, out.data() + kHeaderBytes, &length, packet.data() + kHeaderBytes,
                      kPacketBytes - kHeaderBytes);
    EVP_EncryptFinal_ex(context, out.data(), &length);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out.data() + kPacketBytes);
    benchmark::ClobberMemory();
  }
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
}

// HMAC-SHA1 as OpenSSL 3 would have it done, for comparison with what srtp_cipher.cpp does.
void evp_mac_sha1_alone(benchmark::State& state) {
  EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  EVP_MAC_CTX* const context = EVP_MAC_CTX_new(mac);
  char digest[] = "SHA1";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                   OSSL_PARAM_construct_end()};
  const unsigned char key[20] = {};
  CHECK(EVP_MAC_init(context, key, sizeof key, parameters) == 1);
  const std::array<unsigned char, kPacketBytes> packet{};
  std::array<unsigned char, 20> out;
  for (auto _ : state) {
    size_t size = 0;
    CHECK(EVP_MAC_init(context, nullptr, 0, nullptr) == 1);
    EVP_MAC_update(context, packet.data(), packet.size());
    EVP_MAC_update(context, packet.data(), 4);
    CHECK(EVP_MAC_final(context, out.data(), &size, out.size()) == 1);
    benchmark::ClobberMemory();
  }
  EVP_MAC_CTX_free(context);
  EVP_MAC_free(mac);
}

size_t bytes_in_use() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

template <class Make>
void memory(benchmark::State& state, Make make) {
  { const auto first = make(); }  // what is made once a process
  for (auto _ : state) {
    const size_t before = bytes_in_use();
    std::vector<decltype(make())> viewers;
    viewers.reserve(kViewers);
    for (int i = 0; i < kViewers; ++i) viewers.push_back(make());
    state.counters["bytes_each"] = static_cast<double>(bytes_in_use() - before) / kViewers;
  }
}

struct Peer final : DtlsListener {
  void on_dtls_send(base::ByteView datagram) override { sent.emplace_back(datagram.begin(), datagram.end()); }
  void on_dtls_established(const SrtpKeys&) override { established = true; }
  void on_dtls_closed(const base::Error&) override { CHECK(false); }

  std::deque<base::ByteVector> sent;
  bool established = false;
};

struct Viewer {
  Peer peer;
  std::unique_ptr<DtlsSession> session;
};

class Handshakes {
 public:
  std::unique_ptr<Viewer> make() {
    auto server = std::make_unique<Viewer>();
    Viewer client;
    server->session = std::make_unique<DtlsSession>(server_, theirs_.fingerprint(), kNow, server->peer);
    client.session = std::make_unique<DtlsSession>(client_, ours_.fingerprint(), kNow, client.peer);
    while (!client.peer.sent.empty() || !server->peer.sent.empty()) {
      for (; !client.peer.sent.empty(); client.peer.sent.pop_front())
        server->session->receive(kNow, client.peer.sent.front());
      for (; !server->peer.sent.empty(); server->peer.sent.pop_front())
        client.session->receive(kNow, server->peer.sent.front());
    }
    CHECK(server->peer.established && client.peer.established);
    server->peer.sent.shrink_to_fit();
    return server;
  }

 private:
  static constexpr base::SteadyTime kNow{std::chrono::hours(1)};
  Certificate ours_ = std::move(*Certificate::make(base::system_clock().utc()));
  Certificate theirs_ = std::move(*Certificate::make(base::system_clock().utc()));
  DtlsContext server_ = std::move(*DtlsContext::make(DtlsRole::kServer, ours_));
  DtlsContext client_ = std::move(*DtlsContext::make(DtlsRole::kClient, theirs_));
};

// Both sides together.
void dtls_handshake(benchmark::State& state) {
  Handshakes handshakes;
  for (auto _ : state) benchmark::DoNotOptimize(handshakes.make());
}
void dtls_memory(benchmark::State& state) {
  Handshakes handshakes;
  memory(state, [&] { return handshakes.make(); });
}
// The worst that a peer without a certificate can do: beginnings of messages to come, each of the greatest
// length.
void hostile_dtls_memory(benchmark::State& state) {
  struct Silent final : DtlsListener {
    void on_dtls_send(base::ByteView) override {}
    void on_dtls_established(const SrtpKeys&) override {}
    void on_dtls_closed(const base::Error&) override { closed = true; }
    bool closed = false;
  };
  const Certificate certificate = std::move(*Certificate::make(base::system_clock().utc()));
  const DtlsContext context = std::move(*DtlsContext::make(DtlsRole::kServer, certificate));
  memory(state, [&] {
    static Silent listener;
    auto session =
        std::make_unique<DtlsSession>(context, certificate.fingerprint(), base::SteadyTime{}, listener);
    for (unsigned number = 0; number < 16; ++number) {
      base::ByteVector record;
      base::ByteWriter writer(record);
      writer.u8(22);
      writer.u16(0xFEFD);
      writer.u16(0);
      writer.u16(0);
      writer.u32(number);
      writer.u16(13);
      writer.u8(number == 0 ? 1 : 11);
      writer.u24(16'000);
      writer.u16(number);
      writer.u24(0);
      writer.u24(1);
      writer.u8(0);
      session->receive(base::SteadyTime{}, record);
    }
    CHECK(!listener.closed);
    return session;
  });
}
void sender_memory(benchmark::State& state, SrtpProfile profile) {
  memory(state, [&] { return SrtpSender(profile, SrtpMaster{}); });
}
void receiver_memory(benchmark::State& state, SrtpProfile profile) {
  memory(state, [&] { return std::move(*SrtcpReceiver::make(profile, SrtpMaster{})); });
}

BENCHMARK_CAPTURE(ours, gcm, kGcm);
BENCHMARK_CAPTURE(ours, counter_mode, kCounterMode);
BENCHMARK_CAPTURE(libsrtp2, gcm, kGcm);
BENCHMARK_CAPTURE(libsrtp2, counter_mode, kCounterMode);
BENCHMARK(evp_gcm_alone);
BENCHMARK(evp_mac_sha1_alone);
BENCHMARK(dtls_handshake)->Unit(benchmark::kMicrosecond);
BENCHMARK(dtls_memory)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK(hostile_dtls_memory)->Iterations(1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(sender_memory, gcm, kGcm)->Iterations(1);
BENCHMARK_CAPTURE(sender_memory, counter_mode, kCounterMode)->Iterations(1);
BENCHMARK_CAPTURE(receiver_memory, gcm, kGcm)->Iterations(1);
BENCHMARK_CAPTURE(receiver_memory, counter_mode, kCounterMode)->Iterations(1);

}  // namespace
}  // namespace miharu::webrtc

BENCHMARK_MAIN();
