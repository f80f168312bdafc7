// Over the loopback of this machine: the kernel's own cutting of segments, and its addresses.
#include "net/udp_port.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <future>

#include <gtest/gtest.h>
#include <boost/asio/ip/v6_only.hpp>

namespace miharu::net {
namespace {

using boost::asio::ip::make_address;
using boost::asio::ip::udp;

struct Arrived {
  UdpPath path;
  base::ByteVector bytes;
};

base::ByteVector pattern(size_t bytes) {
  base::ByteVector out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(i * 7 + i / 251);
  return out;
}

class UdpPortTest : public testing::Test {
 protected:
  void open(UdpPort::Reach reach, uint16_t port = 0) {
    auto opened =
        UdpPort::open(loop, reach, port, [this](const UdpPath& path, std::span<std::byte> datagram) {
          arrived.push_back({path, base::ByteVector(datagram.begin(), datagram.end())});
          if (on_arrival) on_arrival();
        });
    ASSERT_TRUE(opened) << opened.error().to_string();
    mine = std::move(*opened);
    mine->start();
  }
  // Runs the loop until so many datagrams came; a test that waits in vain is ended by its own time limit.
  void wait_for(size_t count) {
    loop.context().restart();
    while (arrived.size() < count) loop.context().run_one();
  }
  udp::socket peer_of(const char* address) {
    return udp::socket(peers, udp::endpoint(make_address(address), 0));
  }
  static base::ByteVector receive(udp::socket& peer, udp::endpoint* from = nullptr) {
    base::ByteVector buffer(70000);
    udp::endpoint source;
    buffer.resize(peer.receive_from(boost::asio::buffer(buffer), source));
    if (from) *from = source;
    return buffer;
  }

  boost::asio::io_context peers;
  EventLoop loop{"udp"};
  std::unique_ptr<UdpPort> mine;
  std::vector<Arrived> arrived;
  std::function<void()> on_arrival;
};

TEST_F(UdpPortTest, TheKernelChoosesAPort) {
  open(UdpPort::Reach::kLoopback);
  EXPECT_NE(mine->port(), 0);
  EXPECT_FALSE(mine->has_ipv6());
}

TEST_F(UdpPortTest, TellsWhereADatagramCameFromAndToWhichAddress) {
  open(UdpPort::Reach::kAll);
  // All of 127/8 is this machine.
  struct Case {
    const char* from;
    const char* to;
  };
  std::vector<Case> cases = {{"127.0.0.1", "127.0.0.1"}, {"127.0.0.2", "127.0.0.3"}};
  if (mine->has_ipv6()) cases.push_back({"::1", "::1"});
  for (const Case& each : cases) {
    arrived.clear();
    udp::socket peer = peer_of(each.from);
    const base::ByteVector sent = pattern(100);
    peer.send_to(boost::asio::buffer(sent), {make_address(each.to), mine->port()});
    wait_for(1);
    EXPECT_EQ(arrived[0].bytes, sent);
    EXPECT_EQ(arrived[0].path.remote, peer.local_endpoint());
    EXPECT_EQ(arrived[0].path.local, make_address(each.to));
    // The answer leaves from the address that was asked.
    ASSERT_TRUE(mine->send(arrived[0].path, sent));
    udp::endpoint source;
    EXPECT_EQ(receive(peer, &source), sent);
    EXPECT_EQ(source, udp::endpoint(make_address(each.to), mine->port()));
  }
  EXPECT_EQ(mine->counters().received, 1U + (cases.size() - 1));
  EXPECT_EQ(mine->counters().sent, cases.size());
}

TEST_F(UdpPortTest, LoopbackAloneIsNotReachedByAnotherAddress) {
  open(UdpPort::Reach::kLoopback);
  udp::socket peer = peer_of("127.0.0.1");
  const base::ByteVector sent = pattern(50);
  peer.send_to(boost::asio::buffer(sent), {make_address("127.0.0.2"), mine->port()});
  peer.send_to(boost::asio::buffer(sent), {make_address("127.0.0.1"), mine->port()});
  wait_for(1);
  loop.context().poll();
  ASSERT_EQ(arrived.size(), 1U);
  EXPECT_EQ(arrived[0].path.local, make_address("127.0.0.1"));
  EXPECT_FALSE(mine->send({{make_address("::1"), 9}, make_address("::1")}, sent));
}

TEST_F(UdpPortTest, SegmentsArriveAsDatagrams) {
  for (const bool six : {false, true}) {
    open(UdpPort::Reach::kAll);
    if (six && !mine->has_ipv6()) GTEST_SKIP() << "no IPv6 in this kernel";
    udp::socket peer = peer_of(six ? "::1" : "127.0.0.1");
    peer.set_option(boost::asio::socket_base::receive_buffer_size(1 << 20));
    const UdpPath path{peer.local_endpoint(), make_address(six ? "::1" : "127.0.0.1")};
    struct Case {
      size_t bytes;
      size_t segment;
    };
    uint64_t expected = 0;
    for (const Case& each : {Case{1000, 1000}, Case{3000, 1000}, Case{3001, 1000}, Case{3999, 1000},
                             Case{64 * 1000, 1000}, Case{54 * 1200, 1200}, Case{64, 1}}) {
      const base::ByteVector bytes = pattern(each.bytes);
      ASSERT_TRUE(mine->send_segments(path, bytes, each.segment));
      for (size_t at = 0; at < bytes.size(); at += each.segment) {
        const base::ByteView wanted =
            base::ByteView(bytes).subspan(at, std::min(each.segment, bytes.size() - at));
        const base::ByteVector got = receive(peer);
        ASSERT_EQ(base::to_hex(got), base::to_hex(wanted))
            << each.bytes << "/" << each.segment << " at " << at;
        ++expected;
      }
    }
    EXPECT_EQ(mine->counters().sent, expected);
    EXPECT_EQ(mine->counters().not_sent, 0U);
  }
}

// More than the kernel cuts in one call: it says EINVAL, and the segments go one by one.
TEST_F(UdpPortTest, WhatTheKernelDoesNotCutGoesOneByOne) {
  open(UdpPort::Reach::kAll);
  udp::socket peer = peer_of("127.0.0.1");
  peer.set_option(boost::asio::socket_base::receive_buffer_size(1 << 20));
  const UdpPath path{peer.local_endpoint(), make_address("127.0.0.1")};
  const base::ByteVector many = pattern(200 * 100 + 50);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(mine->send_segments(path, many, 100));
    for (size_t i = 0; i < 201; ++i) ASSERT_EQ(receive(peer).size(), i < 200 ? 100U : 50U);
  }
  EXPECT_EQ(mine->counters().sent, 402U);
}

TEST_F(UdpPortTest, WhatHasNoWayIsCountedAndDoesNotHarmOthers) {
  open(UdpPort::Reach::kAll);
  udp::socket peer = peer_of("127.0.0.1");
  const base::ByteVector bytes = pattern(3000);
  // From an address that this machine does not have.
  const UdpPath nowhere{peer.local_endpoint(), make_address("192.0.2.77")};
  EXPECT_FALSE(mine->send_segments(nowhere, bytes, 1000));
  EXPECT_EQ(mine->counters().not_sent, 3U);
  EXPECT_EQ(mine->counters().sent, 0U);
  ASSERT_TRUE(mine->send_segments({peer.local_endpoint(), make_address("127.0.0.1")}, bytes, 1000));
  EXPECT_EQ(mine->counters().sent, 3U);
}

TEST_F(UdpPortTest, APortThatSomebodyHasIsNotFree) {
  open(UdpPort::Reach::kLoopback);
  EXPECT_FALSE(UdpPort::is_free(UdpPort::Reach::kLoopback, mine->port()));
  EXPECT_FALSE(UdpPort::is_free(UdpPort::Reach::kAll, mine->port()));
  const uint16_t port = mine->port();
  mine.reset();
  EXPECT_TRUE(UdpPort::is_free(UdpPort::Reach::kLoopback, port));
  // Another program's, which does not share it.
  udp::socket other = peer_of("127.0.0.1");
  EXPECT_FALSE(UdpPort::is_free(UdpPort::Reach::kLoopback, other.local_endpoint().port()));
  const auto refused = UdpPort::open(loop, UdpPort::Reach::kLoopback, other.local_endpoint().port(),
                                     [](const UdpPath&, std::span<std::byte>) {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().text.find(std::to_string(other.local_endpoint().port())), std::string::npos);
}

TEST_F(UdpPortTest, ThreadsShareAPort) {
  open(UdpPort::Reach::kLoopback);
  EventLoop other_loop("other");
  size_t others = 0;
  auto other = UdpPort::open(other_loop, UdpPort::Reach::kLoopback, mine->port(),
                             [&](const UdpPath&, std::span<std::byte>) { ++others; });
  ASSERT_TRUE(other) << other.error().to_string();
  EXPECT_EQ((*other)->port(), mine->port());
  (*other)->start();
  // The kernel spreads peers over both; of 64 none has ever been seen to leave one out (2^-63).
  std::vector<udp::socket> sockets;
  for (int i = 0; i < 64; ++i) {
    sockets.push_back(peer_of("127.0.0.1"));
    sockets.back().send_to(boost::asio::buffer("x", 1), {make_address("127.0.0.1"), mine->port()});
  }
  while (arrived.size() + others < 64) {
    loop.context().poll_one();
    other_loop.context().poll_one();
  }
  EXPECT_GT(arrived.size(), 0U);
  EXPECT_GT(others, 0U);
}

TEST_F(UdpPortTest, AnOversizeDatagramIsDropped) {
  open(UdpPort::Reach::kLoopback);
  udp::socket peer = peer_of("127.0.0.1");
  const udp::endpoint to(make_address("127.0.0.1"), mine->port());
  for (const size_t bytes : {size_t{2049}, size_t{60000}, size_t{2048}})
    peer.send_to(boost::asio::buffer(pattern(bytes)), to);
  wait_for(1);
  EXPECT_EQ(arrived[0].bytes, pattern(2048));
}

TEST_F(UdpPortTest, MayBeDestroyedByItsHandler) {
  open(UdpPort::Reach::kLoopback);
  udp::socket peer = peer_of("127.0.0.1");
  for (int i = 0; i < 40; ++i)
    peer.send_to(boost::asio::buffer("x", 1), {make_address("127.0.0.1"), mine->port()});
  on_arrival = [this] { mine.reset(); };
  wait_for(1);
  loop.context().poll();
  EXPECT_EQ(arrived.size(), 1U);
}

TEST_F(UdpPortTest, NothingIsReadBeforeTheStart) {
  auto opened = UdpPort::open(loop, UdpPort::Reach::kLoopback, 0,
                              [this](const UdpPath& path, std::span<std::byte> datagram) {
                                arrived.push_back({path, base::ByteVector(datagram.begin(), datagram.end())});
                              });
  ASSERT_TRUE(opened);
  udp::socket peer = peer_of("127.0.0.1");
  peer.send_to(boost::asio::buffer("x", 1), {make_address("127.0.0.1"), (*opened)->port()});
  loop.context().poll();
  EXPECT_TRUE(arrived.empty());
  (*opened)->start();
  wait_for(1);
  EXPECT_EQ(arrived.size(), 1U);
}

}  // namespace
}  // namespace miharu::net
