#include "net/send_gate.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include <gtest/gtest.h>

#include "net/http_client.h"

namespace miharu::net {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// A server's end of one connection, read and written as a test says; it waits 10 s at most.
class Sink {
 public:
  Sink() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    // A body must not fit into it.
    const int buffer = 64 << 10;
    ::setsockopt(listener_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  ~Sink() {
    if (fd_ >= 0) ::close(fd_);
    ::close(listener_);
  }
  [[nodiscard]] Origin origin() const { return {false, "127.0.0.1", port_}; }
  void accept() {
    fd_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  }
  void head() {
    std::string text;
    char byte = 0;
    while (!text.ends_with("\r\n\r\n") && ::recv(fd_, &byte, 1, 0) == 1) text += byte;
    EXPECT_TRUE(text.ends_with("\r\n\r\n"));
  }
  std::string bytes(size_t count) {
    std::string text(count, '\0');
    const ssize_t got = ::recv(fd_, text.data(), count, MSG_WAITALL);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  // That came and were not read.
  [[nodiscard]] int waiting() const {
    int count = 0;
    ::ioctl(fd_, FIONREAD, &count);
    return count;
  }
  void say(std::string_view text) { EXPECT_GT(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), 0); }

 private:
  int listener_;
  int fd_ = -1;
  uint16_t port_ = 0;
};

class SendGateTest : public testing::Test {
 protected:
  struct Request {
    std::unique_ptr<HttpClient> client;
    std::promise<base::Result<HttpReply>> promise;
  };
  SendGateTest() { loop_.start(); }
  ~SendGateTest() override {
    loop_.run_and_wait([this] { requests_.clear(); });
  }
  std::future<base::Result<HttpReply>> put(
      const Sink& sink, std::string body, std::chrono::milliseconds longest_hold = std::chrono::seconds(60)) {
    std::future<base::Result<HttpReply>> future;
    loop_.run_and_wait([&] {
      HttpClientOptions options;
      options.gate = &gate_;
      options.longest_hold = longest_hold;
      auto request = std::make_unique<Request>();
      future = request->promise.get_future();
      request->client = std::make_unique<HttpClient>(loop_, sink.origin(), options);
      HttpClientRequest message;
      message.method = "PUT";
      message.body = std::move(body);
      request->client->send(std::move(message), [mine = request.get()](base::Result<HttpReply> reply) {
        mine->promise.set_value(std::move(reply));
      });
      requests_.push_back(std::move(request));
    });
    return future;
  }
  void wait_for(size_t waiting) {
    for (bool held = false; !held;) loop_.run_and_wait([&] { held = gate_.waiting() == waiting; });
  }
  void set_open(bool open) {
    loop_.run_and_wait([&] { gate_.set_open(open); });
  }

  EventLoop loop_{"test-client"};
  SendGate gate_;
  std::vector<std::unique_ptr<Request>> requests_;
};

TEST_F(SendGateTest, PiecesOfABodyWait) {
  const std::string body(3 << 20, 'b');
  gate_.set_open(false);
  Sink sink;
  auto reply = put(sink, body);
  sink.accept();
  sink.head();
  wait_for(1);
  EXPECT_EQ(sink.waiting(), 0);
  set_open(true);
  EXPECT_EQ(sink.bytes(100'000).size(), 100'000U);
  // In mid-body: what the kernels have comes, and no more.
  set_open(false);
  size_t got = 100'000;
  for (bool held = false; !held || sink.waiting() > 0;) {
    if (sink.waiting() > 0) got += sink.bytes(static_cast<size_t>(sink.waiting())).size();
    loop_.run_and_wait([&] { held = gate_.waiting() == 1; });
  }
  EXPECT_LT(got, body.size());
  set_open(true);
  EXPECT_EQ(sink.bytes(body.size() - got).size(), body.size() - got);
  sink.say(kOk);
  EXPECT_EQ(reply.get()->status, 200U);
}

TEST_F(SendGateTest, WhileNarrowOneBodyAtATime) {
  const std::string body(1 << 20, 'b');
  gate_.set_narrow(true);
  Sink first;
  Sink second;
  auto one = put(first, body);
  first.accept();
  first.head();
  EXPECT_EQ(first.bytes(1000).size(), 1000U);
  auto two = put(second, body);
  second.accept();
  second.head();
  wait_for(1);
  EXPECT_EQ(second.waiting(), 0);
  EXPECT_EQ(first.bytes(body.size() - 1000).size(), body.size() - 1000);
  // The turn ends with the answer.
  EXPECT_EQ(second.waiting(), 0);
  first.say(kOk);
  EXPECT_EQ(one.get()->status, 200U);
  EXPECT_EQ(second.bytes(body.size()).size(), body.size());
  second.say(kOk);
  EXPECT_EQ(two.get()->status, 200U);
}

TEST_F(SendGateTest, AWideGateEndsTheTurns) {
  const std::string body(1 << 20, 'b');
  gate_.set_narrow(true);
  Sink first;
  Sink second;
  auto one = put(first, body);
  first.accept();
  first.head();
  auto two = put(second, body);
  second.accept();
  second.head();
  wait_for(1);
  loop_.run_and_wait([&] { gate_.set_narrow(false); });
  EXPECT_EQ(second.bytes(body.size()).size(), body.size());
  second.say(kOk);
  EXPECT_EQ(two.get()->status, 200U);
}

// A client that goes leaves its turn to the next one.
TEST_F(SendGateTest, WhoGoesHasNoTurn) {
  const std::string body(1 << 20, 'b');
  gate_.set_narrow(true);
  Sink first;
  Sink second;
  auto one = put(first, body);
  first.accept();
  first.head();
  EXPECT_EQ(first.bytes(1000).size(), 1000U);
  auto two = put(second, body);
  second.accept();
  second.head();
  wait_for(1);
  loop_.run_and_wait([&] { requests_.erase(requests_.begin()); });
  EXPECT_EQ(second.bytes(body.size()).size(), body.size());
  second.say(kOk);
  EXPECT_EQ(two.get()->status, 200U);
}

TEST_F(SendGateTest, WhatIsHeldUpForLongSendsALittle) {
  const std::string body(20'000, 'b');
  gate_.set_open(false);
  Sink sink;
  auto reply = put(sink, body, std::chrono::milliseconds(20));
  sink.accept();
  sink.head();
  EXPECT_TRUE(sink.bytes(body.size()) == body);
  sink.say(kOk);
  EXPECT_EQ(reply.get()->status, 200U);
}

TEST_F(SendGateTest, WhatIsHeldUpMayBeAnswered) {
  gate_.set_open(false);
  Sink sink;
  auto reply = put(sink, std::string(1 << 20, 'b'));
  sink.accept();
  sink.head();
  sink.say("HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(reply.get()->status, 503U);
  set_open(true);
}

TEST(Pacer, APartCountsForTheWhole) {
  using namespace std::chrono_literals;
  Pacer whole(8'000);
  Pacer part(4'000, &whole);
  const Pacer::Time start = Pacer::Time(std::chrono::hours(1));
  EXPECT_EQ(part.reserve(start, 100), start);
  EXPECT_EQ(whole.reserve(start, 100), start + 50ms);
  EXPECT_EQ(part.reserve(start, 100), start + 150ms);  // its own: 200 less the burst
  EXPECT_EQ(whole.reserve(start, 100), start + 250ms);
  Pacer open(0, &whole);
  EXPECT_EQ(open.reserve(start, 100), start + 350ms);
  EXPECT_EQ(open.piece_bytes(), whole.piece_bytes());
}

}  // namespace
}  // namespace miharu::net
