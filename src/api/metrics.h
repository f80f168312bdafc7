// What /metrics tells, in Prometheus' text format, and what /readyz says.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/camera_list.h"
#include "net/http_server.h"
#include "record/gap_log.h"
#include "webrtc/session_service.h"

namespace miharu::api {

// All counters since the start of the process.
// Live view's and the bucket's are left out where there is none.
std::string metrics_text(const std::vector<CameraStatus>& cameras, const std::vector<record::GapTotal>& gaps,
                         const net::HttpServerStats& http,
                         const std::optional<webrtc::LiveMetrics>& live = std::nullopt,
                         const std::optional<upload::UploadStatus>& uploads = std::nullopt,
                         const std::optional<upload::LiveStatus>& bucket_live = std::nullopt);

// A line for each camera that should be recorded and is not, and one when uploading is stuck; empty when all
// is as configured.
std::vector<std::string> not_ready_reasons(const std::vector<CameraStatus>& cameras,
                                           const std::optional<upload::UploadStatus>& uploads = std::nullopt);

// Of all recorded cameras the earliest time up to which everything is off-site; none where one has nothing
// there yet.
std::optional<base::UtcTime> safe_until(const std::vector<CameraStatus>& cameras,
                                        const std::optional<upload::UploadStatus>& uploads);

// {"cameras": [...], "uploads": {...} or null} of GET /api/v1/cameras. A camera's `safe_until_ms` (Unix
// time): all that was recorded before is off-site, or lost; null where nothing is, or nothing is uploaded at
// all.
std::string cameras_json(const std::vector<CameraStatus>& cameras,
                         const std::optional<upload::UploadStatus>& uploads = std::nullopt);

}  // namespace miharu::api
