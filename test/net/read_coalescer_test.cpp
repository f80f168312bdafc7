#include "net/read_coalescer.h"

#include <atomic>
#include <future>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "net/event_loop.h"

namespace miharu::net {
namespace {

using namespace std::chrono_literals;

struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    reader = base::File(fds[0]);
    writer = base::File(fds[1]);
  }
  void write(char c = 'x') { EXPECT_EQ(::write(writer.fd(), &c, 1), 1); }
  size_t drain() {
    char buffer[4096];
    const ssize_t count = ::read(reader.fd(), buffer, sizeof buffer);
    return count > 0 ? static_cast<size_t>(count) : 0;
  }
  base::File reader;
  base::File writer;
};

class ReadCoalescerTest : public testing::Test {
 protected:
  ReadCoalescerTest() : loop_("coalesce") { loop_.start(); }
  ~ReadCoalescerTest() override { loop_.stop(); }
  EventLoop loop_;
};

TEST_F(ReadCoalescerTest, DrainsSocketsTogetherAndRests) {
  constexpr auto kInterval = 20ms;
  Pair pairs[3];
  ReadCoalescer coalescer(loop_, kInterval);
  size_t bytes = 0;
  std::vector<std::chrono::steady_clock::time_point> calls;
  std::promise<void> done;
  loop_.run_and_wait([&] {
    for (Pair& pair : pairs) {
      coalescer.add(pair.reader.fd(), [&] {
        if (&pair == &pairs[0]) calls.push_back(std::chrono::steady_clock::now());
        bytes += pair.drain();
        if (bytes == 600) done.set_value();
      });
    }
  });
  for (int i = 0; i < 200; ++i) {
    for (Pair& pair : pairs) pair.write();
    std::this_thread::sleep_for(500us);
  }
  ASSERT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
  loop_.run_and_wait([&] {
    for (Pair& pair : pairs) coalescer.remove(pair.reader.fd());
  });
  loop_.stop();  // the coalescer is the loop's: it must not go while the loop runs
  ASSERT_GE(calls.size(), 2U);
  for (size_t i = 1; i < calls.size(); ++i) EXPECT_GE(calls[i] - calls[i - 1], kInterval - 1ms);
}

TEST_F(ReadCoalescerTest, WakesAgainAfterIdleness) {
  Pair pair;
  ReadCoalescer coalescer(loop_, 1ms);
  std::atomic<int> calls{0};
  loop_.run_and_wait([&] {
    coalescer.add(pair.reader.fd(), [&] {
      pair.drain();
      ++calls;
      calls.notify_all();
    });
  });
  for (int i = 0; i < 5; ++i) {
    pair.write();
    calls.wait(i);
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(calls.load(), i + 1);  // nothing runs while there is nothing to read
  }
  loop_.run_and_wait([&] { coalescer.remove(pair.reader.fd()); });
  loop_.stop();
}

TEST_F(ReadCoalescerTest, RemovesAndAddsInsideACallback) {
  Pair first;
  Pair second;
  ReadCoalescer coalescer(loop_, 1ms);
  std::promise<void> done;
  loop_.run_and_wait([&] {
    coalescer.add(first.reader.fd(), [&] {
      coalescer.remove(first.reader.fd());
      coalescer.add(second.reader.fd(), [&] {
        coalescer.remove(second.reader.fd());
        done.set_value();
      });
      second.write();
    });
  });
  first.write();
  EXPECT_EQ(done.get_future().wait_for(10s), std::future_status::ready);
  loop_.stop();
}

TEST_F(ReadCoalescerTest, MayGoWhileItWaits) {
  Pair pair;
  auto coalescer = std::make_unique<ReadCoalescer>(loop_);
  std::atomic<int> calls{0};
  loop_.run_and_wait([&] {
    coalescer->add(pair.reader.fd(), [&] { ++calls; });
    coalescer.reset();
  });
  pair.write();
  loop_.run_and_wait([] {});
  EXPECT_EQ(calls.load(), 0);
}

}  // namespace
}  // namespace miharu::net
