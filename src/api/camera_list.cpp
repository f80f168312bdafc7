#include "api/camera_list.h"

namespace miharu::api {

using Source = ingest::SourceStatus::State;
using Recorder = record::RecorderStatus::State;

std::string_view state_of(const CameraStatus& camera) {
  if (!camera.record) return "off";
  if (camera.recorder.state == Recorder::kDiskTrouble) return "disk_trouble";
  switch (camera.stream.source.state) {
    case Source::kIdle:
      return "off";
    case Source::kConnecting:
      return "connecting";
    case Source::kWaiting:
      return "waiting";
    case Source::kPlaying:
      break;
  }
  return camera.recorder.state == Recorder::kRecording ? "recording" : "connecting";
}

std::optional<std::string> trouble_of(const CameraStatus& camera) {
  if (!camera.record) return std::nullopt;
  if (camera.recorder.state == Recorder::kDiskTrouble) {
    return camera.recorder.last_error ? camera.recorder.last_error->text
                                      : std::string("the disk does not keep up");
  }
  if (camera.recorder.state == Recorder::kRecording && camera.stream.source.state == Source::kPlaying)
    return std::nullopt;
  if (camera.stream.source.last_error) return camera.stream.source.last_error->text;
  return std::string("waiting for the first picture");
}

}  // namespace miharu::api
