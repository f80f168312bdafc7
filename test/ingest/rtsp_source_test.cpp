// The source against a small camera in this process: real sockets on the loopback, ports from the kernel.
#include "ingest/rtsp/rtsp_source.h"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/file.h"
#include "base/text.h"
#include "ingest/rtsp/message.h"
#include "media/scan.h"
#include "support/data_path.h"

namespace miharu::ingest {
namespace {

using namespace std::chrono_literals;

struct Behaviour {
  bool refuse_tcp = false;
  bool refuse_udp = false;
  bool silent = false;        // plays, but sends nothing
  int close_after = 0;        // packets of the first session; 0 = never
  std::string password = {};  // Basic; empty = none asked
  int stop_media_after = 0;   // packets
  int jump_after = 0;         // packets, then the clock jumps by an hour
  // With it sound comes as well; called before each picture, on the camera's thread.
  std::function<void()> before_picture = {};
  uint32_t picture_ticks = 3000;
  uint32_t sound_ticks = 0;  // for each picture
};

// A clock that stands still between pictures: half a second each, once the one before was taken.
class PictureClock final : public base::Clock {
 public:
  base::SteadyTime steady() const override { return kBegin + pictures_.load() * kPicture; }
  base::UtcTime utc() const override { return base::UtcTime(steady().time_since_epoch()); }
  bool synchronised() const override { return true; }
  void next() {
    std::unique_lock lock(mutex_);
    // The first packets are held until their sequence is proven.
    changed_.wait(lock, [this] { return ended_ || taken_ >= pictures_ || (taken_ == 0 && pictures_ < 8); });
    ++pictures_;
  }
  void taken() {
    const std::lock_guard lock(mutex_);
    ++taken_;
    changed_.notify_all();
  }
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

 private:
  static constexpr base::milliseconds kPicture{500};
  static constexpr base::SteadyTime kBegin{base::seconds(1000)};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<int> pictures_{0};
  int taken_ = 0;
  bool ended_ = false;
};

// Of one picture, a packet each.
std::vector<std::string> picture_units() {
  std::vector<std::string> units;
  const auto stream = base::read_file(test::data_path("media/h264-blackframe.264"), 1 << 20);
  std::string_view rest = base::as_text(*stream);
  for (constexpr std::string_view kCode("\0\0\1", 3); !rest.empty();) {
    const size_t end = rest.find(kCode);
    std::string_view unit = rest.substr(0, end);
    while (!unit.empty() && unit.back() == '\0') unit.remove_suffix(1);
    if (!unit.empty()) units.emplace_back(unit);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 3);
  }
  return units;
}

// One camera, one connection at a time, one thread.
class TestCamera {
 public:
  explicit TestCamera(Behaviour behaviour) : behaviour_(std::move(behaviour)) {
    listener_ = base::File(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_.fd(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_.fd(), 8), 0);
    ::getsockname(listener_.fd(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~TestCamera() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] std::string url(const std::string& user = "") const {
    return fmt::format("rtsp://{}127.0.0.1:{}/cam", user, port_);
  }
  std::atomic<int> connections{0};
  std::atomic<int> teardowns{0};
  std::atomic<int> reports{0};

 private:
  static bool readable(int fd, int ms) {
    pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, ms) > 0;
  }

  void run() {
    while (!stop_) {
      if (!readable(listener_.fd(), 20)) continue;
      const base::File client(::accept(listener_.fd(), nullptr, nullptr));
      ++connections;
      serve(client.fd());
    }
  }

  void serve(int fd) {
    rtsp::StreamParser parser;
    bool playing = false;
    bool udp = false;
    base::File udp_socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    int packets = 0;
    uint16_t sequence = 7;
    uint32_t timestamp = 0xffff0000;
    size_t unit = 0;
    uint32_t pictures = 0;
    parser.set_known_channel(1);
    while (!stop_) {
      if (readable(fd, playing ? 2 : 20)) {
        const auto space = parser.space();
        const auto count = ::recv(fd, space.data(), space.size(), 0);
        if (count <= 0) return;
        parser.commit(static_cast<size_t>(count));
        for (;;) {
          const auto event = parser.next();
          if (event == rtsp::StreamParser::Event::kFrame) ++reports;
          if (event != rtsp::StreamParser::Event::kMessage) break;
          const rtsp::Message& request = parser.message();
          std::string reply = "RTSP/1.0 200 OK\r\n";
          std::string rest = "Session: 1;timeout=60\r\n\r\n";
          const std::string transport(request.header("Transport"));
          const bool wants_udp = transport.find("client_port") != std::string::npos;
          const std::string expected =
              "Basic " + base::to_base64(base::as_bytes("admin:" + behaviour_.password));
          if (!behaviour_.password.empty() && request.header("Authorization") != expected) {
            reply = "RTSP/1.0 401 Unauthorized\r\n";
            rest = "WWW-Authenticate: Basic realm=\"cam\"\r\n\r\n";
          } else if (request.method == "DESCRIBE") {
            std::string sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\n";
            if (behaviour_.sound_ticks != 0) sdp += "m=audio 0 RTP/AVP 0\r\na=control:a\r\n";
            rest =
                fmt::format("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}", sdp.size(), sdp);
          } else if (request.method == "SETUP" &&
                     (wants_udp ? behaviour_.refuse_udp : behaviour_.refuse_tcp)) {
            reply = "RTSP/1.0 461 Unsupported Transport\r\n";
          } else if (request.method == "SETUP") {
            rest = "Transport: " + transport + (wants_udp ? ";server_port=0-0" : "") + "\r\n" + rest;
            udp = wants_udp;
            if (udp) {
              to.sin_family = AF_INET;
              to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
              to.sin_port = htons(
                  static_cast<uint16_t>(std::stoi(transport.substr(transport.find("client_port=") + 12))));
            }
          } else if (request.method == "PLAY") {
            playing = true;
            ++sessions_;
          } else if (request.method == "TEARDOWN") {
            ++teardowns;
          }
          reply += fmt::format("CSeq: {}\r\n{}", request.header("CSeq"), rest);
          ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
        }
      }
      if (!playing || behaviour_.silent) continue;
      if (behaviour_.stop_media_after && packets >= behaviour_.stop_media_after) continue;
      if (behaviour_.close_after && sessions_ == 1 && packets >= behaviour_.close_after) return;
      if (behaviour_.jump_after && packets == behaviour_.jump_after) timestamp += 90'000U * 3600U;
      ++packets;
      if (unit == 0 && behaviour_.before_picture) behaviour_.before_picture();
      const bool last = unit + 1 == units_.size();
      base::ByteVector packet;
      base::ByteWriter out(packet);
      if (!udp) {
        out.u8('$');
        out.u8(0);
        out.u16(12 + units_[unit].size());
      }
      out.u8(0x80);
      out.u8(last ? 0xe0 : 0x60);
      out.u16(sequence++);
      out.u32(timestamp);
      out.u32(0x1234);
      out.text(units_[unit]);
      if (last && behaviour_.sound_ticks != 0) {
        constexpr size_t kBytes = 100;
        out.u8('$');
        out.u8(2);
        out.u16(12 + kBytes);
        out.u8(0x80);
        out.u8(0);
        out.u16(static_cast<uint16_t>(pictures));
        out.u32(pictures++ * behaviour_.sound_ticks);
        out.u32(0x4321);
        packet.resize(packet.size() + kBytes);
      }
      unit = last ? 0 : unit + 1;
      if (last) timestamp += behaviour_.picture_ticks;
      if (udp) {
        ::sendto(udp_socket.fd(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to),
                 sizeof to);
      } else if (::send(fd, packet.data(), packet.size(), MSG_NOSIGNAL) < 0) {
        return;
      }
    }
  }

  Behaviour behaviour_;
  base::File listener_;
  uint16_t port_ = 0;
  int sessions_ = 0;
  std::vector<std::string> units_ = picture_units();
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class Viewer : public SourceListener {
 public:
  explicit Viewer(RtspOptions options, const base::Clock& clock = base::system_clock(),
                  std::function<void()> on_picture = {})
      : on_picture_(std::move(on_picture)), loop_("rtsp-test"), coalescer_(loop_) {
    options.timing.back_off = {50ms};
    options_ = std::move(options);
    loop_.start();
    loop_.run_and_wait([&] {
      source_ = make_rtsp_source(loop_, coalescer_, clock, options_, *this);
      source_->start();
    });
  }
  ~Viewer() override {
    loop_.run_and_wait([&] {
      source_->stop();
      source_.reset();
    });
  }
  void stop() {
    loop_.run_and_wait([&] { source_->stop(); });
  }
  SourceStatus status() {
    SourceStatus out;
    loop_.run_and_wait([&] { out = source_->status(); });
    return out;
  }
  // Until the condition holds, at most 20 s.
  bool wait(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, condition);
  }

  void on_tracks(bool video, bool audio) override {
    const std::lock_guard lock(mutex_);
    tracks += fmt::format("{}{};", video ? "video" : "", audio ? "audio" : "");
    changed_.notify_all();
  }
  void on_frame(media::FramePtr frame) override {
    const std::lock_guard lock(mutex_);
    if (!frame->is_video()) {
      ++sounds;
      return;
    }
    ++frames;
    if (on_picture_) on_picture_();
    if (frame->damaged) ++damaged;
    if (last_dts && frame->dts <= *last_dts) in_order = false;
    last_dts = frame->dts;
    width = frame->config->width;
    changed_.notify_all();
  }
  void on_sender_report(const SenderReport&) override {}
  void on_interrupted(Interruption reason, const base::Error& error) override {
    const std::lock_guard lock(mutex_);
    last_dts.reset();
    ++(reason == Interruption::kClockJump ? jumps : losses);
    text = error.text;
    changed_.notify_all();
  }

  std::string tracks;
  std::string text;
  int frames = 0;  // pictures
  int sounds = 0;
  int damaged = 0;
  int losses = 0;
  int jumps = 0;
  uint32_t width = 0;
  bool in_order = true;
  std::optional<int64_t> last_dts;

 private:
  std::function<void()> on_picture_;
  std::mutex mutex_;
  std::condition_variable changed_;
  net::EventLoop loop_;
  net::ReadCoalescer coalescer_;
  RtspOptions options_;
  std::unique_ptr<RtspSource> source_;
};

RtspOptions options_for(const TestCamera& camera, RtspTransport transport = RtspTransport::kAuto,
                        const std::string& user = "") {
  RtspOptions options;
  options.url = camera.url(user);
  options.transport = transport;
  return options;
}

TEST(RtspSource, WhatHasArrivedIsHandedOnWhenItIsStopped) {
  for (const auto transport : {RtspTransport::kTcp, RtspTransport::kUdp}) {
    const auto packets = static_cast<int>(picture_units().size());
    Behaviour behaviour;
    behaviour.stop_media_after = packets;
    TestCamera camera(behaviour);
    Viewer viewer(options_for(camera, transport));
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (viewer.status().packets < static_cast<uint64_t>(packets)) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
    EXPECT_EQ(viewer.frames, 0) << "no other packet has told that the picture is whole";
    viewer.stop();
    EXPECT_EQ(viewer.frames, 1);
    EXPECT_EQ(viewer.losses, 0);
  }
}

TEST(RtspSource, PlaysOverEachTransport) {
  for (const auto transport : {RtspTransport::kTcp, RtspTransport::kUdp}) {
    TestCamera camera({});
    auto options = options_for(camera, transport);
    options.timing.receiver_report = 50ms;
    {
      Viewer viewer(options);
      EXPECT_TRUE(viewer.wait([&] { return viewer.frames >= 60; }));
      const auto status = viewer.status();
      EXPECT_EQ(status.transport, transport == RtspTransport::kUdp ? "udp" : "tcp");
      EXPECT_EQ(status.state, SourceStatus::State::kPlaying);
      EXPECT_EQ(status.packets_lost, 0U);
      EXPECT_EQ(viewer.tracks, "video;");
      EXPECT_EQ(viewer.width, 640U);
      EXPECT_EQ(viewer.damaged, 0);
      EXPECT_TRUE(viewer.in_order);
    }
    if (transport == RtspTransport::kTcp) {
      EXPECT_GT(camera.reports.load(), 0);
    }
    for (int i = 0; i < 2000 && camera.teardowns == 0; ++i) std::this_thread::sleep_for(1ms);
    EXPECT_EQ(camera.teardowns.load(), 1);
  }
}

TEST(RtspSource, AutoFallsBackToUdpAndRemembers) {
  TestCamera camera({.refuse_tcp = true, .close_after = 20});
  Viewer viewer(options_for(camera));
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses == 1; }));
  EXPECT_TRUE(viewer.wait([&] { return viewer.frames >= 30; }));
  EXPECT_EQ(viewer.status().transport, "udp");
  EXPECT_EQ(camera.connections.load(), 3);  // refused, played and closed, played
}

TEST(RtspSource, TriesBothTransportsWhenNothingArrives) {
  TestCamera camera({.silent = true});
  auto options = options_for(camera);
  options.timing.first_datagram = 50ms;
  options.timing.no_video = 100ms;
  Viewer viewer(options);
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses >= 1; }));  // TCP, then UDP, then an error
  EXPECT_GE(camera.connections.load(), 2);
  EXPECT_NE(viewer.text.find("UDP"), std::string::npos) << viewer.text;
}

TEST(RtspSource, RefusedTransportIsNamed) {
  TestCamera camera({.refuse_tcp = true});
  Viewer viewer(options_for(camera, RtspTransport::kTcp));
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses >= 1; }));
  EXPECT_NE(viewer.text.find("refuses media over TCP (461"), std::string::npos) << viewer.text;
}

TEST(RtspSource, Password) {
  TestCamera camera({.password = "p@ss"});
  Viewer viewer(options_for(camera, RtspTransport::kTcp, "admin:p%40ss@"));
  EXPECT_TRUE(viewer.wait([&] { return viewer.frames >= 5; }));
  EXPECT_GE(viewer.status().oddities["A1"], 1U);
}

TEST(RtspSource, WrongPasswordIsNotTriedAgainAndAgain) {
  TestCamera camera({.password = "right"});
  Viewer viewer(options_for(camera, RtspTransport::kTcp, "admin:wrong@"));
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses == 2; }));
  EXPECT_NE(viewer.text.find("refused the password"), std::string::npos);
  EXPECT_EQ(viewer.text.find("wrong"), std::string::npos);
  std::this_thread::sleep_for(300ms);  // six times the back-off of this test
  EXPECT_EQ(camera.connections.load(), 2);
}

TEST(RtspSource, WatchdogReconnects) {
  TestCamera camera({.stop_media_after = 12});
  auto options = options_for(camera, RtspTransport::kTcp);
  options.timing.no_video = 200ms;
  Viewer viewer(options);
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses >= 2; }));
  EXPECT_NE(viewer.text.find("no video"), std::string::npos) << viewer.text;
  EXPECT_GE(viewer.status().oddities["T6"], 2U);
}

TEST(RtspSource, ClockJump) {
  TestCamera camera({.jump_after = 30});
  Viewer viewer(options_for(camera, RtspTransport::kTcp));
  EXPECT_TRUE(viewer.wait([&] { return viewer.jumps == 1; }));
  const int before = viewer.frames;
  EXPECT_TRUE(viewer.wait([&] { return viewer.frames >= before + 20; }));
  EXPECT_EQ(viewer.losses, 0);
  EXPECT_TRUE(viewer.in_order);
}

// Quirk P5: sound whose clock alone is wrong is left out after two windows of half a minute.
TEST(RtspSource, SoundOnAWrongClockIsLeftOut) {
  constexpr uint32_t kRight = 45'000;  // for half a second
  constexpr uint32_t kRightOfSound = 4000;
  const struct {
    uint32_t picture_ticks;
    uint32_t sound_ticks;
    bool left_out;
  } cases[] = {{kRight, kRightOfSound, false},
               {kRight, kRightOfSound / 2, true},
               {kRight, kRightOfSound * 104 / 100, false},  // told, but usable
               {kRight / 2, kRightOfSound / 2, false}};     // not the sound's alone
  for (const auto& each : cases) {
    SCOPED_TRACE(fmt::format("{} and {} ticks", each.picture_ticks, each.sound_ticks));
    PictureClock clock;
    TestCamera camera({.before_picture = [&clock] { clock.next(); },
                       .picture_ticks = each.picture_ticks,
                       .sound_ticks = each.sound_ticks});
    {
      Viewer viewer(options_for(camera, RtspTransport::kTcp), clock, [&clock] { clock.taken(); });
      int early = 0;
      int late = 0;
      int last = 0;
      EXPECT_TRUE(viewer.wait([&] {
        if (viewer.frames <= 120) early = viewer.sounds;
        if (viewer.frames <= 150) late = viewer.sounds;
        last = viewer.sounds;
        return viewer.frames >= 180;
      }));
      EXPECT_GE(early, 100);
      EXPECT_EQ(last <= late + 1, each.left_out) << last << " against " << late;
      clock.end();
    }
  }
}

TEST(RtspSource, NobodyThere) {
  const base::File socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(socket.fd(), reinterpret_cast<sockaddr*>(&address), size),
            0);  // bound, but it does not listen
  ::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &size);
  RtspOptions options;
  options.url = fmt::format("rtsp://admin:secret@127.0.0.1:{}/x", ntohs(address.sin_port));
  Viewer viewer(options);
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses >= 2; }));
  EXPECT_NE(viewer.text.find("127.0.0.1"), std::string::npos);
  EXPECT_EQ(viewer.text.find("secret"), std::string::npos);
}

TEST(RtspSource, WrongUrl) {
  RtspOptions options;
  options.url = "http://camera/";
  Viewer viewer(options);
  EXPECT_TRUE(viewer.wait([&] { return viewer.losses == 1; }));
  EXPECT_NE(viewer.text.find("rtsp://"), std::string::npos);
}

}  // namespace
}  // namespace miharu::ingest
