// The video units of a camera as the viewers of one thread need them: from the latest key frame on for those
// who join, and those of the last moments for retransmission.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/live_count.h"
#include "webrtc/rtp_unit.h"

namespace miharu::webrtc {

// Not thread-safe. Units have numbers that count up and never go back.
class UnitRing {
 public:
  // Where the numbers of a camera's smaller stream begin: none of them is one of its main stream.
  static constexpr uint64_t kSubNumbers = uint64_t{1} << 62;
  // docs/limits.md. A longer group of pictures loses its oldest units but the key frame.
  static constexpr size_t kMaxBytes = 8 << 20;
  // What came before a key frame can still be asked for again.
  static constexpr base::seconds kBeforeKey{1};

  explicit UnitRing(uint64_t first_number = 0) : end_(first_number) {}

  // A unit that came at `now`; its time is above that of the one before.
  void push(UnitPtr unit, base::SteadyTime now);
  // The camera was lost: what is here leads nowhere for those who join now.
  void interrupt();
  // Units behind the key frame are missing: until the next one, whole() is false.
  void miss() { missed_ = true; }

  [[nodiscard]] uint64_t end() const { return end_; }  // the number of the next unit
  [[nodiscard]] uint64_t begin() const { return end_ - units_.size(); }
  // Null when it is gone or did not come yet.
  [[nodiscard]] const RtpUnit* unit(uint64_t number) const { return find(number).get(); }
  // The same, to be kept.
  [[nodiscard]] UnitPtr share(uint64_t number) const { return find(number); }
  // Where somebody who joins begins; none before the first key frame and after an interruption.
  [[nodiscard]] std::optional<uint64_t> key() const { return key_; }
  // All units from the key frame on are here.
  [[nodiscard]] bool whole() const { return key_ && !missed_ && *key_ >= begin(); }

  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] double bits_per_second() const;
  // From one key frame to the next, as it was last; zero before it is known.
  [[nodiscard]] base::nanoseconds gop() const { return gop_; }
  // The media time that is live at `now`: that of a picture made now would come as late as the last one did.
  [[nodiscard]] base::SteadyTime live_time(base::SteadyTime now) const { return now - lag_; }

 private:
  [[nodiscard]] const UnitPtr& find(uint64_t number) const;
  void pop();

  std::deque<UnitPtr> units_;
  UnitPtr key_unit_;
  uint64_t end_;
  std::optional<uint64_t> key_;
  bool missed_ = false;
  size_t bytes_ = 0;
  base::nanoseconds gop_{};
  base::nanoseconds lag_{};
  [[no_unique_address]] base::LiveCount<UnitRing> counted_;
};

}  // namespace miharu::webrtc
