#include "net/http_client.h"

#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/text.h"
#include "net/http_server.h"
#include "support/certificate.h"
#include "support/scripted_server.h"
#include "support/temp_dir.h"

namespace miharu::net {
namespace {

using base::Errc;
using test::Peer;
using test::Scripted;
using testing::HasSubstr;

class HttpClientTest : public testing::Test {
 protected:
  HttpClientTest() { loop_.start(); }
  ~HttpClientTest() override {
    loop_.run_and_wait([this] { client_.reset(); });
  }
  void connect(const Origin& origin, HttpClientOptions options = {}) {
    loop_.run_and_wait([&] { client_ = std::make_unique<HttpClient>(loop_, origin, std::move(options)); });
  }
  void connect(const Scripted& server, HttpClientOptions options = {}) {
    connect(Origin{false, "127.0.0.1", server.port()}, std::move(options));
  }
  base::Result<HttpReply> ask(HttpClientRequest request) {
    std::promise<base::Result<HttpReply>> promise;
    loop_.post([&] {
      client_->send(std::move(request),
                    [&](base::Result<HttpReply> reply) { promise.set_value(std::move(reply)); });
    });
    return promise.get_future().get();
  }
  static HttpClientRequest put(std::string body) {
    HttpClientRequest request;
    request.method = "PUT";
    request.body = std::move(body);
    return request;
  }

  EventLoop loop_{"test-client"};
  std::unique_ptr<HttpClient> client_;
};

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

TEST_F(HttpClientTest, KeepsTheConnection) {
  Scripted server({[](Peer& peer) {
    EXPECT_THAT(peer.head(), testing::StartsWith("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:"));
    peer.say("HTTP/1.1 200 OK\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    EXPECT_THAT(peer.head(), HasSubstr("PUT / HTTP/1.1\r\n"));
    EXPECT_EQ(peer.bytes(5), "12345");
    peer.say(kOk);
    EXPECT_THAT(peer.head(), HasSubstr("HEAD "));
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
  }});
  connect(server);
  HttpClientRequest get;
  get.target = "/a?b";
  const auto first = ask(get);
  ASSERT_TRUE(first) << first.error().text;
  EXPECT_EQ(first->body, "abc");
  EXPECT_EQ(first->header("x-one"), "1");
  EXPECT_EQ(ask(put("12345")).value().body, "ok");
  HttpClientRequest head;
  head.method = "HEAD";
  EXPECT_EQ(ask(head).value().header("content-length"), "99");
  EXPECT_EQ(server.served(), 1);
}

TEST_F(HttpClientTest, SendsAgainWhenTheServerHadClosedTheKeptConnection) {
  Scripted server({[](Peer& peer) {
                     peer.head();
                     peer.say(kOk);
                     peer.head();  // and closes without an answer
                   },
                   [](Peer& peer) {
                     peer.head();
                     EXPECT_EQ(peer.bytes(3), "abc");
                     peer.say(kOk);
                   }});
  connect(server);
  EXPECT_FALSE(ask({}).value().resent);
  const auto again = ask(put("abc"));
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_TRUE(again->resent);
  EXPECT_EQ(server.served(), 2);
}

TEST_F(HttpClientTest, AFirstConnectionThatEndsIsAnError) {
  Scripted server({[](Peer& peer) { peer.head(); },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("SSH-2.0-OpenSSH\r\n\r\n");
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\n\r\nto the end");
                   }});
  connect(server);
  EXPECT_EQ(ask({}).error().code, Errc::kClosed);
  EXPECT_EQ(ask({}).error().code, Errc::kClosed);
  EXPECT_EQ(ask({}).error().code, Errc::kMalformed);
  EXPECT_EQ(ask({}).value().body, "to the end");
}

TEST_F(HttpClientTest, ARefusalBeforeConsentCostsNoBody) {
  Scripted server({[](Peer& peer) {
                     EXPECT_THAT(peer.head(), HasSubstr("Expect: 100-continue\r\n"));
                     peer.say("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
                     peer.wait_for_end();
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 100 Continue\r\n\r\n");
                     EXPECT_EQ(peer.bytes(4), "body");
                     peer.say(kOk);
                   }});
  HttpClientOptions options;
  options.continue_wait = std::chrono::seconds(60);
  connect(server, options);
  int bodies = 0;
  auto request = put("body");
  request.expect_continue = true;
  request.on_body = [&bodies] { ++bodies; };
  const auto refused = ask(request);
  ASSERT_TRUE(refused) << refused.error().text;
  EXPECT_EQ(bodies, 0);
  EXPECT_EQ(refused->status, 412U);
  EXPECT_EQ(refused->sent_bytes, 0U);
  EXPECT_EQ(ask(request).value().sent_bytes, 4U);
}

TEST_F(HttpClientTest, OfABodyWithoutAnAnswerItIsKnownWhetherItWentOutWhole) {
  Scripted server({[](Peer& peer) { peer.head(); },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 100 Continue\r\n\r\n");
                     EXPECT_EQ(peer.bytes(4), "body");
                   }});
  HttpClientOptions options;
  options.continue_wait = std::chrono::seconds(60);
  connect(server, options);
  const auto sent_all = [this] {
    bool all = false;
    loop_.run_and_wait([&] { all = client_->sent_all(); });
    return all;
  };
  int bodies = 0;
  auto request = put("body");
  request.expect_continue = true;
  request.on_body = [&bodies] { ++bodies; };
  EXPECT_FALSE(ask(request));
  EXPECT_FALSE(sent_all());
  EXPECT_EQ(bodies, 0);
  EXPECT_FALSE(ask(request));
  EXPECT_TRUE(sent_all());
  EXPECT_EQ(bodies, 1);
  const Origin nobody{false, "127.0.0.1", 1};
  connect(nobody);
  EXPECT_FALSE(ask(request));
  EXPECT_FALSE(sent_all());
}

TEST_F(HttpClientTest, WithoutConsentTheBodyIsSentAfterAWhile) {
  Scripted server({[](Peer& peer) {
    peer.head();
    EXPECT_EQ(peer.bytes(4), "body");
    peer.say(kOk);
  }});
  HttpClientOptions options;
  options.continue_wait = std::chrono::milliseconds(20);
  connect(server, options);
  auto request = put("body");
  request.expect_continue = true;
  EXPECT_EQ(ask(request).value().body, "ok");
}

TEST_F(HttpClientTest, AnAnswerInTheMiddleOfTheBodyIsHeard) {
  Scripted server({[](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
                     peer.wait_for_end();
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say(kOk);
                   }});
  connect(server);
  const auto refused = ask(put(std::string(64 << 20, 'x')));
  ASSERT_TRUE(refused) << refused.error().text;
  EXPECT_EQ(refused->status, 403U);
  EXPECT_EQ(refused->body, "no");
  EXPECT_LT(refused->sent_bytes, uint64_t{64} << 20);
  EXPECT_EQ(ask({}).value().status, 200U);
}

TEST_F(HttpClientTest, WhatDoesNotMoveIsGivenUp) {
  HttpClientOptions options;
  options.stall = std::chrono::milliseconds(100);
  Scripted server({[](Peer& peer) { peer.wait_for_end(); },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                     peer.wait_for_end();
                   }});
  connect(server, options);
  EXPECT_EQ(ask({}).error().code, Errc::kTimeout);
  EXPECT_EQ(ask({}).error().code, Errc::kTimeout);
}

TEST_F(HttpClientTest, RepliesAreBounded) {
  Scripted server({[](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n");
                   },
                   [](Peer& peer) {
                     peer.head();
                     peer.say("HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
                   }});
  connect(server);
  HttpClientRequest request;
  request.max_body_bytes = 10;
  EXPECT_EQ(ask(request).error().code, Errc::kLimit);
  EXPECT_EQ(ask(request).error().code, Errc::kLimit);
}

TEST_F(HttpClientTest, FilesAreSentAsTheyAre) {
  std::string content(3'000'001, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * i >> 9);
  const test::TempDir directory;
  ASSERT_TRUE(base::write_file(directory.path() / "file", base::as_bytes(content)));
  const auto file =
      std::make_shared<const base::File>(base::File::open(directory.path() / "file", 0).value());
  Scripted server({[&](Peer& peer) {
                     EXPECT_THAT(peer.head(), HasSubstr("Content-Length: 3000000\r\n"));
                     EXPECT_TRUE(peer.bytes(3'000'000) == content.substr(1));
                     peer.say(kOk);
                   },
                   [](Peer& peer) { peer.wait_for_end(); }});
  Pacer pacer(uint64_t{200'000'000});
  HttpClientOptions options;
  options.pacer = &pacer;
  connect(server, options);
  HttpClientRequest request;
  request.method = "PUT";
  request.body = FileBody{file, 1, 3'000'000};
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(ask(request).value().sent_bytes, 3'000'000U);
  // 24 Mbit at 200 Mbit/s, less what may go out at once.
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(120) - 2 * Pacer::kBurst);
  request.body = FileBody{file, 1, 3'000'001};
  EXPECT_EQ(ask(request).error().code, Errc::kTruncated);
  loop_.run_and_wait([this] { client_.reset(); });
}

TEST_F(HttpClientTest, NobodyThere) {
  uint16_t port = 0;
  {
    const Scripted gone({});
    port = gone.port();
  }
  connect(Origin{false, "127.0.0.1", port});
  const auto refused = ask({});
  EXPECT_EQ(refused.error().code, Errc::kRefused);
  EXPECT_THAT(refused.error().text, HasSubstr("http://127.0.0.1:" + std::to_string(port)));
  connect(Origin{false, "no-such-name.invalid", 80});
  EXPECT_EQ(ask({}).error().code, Errc::kNotFound);
}

TEST_F(HttpClientTest, AClientThatGoesTakesItsRequestAlong) {
  std::promise<void> asked;
  Scripted server({[&](Peer& peer) {
    peer.head();
    asked.set_value();
    peer.wait_for_end();
  }});
  connect(server);
  loop_.run_and_wait([&] { client_->send({}, [](const base::Result<HttpReply>&) { FAIL(); }); });
  asked.get_future().wait();
  loop_.run_and_wait([this] { client_.reset(); });
}

TEST_F(HttpClientTest, TlsTrustsNobodyElse) {
  const test::TempDir directory;
  test::write_certificate(directory.path() / "cert.pem", directory.path() / "key.pem");
  EventLoop server_loop("test-server");
  server_loop.start();
  HttpServerOptions server_options;
  server_options.listen = "127.0.0.1:0";
  server_options.tls_cert = directory.path() / "cert.pem";
  server_options.tls_key = directory.path() / "key.pem";
  HttpServer server(server_loop, server_options,
                    [](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
                      exchange->respond({200, {}, request.method + request.body});
                    });
  ASSERT_TRUE(server.start());
  HttpClientOptions options;
  options.tls = make_client_tls(directory.path() / "cert.pem").value();
  connect(Origin{true, "localhost", server.port()}, options);
  const std::string body(50'000, 'b');
  const auto trusted = ask(put(body));
  ASSERT_TRUE(trusted) << trusted.error().text;
  EXPECT_TRUE(trusted->body == "PUT" + body);
  EXPECT_EQ(ask({}).value().body, "GET");
  // The right authority, the wrong name.
  connect(Origin{true, "127.0.0.1", server.port()}, options);
  const auto misnamed = ask({});
  EXPECT_EQ(misnamed.error().code, Errc::kRefused) << misnamed.error().text;
  // Nobody's authority.
  options.tls = make_client_tls().value();
  connect(Origin{true, "localhost", server.port()}, options);
  const auto strange = ask({});
  EXPECT_EQ(strange.error().code, Errc::kRefused);
  EXPECT_THAT(strange.error().text, HasSubstr("certificate is not trusted"));
  server.stop();
  EXPECT_FALSE(make_client_tls(directory.path() / "nothing"));
}

TEST(Pacer, SpreadsBytesAndForgetsPauses) {
  using namespace std::chrono_literals;
  Pacer pacer(8'000);  // a byte a millisecond
  const Pacer::Time start = Pacer::Time(std::chrono::hours(1));
  EXPECT_EQ(pacer.reserve(start, 100), start);
  EXPECT_EQ(pacer.reserve(start, 100), start + 50ms);  // 100 less the burst
  EXPECT_EQ(pacer.reserve(start, 100), start + 150ms);
  // A pause is not saved up.
  const Pacer::Time later = start + 10s;
  EXPECT_EQ(pacer.reserve(later, 100), later);
  EXPECT_EQ(pacer.reserve(later, 100), later + 50ms);
  Pacer free(0);
  EXPECT_EQ(free.reserve(start, 1 << 30), start);
}

}  // namespace
}  // namespace miharu::net
