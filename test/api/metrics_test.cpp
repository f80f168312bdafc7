#include "api/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "support/frames.h"

namespace miharu::api {
namespace {

using testing::HasSubstr;
using testing::Not;
using Source = ingest::SourceStatus::State;
using Recorder = record::RecorderStatus::State;

CameraStatus camera(const std::string& name, Source source = Source::kPlaying,
                    Recorder recorder = Recorder::kRecording) {
  CameraStatus status;
  status.name = name;
  status.stream.source.state = source;
  status.recorder.state = recorder;
  return status;
}

TEST(CameraList, StateAndTrouble) {
  struct Case {
    bool record;
    Source source;
    Recorder recorder;
    bool source_error;
    bool disk_error;
    const char* state;
    const char* trouble;  // null: none
  };
  for (const Case& c : {
           Case{true, Source::kPlaying, Recorder::kRecording, false, false, "recording", nullptr},
           Case{true, Source::kPlaying, Recorder::kRecording, true, true, "recording", nullptr},
           Case{false, Source::kIdle, Recorder::kStarting, false, false, "off", nullptr},
           Case{true, Source::kIdle, Recorder::kStarting, false, false, "off",
                "waiting for the first picture"},
           Case{true, Source::kConnecting, Recorder::kWaiting, false, false, "connecting",
                "waiting for the first picture"},
           Case{true, Source::kConnecting, Recorder::kWaiting, true, false, "connecting", "refused"},
           Case{true, Source::kWaiting, Recorder::kWaiting, true, false, "waiting", "refused"},
           Case{true, Source::kPlaying, Recorder::kWaiting, false, false, "connecting",
                "waiting for the first picture"},
           Case{true, Source::kPlaying, Recorder::kDiskTrouble, true, true, "disk_trouble", "full"},
           Case{true, Source::kPlaying, Recorder::kDiskTrouble, false, false, "disk_trouble",
                "the disk does not keep up"},
       }) {
    CameraStatus status = camera("front", c.source, c.recorder);
    status.record = c.record;
    if (c.source_error) status.stream.source.last_error = base::Error{base::Errc::kRefused, "refused", -1};
    if (c.disk_error) status.recorder.last_error = base::Error{base::Errc::kNoSpace, "full", -1};
    EXPECT_EQ(state_of(status), c.state);
    const auto trouble = trouble_of(status);
    EXPECT_EQ(trouble.has_value(), c.trouble != nullptr) << c.state;
    if (trouble && c.trouble) {
      EXPECT_EQ(*trouble, c.trouble);
    }
  }
}

TEST(Metrics, EveryLineIsPrometheusText) {
  CameraStatus front = camera("front");
  front.stream.source.bytes = 1234;
  front.stream.source.oddities = {{"P6", 3}};
  front.stream.clock_error = base::milliseconds(-15);
  front.recorder.frames = 99;
  front.recorder.recorded_until = base::from_unix_ms(1'795'230'000'500);
  net::HttpServerStats http;
  http.requests = 7;
  const std::string text =
      metrics_text({front, camera("back", Source::kWaiting, Recorder::kWaiting)},
                   {{"front", store::RunReason::kCameraLost, 3, base::milliseconds(42'500)}}, http);
  EXPECT_THAT(text, HasSubstr("miharu_camera_state{camera=\"front\",state=\"recording\"} 1"));
  EXPECT_THAT(text, HasSubstr("miharu_camera_state{camera=\"back\",state=\"waiting\"} 1"));
  EXPECT_THAT(text, HasSubstr("miharu_camera_bytes_total{camera=\"front\"} 1234"));
  EXPECT_THAT(text, HasSubstr("miharu_camera_oddities_total{camera=\"front\",quirk=\"P6\"} 3"));
  EXPECT_THAT(text, HasSubstr("miharu_camera_clock_error_seconds{camera=\"front\"} -0.015"));
  EXPECT_THAT(text, HasSubstr("miharu_recorded_frames_total{camera=\"front\"} 99"));
  EXPECT_THAT(text, HasSubstr("miharu_recorded_until_seconds{camera=\"front\"} 1795230000.5"));
  EXPECT_THAT(text, HasSubstr("miharu_gaps{camera=\"front\",reason=\"camera_lost\"} 3"));
  EXPECT_THAT(text, HasSubstr("miharu_gap_seconds{camera=\"front\",reason=\"camera_lost\"} 42.5"));
  EXPECT_THAT(text, HasSubstr("miharu_http_requests_total 7"));
  EXPECT_THAT(text, HasSubstr("process_cpu_seconds_total"));
  std::string_view rest = text;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    ASSERT_NE(end, std::string_view::npos) << "the last line ends too";
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (line.empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    EXPECT_TRUE(line.starts_with("miharu_") || line.starts_with("process_")) << line;
    EXPECT_NE(line.rfind(' '), std::string_view::npos) << line;
  }
}

TEST(Metrics, LiveView) {
  webrtc::LiveMetrics live;
  webrtc::CameraViewing& front = live.cameras["front"];
  front.by_state = {{"live", 2}, {"keys_only", 1}};
  front.totals.sessions = 5;
  front.totals.packets = 1000;
  front.totals.bytes = 900'000;
  front.totals.retransmitted = 11;
  front.totals.retransmissions_refused = 12;
  front.totals.dropped = 13;
  front.totals.pictures_skipped = 14;
  front.totals.packets_asked_again = 15;
  front.totals.key_frame_requests = 16;
  front.totals.lost = 17;
  for (const double seconds : {0.0009765625, 0.125, 0.25, 9.0}) front.totals.round_trip.observe(seconds);
  front.totals.first_frame.observe(0.06);
  live.objects = {{"sessions", 3}, {"units", 50}};
  live.refused_in_all = 1;
  live.refused_of_user = 2;
  live.handover_dropped = 3;
  const std::string text = metrics_text({camera("front"), camera("back")}, {}, {}, live);
  for (const char* line : {
           R"(miharu_live_viewers{camera="front",state="live"} 2)",
           R"(miharu_live_viewers{camera="front",state="keys_only"} 1)",
           R"(miharu_live_viewers{camera="front",state="connecting"} 0)",
           R"(miharu_live_viewers{camera="back",state="live"} 0)",
           R"(miharu_live_sessions_total{camera="front"} 5)",
           R"(miharu_live_sessions_total{camera="back"} 0)",
           R"(miharu_live_packets_total{camera="front"} 1000)",
           R"(miharu_live_bytes_total{camera="front"} 900000)",
           R"(miharu_live_packets_retransmitted_total{camera="front"} 11)",
           R"(miharu_live_retransmissions_refused_total{camera="front"} 12)",
           R"(miharu_live_packets_dropped_total{camera="front"} 13)",
           R"(miharu_live_pictures_skipped_total{camera="front"} 14)",
           R"(miharu_live_packets_nacked_total{camera="front"} 15)",
           R"(miharu_live_key_frame_requests_total{camera="front"} 16)",
           R"(miharu_live_packets_lost_total{camera="front"} 17)",
           R"(# TYPE miharu_live_round_trip_seconds histogram)",
           R"(miharu_live_round_trip_seconds_bucket{camera="front",le="0.001"} 1)",
           R"(miharu_live_round_trip_seconds_bucket{camera="front",le="0.1"} 1)",
           R"(miharu_live_round_trip_seconds_bucket{camera="front",le="0.25"} 3)",
           R"(miharu_live_round_trip_seconds_bucket{camera="front",le="2.5"} 3)",
           R"(miharu_live_round_trip_seconds_bucket{camera="front",le="+Inf"} 4)",
           R"(miharu_live_round_trip_seconds_count{camera="front"} 4)",
           R"(miharu_live_round_trip_seconds_sum{camera="front"} 9.3759765625)",
           R"(miharu_live_first_frame_seconds_bucket{camera="front",le="0.05"} 0)",
           R"(miharu_live_first_frame_seconds_bucket{camera="front",le="0.1"} 1)",
           R"(miharu_live_first_frame_seconds_count{camera="back"} 0)",
           R"(miharu_live_sessions_refused_total{limit="all"} 1)",
           R"(miharu_live_sessions_refused_total{limit="user"} 2)",
           R"(miharu_live_handover_dropped_total 3)",
           R"(miharu_live_objects{kind="sessions"} 3)",
           R"(miharu_live_objects{kind="units"} 50)",
       }) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

TEST(Metrics, WithoutCamerasThereIsTheServer) {
  const std::string text = metrics_text({}, {}, {});
  EXPECT_THAT(text, HasSubstr("miharu_http_connections 0"));
  EXPECT_THAT(text, Not(HasSubstr("camera=")));
  EXPECT_THAT(text, Not(HasSubstr("miharu_live_")));
}

TEST(Metrics, LiveThroughTheBucketIsTold) {
  upload::LiveStatus live;
  live.sessions = 1;
  live.begun = 4;
  live.looks = 30;
  live.totals = {20, 9'000, 2, {{"busy", 5}}};
  live.since_piece["front"] = base::milliseconds(1'250);
  const std::string text = metrics_text({}, {}, {}, std::nullopt, std::nullopt, live);
  for (const char* line : {"miharu_bucket_live_sessions 1\n", "miharu_bucket_live_sessions_total 4\n",
                           "miharu_bucket_live_looks_total 30\n", "miharu_bucket_live_pieces_total 20\n",
                           "miharu_bucket_live_bytes_total 9000\n", "miharu_bucket_live_skips_total 2\n",
                           "miharu_bucket_live_failures_total{reason=\"busy\"} 5\n",
                           "miharu_bucket_live_piece_age_seconds{camera=\"front\"} 1.25\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(metrics_text({}, {}, {}), Not(HasSubstr("miharu_bucket_live_")));
}

TEST(Metrics, UploadsAreTold) {
  upload::UploadStatus uploads;
  uploads.state = upload::UploadStatus::State::kUnreachable;
  uploads.error = "the store answered 503";
  uploads.objects = 7;
  uploads.failures["busy"] = 3;
  uploads.cameras["front"] = {2, 2'000, 1, base::from_unix_ms(1'795'230'000'500)};
  const std::string text = metrics_text({}, {}, {}, std::nullopt, uploads);
  for (const char* line :
       {"miharu_upload_state{state=\"unreachable\"} 1\n", "miharu_uploaded_objects_total 7\n",
        "miharu_upload_failures_total{reason=\"busy\"} 3\n",
        "miharu_upload_pending_objects{camera=\"front\"} 2\n",
        "miharu_upload_pending_bytes{camera=\"front\"} 2000\n",
        "miharu_upload_lost_objects{camera=\"front\"} 1\n",
        "miharu_safe_off_site_until_seconds{camera=\"front\"} 1795230000.5\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  EXPECT_EQ(metrics_text({}, {}, {}).find("upload"), std::string::npos);

  const CameraStatus front = camera("front", Source::kPlaying, Recorder::kRecording);
  const auto root = boost::json::parse(cameras_json({front}, uploads));
  EXPECT_EQ(root.at("uploads").at("state").as_string(), "unreachable");
  EXPECT_EQ(root.at("uploads").at("error").as_string(), "the store answered 503");
  EXPECT_EQ(root.at("cameras").at(0).at("uploads").at("safe_until").as_string(), "2026-11-21T03:00:00.500Z");
  EXPECT_EQ(root.at("cameras").at(0).at("uploads").at("pending_objects").to_number<int>(), 2);
  EXPECT_EQ(root.at("cameras").at(0).at("safe_until_ms").to_number<int64_t>(), 1'795'230'000'500);
  uploads.cameras.clear();
  const auto nothing_yet = boost::json::parse(cameras_json({front}, uploads));
  EXPECT_TRUE(nothing_yet.at("cameras").at(0).at("safe_until_ms").is_null());
  const auto no_cloud = boost::json::parse(cameras_json({front}));
  EXPECT_TRUE(no_cloud.at("uploads").is_null());
  EXPECT_TRUE(no_cloud.at("cameras").at(0).at("safe_until_ms").is_null());
}

TEST(Metrics, Readiness) {
  CameraStatus off = camera("off", Source::kIdle, Recorder::kStarting);
  off.record = false;
  EXPECT_TRUE(not_ready_reasons({}).empty());
  EXPECT_TRUE(not_ready_reasons({camera("front"), off}).empty());
  CameraStatus lost = camera("back", Source::kWaiting, Recorder::kWaiting);
  lost.stream.source.last_error = base::Error{base::Errc::kTimeout, "no answer", -1};
  EXPECT_THAT(not_ready_reasons({camera("front"), lost, off}), testing::ElementsAre("back: no answer"));

  upload::UploadStatus uploads;
  using State = upload::UploadStatus::State;
  for (const auto& [state, failing, ready] :
       {std::tuple{State::kUploading, 0, true}, std::tuple{State::kUnreachable, 599, true},
        std::tuple{State::kUnreachable, 600, false}, std::tuple{State::kTrouble, 1, false},
        std::tuple{State::kClock, 1, false}, std::tuple{State::kStarting, 600, false}}) {
    uploads.state = state;
    uploads.failing = std::chrono::seconds(failing);
    uploads.error = "why";
    EXPECT_EQ(not_ready_reasons({camera("front")}, uploads).empty(), ready)
        << upload::name_of(state) << failing;
  }
  EXPECT_THAT(not_ready_reasons({}, uploads), testing::ElementsAre("nothing was uploaded for 600 s: why"));
}

TEST(Metrics, WhatIsSafeOfAllCameras) {
  upload::UploadStatus uploads;
  CameraStatus off = camera("off", Source::kIdle, Recorder::kStarting);
  off.record = false;
  const std::vector<CameraStatus> cameras{camera("front"), camera("back"), off};
  EXPECT_EQ(safe_until(cameras, std::nullopt), std::nullopt);
  EXPECT_EQ(safe_until({}, uploads), std::nullopt);
  uploads.cameras["front"].safe_until = base::from_unix_ms(2'000);
  EXPECT_EQ(safe_until(cameras, uploads), std::nullopt);
  uploads.cameras["back"].safe_until = base::from_unix_ms(1'000);
  // One that was taken out of the configuration counts no more.
  uploads.cameras["old"].safe_until = base::from_unix_ms(1);
  EXPECT_EQ(safe_until(cameras, uploads), base::from_unix_ms(1'000));
  uploads.cameras["back"].safe_until.reset();
  EXPECT_EQ(safe_until(cameras, uploads), std::nullopt);
}

TEST(Metrics, CamerasJson) {
  CameraStatus front = camera("front");
  front.stream.video = test::video_config();
  front.stream.audio = test::aac_config();
  front.stream.bits_per_second = 4'000'000.7;
  front.stream.source.transport = "tcp";
  front.stream.source.oddities = {{"R1", 2}};
  front.recorder.recorded_until = base::from_unix_ms(1'795'230'000'500);
  const auto root =
      boost::json::parse(cameras_json({front, camera("back", Source::kWaiting, Recorder::kWaiting)}));
  const auto& list = root.at("cameras").as_array();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].at("name").as_string(), "front");
  EXPECT_EQ(list[0].at("state").as_string(), "recording");
  EXPECT_EQ(list[0].at("width").to_number<int>(), 1280);
  EXPECT_EQ(list[0].at("codecs").as_array().size(), 2U);
  EXPECT_EQ(list[0].at("bitrate_bps").to_number<int>(), 4'000'000);
  EXPECT_EQ(list[0].at("oddities").at("R1").to_number<int>(), 2);
  EXPECT_TRUE(list[0].at("last_error").is_null());
  EXPECT_EQ(list[1].at("state").as_string(), "waiting");
  EXPECT_EQ(list[1].at("last_error").as_string(), "waiting for the first picture");
  EXPECT_TRUE(list[1].at("recorded_until").is_null());
  EXPECT_EQ(list[1].at("width").to_number<int>(), 0);
}

}  // namespace
}  // namespace miharu::api
