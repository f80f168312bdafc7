// The least that sending to viewers over WebRTC can cost on this machine: AES-GCM by EVP over packets of
// 1200 bytes, and sendmsg with UDP_SEGMENT to loopback sockets that another thread empties.
//
//   live_floor VIEWERS SECONDS BURST BURSTS LONE [LONE_BYTES]
//
// Again and again: BURSTS sends of BURST packets, then LONE sends of one packet of LONE_BYTES (200, as a
// packet of sound), each to all viewers before the next. The sender runs on the first core and the receiver
// on the second. Prints a line of JSON: CPU of the sending thread in nanoseconds a packet.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "base/text.h"

namespace {

using namespace miharu;

constexpr size_t kHeaderBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kPacketBytes = 1200;  // before the tag
constexpr size_t kMostBurst = 50;      // 64 KB at most in one send
constexpr int kReceiveBytes = 2 << 20;
constexpr int kSendBytes = 8 << 20;

void stay_on(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  CHECK(::pthread_setaffinity_np(::pthread_self(), sizeof cores, &cores) == 0);
}

double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

class Receivers {
 public:
  explicit Receivers(size_t count) : set_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (size_t i = 0; i < count; ++i) {
      const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      CHECK(::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0);
      CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
      if (::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes) != 0)
        ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = socket;
      ::epoll_ctl(set_, EPOLL_CTL_ADD, socket, &event);
      addresses_.push_back(address);
    }
    thread_ = std::thread([this] { run(); });
  }
  // The sockets end with the program.
  ~Receivers() {
    stopped_ = true;
    thread_.join();
  }
  Receivers(const Receivers&) = delete;
  Receivers& operator=(const Receivers&) = delete;

  [[nodiscard]] const std::vector<sockaddr_in>& addresses() const { return addresses_; }
  [[nodiscard]] uint64_t received() const { return received_; }

 private:
  void run() {
    stay_on(1);
    constexpr size_t kBatch = 64;
    static std::array<std::array<char, 2048>, kBatch> buffers;
    std::array<iovec, kBatch> vectors;
    std::array<mmsghdr, kBatch> messages{};
    for (size_t i = 0; i < kBatch; ++i) {
      vectors[i] = {buffers[i].data(), buffers[i].size()};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!stopped_) {
      std::array<epoll_event, 64> events;
      const int ready = ::epoll_wait(set_, events.data(), static_cast<int>(events.size()), 20);
      for (int i = 0; i < ready; ++i) {
        const int count = ::recvmmsg(events[static_cast<size_t>(i)].data.fd, messages.data(), kBatch,
                                     MSG_DONTWAIT, nullptr);
        if (count > 0) received_ += static_cast<uint64_t>(count);
      }
    }
  }

  const int set_;
  std::vector<sockaddr_in> addresses_;
  std::atomic<bool> stopped_{false};
  std::atomic<uint64_t> received_{0};
  std::thread thread_;
};

class Sender {
 public:
  Sender()
      : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
        cipher_(EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)),
        context_(EVP_CIPHER_CTX_new()) {
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDBUF, &kSendBytes, sizeof kSendBytes);
    const unsigned char key[16] = {1};
    CHECK(EVP_EncryptInit_ex2(context_, cipher_, key, iv_.data(), nullptr) == 1);
  }
  ~Sender() {
    EVP_CIPHER_CTX_free(context_);
    EVP_CIPHER_free(cipher_);
    ::close(socket_);
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  void send(const sockaddr_in& to, size_t packets, size_t bytes) {
    unsigned char* out = out_.data();
    for (size_t i = 0; i < packets; ++i, out += bytes + kTagBytes) encrypt(out, bytes);
    iovec vector{out_.data(), packets * (bytes + kTagBytes)};
    msghdr message{};
    message.msg_name = const_cast<sockaddr_in*>(&to);
    message.msg_namelen = sizeof to;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(uint16_t))> control{};
    if (packets > 1) {
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_UDP;
      header->cmsg_type = UDP_SEGMENT;
      header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
      const auto segment = static_cast<uint16_t>(bytes + kTagBytes);
      std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
    }
    if (::sendmsg(socket_, &message, 0) < 0) {
      std::perror("sendmsg");
      std::exit(3);
    }
    sent_ += packets;
  }
  [[nodiscard]] uint64_t sent() const { return sent_; }

 private:
  void encrypt(unsigned char* out, size_t bytes) {
    int length = 0;
    ++number_;
    std::memcpy(iv_.data() + 4, &number_, sizeof number_);
    EVP_EncryptInit_ex2(context_, nullptr, nullptr, iv_.data(), nullptr);
    std::memcpy(out, plain_.data(), kHeaderBytes);
    EVP_EncryptUpdate(context_, nullptr, &length, out, kHeaderBytes);
    EVP_EncryptUpdate(context_, out + kHeaderBytes, &length, plain_.data() + kHeaderBytes,
                      static_cast<int>(bytes - kHeaderBytes));
    EVP_EncryptFinal_ex(context_, out + bytes, &length);
    EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kTagBytes, out + bytes);
  }

  int socket_;
  EVP_CIPHER* cipher_;
  EVP_CIPHER_CTX* context_;
  std::array<unsigned char, 12> iv_{};
  uint64_t number_ = 0;
  uint64_t sent_ = 0;
  const std::array<unsigned char, kPacketBytes> plain_{};
  std::array<unsigned char, kMostBurst*(kPacketBytes + kTagBytes)> out_{};
};

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at) -> std::optional<size_t> {
    return argc > at ? base::parse_number<size_t>(argv[at]) : std::nullopt;
  };
  const auto viewers = number(1);
  const auto seconds = number(2);
  const auto burst = number(3);
  const auto bursts = number(4);
  const auto lone = number(5);
  const size_t lone_bytes = number(6).value_or(200);
  if (!viewers || !seconds || !burst || !bursts || !lone || *burst == 0 || *burst > kMostBurst ||
      *bursts + *lone == 0 || lone_bytes <= kHeaderBytes || lone_bytes > kPacketBytes) {
    std::fprintf(stderr, "live_floor VIEWERS SECONDS BURST BURSTS LONE [LONE_BYTES]\n");
    return 2;
  }
  Receivers receivers(*viewers);
  stay_on(0);
  Sender sender;
  const double wall = seconds_of(CLOCK_MONOTONIC);
  const double cpu = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  while (seconds_of(CLOCK_MONOTONIC) - wall < static_cast<double>(*seconds)) {
    for (size_t i = 0; i < *bursts; ++i) {
      for (const sockaddr_in& to : receivers.addresses()) sender.send(to, *burst, kPacketBytes);
    }
    for (size_t i = 0; i < *lone; ++i) {
      for (const sockaddr_in& to : receivers.addresses()) sender.send(to, 1, lone_bytes);
    }
  }
  const double used = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
  const double taken = seconds_of(CLOCK_MONOTONIC) - wall;
  const auto sent = static_cast<double>(sender.sent());
  fmt::print(
      R"({{"burst": {}, "bursts": {}, "lone": {}, "ns_a_packet": {:.0f}, "packets_a_second": {:.0f}, "received_percent": {:.1f}}})"
      "\n",
      *burst, *bursts, *lone, used / sent * 1e9, sent / taken,
      100 * static_cast<double>(receivers.received()) / sent);
  return 0;
}
