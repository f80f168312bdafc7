#include "webrtc/live_metrics.h"

namespace miharu::webrtc {

ViewerTotals& ViewerTotals::operator+=(const ViewerTotals& other) {
  sessions += other.sessions;
  packets += other.packets;
  bytes += other.bytes;
  retransmitted += other.retransmitted;
  retransmissions_refused += other.retransmissions_refused;
  dropped += other.dropped;
  pictures_skipped += other.pictures_skipped;
  packets_asked_again += other.packets_asked_again;
  key_frame_requests += other.key_frame_requests;
  lost += other.lost;
  round_trip += other.round_trip;
  first_frame += other.first_frame;
  return *this;
}

LiveMetrics& LiveMetrics::operator+=(const LiveMetrics& thread) {
  for (const auto& [name, theirs] : thread.cameras) {
    CameraViewing& camera = cameras[name];
    camera.totals += theirs.totals;
    for (const auto& [state, count] : theirs.by_state) camera.by_state[state] += count;
  }
  handover_dropped += thread.handover_dropped;
  return *this;
}

}  // namespace miharu::webrtc
