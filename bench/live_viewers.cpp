// Many viewers of one camera over WebRTC.
//
//   live_viewers http://127.0.0.1:PORT/whep/CAMERA VIEWERS RAMP_SECONDS SECONDS [--check K]
//
// Viewers come one after another during the ramp. When all have a key frame (or have failed, or 15 s after
// the ramp) and 5 s more have passed, it prints "steady"; after SECONDS from there "end" and a line of JSON.
// Counts are of these SECONDS, except those whose names say otherwise. All packets are decrypted and verified
// by libsrtp2 until a viewer's first key frame is whole, and from then on one in K (64), RTCP always. Viewers
// show one certificate, send reports each second and checks each 2.5 s; they ask for no retransmission, so
// that a lost packet stays lost.
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include <fmt/format.h>

#include "base/text.h"
#include "live_viewer.h"

namespace {

using namespace miharu;
using base::SteadyTime;
using bench::Counts;
using bench::LiveViewer;

constexpr base::milliseconds kTick{5};
constexpr base::seconds kPatience{15};
constexpr base::seconds kSettle{5};

struct Options {
  bench::Whep whep;
  size_t viewers = 0;
  base::seconds ramp{};
  base::seconds seconds{};
  unsigned check_each = 64;
};

std::optional<Options> options_of(const std::vector<std::string_view>& words) {
  constexpr std::string_view kHere = "http://127.0.0.1:";
  Options options;
  if (words.size() != 4 && !(words.size() == 6 && words[4] == "--check")) return std::nullopt;
  if (!words[0].starts_with(kHere)) return std::nullopt;
  const std::string_view address = words[0].substr(kHere.size());
  const size_t slash = address.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto port = base::parse_number<uint16_t>(address.substr(0, slash));
  const auto viewers = base::parse_number<size_t>(words[1]);
  const auto ramp = base::parse_number<uint32_t>(words[2]);
  const auto seconds = base::parse_number<uint32_t>(words[3]);
  const auto check = words.size() == 6 ? base::parse_number<unsigned>(words[5]) : options.check_each;
  if (!port || !viewers || *viewers == 0 || !ramp || !seconds || *seconds == 0 || !check || *check == 0)
    return std::nullopt;
  options.whep = {*port, std::string(address.substr(slash))};
  options.viewers = *viewers;
  options.ramp = base::seconds(*ramp);
  options.seconds = base::seconds(*seconds);
  options.check_each = *check;
  return options;
}

double own_cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

class Load {
 public:
  Load(Options options, const webrtc::DtlsContext& context, const webrtc::Fingerprint& fingerprint)
      : options_(std::move(options)), set_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (size_t i = 0; i < options_.viewers; ++i) {
      viewers_.push_back(std::make_unique<LiveViewer>(context, fingerprint, i, options_.check_each, counts_));
    }
  }

  void run() {
    began_ = base::system_clock().steady();
    SteadyTime next_tick = began_;
    while (phase_ != Phase::kEnded) {
      std::array<epoll_event, 64> events;
      const int ready =
          ::epoll_wait(set_, events.data(), static_cast<int>(events.size()), static_cast<int>(kTick.count()));
      for (int i = 0; i < ready; ++i) handle(events[static_cast<size_t>(i)].data.u64);
      const SteadyTime now = base::system_clock().steady();
      if (now < next_tick) continue;
      next_tick = now + kTick;
      tick(now);
    }
  }

 private:
  enum class Phase : uint8_t { kRamp, kSettling, kSteady, kEnded };

  void watch(int fd, size_t viewer, bool http) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = viewer * 2 + (http ? 1 : 0);
    ::epoll_ctl(set_, EPOLL_CTL_ADD, fd, &event);
  }

  void handle(uint64_t what) {
    LiveViewer& viewer = *viewers_[what / 2];
    if (what % 2 == 0) return viewer.media_readable();
    if (viewer.http_done()) return;
    viewer.http_readable();
    if (viewer.http_done()) viewer.end_http();
  }

  void tick(SteadyTime now) {
    while (started_ < viewers_.size() && now >= began_ + options_.ramp * static_cast<int64_t>(started_) /
                                                             static_cast<int64_t>(viewers_.size())) {
      LiveViewer& viewer = *viewers_[started_];
      viewer.start(options_.whep, base::system_clock().steady());
      watch(viewer.http_fd(), started_, true);
      watch(viewer.media_fd(), started_, false);
      ++started_;
    }
    for (size_t i = 0; i < started_; ++i) viewers_[i]->on_time(now);
    advance(now);
  }

  void advance(SteadyTime now) {
    if (phase_ == Phase::kRamp) {
      const bool all =
          started_ == viewers_.size() &&
          std::all_of(viewers_.begin(), viewers_.end(), [](const auto& each) { return each->settled(); });
      if (!all && now < began_ + options_.ramp + kPatience) return;
      phase_ = Phase::kSettling;
      next_ = now + kSettle;
    } else if (phase_ == Phase::kSettling && now >= next_) {
      phase_ = Phase::kSteady;
      next_ = now + options_.seconds;
      steady_ = now;
      before_ = counts_;
      counts_.longest_gap = {};
      cpu_before_ = own_cpu_seconds();
      say("steady");
    } else if (phase_ == Phase::kSteady && now >= next_) {
      say("end");
      show(now);
      for (auto& viewer : viewers_) viewer->leave();
      phase_ = Phase::kEnded;
    }
  }

  static void say(const char* word) {
    std::printf("%s\n", word);
    std::fflush(stdout);
  }

  // "[median, 95 of 100, longest]"; "null" of nothing.
  std::string times(std::optional<double> bench::StartTimes::*which) const {
    std::vector<double> values;
    for (const auto& viewer : viewers_) {
      if (const auto value = viewer->times().*which) values.push_back(*value);
    }
    if (values.empty()) return "null";
    std::sort(values.begin(), values.end());
    const auto at = [&](double part) {
      return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
    };
    return fmt::format(R"({{"p50": {:.1f}, "p95": {:.1f}, "max": {:.1f}}})", at(0.5), at(0.95), at(1));
  }

  void show(SteadyTime now) const {
    const double seconds = std::chrono::duration<double>(now - steady_).count();
    const double cpu = 100 * (own_cpu_seconds() - cpu_before_) / seconds;
    std::map<std::string, size_t> failures;
    size_t playing = 0;
    for (const auto& viewer : viewers_) {
      const std::string problem = viewer->problem(now);
      if (problem.empty()) {
        ++playing;
      } else {
        ++failures[problem];
      }
    }
    std::string reasons;
    for (const auto& [what, times] : failures)
      reasons += fmt::format(R"({}"{}": {})", reasons.empty() ? "" : ", ", what, times);
    const auto since = [](auto now_at, auto before) { return now_at - before; };
    const uint64_t packets = since(counts_.packets, before_.packets);
    fmt::print(
        R"({{"viewers": {}, "playing": {}, "failed": {{{}}}, "seconds": {:.2f}, "packets": {}, )"
        R"("packets_a_second": {:.0f}, "bytes": {}, "video_packets": {}, "lost": {}, "lost_in_ramp": {}, )"
        R"("duplicate": {}, "reordered": {}, "retransmitted": {}, "frames": {}, "longest_gap_ms": {:.1f}, )"
        R"("gaps_over_200_ms": {}, "freezes_over_500_ms": {}, )",
        viewers_.size(), playing, reasons, seconds, packets, static_cast<double>(packets) / seconds,
        since(counts_.bytes, before_.bytes), since(counts_.video_packets, before_.video_packets),
        since(counts_.lost, before_.lost), before_.lost, since(counts_.duplicate, before_.duplicate),
        since(counts_.reordered, before_.reordered), since(counts_.retransmitted, before_.retransmitted),
        since(counts_.frames, before_.frames),
        std::chrono::duration<double, std::milli>(counts_.longest_gap).count(),
        since(counts_.gaps_over_200_ms, before_.gaps_over_200_ms),
        since(counts_.freezes_over_500_ms, before_.freezes_over_500_ms));
    fmt::print(
        R"("answer_ms": {}, "established_ms": {}, "first_packet_ms": {}, "first_key_frame_ms": {}, )"
        R"("check_one_in": {}, "checked_in_all": {}, "not_authentic_in_all": {}, "own_cpu_percent": {:.1f}}})"
        "\n",
        times(&bench::StartTimes::answer_ms), times(&bench::StartTimes::established_ms),
        times(&bench::StartTimes::packet_ms), times(&bench::StartTimes::key_frame_ms), options_.check_each,
        counts_.checked, counts_.not_authentic, cpu);
    std::fflush(stdout);
  }

  const Options options_;
  const int set_;
  Counts counts_;
  Counts before_;
  std::vector<std::unique_ptr<LiveViewer>> viewers_;
  size_t started_ = 0;
  Phase phase_ = Phase::kRamp;
  SteadyTime began_{};
  SteadyTime next_{};
  SteadyTime steady_{};
  double cpu_before_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = options_of({argv + 1, argv + argc});
  if (!options) {
    std::fprintf(stderr,
                 "live_viewers http://127.0.0.1:PORT/whep/CAMERA VIEWERS RAMP_SECONDS SECONDS [--check K]\n");
    return 2;
  }
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const auto certificate = webrtc::Certificate::make(base::system_clock().utc());
  CHECK(certificate.has_value());
  const auto context = webrtc::DtlsContext::make(webrtc::DtlsRole::kClient, *certificate);
  CHECK(context.has_value());
  Load(*options, *context, certificate->fingerprint()).run();
  return 0;
}
