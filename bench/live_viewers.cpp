// Many viewers of one camera over WebRTC.
//
//   live_viewers http://ADDRESS:PORT/whep/CAMERA VIEWERS RAMP_SECONDS SECONDS [--check K] [--burst N]
//
// Viewers come one after another during the ramp. When all have a key frame (or have failed, or 15 s after
// the ramp) and 5 s more have passed, it prints "steady"; after SECONDS from there "end" and a line of JSON.
// Counts are of these SECONDS, except those whose names say otherwise. All packets are decrypted and verified
// by libsrtp2 until a viewer's first key frame is whole, and from then on one in K (64), RTCP always. Viewers
// show one certificate, send reports each second and checks each 2.5 s; they ask for no retransmission, so
// that a lost packet stays lost.
//
// With --burst, N more come within the second after these SECONDS: it prints "burst" then, and "end" one
// second after the last of them has its key frame (or has failed, or 15 s after they came). What became of
// them, and of the others meanwhile, is told as "burst".
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
constexpr base::seconds kBurstTime{1};
// What of the group of pictures was there before them has come by then.
constexpr base::seconds kCaughtUp{1};

struct Options {
  bench::Whep whep;
  size_t viewers = 0;
  base::seconds ramp{};
  base::seconds seconds{};
  unsigned check_each = 64;
  size_t burst = 0;
};

std::optional<Options> options_of(const std::vector<std::string_view>& words) {
  constexpr std::string_view kScheme = "http://";
  Options options;
  if (words.size() < 4 || words.size() % 2 != 0) return std::nullopt;
  if (!words[0].starts_with(kScheme)) return std::nullopt;
  const std::string_view target = words[0].substr(kScheme.size());
  const size_t colon = target.find(':');
  const size_t slash = target.find('/');
  if (slash == std::string_view::npos || colon > slash) return std::nullopt;
  const auto port = base::parse_number<uint16_t>(target.substr(colon + 1, slash - colon - 1));
  const auto viewers = base::parse_number<size_t>(words[1]);
  const auto ramp = base::parse_number<uint32_t>(words[2]);
  const auto seconds = base::parse_number<uint32_t>(words[3]);
  if (!port || !viewers || *viewers == 0 || !ramp || !seconds || *seconds == 0) return std::nullopt;
  for (size_t i = 4; i < words.size(); i += 2) {
    const auto value = base::parse_number<unsigned>(words[i + 1]);
    if (!value || *value == 0) return std::nullopt;
    if (words[i] == "--check") {
      options.check_each = *value;
    } else if (words[i] == "--burst") {
      options.burst = *value;
    } else {
      return std::nullopt;
    }
  }
  options.whep = {std::string(target.substr(0, colon)), *port, std::string(target.substr(slash))};
  options.viewers = *viewers;
  options.ramp = base::seconds(*ramp);
  options.seconds = base::seconds(*seconds);
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
    for (size_t i = 0; i < options_.viewers + options_.burst; ++i) {
      viewers_.push_back(std::make_unique<LiveViewer>(context, fingerprint, i, options_.check_each,
                                                      i < options_.viewers ? counts_ : burst_counts_));
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
  enum class Phase : uint8_t { kRamp, kSettling, kSteady, kBurst, kEnded };

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
    while (is_due(now)) {
      LiveViewer& viewer = *viewers_[started_];
      viewer.start(options_.whep, base::system_clock().steady());
      watch(viewer.http_fd(), started_, true);
      watch(viewer.media_fd(), started_, false);
      ++started_;
    }
    for (size_t i = 0; i < started_; ++i) viewers_[i]->on_time(now);
    advance(now);
  }

  // Whether the next one comes now.
  [[nodiscard]] bool is_due(SteadyTime now) const {
    const auto share = [](base::nanoseconds whole, size_t part, size_t of) {
      return whole * static_cast<int64_t>(part) / static_cast<int64_t>(of);
    };
    if (started_ < options_.viewers) return now >= began_ + share(options_.ramp, started_, options_.viewers);
    return phase_ == Phase::kBurst && started_ < viewers_.size() &&
           now >= burst_ + share(kBurstTime, started_ - options_.viewers, options_.burst);
  }
  [[nodiscard]] bool all_settled(size_t count) const {
    return started_ >= count &&
           std::all_of(viewers_.begin(), viewers_.begin() + static_cast<ptrdiff_t>(count),
                       [](const auto& each) { return each->settled(); });
  }

  void advance(SteadyTime now) {
    if (phase_ == Phase::kRamp) {
      const bool all = all_settled(options_.viewers);
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
      if (options_.burst == 0) return end(now);
      steady_text_ = steady(now);
      phase_ = Phase::kBurst;
      burst_ = now;
      cpu_before_ = own_cpu_seconds();
      before_ = counts_;
      counts_.longest_gap = {};
      next_ = SteadyTime::max();
      say("burst");
    } else if (phase_ == Phase::kBurst) {
      if (next_ == SteadyTime::max() &&
          (all_settled(viewers_.size()) || now > burst_ + kBurstTime + kPatience))
        next_ = now + kCaughtUp;
      if (now >= next_) end(now);
    }
  }

  void end(SteadyTime now) {
    say("end");
    if (options_.burst == 0) {
      fmt::print("{{{}}}\n", steady(now));
    } else {
      fmt::print("{{{}, \"burst\": {{{}}}}}\n", steady_text_, burst(now));
    }
    std::fflush(stdout);
    for (auto& viewer : viewers_) viewer->leave();
    phase_ = Phase::kEnded;
  }

  static void say(const char* word) {
    std::printf("%s\n", word);
    std::fflush(stdout);
  }

  struct Range {
    size_t begin;
    size_t end;
  };
  [[nodiscard]] Range first() const { return {0, options_.viewers}; }
  [[nodiscard]] Range later() const { return {options_.viewers, viewers_.size()}; }

  // "[median, 95 of 100, longest]"; "null" of nothing.
  std::string times(Range range, std::optional<double> bench::StartTimes::*which) const {
    std::vector<double> values;
    for (size_t i = range.begin; i < range.end; ++i) {
      if (const auto value = viewers_[i]->times().*which) values.push_back(*value);
    }
    if (values.empty()) return "null";
    std::sort(values.begin(), values.end());
    const auto at = [&](double part) {
      return values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
    };
    return fmt::format(R"({{"p50": {:.1f}, "p95": {:.1f}, "max": {:.1f}}})", at(0.5), at(0.95), at(1));
  }

  std::string starts(Range range) const {
    return fmt::format(
        R"("answer_ms": {}, "established_ms": {}, "first_packet_ms": {}, "first_key_frame_ms": {})",
        times(range, &bench::StartTimes::answer_ms), times(range, &bench::StartTimes::established_ms),
        times(range, &bench::StartTimes::packet_ms), times(range, &bench::StartTimes::key_frame_ms));
  }

  // "REASON": TIMES, ... of those who do not play.
  std::string failures(Range range, SteadyTime now, size_t& playing) const {
    std::map<std::string, size_t> failures;
    for (size_t i = range.begin; i < range.end; ++i) {
      const std::string problem = viewers_[i]->problem(now);
      if (problem.empty()) {
        ++playing;
      } else {
        ++failures[problem];
      }
    }
    std::string reasons;
    for (const auto& [what, times] : failures)
      reasons += fmt::format(R"({}"{}": {})", reasons.empty() ? "" : ", ", what, times);
    return reasons;
  }

  // Of those who came, and of the others since then.
  std::string burst(SteadyTime now) const {
    size_t playing = 0;
    const std::string reasons = failures(later(), now, playing);
    double watched = 0;
    for (size_t i = options_.viewers; i < viewers_.size(); ++i) watched += viewers_[i]->watched_seconds(now);
    return fmt::format(
        R"("viewers": {}, "playing": {}, "failed": {{{}}}, "seconds": {:.2f}, "watched_seconds": {:.2f}, )"
        R"("packets": {}, "lost": {}, "not_authentic_in_all": {}, "own_cpu_seconds": {:.2f}, {}, "others_lost": {}, )"
        R"("others_longest_gap_ms": {:.1f}, "others_gaps_over_200_ms": {})",
        options_.burst, playing, reasons, std::chrono::duration<double>(now - burst_).count(), watched,
        burst_counts_.packets, burst_counts_.lost, burst_counts_.not_authentic,
        own_cpu_seconds() - cpu_before_, starts(later()), counts_.lost - before_.lost,
        std::chrono::duration<double, std::milli>(counts_.longest_gap).count(),
        counts_.gaps_over_200_ms - before_.gaps_over_200_ms);
  }

  std::string steady(SteadyTime now) const {
    const double seconds = std::chrono::duration<double>(now - steady_).count();
    const double cpu = 100 * (own_cpu_seconds() - cpu_before_) / seconds;
    size_t playing = 0;
    const std::string reasons = failures(first(), now, playing);
    const auto since = [](auto now_at, auto before) { return now_at - before; };
    const uint64_t packets = since(counts_.packets, before_.packets);
    std::string text = fmt::format(
        R"("viewers": {}, "playing": {}, "failed": {{{}}}, "seconds": {:.2f}, "packets": {}, )"
        R"("packets_a_second": {:.0f}, "bytes": {}, "video_packets": {}, "lost": {}, "lost_in_ramp": {}, )"
        R"("duplicate": {}, "reordered": {}, "retransmitted": {}, "frames": {}, "longest_gap_ms": {:.1f}, )"
        R"("gaps_over_200_ms": {}, "freezes_over_500_ms": {}, )",
        options_.viewers, playing, reasons, seconds, packets, static_cast<double>(packets) / seconds,
        since(counts_.bytes, before_.bytes), since(counts_.video_packets, before_.video_packets),
        since(counts_.lost, before_.lost), before_.lost, since(counts_.duplicate, before_.duplicate),
        since(counts_.reordered, before_.reordered), since(counts_.retransmitted, before_.retransmitted),
        since(counts_.frames, before_.frames),
        std::chrono::duration<double, std::milli>(counts_.longest_gap).count(),
        since(counts_.gaps_over_200_ms, before_.gaps_over_200_ms),
        since(counts_.freezes_over_500_ms, before_.freezes_over_500_ms));
    text += fmt::format(R"({}, "check_one_in": {}, "checked_in_all": {}, "not_authentic_in_all": {}, )"
                        R"("own_cpu_percent": {:.1f})",
                        starts(first()), options_.check_each, counts_.checked, counts_.not_authentic, cpu);
    return text;
  }

  const Options options_;
  const int set_;
  Counts counts_;
  Counts before_;
  Counts burst_counts_;
  std::vector<std::unique_ptr<LiveViewer>> viewers_;
  size_t started_ = 0;
  Phase phase_ = Phase::kRamp;
  SteadyTime began_{};
  SteadyTime next_{};
  SteadyTime steady_{};
  SteadyTime burst_{};
  std::string steady_text_;  // what there is to tell of the time before the burst
  double cpu_before_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const auto options = options_of({argv + 1, argv + argc});
  if (!options) {
    std::fprintf(stderr,
                 "live_viewers http://ADDRESS:PORT/whep/CAMERA VIEWERS RAMP_SECONDS SECONDS [--check K] "
                 "[--burst N]\n");
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
