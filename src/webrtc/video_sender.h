// What of a camera's picture goes to one viewer, and when: the start from the cached group of pictures, the
// pace, repairs, and less for those whose line does not carry it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "media/rtcp.h"
#include "webrtc/line_pace.h"
#include "webrtc/rtp_stream.h"

namespace miharu::webrtc {

struct VideoCounters {
  uint64_t packets = 0;
  uint64_t retransmitted = 0;
  uint64_t retransmissions_refused = 0;  // too old, too many
  uint64_t units_skipped = 0;            // because the line does not carry them
  uint64_t starts = 0;                   // from the cache, the first one included
};

// Pure: times are passed in. The ring that it plays and the stream must outlive it; a batch is for the call.
class VideoSender {
 public:
  // A burst goes out in slices, the key frame and the live ones at LinePace::limit(), what follows a cached
  // key frame at kCatchUp times the camera's bit rate, or kCatchUpNear where the round trip is below kNear.
  // Repairs come first and are part of that pace.
  static constexpr base::milliseconds kSlice{10};
  static constexpr double kCatchUp = 4;
  static constexpr double kCatchUpNear = 10;
  static constexpr base::milliseconds kNear{5};
  // While the line of a viewer who is not near is not known yet: what of a key frame goes at once, what the
  // rest and what follows it may have. If nobody answers for so long, it stays unknown.
  static constexpr size_t kBlindBytes = 64 << 10;
  static constexpr double kBlindKeyBitsPerSecond = 20e6;
  static constexpr double kBlindCatchUp = 2;
  static constexpr base::milliseconds kBlind{500};
  // Requests for a key frame get at most one answer in this time, and none during a start.
  static constexpr base::seconds kKeyInterval{2};
  // A line that loses so much for so long gets key frames only, for kRest.
  static constexpr uint8_t kLossOf256 = 26;
  static constexpr base::seconds kLossy{2};
  static constexpr base::seconds kRest{10};
  // A live picture's pace is never less than so many times the camera's bit rate.
  static constexpr double kLeastPace = 1.5;
  // Of the camera's bit rate, what may go into repairs, and at least this much. A start has its key frame's
  // size on top: it is what a narrow line loses of.
  static constexpr double kRepairShare = 0.5;
  static constexpr double kLeastRepairBitsPerSecond = 1e6;
  static constexpr size_t kRepairBurstBytes = 64 << 10;
  // A packet is not repaired again before this (or the round trip, where that is longer) has passed.
  static constexpr base::milliseconds kRepairAgain{15};

  enum class State : uint8_t {
    kWaiting,   // for a key frame
    kCatchUp,   // what is sent comes from the cache
    kLive,      // every unit as it comes
    kKeysOnly,  // the line carries no more
  };

  VideoSender(const UnitRing& ring, RtpStream& stream) : ring_(&ring), stream_(stream) {}

  // The viewer can receive. `round_trip` as far as it is known.
  void start(base::SteadyTime now, std::optional<base::nanoseconds> round_trip, PacketBatch& batch);
  // From now on it plays this ring, which has other numbers than the one before: from its key frame, or from
  // the next one.
  void play(base::SteadyTime now, const UnitRing& ring, PacketBatch& batch);
  // The group of pictures that it waits for is in the ring now; harmless when it does not wait.
  void on_group(base::SteadyTime now, PacketBatch& batch);
  // A unit was added to the ring at `now`.
  void on_unit(base::SteadyTime now, PacketBatch& batch);
  // The camera was lost; the ring was told before.
  void on_interrupted();
  // To be called every kSlice while there is something to send.
  void on_slice(base::SteadyTime now, PacketBatch& batch);
  [[nodiscard]] bool wants_slices() const { return sends() || !wanted_.empty(); }

  // Of a probe that is sent before the start, while nothing else is under way.
  static constexpr uint32_t kIdleProbe = 0;
  // A probe that is to be sent right behind what is in the batch, for on_probe() with its round trip.
  [[nodiscard]] std::optional<uint32_t> take_probe() { return std::exchange(probe_wanted_, std::nullopt); }
  void on_probe(uint32_t id, base::nanoseconds round_trip);

  void on_nack(base::SteadyTime now, uint16_t first, uint16_t mask, PacketBatch& batch);
  void on_key_frame_request(base::SteadyTime now, PacketBatch& batch);
  void on_report(base::SteadyTime now, uint8_t fraction_lost, std::optional<base::nanoseconds> round_trip);

  // The first key frame was sent to its end.
  [[nodiscard]] bool key_sent() const { return key_sent_; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const VideoCounters& counters() const { return counters_; }
  [[nodiscard]] std::optional<base::nanoseconds> round_trip() const { return round_trip_; }

 private:
  void start_from_key(base::SteadyTime now, PacketBatch& batch);
  [[nodiscard]] bool sends() const { return state_ != State::kWaiting && cursor_ < stop_; }
  [[nodiscard]] const RtpUnit* unit_at_cursor() const {
    return packet_ > 0 ? begun_.get() : ring_->unit(cursor_);
  }
  void stand_still();
  [[nodiscard]] bool catches_up_before_next_key(base::SteadyTime now) const;
  [[nodiscard]] double line_rate() const;  // bits a second
  [[nodiscard]] bool near() const { return round_trip_ && *round_trip_ < kNear; }
  [[nodiscard]] bool blind() const { return blind_until_ > budget_since_; }
  void probe_key(const RtpUnit& unit, base::SteadyTime now);
  [[nodiscard]] double catch_up_rate(bool is_blind) const;
  [[nodiscard]] double pace(const RtpUnit& unit) const;
  [[nodiscard]] double pace_now() const;
  [[nodiscard]] uint32_t stamp(const RtpUnit& unit, base::SteadyTime now);
  void send_some(base::SteadyTime now, PacketBatch& batch);
  bool fall_behind(base::SteadyTime now);
  void rest(base::SteadyTime now);
  bool may_repair(base::SteadyTime now, uint16_t sequence);
  void send_repairs(base::SteadyTime now, PacketBatch& batch);

  struct Repair {
    uint16_t sequence;
    base::SteadyTime time;
  };

  const UnitRing* ring_;
  RtpStream& stream_;
  State state_ = State::kWaiting;
  bool started_ = false;
  bool key_sent_ = false;
  uint64_t cursor_ = 0;  // the unit to be sent next, and the packet of it
  size_t packet_ = 0;
  UnitPtr begun_;       // where packet_ is not 0: its end is sent, also when the ring has let go of it
  uint64_t stop_ = 0;   // up to here units are to be sent
  bool still_ = false;  // of the cache only the key frame is shown, until the next one comes
  uint32_t unit_stamp_ = 0;
  std::optional<uint32_t> last_stamp_;
  base::SteadyTime budget_since_{};
  double budget_bytes_ = 0;

  std::optional<base::nanoseconds> round_trip_;
  base::SteadyTime last_start_{};
  std::optional<base::SteadyTime> lossy_since_;
  base::SteadyTime rest_until_{};
  LinePace line_;
  struct Probe {
    uint32_t id = 0;
    double bytes = 0;  // of the key frame, sent before it
    base::nanoseconds sending{};
    uint64_t unit = 0;
    bool last = false;
  };
  std::deque<Probe> probes_;
  std::optional<uint32_t> probe_wanted_;
  uint32_t last_probe_ = kIdleProbe;
  size_t probed_bytes_ = 0;                     // of the key frame
  std::optional<uint64_t> judged_;              // the unit that the line was last judged by
  std::optional<base::nanoseconds> idle_trip_;  // the shortest
  base::SteadyTime key_since_{};
  base::SteadyTime blind_until_{};
  std::deque<uint16_t> wanted_;  // to be sent again
  std::deque<Repair> repairs_;   // that were, in the last moments
  double repair_bytes_ = kRepairBurstBytes;
  base::SteadyTime repair_since_{};
  VideoCounters counters_;
};

}  // namespace miharu::webrtc
