// A peer that is not ours: the program `openssl`, over a socket, in real time.
#include <cstdio>
#include <fstream>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/text.h"
#include "support/temp_dir.h"
#include "webrtc/dtls_network.h"

namespace miharu::webrtc {
namespace {

class Socket final : public DtlsListener {
 public:
  Socket() : file_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    CHECK(::bind(file_.fd(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    CHECK(::getsockname(file_.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  [[nodiscard]] int port() const { return port_; }

  // Until the session has ended.
  void serve(DtlsSession& session) {
    const base::Clock& clock = base::system_clock();
    const base::SteadyTime give_up = clock.steady() + base::seconds(60);
    while (!closed && clock.steady() < give_up) {
      const base::SteadyTime until = session.next_deadline().value_or(give_up);
      const auto left = std::chrono::ceil<base::milliseconds>(until - clock.steady());
      pollfd waiting{file_.fd(), POLLIN, 0};
      ::poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
      if ((waiting.revents & POLLIN) != 0) {
        std::array<std::byte, 2048> datagram;
        socklen_t size = sizeof peer_;
        const ssize_t count = ::recvfrom(file_.fd(), datagram.data(), datagram.size(), 0,
                                         reinterpret_cast<sockaddr*>(&peer_), &size);
        if (count > 0) session.receive(clock.steady(), std::span(datagram).first(static_cast<size_t>(count)));
      }
      session.on_time(clock.steady());
    }
  }

  void on_dtls_send(base::ByteView datagram) override {
    EXPECT_EQ(::sendto(file_.fd(), datagram.data(), datagram.size(), 0,
                       reinterpret_cast<const sockaddr*>(&peer_), sizeof peer_),
              static_cast<ssize_t>(datagram.size()));
  }
  void on_dtls_established(const SrtpKeys& given) override { keys = given; }
  void on_dtls_closed(const base::Error& reason) override { closed = reason; }

  std::optional<SrtpKeys> keys;
  std::optional<base::Error> closed;

 private:
  base::File file_;
  sockaddr_in peer_{};
  int port_ = 0;
};

// Key and certificate in PEM.
void write_identity(const Certificate& certificate, const std::string& path) {
  FILE* const file = std::fopen(path.c_str(), "w");
  CHECK(file != nullptr);
  CHECK(PEM_write_PrivateKey(file, certificate.key(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  CHECK(PEM_write_X509(file, certificate.x509()) == 1);
  std::fclose(file);
}

TEST(DtlsWithOpensslProgram, KeysAreThoseThatItExports) {
  if (std::system("openssl version > /dev/null 2>&1") != 0) GTEST_SKIP() << "there is no program openssl";
  const test::TempDir folder;
  const std::string identity = (folder.path() / "client.pem").string();
  write_identity(certificate_of(DtlsRole::kClient), identity);
  const DtlsContext context = context_of(DtlsRole::kServer);
  for (const auto& [offered, expected, bytes] : {
           std::tuple{"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", SrtpProfile::kAeadAes128Gcm, 56},
           std::tuple{"SRTP_AES128_CM_SHA1_80", SrtpProfile::kAesCm128Sha1_80, 60},
       }) {
    Socket socket;
    DtlsSession session(context, certificate_of(DtlsRole::kClient).fingerprint(),
                        base::system_clock().steady(), socket);
    FILE* const program =
        ::popen(fmt::format("timeout 50 openssl s_client -dtls1_2 -connect 127.0.0.1:{} -cert {} "
                            "-key {} -use_srtp {} -keymatexport EXTRACTOR-dtls_srtp "
                            "-keymatexportlen {} < /dev/null 2>&1",
                            socket.port(), identity, identity, offered, bytes)
                    .c_str(),
                "r");
    ASSERT_NE(program, nullptr);
    socket.serve(session);
    std::string output;
    std::array<char, 4096> piece;
    for (size_t count = 0; (count = std::fread(piece.data(), 1, piece.size(), program)) > 0;)
      output.append(piece.data(), count);
    ::pclose(program);

    ASSERT_TRUE(socket.closed) << output;
    EXPECT_EQ(socket.closed->code, base::Errc::kClosed) << socket.closed->to_string() << "\n" << output;
    ASSERT_TRUE(socket.keys) << output;
    EXPECT_EQ(socket.keys->profile, expected);
    const auto text = [&, salt = salt_bytes(expected)](const SrtpMaster& client, const SrtpMaster& server) {
      return base::to_hex(client.key) + base::to_hex(server.key) +
             base::to_hex(std::span(client.salt).first(salt)) +
             base::to_hex(std::span(server.salt).first(salt));
    };
    EXPECT_NE(base::to_lower(output).find(text(socket.keys->receive, socket.keys->send)), std::string::npos)
        << output;
  }
}

}  // namespace
}  // namespace miharu::webrtc
