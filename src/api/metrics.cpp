#include "api/metrics.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/metric_families.h"

namespace miharu::api {
namespace {

// Of all cameras, so that a graph begins with a zero and not with the first viewer.
void add_live(Families& out, const std::vector<CameraStatus>& cameras, const webrtc::LiveMetrics& live) {
  static const webrtc::CameraViewing kNobody;
  const auto of = [&live](const CameraStatus& camera) -> const webrtc::CameraViewing& {
    const auto found = live.cameras.find(camera.name);
    return found == live.cameras.end() ? kNobody : found->second;
  };
  const auto counter = [&](const char* name, const char* help, uint64_t webrtc::ViewerTotals::*which) {
    out.cameras(name, help, MetricType::Counter, cameras,
                [&](const auto& camera) { return static_cast<double>(of(camera).totals.*which); });
  };
  using Totals = webrtc::ViewerTotals;
  out.add("miharu_live_viewers", "sessions of live view by WebRTC now, by what they are sent",
          MetricType::Gauge);
  for (const CameraStatus& camera : cameras) {
    for (const std::string_view state : webrtc::kSessionStates) {
      const auto& by_state = of(camera).by_state;
      const auto found = by_state.find(std::string(state));
      out.value(found == by_state.end() ? 0.0 : static_cast<double>(found->second),
                {{"camera", camera.name}, {"state", std::string(state)}});
    }
  }
  counter("miharu_live_sessions_total", "sessions of live view by WebRTC that were begun", &Totals::sessions);
  counter("miharu_live_packets_total", "RTP packets for viewers, repairs included", &Totals::packets);
  counter("miharu_live_bytes_total", "bytes of these packets, without headers of IP and UDP", &Totals::bytes);
  counter("miharu_live_packets_dropped_total", "RTP packets for viewers that the kernel did not take",
          &Totals::dropped);
  counter("miharu_live_packets_lost_total", "RTP packets of pictures that viewers report as lost",
          &Totals::lost);
  counter("miharu_live_packets_nacked_total", "RTP packets that viewers asked for again",
          &Totals::packets_asked_again);
  counter("miharu_live_packets_retransmitted_total", "RTP packets that were sent again",
          &Totals::retransmitted);
  counter("miharu_live_retransmissions_refused_total",
          "RTP packets that were asked for again and are too old, or too many for the viewer's line",
          &Totals::retransmissions_refused);
  counter("miharu_live_key_frame_requests_total", "key frames that viewers asked for (PLI, FIR)",
          &Totals::key_frame_requests);
  counter("miharu_live_pictures_skipped_total",
          "pictures not sent because a viewer's line does not carry them", &Totals::pictures_skipped);
  out.add("miharu_live_round_trip_seconds", "round trips to viewers, one for each of their reports",
          MetricType::Histogram);
  for (const CameraStatus& camera : cameras)
    out.histogram(of(camera).totals.round_trip, {{"camera", camera.name}});
  out.add("miharu_live_first_frame_seconds",
          "from a viewer's offer to the last packet of the first key frame, one for each session",
          MetricType::Histogram);
  for (const CameraStatus& camera : cameras)
    out.histogram(of(camera).totals.first_frame, {{"camera", camera.name}});

  out.add("miharu_live_sessions_refused_total", "offers refused because there were too many sessions",
          MetricType::Counter);
  out.value(static_cast<double>(live.refused_in_all), {{"limit", "all"}});
  out.value(static_cast<double>(live.refused_of_user), {{"limit", "user"}});
  out.add("miharu_live_handover_dropped_total",
          "viewers' datagrams dropped because too many waited for another thread", MetricType::Counter);
  out.value(static_cast<double>(live.handover_dropped), {});
  out.add("miharu_live_objects", "what live view holds; nothing when nobody watches, but for units",
          MetricType::Gauge);
  for (const auto& [kind, count] : live.objects)
    out.value(static_cast<double>(count), {{"kind", std::string(kind)}});
}

void add_uploads(Families& out, const upload::UploadStatus& uploads) {
  const auto count = [](uint64_t value) { return static_cast<double>(value); };
  const auto cameras = [&](const std::string& name, const std::string& help, const auto& of) {
    out.add(name, help, MetricType::Gauge);
    for (const auto& [camera, each] : uploads.cameras) out.value(of(each), {{"camera", camera}});
  };
  out.add("miharu_upload_state", "1 for the state of uploading", MetricType::Gauge);
  out.value(1, {{"state", std::string(upload::name_of(uploads.state))}});
  out.add("miharu_uploaded_objects_total", "objects uploaded", MetricType::Counter);
  out.value(count(uploads.objects), {});
  out.add("miharu_uploaded_bytes_total", "bytes of objects uploaded", MetricType::Counter);
  out.value(count(uploads.bytes), {});
  out.add("miharu_upload_failures_total", "attempts that failed, by reason", MetricType::Counter);
  for (const auto& [fault, times] : uploads.failures) out.value(count(times), {{"reason", fault}});
  cameras("miharu_upload_pending_objects", "finished objects that are not uploaded yet",
          [&](const auto& each) { return count(each.pending_objects); });
  cameras("miharu_upload_pending_bytes", "their bytes",
          [&](const auto& each) { return count(each.pending_bytes); });
  cameras("miharu_upload_lost_objects", "objects that were gone from the disk before they were uploaded",
          [&](const auto& each) { return count(each.lost_objects); });
  cameras("miharu_safe_off_site_until_seconds",
          "all that was recorded before is in the bucket, Unix time; 0: nothing is", [&](const auto& each) {
            return each.safe_until ? static_cast<double>(base::to_unix_ms(*each.safe_until)) / 1000 : 0.0;
          });
}

void add_bucket_live(Families& out, const upload::LiveStatus& live) {
  const auto one = [&out](const char* name, const char* help, MetricType type, uint64_t value) {
    out.add(name, help, type);
    out.value(static_cast<double>(value), {});
  };
  one("miharu_bucket_live_sessions", "cameras that are watched through the bucket now", MetricType::Gauge,
      live.sessions);
  one("miharu_bucket_live_sessions_total", "times that somebody began to watch", MetricType::Counter,
      live.begun);
  one("miharu_bucket_live_looks_total", "times that the wishes to watch were asked for", MetricType::Counter,
      live.looks);
  one("miharu_bucket_live_pieces_total", "pieces of live pictures that the store took", MetricType::Counter,
      live.totals.pieces);
  one("miharu_bucket_live_bytes_total", "their bytes", MetricType::Counter, live.totals.bytes);
  one("miharu_bucket_live_skips_total", "times that pictures were left out for a line too slow",
      MetricType::Counter, live.totals.skips);
  out.add("miharu_bucket_live_failures_total", "requests that failed, by reason", MetricType::Counter);
  for (const auto& [fault, times] : live.totals.failures)
    out.value(static_cast<double>(times), {{"reason", fault}});
  out.add("miharu_bucket_live_piece_age_seconds",
          "since the store took a piece of a camera that is watched, or since it is watched",
          MetricType::Gauge);
  for (const auto& [camera, age] : live.since_piece)
    out.value(std::chrono::duration<double>(age).count(), {{"camera", camera}});
}

boost::json::value upload_json(const upload::CameraUploads& uploads) {
  boost::json::value until;
  if (uploads.safe_until) until = base::format_rfc3339(*uploads.safe_until);
  return boost::json::object{{"safe_until", until},
                             {"pending_objects", uploads.pending_objects},
                             {"pending_bytes", uploads.pending_bytes},
                             {"lost_objects", uploads.lost_objects}};
}

}  // namespace

std::string metrics_text(const std::vector<CameraStatus>& cameras, const std::vector<record::GapTotal>& gaps,
                         const net::HttpServerStats& http, const std::optional<webrtc::LiveMetrics>& live,
                         const std::optional<upload::UploadStatus>& uploads,
                         const std::optional<upload::LiveStatus>& bucket_live) {
  Families out;
  constexpr auto kCounter = MetricType::Counter;
  constexpr auto kGauge = MetricType::Gauge;
  const auto count = [](uint64_t value) { return static_cast<double>(value); };

  out.add("miharu_camera_state", "1 for the state that the camera is in", kGauge);
  for (const CameraStatus& camera : cameras)
    out.value(1, {{"camera", camera.name}, {"state", std::string(state_of(camera))}});
  out.cameras("miharu_camera_bytes_total", "bytes received from the camera", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.bytes); });
  out.cameras("miharu_camera_packets_total", "RTP packets received", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.packets); });
  out.cameras("miharu_camera_packets_lost_total", "RTP packets missing", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.packets_lost); });
  out.cameras("miharu_camera_frames_total", "frames received", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.frames); });
  out.cameras("miharu_camera_frames_damaged_total", "frames of which a part was lost", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.frames_damaged); });
  out.cameras("miharu_camera_connects_total", "sessions begun with the camera", kCounter, cameras,
              [&](const auto& c) { return count(c.stream.source.connects); });
  out.cameras("miharu_camera_bits_per_second", "bitrate of the last seconds", kGauge, cameras,
              [](const auto& c) { return c.stream.bits_per_second; });
  out.cameras("miharu_camera_frames_per_second", "pictures of the last seconds", kGauge, cameras,
              [](const auto& c) { return c.stream.frames_per_second; });
  out.cameras("miharu_camera_gop_seconds", "time between the last two key frames", kGauge, cameras,
              [](const auto& c) { return c.stream.gop_seconds; });
  out.cameras("miharu_camera_clock_error_seconds",
              "arrival against placement of the least-delayed frame of the last 10 s", kGauge, cameras,
              [](const auto& c) { return std::chrono::duration<double>(c.stream.clock_error).count(); });
  out.add("miharu_camera_oddities_total",
          "deviations from the standards that were tolerated, by the id of docs/quirks.md", kCounter);
  for (const CameraStatus& camera : cameras) {
    for (const auto& [quirk, times] : camera.stream.source.oddities)
      out.value(count(times), {{"camera", camera.name}, {"quirk", quirk}});
  }
  out.cameras("miharu_recorded_bytes_total", "bytes written", kCounter, cameras,
              [&](const auto& c) { return count(c.recorder.bytes); });
  out.cameras("miharu_recorded_objects_total", "objects finished", kCounter, cameras,
              [&](const auto& c) { return count(c.recorder.objects); });
  out.cameras("miharu_recorded_frames_total", "frames handed to the recording", kCounter, cameras,
              [&](const auto& c) { return count(c.recorder.frames); });
  out.cameras("miharu_recording_frames_dropped_total", "frames not recorded because of the disk", kCounter,
              cameras, [&](const auto& c) { return count(c.recorder.frames_dropped); });
  out.cameras("miharu_recording_queued_bytes", "bytes that wait for the disk", kGauge, cameras,
              [&](const auto& c) { return count(c.recorder.queued_bytes); });
  out.cameras("miharu_recorded_until_seconds", "end of the recording, Unix time", kGauge, cameras,
              [](const auto& c) {
                return c.recorder.recorded_until
                           ? static_cast<double>(base::to_unix_ms(*c.recorder.recorded_until)) / 1000
                           : 0.0;
              });

  const auto reason_of = [](const record::GapTotal& gap) { return std::string(record::name_of(gap.reason)); };
  // Gauges: a gap that turns out too short to count is taken back.
  out.add("miharu_gaps", "gaps in the recording that the log knows, by reason", kGauge);
  for (const record::GapTotal& gap : gaps)
    out.value(count(gap.gaps), {{"camera", gap.camera}, {"reason", reason_of(gap)}});
  out.add("miharu_gap_seconds", "time in which nothing was recorded, by reason", kGauge);
  for (const record::GapTotal& gap : gaps) {
    out.value(std::chrono::duration<double>(gap.duration).count(),
              {{"camera", gap.camera}, {"reason", reason_of(gap)}});
  }

  if (live) add_live(out, cameras, *live);
  if (uploads) add_uploads(out, *uploads);
  if (bucket_live) add_bucket_live(out, *bucket_live);

  add_http(out, http);
  add_process(out);
  return out.text();
}

std::vector<std::string> not_ready_reasons(const std::vector<CameraStatus>& cameras,
                                           const std::optional<upload::UploadStatus>& uploads) {
  std::vector<std::string> reasons;
  if (uploads) {
    if (auto stuck = upload::stuck_reason(*uploads); !stuck.empty()) reasons.push_back(std::move(stuck));
  }
  for (const CameraStatus& camera : cameras) {
    if (const auto trouble = trouble_of(camera))
      reasons.push_back(fmt::format("{}: {}", camera.name, *trouble));
  }
  return reasons;
}

std::optional<base::UtcTime> safe_until(const std::vector<CameraStatus>& cameras,
                                        const std::optional<upload::UploadStatus>& uploads) {
  std::optional<base::UtcTime> earliest;
  for (const CameraStatus& camera : cameras) {
    if (!camera.record) continue;
    if (!uploads) return std::nullopt;
    const auto found = uploads->cameras.find(camera.name);
    if (found == uploads->cameras.end() || !found->second.safe_until) return std::nullopt;
    earliest = std::min(earliest.value_or(*found->second.safe_until), *found->second.safe_until);
  }
  return earliest;
}

std::string cameras_json(const std::vector<CameraStatus>& cameras,
                         const std::optional<upload::UploadStatus>& uploads) {
  boost::json::object root;
  boost::json::array& list = root["cameras"].emplace_array();
  for (const CameraStatus& camera : cameras) {
    boost::json::object each;
    each["name"] = camera.name;
    each["state"] = state_of(camera);
    each["record"] = camera.record;
    boost::json::array& codecs = each["codecs"].emplace_array();
    if (camera.stream.video) codecs.push_back(boost::json::string(camera.stream.video->codec_string));
    if (camera.stream.audio)
      codecs.push_back(boost::json::string(media::name_of(camera.stream.audio->codec)));
    each["width"] = camera.stream.video ? camera.stream.video->width : 0;
    each["height"] = camera.stream.video ? camera.stream.video->height : 0;
    each["bitrate_bps"] = static_cast<int64_t>(camera.stream.bits_per_second);
    each["fps"] = camera.stream.frames_per_second;
    each["gop_seconds"] = camera.stream.gop_seconds;
    each["b_frames"] = camera.stream.reordered;
    each["transport"] = camera.stream.source.transport;
    each["connects"] = camera.stream.source.connects;
    each["packets_lost"] = camera.stream.source.packets_lost;
    each["frames_damaged"] = camera.stream.source.frames_damaged;
    boost::json::object& oddities = each["oddities"].emplace_object();
    for (const auto& [quirk, times] : camera.stream.source.oddities) oddities[quirk] = times;
    if (const auto trouble = trouble_of(camera)) {
      each["last_error"] = *trouble;
    } else {
      each["last_error"] = nullptr;
    }
    if (camera.recorder.recorded_until) {
      each["recorded_until"] = base::format_rfc3339(*camera.recorder.recorded_until);
    } else {
      each["recorded_until"] = nullptr;
    }
    each["uploads"] = nullptr;
    each["safe_until_ms"] = nullptr;
    if (uploads) {
      const auto found = uploads->cameras.find(camera.name);
      const upload::CameraUploads of_camera =
          found == uploads->cameras.end() ? upload::CameraUploads{} : found->second;
      each["uploads"] = upload_json(of_camera);
      if (of_camera.safe_until) each["safe_until_ms"] = base::to_unix_ms(*of_camera.safe_until);
    }
    list.push_back(std::move(each));
  }
  root["uploads"] = nullptr;
  if (uploads) {
    root["uploads"] = boost::json::object{
        {"state", upload::name_of(uploads->state)},
        {"error", uploads->error.empty() ? boost::json::value(nullptr) : boost::json::value(uploads->error)},
        {"warning",
         uploads->warning.empty() ? boost::json::value(nullptr) : boost::json::value(uploads->warning)}};
  }
  return boost::json::serialize(root);
}

}  // namespace miharu::api
