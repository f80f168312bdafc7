// How fast the media clock of a track runs against ours (quirk P5).
#pragma once

#include <cmath>
#include <optional>

#include "base/clock.h"

namespace miharu::ingest::rtsp {

// Pure; one track of one session. What a camera had kept comes at once at the start and is left out. Two
// windows in succession have to agree, because a stall of the network makes one slow and the next one fast.
class RateMeter {
 public:
  static constexpr base::seconds kStart{10};
  static constexpr base::seconds kWindow{30};
  static constexpr double kTolerance = 0.02;

  // Each packet: `media` in seconds of the camera's clock.
  void add(double media, base::SteadyTime arrival) {
    if (!mark_) {
      mark_ = Mark{media, arrival + kStart};
    } else if (!running_) {
      if (arrival < mark_->arrival) return;
      mark_ = Mark{media, arrival};
      running_ = true;
    } else if (arrival - mark_->arrival >= kWindow) {
      const double elapsed = std::chrono::duration<double>(arrival - mark_->arrival).count();
      previous_ = last_;
      last_ = (media - mark_->media) / elapsed;
      mark_ = Mark{media, arrival};
    }
  }
  // The clock jumped, or another one is told.
  void reset() { *this = RateMeter(); }

  // Seconds of media in a second; nothing before two windows were seen that agree.
  [[nodiscard]] std::optional<double> rate() const {
    if (!previous_ || std::abs(*last_ - *previous_) > kTolerance) return std::nullopt;
    return (*last_ + *previous_) / 2;
  }
  [[nodiscard]] bool wrong() const { return rate() && std::abs(*rate() - 1) > kTolerance; }

 private:
  struct Mark {
    double media = 0;
    base::SteadyTime arrival{};
  };
  std::optional<Mark> mark_;
  bool running_ = false;
  std::optional<double> last_;
  std::optional<double> previous_;
};

}  // namespace miharu::ingest::rtsp
