#include "record/early_frames.h"

#include <utility>

namespace miharu::record {

using store::RunReason;
using stream::PlacedFrame;
using stream::RunStart;

uint64_t EarlyFrames::cost_bytes(const PlacedFrame& frame) {
  return frame.frame->data().size() + sizeof(Event);
}

void EarlyFrames::on_run_start(const RunStart& start) {
  run_ = start;
  // None of it will be kept: it is told once all else was handed on.
  if (full_) return;
  events_.emplace_back(start);
}

bool EarlyFrames::add(const PlacedFrame& frame, bool may) {
  if (full_) return false;
  if (!may) {
    full_ = true;
    return false;
  }
  bytes_ += cost_bytes(frame);
  events_.emplace_back(frame);
  return true;
}

void EarlyFrames::on_run_end(RunReason reason, const std::string& detail) {
  run_.reset();
  if (!full_) events_.emplace_back(RunEnd{reason, detail});
}

void EarlyFrames::hand_on(stream::PlacedListener& listener) {
  const std::deque<Event> events = std::exchange(events_, {});
  bytes_ = 0;
  for (const Event& event : events) {
    if (const auto* start = std::get_if<RunStart>(&event)) {
      listener.on_run_start(*start);
    } else if (const auto* frame = std::get_if<PlacedFrame>(&event)) {
      listener.on_placed(*frame);
    } else {
      const auto& end = std::get<RunEnd>(event);
      listener.on_run_end(end.reason, end.detail);
    }
  }
  if (!std::exchange(full_, false)) return;
  const std::string why = "the disk did not keep up";
  listener.on_run_end(RunReason::kQueue, why);
  if (!run_) return;
  RunStart rest = *run_;
  rest.reason = RunReason::kQueue;
  rest.detail = why;
  rest.dependent = false;
  listener.on_run_start(rest);
}

uint64_t EarlyFrames::drop() {
  uint64_t frames = 0;
  for (const Event& event : events_) frames += std::holds_alternative<PlacedFrame>(event) ? 1 : 0;
  events_.clear();
  bytes_ = 0;
  full_ = false;
  return frames;
}

}  // namespace miharu::record
