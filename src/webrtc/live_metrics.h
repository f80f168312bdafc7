// What live view counts for /metrics: viewers keep plain numbers on their threads, and these are added up
// when somebody asks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace miharu::webrtc {

// How many values there were up to each of `kBounds`, and in the last place above all of them.
template <const auto& kBounds>
struct Histogram {
  static constexpr const auto& bounds = kBounds;

  void observe(double value) {
    ++counts[static_cast<size_t>(std::lower_bound(kBounds.begin(), kBounds.end(), value) - kBounds.begin())];
    sum += value;
  }
  Histogram& operator+=(const Histogram& other) {
    for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    sum += other.sum;
    return *this;
  }

  std::array<uint64_t, kBounds.size() + 1> counts{};
  double sum = 0;
};

// Seconds. From a viewer in the same house to one on a satellite.
inline constexpr std::array kRoundTripBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                0.1,   0.25,   0.5,   1.0,  2.5};
inline constexpr std::array kFirstFrameBounds = {0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75,
                                                 1.0,   1.5,  2.0, 3.0, 5.0, 10.0};

// Of one viewer, or of all that a camera had.
struct ViewerTotals {
  uint64_t sessions = 0;  // begun
  uint64_t packets = 0;   // RTP of both tracks, repairs and dropped ones too
  uint64_t bytes = 0;     // of them, UDP payload
  uint64_t retransmitted = 0;
  uint64_t retransmissions_refused = 0;
  uint64_t dropped = 0;                      // packets that the kernel did not take
  uint64_t pictures_skipped = 0;             // because the line does not carry them
  uint64_t packets_asked_again = 0;          // by NACK
  uint64_t key_frame_requests = 0;           // PLI, FIR
  uint64_t lost = 0;                         // pictures' packets, as the viewers report
  Histogram<kRoundTripBounds> round_trip;    // one for each report that tells it
  Histogram<kFirstFrameBounds> first_frame;  // one a session, see SessionInfo::first_frame_ms

  ViewerTotals& operator+=(const ViewerTotals& other);
};

struct CameraViewing {
  ViewerTotals totals;                     // since the start of the process, those who left included
  std::map<std::string, size_t> by_state;  // sessions now, by SessionInfo::state
};

// Things of live view that exist now. When nobody watches any more, there are none, but for "units": those
// of the latest group of pictures are kept until the next key frame.
struct LiveObjects {
  std::string_view kind;
  size_t count = 0;
};

struct LiveMetrics {
  std::map<std::string, CameraViewing> cameras;  // those that had viewers
  std::vector<LiveObjects> objects;
  uint64_t refused_in_all = 0;  // offers, because of a limit of sessions
  uint64_t refused_of_user = 0;
  uint64_t handover_dropped = 0;  // datagrams, see ViewerThread::kMaxHandedOver

  // Of cameras and datagrams: what one thread has counted.
  LiveMetrics& operator+=(const LiveMetrics& thread);
};

}  // namespace miharu::webrtc
