// Many cameras over RTSP/TCP in one cheap process: each connection is a camera that plays a clip for ever.
//
//   rtsp_cameras CLIP [together]
//
// Prints the port that it listens on (127.0.0.1), and on SIGTERM a line of JSON. Cameras start at
// places spread over the clip's groups of pictures and between frames, as real ones do, unless `together` is
// given.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <queue>

#include <fmt/format.h>

#include "base/text.h"
#include "camera_clip.h"

namespace {

using namespace miharu;
using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr size_t kMaxBacklog = 4 << 20;
constexpr std::chrono::seconds kReportInterval{5};
constexpr std::chrono::seconds kSpread{4};
constexpr double kGoldenRatio = 0.618033988749895;

volatile sig_atomic_t stopped = 0;

struct Camera {
  struct Track {
    uint8_t channel = 0;
    bool set_up = false;
    uint16_t sequence = 0;
    uint32_t packets = 0;
    uint32_t bytes = 0;
    uint64_t next = 0;  // number of the frame, counted over all rounds of the clip
    Clock::time_point report;
  };
  int fd = -1;
  std::string request;
  base::ByteVector backlog;
  bool playing = false;
  Clock::time_point start;
  std::vector<Track> tracks;
};

class Cameras {
 public:
  Cameras(std::vector<bench::ClipTrack> clip, bool together)
      : clip_(std::move(clip)), together_(together), set_(epoll_create1(EPOLL_CLOEXEC)) {}

  uint16_t listen() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 256) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      return 0;
    watch(listener_, EPOLLIN, EPOLL_CTL_ADD);
    return ntohs(address.sin_port);
  }

  void run() {
    while (!stopped) {
      send_due();
      std::optional<timespec> wait;
      if (!due_.empty()) {
        const auto left = std::max<nanoseconds>(due_.top().at - Clock::now(), nanoseconds(0));
        wait = timespec{left.count() / 1'000'000'000, left.count() % 1'000'000'000};
      }
      epoll_event events[64];
      const int count = epoll_pwait2(set_, events, 64, wait ? &*wait : nullptr, nullptr);
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          accept_all();
          continue;
        }
        const auto camera = cameras_.find(fd);
        if (camera == cameras_.end()) continue;
        if (events[i].events & EPOLLOUT) flush(*camera->second);
        if (events[i].events & ~static_cast<uint32_t>(EPOLLOUT) && !receive(*camera->second)) drop(fd);
      }
    }
  }

  [[nodiscard]] std::string counts() const {
    return fmt::format(R"({{"frames": {}, "frames_not_sent": {}, "connections": {}}})", frames_, not_sent_,
                       accepted_);
  }

 private:
  struct Due {
    Clock::time_point at;
    int fd;
    uint64_t camera;
    size_t track;
    bool operator<(const Due& other) const { return at > other.at; }
  };

  void watch(int fd, uint32_t events, int how) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    epoll_ctl(set_, how, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int one = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      auto camera = std::make_unique<Camera>();
      camera->fd = fd;
      camera->tracks.resize(clip_.size());
      cameras_[fd] = std::move(camera);
      numbers_[fd] = accepted_++;
      watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
  }

  void drop(int fd) {
    cameras_.erase(fd);
    numbers_.erase(fd);
    ::close(fd);
  }

  bool receive(Camera& camera) {
    char buffer[4096];
    const ssize_t count = ::recv(camera.fd, buffer, sizeof buffer, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return false;
    if (count > 0) camera.request.append(buffer, static_cast<size_t>(count));
    for (;;) {
      std::string& text = camera.request;
      if (!text.empty() && text[0] == '$') {  // receiver reports
        if (text.size() < 4) return true;
        const size_t size =
            4 + (static_cast<size_t>(static_cast<uint8_t>(text[2])) << 8 | static_cast<uint8_t>(text[3]));
        if (text.size() < size) return true;
        text.erase(0, size);
        continue;
      }
      const size_t end = text.find("\r\n\r\n");
      if (end == std::string::npos) return text.size() < 16'384;
      const std::string head = text.substr(0, end + 2);
      text.erase(0, end + 4);
      if (!answer(camera, head)) return false;
    }
  }

  static std::string header(std::string_view head, std::string_view name) {
    while (!head.empty()) {
      std::string_view line = base::take_until(head, '\n');
      const std::string_view key = base::take_until(line, ':');
      if (base::equals_ignoring_case(key, name)) return std::string(base::trim(line));
    }
    return {};
  }

  bool answer(Camera& camera, std::string_view head) {
    std::string_view line = head.substr(0, head.find('\r'));
    const std::string method(base::take_until(line, ' '));
    const std::string url(base::take_until(line, ' '));
    std::string extra;
    std::string body;
    if (method == "OPTIONS") {
      extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n";
    } else if (method == "DESCRIBE") {
      body = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\n";
      for (size_t i = 0; i < clip_.size(); ++i)
        body += clip_[i].sdp + fmt::format("a=control:track{}\r\n", i);
      extra = fmt::format("Content-Base: {}/\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n", url,
                          body.size());
    } else if (method == "SETUP") {
      const auto track = base::parse_number<size_t>(std::string_view(url).substr(url.size() - 1));
      const std::string transport = header(head, "Transport");
      const size_t at = transport.find("interleaved=");
      if (!track || *track >= clip_.size() || at == std::string::npos) {
        reply(camera, "461 Unsupported Transport", head, "", "");
        return true;
      }
      const size_t from = at + 12;
      const auto channel = base::parse_number<uint8_t>(
          std::string_view(transport).substr(from, transport.find('-', from) - from));
      camera.tracks[*track].channel = channel.value_or(0);
      camera.tracks[*track].set_up = true;
      extra = fmt::format("Transport: {}\r\nSession: 1234;timeout=60\r\n", transport);
    } else if (method == "PLAY") {
      extra = "Session: 1234;timeout=60\r\nRange: npt=0.000-\r\n";
    }
    reply(camera, "200 OK", head, extra, body);
    if (method == "PLAY" && !camera.playing) play(camera);
    return method != "TEARDOWN";
  }

  void reply(Camera& camera, std::string_view status, std::string_view head, std::string_view extra,
             std::string_view body) {
    send(camera, base::as_bytes(fmt::format("RTSP/1.0 {}\r\nCSeq: {}\r\n{}\r\n{}", status,
                                            header(head, "CSeq"), extra, body)));
  }

  void play(Camera& camera) {
    camera.playing = true;
    camera.start = Clock::now();
    const uint64_t number = numbers_[camera.fd];
    if (!together_) {
      const double place = static_cast<double>(number) * kGoldenRatio;
      camera.start +=
          nanoseconds(static_cast<int64_t>((place - static_cast<double>(static_cast<int64_t>(place))) *
                                           static_cast<double>(nanoseconds(kSpread).count())));
    }
    for (size_t i = 0; i < clip_.size(); ++i) {
      if (!camera.tracks[i].set_up) continue;
      camera.tracks[i].report = camera.start;
      due_.push({camera.start, camera.fd, number, i});
    }
  }

  [[nodiscard]] int64_t ticks_of(size_t track, uint64_t frame) const {
    const bench::ClipTrack& clip = clip_[track];
    const size_t count = clip.frames.size();
    return static_cast<int64_t>(frame / count) * clip.length_ticks + clip.frames[frame % count].ticks;
  }

  void send_due() {
    const auto now = Clock::now();
    while (!due_.empty() && due_.top().at <= now) {
      const Due due = due_.top();
      due_.pop();
      const auto found = cameras_.find(due.fd);
      if (found == cameras_.end() || numbers_[due.fd] != due.camera) continue;
      Camera& camera = *found->second;
      Camera::Track& track = camera.tracks[due.track];
      const bench::ClipTrack& clip = clip_[due.track];
      if (due.at >= track.report) send_report(camera, due.track, due.at);
      send_frame(camera, track, clip.frames[track.next % clip.frames.size()],
                 ticks_of(due.track, track.next));
      ++track.next;
      const auto ticks = ticks_of(due.track, track.next);
      due_.push({camera.start + nanoseconds(ticks * 1'000'000'000 / clip.clock_rate), due.fd, due.camera,
                 due.track});
    }
  }

  void send_frame(Camera& camera, Camera::Track& track, const bench::ClipFrame& frame, int64_t ticks) {
    scratch_ = frame.bytes;
    for (const uint32_t at : frame.packets) {
      scratch_[at + 1] = std::byte{track.channel};
      scratch_[at + 6] = static_cast<std::byte>(track.sequence >> 8);
      scratch_[at + 7] = static_cast<std::byte>(track.sequence);
      base::ByteWriter(scratch_).patch_u32(at + 8, static_cast<uint64_t>(ticks));
      ++track.sequence;
    }
    track.packets += static_cast<uint32_t>(frame.packets.size());
    track.bytes += static_cast<uint32_t>(frame.bytes.size() - 16 * frame.packets.size());
    ++frames_;
    if (!send(camera, scratch_)) ++not_sent_;
  }

  // RFC 3550 section 6.4.1.
  void send_report(Camera& camera, size_t index, Clock::time_point at) {
    Camera::Track& track = camera.tracks[index];
    track.report = at + kReportInterval;
    const auto utc = std::chrono::system_clock::now().time_since_epoch() - (Clock::now() - at);
    const auto ns = static_cast<uint64_t>(std::chrono::duration_cast<nanoseconds>(utc).count());
    report_.clear();
    base::ByteWriter out(report_);
    out.u8('$');
    out.u8(track.channel + 1U);
    out.u16(28);
    out.u8(0x80);
    out.u8(200);
    out.u16(6);
    out.u32(0x6d696800 + index);
    out.u32(ns / 1'000'000'000 + 2'208'988'800U);  // NTP counts from 1900
    out.u32((ns % 1'000'000'000 << 32) / 1'000'000'000);
    out.u32(static_cast<uint64_t>(ticks_of(index, track.next)));
    out.u32(track.packets);
    out.u32(track.bytes);
    send(camera, report_);
  }

  // False: the reader is so far behind that this was thrown away.
  bool send(Camera& camera, base::ByteView bytes) {
    if (!camera.backlog.empty()) {
      if (camera.backlog.size() + bytes.size() > kMaxBacklog) return false;
      camera.backlog.insert(camera.backlog.end(), bytes.begin(), bytes.end());
      return true;
    }
    const ssize_t sent = ::send(camera.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    const size_t taken = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (taken == bytes.size()) return true;
    camera.backlog.assign(bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
    watch(camera.fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    return true;
  }

  void flush(Camera& camera) const {
    const ssize_t sent = ::send(camera.fd, camera.backlog.data(), camera.backlog.size(), MSG_NOSIGNAL);
    if (sent > 0) camera.backlog.erase(camera.backlog.begin(), camera.backlog.begin() + sent);
    if (camera.backlog.empty()) watch(camera.fd, EPOLLIN, EPOLL_CTL_MOD);
  }

  const std::vector<bench::ClipTrack> clip_;
  const bool together_;
  const int set_;
  int listener_ = -1;
  std::map<int, std::unique_ptr<Camera>> cameras_;
  std::map<int, uint64_t> numbers_;
  std::priority_queue<Due> due_;
  base::ByteVector scratch_;
  base::ByteVector report_;
  uint64_t accepted_ = 0;
  uint64_t frames_ = 0;
  uint64_t not_sent_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3 || (argc == 3 && std::string_view(argv[2]) != "together")) {
    std::fprintf(stderr, "rtsp_cameras CLIP [together]\n");
    return 2;
  }
  auto clip = bench::read_clip(argv[1]);
  if (!clip) {
    std::fprintf(stderr, "%s\n", clip.error().to_string().c_str());
    return 3;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  Cameras cameras(std::move(*clip), argc == 3);
  const uint16_t port = cameras.listen();
  if (port == 0) {
    std::perror("listen");
    return 3;
  }
  std::printf("%u\n", static_cast<unsigned>(port));
  std::fflush(stdout);
  cameras.run();
  std::printf("%s\n", cameras.counts().c_str());
  return 0;
}
