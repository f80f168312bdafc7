#include "net/http_server.h"

#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "net/conditional.h"
#include "net/raw_client.h"

namespace miharu::net {
namespace {

using namespace std::chrono_literals;

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// Bytes that differ everywhere, so that a piece sent twice, left out or from a wrong offset shows.
std::string pattern(size_t size) {
  std::string bytes(size, '\0');
  uint64_t state = 1;
  for (char& c : bytes) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    c = static_cast<char>(state >> 56);
  }
  return bytes;
}

std::shared_ptr<const base::File> file_of(std::string_view bytes) {
  std::string path = (std::filesystem::temp_directory_path() / "miharu-http-XXXXXX").string();
  const int fd = ::mkstemp(path.data());
  EXPECT_GE(fd, 0);
  ::unlink(path.c_str());
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  EXPECT_EQ(done, bytes.size());
  return std::make_shared<const base::File>(fd);
}

class HttpServerTest : public ::testing::Test {
 protected:
  HttpServerTest() { loop_.start(); }
  ~HttpServerTest() override {
    if (server_) server_->stop();
    held_.clear();
    loop_.stop();
  }
  uint16_t start(HttpHandler handler) {
    server_ = std::make_unique<HttpServer>(loop_, options_, std::move(handler));
    const auto status = server_->start();
    EXPECT_TRUE(status) << status.error().text;
    return server_->port();
  }
  // Answers with what it got, as text.
  uint16_t start_echo() {
    return start([](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
      HttpResponse response;
      response.headers = {{"Content-Type", "text/plain"}};
      response.body = request.method + " " + request.path + "?" + request.query + " " + request.body;
      exchange->respond(std::move(response));
    });
  }

  EventLoop loop_{"test-http"};
  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::vector<std::shared_ptr<HttpExchange>> held_;
};

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  RawClient client(start_echo());
  for (int i = 0; i < 3; ++i) {
    client.send("GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto response = client.response();
    EXPECT_EQ(response.status, 200U);
    EXPECT_EQ(response.body, "GET /a b?x=1 ");
    EXPECT_EQ(response.field("Content-Type"), "text/plain");
    EXPECT_EQ(response.field("Connection"), "");
    EXPECT_EQ(response.field("Date").size(), 29U);
  }
  EXPECT_EQ(server_->stats().requests, 3U);
  EXPECT_EQ(server_->stats().open, 1U);
}

TEST_F(HttpServerTest, ClosesWhenAskedAndForHttp10) {
  const uint16_t port = start_echo();
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    RawClient client(port);
    client.send(request);
    const auto response = client.response();
    EXPECT_EQ(response.status, 200U);
    EXPECT_EQ(response.field("Connection"), "close");
    EXPECT_TRUE(client.at_end());
  }
  RawClient client(port);
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.response().field("Connection"), "keep-alive");
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  RawClient client(start_echo());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  }
  client.send(requests);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.response().body, "POST /" + std::to_string(i) + "? abc");
}

TEST_F(HttpServerTest, ReadsBodiesWithLengthAndChunked) {
  RawClient client(start_echo());
  const std::string big(60'000, 'x');
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.response(false).status, 100U);
  client.send(big);
  EXPECT_EQ(client.response().body, "POST /? " + big);
  client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
  client.send("4;x=y\r\ndefg\r\n0\r\n\r\n");
  EXPECT_EQ(client.response().body, "POST /? abcdefg");
}

TEST_F(HttpServerTest, ReadsARequestThatComesByteByByte) {
  RawClient client(start_echo());
  for (const char c : std::string("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok"))
    client.send({&c, 1});
  EXPECT_EQ(client.response().body, "POST /slow? ok");
}

TEST_F(HttpServerTest, RefusesBadRequests) {
  const std::string long_field(17'000, 'x');
  const std::string long_path(9'000, 'p');
  const struct {
    std::string request;
    unsigned status;
  } cases[] = {
      {"GET /../etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /%2e%2e/x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET //x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /a\\b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls to a plain port\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n", 413},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n12000\r\n" +
           std::string(0x12000, 'x') + "\r\n0\r\n\r\n",
       413},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + long_field + "\r\n\r\n", 431},
      {"GET /" + long_path + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
  };
  const uint16_t port = start([](HttpRequest, const std::shared_ptr<HttpExchange>&) { FAIL(); });
  for (const auto& c : cases) {
    RawClient client(port);
    client.send(c.request);
    const auto response = client.response();
    EXPECT_EQ(response.status, c.status) << c.request.substr(0, 80) << "\n" << response.body;
    EXPECT_EQ(response.field("Content-Type"), "application/problem+json");
    EXPECT_TRUE(client.at_end());
  }
  EXPECT_EQ(server_->stats().bad_requests, std::size(cases));
}

TEST_F(HttpServerTest, SendsNoBodyForHeadAnd304) {
  const uint16_t port = start([](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
    HttpResponse response;
    if (request.path == "/304") response.status = 304;
    response.body = std::string("12345");
    exchange->respond(std::move(response));
  });
  RawClient client(port);
  client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n");
  auto response = client.response(false);
  EXPECT_EQ(response.field("Content-Length"), "5");
  client.send("GET /304 HTTP/1.1\r\nHost: h\r\n\r\n");
  response = client.response(false);
  EXPECT_EQ(response.status, 304U);
  EXPECT_EQ(response.field("Content-Length"), "");
  client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
  response = client.response();
  EXPECT_EQ(response.status, 200U) << "a body was sent before";
  EXPECT_EQ(response.body, "12345");
}

TEST_F(HttpServerTest, SendsFilesByteForByte) {
  const std::string bytes = pattern(20 << 20);
  const auto file = file_of(bytes);
  const uint16_t port = start([&](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
    const std::vector<FileBody> pieces{{file, 0, 7}, {file, 7, 0}, {file, 7, bytes.size() - 7}};
    exchange->respond(file_response(request, pieces, "video/mp4", "\"e\"", ""));
  });
  RawClient client(port);
  for (int i = 0; i < 2; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto response = client.response();
    EXPECT_EQ(response.status, 200U);
    EXPECT_TRUE(response.body == bytes);
  }
  client.send("GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=5-1000004\r\n\r\n");
  const auto response = client.response();
  EXPECT_EQ(response.status, 206U);
  EXPECT_EQ(response.field("Content-Range"), "bytes 5-1000004/" + std::to_string(bytes.size()));
  EXPECT_TRUE(response.body == bytes.substr(5, 1'000'000));
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.response(false).field("Content-Length"), std::to_string(bytes.size()));
  EXPECT_GE(server_->stats().bytes_sent, 2 * bytes.size() + 1'000'000);
}

TEST_F(HttpServerTest, EndsTheConnectionWhenAFileIsShorterThanPromised) {
  const auto file = file_of("12345");
  const uint16_t port = start([&](const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
    HttpResponse response;
    response.body = std::vector<FileBody>{{file, 0, 10}};
    exchange->respond(std::move(response));
  });
  RawClient client(port);
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.response().body, "12345");
  EXPECT_TRUE(client.at_end());
}

TEST_F(HttpServerTest, OneBodyServesMany) {
  const auto body = std::make_shared<const std::string>(pattern(3 << 20));
  const uint16_t port = start([&](const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
    HttpResponse response;
    response.body = body;
    exchange->respond(std::move(response));
  });
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawClient>(port));
    clients.back()->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  for (const auto& client : clients) EXPECT_TRUE(client->response().body == *body);
}

TEST_F(HttpServerTest, TakesAnswersFromOtherThreadsAndOnlyTheFirst) {
  const uint16_t port = start([&](const HttpRequest&, std::shared_ptr<HttpExchange> exchange) {
    std::thread([exchange = std::move(exchange)] {
      exchange->respond(problem(409, "first"));
      exchange->respond(problem(410, "second"));
      EXPECT_FALSE(exchange->stream(200, {})->write("x"));
    }).detach();
  });
  RawClient client(port);
  for (int i = 0; i < 20; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.response().status, 409U);
  }
}

TEST_F(HttpServerTest, AnswersForAHandlerThatDoesNot) {
  const uint16_t port = start([](const HttpRequest& request, const std::shared_ptr<HttpExchange>&) {
    if (request.path == "/throw") throw std::runtime_error("a bug");
  });
  RawClient client(port);
  for (const char* path : {"/drop", "/throw"}) {
    client.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client.response().status, 500U);
  }
}

TEST_F(HttpServerTest, KeepsHeaderFieldsApart) {
  const uint16_t port = start([](const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
    HttpResponse response;
    response.headers = {{"X-Name", "a\r\nSet-Cookie: b"}};
    exchange->respond(std::move(response));
  });
  RawClient client(port);
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto response = client.response();
  EXPECT_EQ(response.field("Set-Cookie"), "");
  EXPECT_EQ(response.field("X-Name"), "a  Set-Cookie: b");
}

TEST_F(HttpServerTest, EndsSlowHeadersBodiesAndIdleConnections) {
  options_.deadlines = {150ms, 150ms, 150ms, 150ms};
  const uint16_t port = start_echo();
  for (const char* start :
       {"GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx"}) {
    RawClient client(port);
    client.send(start);
    EXPECT_EQ(client.response().status, 408U);
    EXPECT_TRUE(client.at_end());
  }
  RawClient silent(port);
  EXPECT_TRUE(silent.at_end());
  RawClient idle(port);
  idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(idle.response().status, 200U);
  EXPECT_TRUE(idle.at_end());
  EXPECT_EQ(server_->stats().timeouts, 2U);
}

// A byte now and then must not move the deadline of the header.
TEST_F(HttpServerTest, EndsASlowLoris) {
  options_.deadlines.header = 200ms;
  RawClient client(start_echo());
  std::promise<void> stop;
  std::thread drip([&, stopped = stop.get_future()] {
    client.send("GET / HTTP/1.1\r\nHost: h\r\n");
    while (stopped.wait_for(20ms) == std::future_status::timeout) client.send("X: y\r\n");
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.response().status, 408U);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  stop.set_value();
  drip.join();
}

TEST_F(HttpServerTest, EndsAClientThatDoesNotRead) {
  options_.deadlines.write = 200ms;
  const std::string bytes = pattern(16 << 20);
  auto file = file_of(bytes);
  const auto text = std::make_shared<const std::string>(bytes);
  const uint16_t port = start([&](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
    HttpResponse response;
    if (request.path == "/file") {
      response.body = std::vector<FileBody>{{file, 0, bytes.size()}};
    } else {
      response.body = text;
    }
    exchange->respond(std::move(response));
  });
  RawClient of_file(port, 4096);
  of_file.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
  RawClient of_text(port, 4096);
  of_text.send("GET /text HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(eventually([&] { return server_->stats().timeouts == 2 && server_->stats().open == 0; }));
  EXPECT_EQ(file.use_count(), 1);
  EXPECT_EQ(text.use_count(), 1);
}

TEST_F(HttpServerTest, LimitsConnections) {
  options_.limits.connections_per_remote = 2;
  const uint16_t port = start_echo();
  auto first = std::make_unique<RawClient>(port);
  RawClient second(port);
  for (RawClient* client : {first.get(), &second}) {
    client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(client->response().status, 200U);
  }
  RawClient third(port);
  EXPECT_TRUE(third.at_end());
  EXPECT_EQ(server_->stats().refused, 1U);
  first.reset();
  EXPECT_TRUE(eventually([&] { return server_->stats().open == 1; }));
  RawClient fourth(port);
  fourth.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(fourth.response().status, 200U);
}

TEST_F(HttpServerTest, StreamsInChunksUntilTheWriterEnds) {
  std::promise<std::shared_ptr<HttpExchange::Stream>> opened;
  const uint16_t port = start([&](const HttpRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
    if (request.path == "/after") return exchange->respond({});
    opened.set_value(exchange->stream(200, {{"Content-Type", "text/event-stream"}}));
  });
  RawClient client(port);
  client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
  auto stream = opened.get_future().get();
  EXPECT_EQ(client.response(false).field("Transfer-Encoding"), "chunked");
  EXPECT_TRUE(stream->write("data: 1\n\n"));
  EXPECT_TRUE(client.read_until("9\r\ndata: 1\n\n\r\n"));
  client.send("GET /after HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(stream->write("data: 22\n\n"));
  EXPECT_TRUE(client.read_until("a\r\ndata: 22\n\n\r\n"));
  stream.reset();
  EXPECT_TRUE(client.read_until("0\r\n\r\n"));
  client.buffer().erase(0, client.buffer().find("0\r\n\r\n") + 5);
  EXPECT_EQ(client.response().status, 200U);
}

TEST_F(HttpServerTest, StreamTellsThatTheClientWent) {
  std::promise<std::shared_ptr<HttpExchange::Stream>> opened;
  const uint16_t port = start([&](const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
    opened.set_value(exchange->stream(200, {}));
  });
  auto client = std::make_unique<RawClient>(port);
  client->send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto stream = opened.get_future().get();
  EXPECT_EQ(client->response(false).status, 200U);
  client.reset();
  EXPECT_TRUE(eventually([&] { return server_->stats().open == 0; }));
  EXPECT_FALSE(stream->write("x"));
}

TEST_F(HttpServerTest, StreamRefusesMoreThanItsClientTakes) {
  std::promise<std::shared_ptr<HttpExchange::Stream>> opened;
  const uint16_t port = start([&](const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
    opened.set_value(exchange->stream(200, {}));
  });
  RawClient client(port, 4096);
  client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto stream = opened.get_future().get();
  EXPECT_FALSE(stream->write(std::string((256 << 10) + 1, 'x')));
  const std::string text(64 << 10, 'x');
  EXPECT_TRUE(eventually([&] { return !stream->write(text); }));
}

TEST_F(HttpServerTest, FreesARequestWhoseClientWentAway) {
  std::promise<void> arrived;
  const uint16_t port = start([&](const HttpRequest&, std::shared_ptr<HttpExchange> exchange) {
    held_.push_back(std::move(exchange));
    arrived.set_value();
  });
  {
    RawClient client(port);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    arrived.get_future().get();
  }
  EXPECT_TRUE(eventually([&] { return server_->stats().open == 0; }));
  held_.front()->respond({});
}

TEST_F(HttpServerTest, StopsWithRequestsOpenAndCanBeAnsweredAfterwards) {
  std::promise<void> arrived;
  std::shared_ptr<HttpExchange::Stream> stream;
  const uint16_t port = start([&](const HttpRequest& request, std::shared_ptr<HttpExchange> exchange) {
    if (request.path == "/stream") stream = exchange->stream(200, {});
    held_.push_back(std::move(exchange));
    if (held_.size() == 2) arrived.set_value();
  });
  RawClient first(port);
  first.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  RawClient second(port);
  second.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  arrived.get_future().get();
  server_->stop();
  server_->stop();
  EXPECT_TRUE(first.at_end());
  held_.front()->respond({});
  EXPECT_FALSE(stream->write("x"));
  server_.reset();
  loop_.stop();
  held_.clear();
}

TEST_F(HttpServerTest, ReportsWhatItCannotListenOnOrLoad) {
  const uint16_t port = start_echo();
  HttpServerOptions options;
  options.listen = "127.0.0.1:" + std::to_string(port);
  const auto in_use = HttpServer(loop_, options, {}).start();
  ASSERT_FALSE(in_use);
  EXPECT_NE(in_use.error().text.find(options.listen), std::string::npos);
  options.listen = "127.0.0.1:0";
  options.tls_cert = "/nowhere.pem";
  EXPECT_FALSE(HttpServer(loop_, options, {}).start());
  options.tls_key = "/nowhere.key";
  const auto missing = HttpServer(loop_, options, {}).start();
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().text.find("/nowhere.pem"), std::string::npos);
}

}  // namespace
}  // namespace miharu::net
