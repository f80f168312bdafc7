#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include <gtest/gtest.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "net/http_server.h"
#include "support/certificate.h"

namespace miharu::net {
namespace {

namespace asio = boost::asio;

TEST(HttpServerTls, ServesTextAndFilesAndRefusesOldVersions) {
  std::string name = (std::filesystem::temp_directory_path() / "miharu-tls-XXXXXX").string();
  const std::filesystem::path directory = ::mkdtemp(name.data());
  test::write_certificate(directory / "cert.pem", directory / "key.pem");
  std::string bytes(1'000'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 7);
  ASSERT_TRUE(base::write_file(directory / "media", base::as_bytes(bytes)));

  EventLoop loop("test-tls");
  loop.start();
  HttpServerOptions options;
  options.tls_cert = directory / "cert.pem";
  options.tls_key = directory / "key.pem";
  HttpServer server(
      loop, options, [&](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
        EXPECT_TRUE(request.secure);
        HttpResponse response;
        auto file = base::File::open(directory / "media", 0);
        response.body =
            std::vector<FileBody>{{std::make_shared<const base::File>(std::move(*file)), 0, bytes.size()}};
        exchange->respond(std::move(response));
      });
  ASSERT_TRUE(server.start());
  const asio::ip::tcp::endpoint endpoint(asio::ip::address_v4::loopback(), server.port());

  for (const bool old : {false, true}) {
    asio::io_context context;
    asio::ssl::context tls(asio::ssl::context::tls_client);
    if (old) SSL_CTX_set_max_proto_version(tls.native_handle(), TLS1_1_VERSION);
    asio::ssl::stream<asio::ip::tcp::socket> stream(context, tls);
    stream.lowest_layer().connect(endpoint);
    boost::system::error_code ec;
    stream.handshake(asio::ssl::stream_base::client, ec);
    EXPECT_EQ(static_cast<bool>(ec), old);
    if (ec) continue;
    asio::write(
        stream,
        asio::buffer(std::string(
            "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
    std::string received;
    asio::read(stream, asio::dynamic_buffer(received), ec);
    EXPECT_EQ(ec, asio::error::eof) << "no clean end of TLS: " << ec.message();
    const size_t first = received.find("\r\n\r\n") + 4;
    ASSERT_GT(received.size(), 2 * bytes.size());
    EXPECT_TRUE(received.substr(first, bytes.size()) == bytes);
    EXPECT_TRUE(received.substr(received.size() - bytes.size()) == bytes);
  }
  server.stop();
  loop.stop();
  std::filesystem::remove_all(directory);
}

TEST(HttpServerTls, AKeyThatIsNotTheCertificatesIsNamed) {
  std::string name = (std::filesystem::temp_directory_path() / "miharu-tls-XXXXXX").string();
  const std::filesystem::path directory = ::mkdtemp(name.data());
  test::write_certificate(directory / "cert.pem", directory / "key.pem");
  test::write_certificate(directory / "other.pem", directory / "other-key.pem");
  EventLoop loop("test-tls");
  loop.start();
  for (const char* key : {"missing.pem", "cert.pem", "other-key.pem"}) {
    HttpServerOptions options;
    options.tls_cert = directory / "cert.pem";
    options.tls_key = directory / key;
    HttpServer server(loop, options, {});
    const auto started = server.start();
    ASSERT_FALSE(started) << key;
    EXPECT_NE(started.error().text.find(key), std::string::npos) << started.error().text;
    EXPECT_NE(started.error().text.find("tls_key"), std::string::npos) << started.error().text;
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace miharu::net
