#include "received_stream.h"

#include <algorithm>

namespace miharu::bench {

bool ReceivedStream::on_packet(const media::RtpPacket& packet, base::SteadyTime now, Counts& counts) {
  if (!stats_) {
    stats_.emplace(packet.ssrc, clock_rate_);
    // Numbers begin one window up, so that they stay positive; what is older than the first counts as seen.
    highest_ = sequence_.unwrap(packet.sequence) + kWindow - 1;
    seen_.set();
  }
  stats_->on_packet(packet, now);
  const int64_t number = sequence_.unwrap(packet.sequence) + kWindow;
  const auto slot = [](int64_t at) { return static_cast<size_t>(at % kWindow); };
  if (number > highest_) {
    const int64_t missing = number - highest_ - 1;
    for (int64_t each = std::max(highest_ + 1, number - kWindow); each < number; ++each)
      seen_.reset(slot(each));
    seen_.set(slot(number));
    counts.lost += missing;
    highest_ = number;
    return true;
  }
  if (number <= highest_ - kWindow || seen_.test(slot(number))) {
    ++counts.duplicate;
    return false;
  }
  seen_.set(slot(number));
  --counts.lost;
  ++counts.reordered;
  return true;
}

}  // namespace miharu::bench
