// What the API may ask about cameras, implemented by whoever runs them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "record/recorder.h"
#include "stream/camera_stream.h"
#include "upload/live_publisher.h"
#include "upload/uploader.h"

namespace miharu::api {

struct CameraStatus {
  std::string name;
  bool record = true;
  stream::StreamStatus stream;
  record::RecorderStatus recorder;
};

// One word for people, metrics and JSON: recording, connecting, waiting, disk_trouble, off.
std::string_view state_of(const CameraStatus& camera);
// Why a camera that should record does not; nothing when it does.
std::optional<std::string> trouble_of(const CameraStatus& camera);

// Thread-safe.
class CameraList {
 public:
  virtual ~CameraList() = default;
  [[nodiscard]] virtual std::vector<CameraStatus> cameras() const = 0;  // in the order of the configuration
  [[nodiscard]] virtual bool has(std::string_view camera) const = 0;
  // None where nothing is uploaded. Blocks for the log.
  [[nodiscard]] virtual std::optional<upload::UploadStatus> uploads() const { return std::nullopt; }
  // Of live pictures through the bucket; likewise none. Does not block.
  [[nodiscard]] virtual std::optional<upload::LiveStatus> bucket_live() const { return std::nullopt; }
};

}  // namespace miharu::api
