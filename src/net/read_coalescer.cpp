#include "net/read_coalescer.h"

#include <array>
#include <cerrno>
#include <unordered_map>

#include <sys/epoll.h>
#include <unistd.h>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/check.h"
#include "base/thread_check.h"

namespace miharu::net {

// Rounds without anything to read before the loop watches again. A round costs two system calls, going back
// to the watch and waking from it eight: a camera of 25 pictures a second is read in rounds all the time.
constexpr int kIdleRounds = 4;

// The sockets are watched by an epoll set of our own, and the loop watches that set. While it rests the set
// is taken out of the loop altogether: merely not waiting for it would still wake the loop for every packet.
class ReadCoalescer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(EventLoop& loop, std::chrono::milliseconds interval)
      : loop_(loop), interval_(interval), watched_(loop.context()), set_(epoll_create1(EPOLL_CLOEXEC)) {
    CHECK(set_ >= 0);
  }
  ~Impl() {
    if (watched_.is_open()) watched_.release();
    ::close(set_);
  }

  void add(int fd, std::function<void()> readable) {
    CHECK(thread_.is_current());
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    CHECK(epoll_ctl(set_, EPOLL_CTL_ADD, fd, &event) == 0);
    readers_[fd] = std::make_shared<std::function<void()>>(std::move(readable));
    if (!watched_.is_open() && !resting_) watch();
  }

  void remove(int fd) {
    CHECK(thread_.is_current());
    if (readers_.erase(fd) == 0) return;
    epoll_ctl(set_, EPOLL_CTL_DEL, fd, nullptr);
  }

  void set_interval(std::chrono::milliseconds interval) {
    CHECK(thread_.is_current());
    interval_ = interval;
  }

  void stop() {
    stopped_ = true;
    readers_.clear();
    if (watched_.is_open()) watched_.release();
  }

 private:
  void watch() {
    watched_.assign(set_);
    watched_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                        [self = shared_from_this()](const boost::system::error_code& error) {
                          if (error || self->stopped_) return;
                          self->watched_.release();
                          self->drain();
                        });
  }

  void drain() {
    resting_ = true;  // a callback that adds a socket must not start a second watch
    std::array<epoll_event, 256> events;
    int count = 0;
    do {
      count = epoll_wait(set_, events.data(), static_cast<int>(events.size()), 0);
    } while (count < 0 && errno == EINTR);
    for (int i = 0; i < count && !stopped_; ++i) {
      const auto reader = readers_.find(events[static_cast<size_t>(i)].data.fd);
      if (reader == readers_.end()) continue;  // removed by a callback before
      const auto keep = reader->second;        // lives on if it removes itself
      (*keep)();
    }
    if (stopped_) return;
    idle_rounds_ = count > 0 ? 0 : idle_rounds_ + 1;
    if (idle_rounds_ > kIdleRounds || readers_.empty()) {
      resting_ = false;
      idle_rounds_ = 0;
      if (!readers_.empty()) watch();
      return;
    }
    loop_.set_tick(std::chrono::steady_clock::now() + interval_, [self = weak_from_this()] {
      if (const auto mine = self.lock(); mine && !mine->stopped_) mine->drain();
    });
  }

  EventLoop& loop_;
  std::chrono::milliseconds interval_;
  boost::asio::posix::stream_descriptor watched_;  // is set_ while the loop watches it
  const int set_;
  bool resting_ = false;
  int idle_rounds_ = 0;
  bool stopped_ = false;
  std::unordered_map<int, std::shared_ptr<std::function<void()>>> readers_;
  base::ThreadCheck thread_;
};

ReadCoalescer::ReadCoalescer(EventLoop& loop, std::chrono::milliseconds interval)
    : impl_(std::make_shared<Impl>(loop, interval)) {}

ReadCoalescer::~ReadCoalescer() {
  impl_->stop();
}

void ReadCoalescer::add(int fd, std::function<void()> readable) {
  impl_->add(fd, std::move(readable));
}
void ReadCoalescer::remove(int fd) {
  impl_->remove(fd);
}
void ReadCoalescer::set_interval(std::chrono::milliseconds interval) {
  impl_->set_interval(interval);
}

}  // namespace miharu::net
