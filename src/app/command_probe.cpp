// probe: what a camera offers, seen by playing it for some seconds.
#include <cstdio>
#include <future>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "app/camera.h"
#include "app/commands.h"
#include "base/text.h"
#include "ingest/rtsp/rtsp_source.h"

namespace miharu::app {
namespace {

constexpr base::seconds kLongest{20};  // long enough for two groups of pictures of most cameras
constexpr base::seconds kGiveUp{15};   // without a picture

// Watches a session; everything on the media thread.
class Probe final : public ingest::SourceListener {
 public:
  void on_tracks(bool, bool) override {}
  void on_frame(media::FramePtr frame) override {
    bytes += frame->data().size();
    if (!frame->is_video()) {
      audio = frame->config;
      return;
    }
    video = frame->config;
    if (frames++ == 0) first_dts = frame->dts;
    last_dts = frame->dts;
    reordered |= frame->pts != frame->dts;
    if (!frame->key) return;
    if (keys++ == 0) {
      first_key_dts = frame->dts;
    } else {
      gop_seconds = static_cast<double>(frame->dts - first_key_dts) / (keys - 1) / frame->config->clock_rate;
    }
  }
  void on_sender_report(const ingest::SenderReport& report) override { last_report = report; }
  void on_interrupted(ingest::Interruption, const base::Error&) override {}

  media::TrackConfigPtr video;
  media::TrackConfigPtr audio;
  uint64_t bytes = 0;
  int frames = 0;
  int keys = 0;
  int64_t first_dts = 0;
  int64_t last_dts = 0;
  int64_t first_key_dts = 0;
  double gop_seconds = 0;
  bool reordered = false;
  std::optional<ingest::SenderReport> last_report;
};

std::string clock_text(const std::optional<ingest::SenderReport>& report, base::SteadyTime now_steady,
                       base::UtcTime now) {
  if (!report) return "not told";
  constexpr int64_t kNtpToUnix = 2'208'988'800;
  const base::UtcTime camera(base::seconds(static_cast<int64_t>(report->ntp >> 32) - kNtpToUnix));
  const double off = std::chrono::duration<double>(camera - (now - (now_steady - report->arrival))).count();
  if (off > 1e8 || off < -1e8) return "not set";
  return fmt::format("{:+.0f} s against this machine", off);
}

}  // namespace

int probe_command(const std::string& url, const std::string& transport, bool json) {
  auto camera = parse_camera_argument("probe=" + url);
  if (!camera) return report_error(camera.error());
  if (!camera->url.starts_with("rtsp://") && !camera->url.starts_with("rtsps://")) {
    return report_error({base::Errc::kInvalid, "probe looks at rtsp:// and rtsps:// addresses"});
  }
  ingest::RtspOptions options;
  options.url = camera->url;
  options.user = camera->user;
  options.password = camera->password.reveal();
  options.transport = transport == "tcp"   ? ingest::RtspTransport::kTcp
                      : transport == "udp" ? ingest::RtspTransport::kUdp
                                           : ingest::RtspTransport::kAuto;

  const base::Clock& clock = base::system_clock();
  MediaThread thread("probe");
  thread.loop.start();
  Probe probe;
  std::unique_ptr<ingest::RtspSource> source;
  std::promise<void> ended;
  boost::asio::steady_timer timer(thread.loop.context());
  const base::SteadyTime start = clock.steady();
  std::function<void()> look = [&] {
    timer.expires_after(base::milliseconds(200));
    timer.async_wait([&](const boost::system::error_code& error) {
      if (error) return;
      const auto elapsed = clock.steady() - start;
      const bool refused = source->status().state == ingest::SourceStatus::State::kWaiting &&
                           source->status().last_error && probe.frames == 0;
      if (refused || probe.keys >= 3 || elapsed > kLongest || (probe.frames == 0 && elapsed > kGiveUp)) {
        ended.set_value();
      } else {
        look();
      }
    });
  };
  thread.loop.post([&] {
    source = ingest::make_rtsp_source(thread.loop, thread.reader, clock, options, probe);
    source->start();
    look();
  });
  ended.get_future().wait();
  ingest::SourceStatus status;
  ingest::rtsp::Offer offer;
  std::string fingerprint;
  thread.loop.run_and_wait([&] {
    status = source->status();
    offer = source->offer();
    fingerprint = source->fingerprint();
    source->stop();
    source.reset();
  });
  const double elapsed = std::chrono::duration<double>(clock.steady() - start).count();
  thread.loop.stop();

  const double shown = probe.video && probe.frames > 1
                           ? static_cast<double>(probe.last_dts - probe.first_dts) / probe.video->clock_rate
                           : 0;
  const double fps = shown > 0 ? (probe.frames - 1) / shown : 0;
  const double mbit = shown > 0 ? static_cast<double>(probe.bytes) * 8 / shown / 1e6 : 0;
  const std::string camera_clock = clock_text(probe.last_report, clock.steady(), clock.utc());
  if (json) {
    boost::json::object root{
        {"url", base::redact_urls(camera->url)},
        {"server", offer.server},
        {"transport", status.transport},
        {"certificate_sha256", fingerprint},
        {"fps", fps},
        {"mbit_per_second", mbit},
        {"gop_seconds", probe.gop_seconds},
        {"b_frames", probe.reordered},
        {"clock", camera_clock},
        {"error", probe.frames == 0 && status.last_error ? status.last_error->text : ""}};
    boost::json::array& tracks = root["tracks"].emplace_array();
    for (const auto& track : offer.tracks) {
      tracks.push_back({{"kind", track.kind},
                        {"codec", track.codec},
                        {"usable", track.usable},
                        {"selected", track.selected},
                        {"reason", track.reason}});
    }
    boost::json::object& oddities = root["oddities"].emplace_object();
    for (const auto& [id, times] : status.oddities) oddities[id] = times;
    fmt::print("{}\n", boost::json::serialize(root));
    return probe.frames > 0 ? kDone : kCouldNot;
  }
  if (!offer.server.empty()) fmt::print("server     {}\n", offer.server);
  for (const auto& track : offer.tracks) {
    fmt::print("{:<10} {}{}{}\n", track.kind, track.codec.empty() ? "?" : track.codec,
               track.selected ? "" : ", not used", track.reason.empty() ? "" : ": " + track.reason);
  }
  if (probe.frames == 0) {
    return report_error(status.last_error.value_or(
        base::Error{base::Errc::kTimeout, fmt::format("no picture came within {:.0f} s", elapsed), -1}));
  }
  fmt::print("picture    {}x{}, {:.1f} a second, {}{}\n", probe.video->width, probe.video->height, fps,
             probe.video->codec_string,
             probe.reordered ? ", with B-frames (live view over WebRTC will not show them)" : "");
  if (probe.audio)
    fmt::print("sound      {}, {} Hz, {} channels\n", media::name_of(probe.audio->codec),
               probe.audio->sample_rate, probe.audio->channels);
  fmt::print("bitrate    {:.2f} Mbit/s\n", mbit);
  fmt::print("key frame  {}\n", probe.gop_seconds > 0 ? fmt::format("every {:.1f} s", probe.gop_seconds)
                                                      : "less often than could be seen");
  fmt::print("transport  {}\n", status.transport);
  if (!fingerprint.empty()) fmt::print("certificate {} (SHA-256)\n", fingerprint);
  fmt::print("clock      {}\n", camera_clock);
  for (const auto& [id, times] : status.oddities)
    fmt::print("oddity     {} ({} times; see docs/quirks.md)\n", id, times);
  fmt::print(
      "\nTo record it, give it to run: --camera front={}\nor put it into miharu.toml:\n\n[[camera]]\nname = "
      "\"front\"\nurl = \"{}\"\n",
      base::redact_urls(url), camera->url);
  if (!camera->user.empty()) fmt::print("user = \"{}\"\npassword = \"${{FRONT_PASSWORD}}\"\n", camera->user);
  return kDone;
}

}  // namespace miharu::app
