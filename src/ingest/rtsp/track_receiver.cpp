#include "ingest/rtsp/track_receiver.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"

namespace miharu::ingest::rtsp {

using base::SteadyTime;

namespace {

constexpr double kJumpForward = 1.0;     // seconds in one step, beyond what the clock on the wall did
constexpr double kJumpBackward = -0.5;   // farther than pictures are reordered
constexpr double kSoundBackward = -0.1;  // sound is not
constexpr double kMaxDrift = 0.001;      // of a camera's crystal, with room

double to_seconds(base::SteadyTime::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

base::Result<std::unique_ptr<TrackReceiver>> TrackReceiver::make(media::TrackKind kind,
                                                                 const media::SdpMedia& media,
                                                                 const media::SdpChoice& choice, bool reorder,
                                                                 TrackListener& listener) {
  std::unique_ptr<TrackReceiver> out(new TrackReceiver(kind, choice, reorder, listener));
  auto depacketizer = media::make_depacketizer(media, choice.format, *out);
  if (!depacketizer) return tl::unexpected(std::move(depacketizer.error()));
  out->depacketizer_ = std::move(*depacketizer);
  out->own_ssrc_ = std::random_device{}();
  return out;
}

bool TrackReceiver::on_rtp(base::ByteView bytes, SteadyTime arrival) {
  const auto packet = media::parse_rtp(bytes);
  if (!packet || packet->payload_type != format_.payload_type) {
    listener_.on_track_oddity("P7");
    return false;
  }
  // Announced ssrcs are often wrong (quirk P1): the first packet decides, and two in a row from another one
  // are a change (quirk P2).
  if (stats_ && stats_->ssrc() != packet->ssrc) {
    if (!other_ssrc_.add(*packet, arrival)) return false;
    switch_to(packet->ssrc);
    for (const auto& held : other_ssrc_.take()) accept(held.packet, held.arrival);
    return true;
  }
  other_ssrc_.clear();
  if (!stats_) stats_.emplace(packet->ssrc, format_.clock_rate);
  accept(*packet, arrival);
  return true;
}

void TrackReceiver::switch_to(uint32_t ssrc) {
  if (previous_ssrc_ == ssrc) {
    listener_.on_track_oddity("T4");
    ++returns_;
  }
  previous_ssrc_ = stats_->ssrc();
  listener_.on_track_oddity("P2");
  buffer_.flush();
  buffer_.reset();
  new_ssrc_ = true;
  stats_.emplace(ssrc, format_.clock_rate);
}

void TrackReceiver::accept(const media::RtpPacket& packet, SteadyTime arrival) {
  ++packets_;
  last_packet_ = arrival;
  bye_at_.reset();
  stats_->on_packet(packet, arrival);
  buffer_.push(packet, arrival);
  if (!reorder_) buffer_.flush();
}

void TrackReceiver::on_ordered_packet(const media::RtpPacket& packet, SteadyTime arrival,
                                      uint32_t lost_before) {
  lost_ += lost_before;
  const int64_t timestamp = follow_clock(timestamps_.unwrap(packet.timestamp), arrival);
  rate_.add(static_cast<double>(timestamp) / format_.clock_rate, arrival);
  if (!rate_told_ && rate_.wrong()) {
    rate_told_ = true;
    listener_.on_track_oddity("P5");
  }
  depacketizer_->push({packet, timestamp, arrival, lost_before > 0, std::exchange(new_ssrc_, false)});
}

// Quirk P5. A step of media time counts only where arrival does not explain it: after a stall of the network
// or frames that the camera left out, media time catches up with what it was ahead before, and goes no
// farther. After a step video starts a new time segment; sound, whose clock must not break up good video,
// goes on where its arrival puts it.
int64_t TrackReceiver::follow_clock(int64_t timestamp, SteadyTime arrival) {
  timestamp += shift_;
  if (!mark_) {
    mark_ = TimeMark{timestamp, arrival, 0, 0};
    return timestamp;
  }
  TimeMark& mark = *mark_;
  const double step = static_cast<double>(timestamp - mark.timestamp) / format_.clock_rate;
  const double elapsed = to_seconds(arrival - mark.arrival);
  const double lead = mark.lead + step - elapsed;
  const bool forward = step > kJumpForward && lead > mark.max_lead + kJumpForward;
  if (!forward && step >= (kind_ == media::TrackKind::kVideo ? kJumpBackward : kSoundBackward)) {
    mark = {timestamp, arrival, lead, std::max(lead, mark.max_lead - elapsed * kMaxDrift)};
    return timestamp;
  }
  listener_.on_track_oddity("P5");
  rate_.reset();
  if (kind_ == media::TrackKind::kAudio) {
    const int64_t expected = mark.timestamp + static_cast<int64_t>(elapsed * format_.clock_rate);
    shift_ += expected - timestamp;
    mark = {expected, arrival, mark.lead, mark.max_lead};
    return expected;
  }
  mark = {timestamp, arrival, 0, 0};
  depacketizer_->reset();
  listener_.on_track_time_jump(
      {base::Errc::kMalformed,
       fmt::format("the camera's {} clock jumped by {:.1f} s", name_of(kind_), step - elapsed), -1});
  return timestamp;
}

void TrackReceiver::on_drop(base::Error reason) {
  spdlog::debug("{}: {}", name_of(kind_), reason.text);
}

void TrackReceiver::on_rtcp(base::ByteView packet, SteadyTime arrival) {
  report_arrival_ = arrival;
  // What broke in a report is lost with it; media does not depend on it.
  static_cast<void>(media::parse_rtcp(packet, *this));
}

void TrackReceiver::on_sender_report(const media::RtcpSenderReport& report) {
  if (!stats_ || report.ssrc != stats_->ssrc() || !timestamps_.last()) return;
  stats_->on_sender_report(report, report_arrival_);
  listener_.on_track_report(
      {kind_, report.ntp, timestamps_.peek(report.rtp_timestamp) + shift_, report_arrival_});
}

void TrackReceiver::on_bye(uint32_t ssrc) {
  if (!stats_ || ssrc != stats_->ssrc()) return;
  listener_.on_track_oddity("U6");
  bye_at_ = report_arrival_;
}

void TrackReceiver::advance(SteadyTime now) {
  buffer_.advance(now);
}

std::optional<SteadyTime> TrackReceiver::deadline() const {
  return buffer_.deadline();
}

void TrackReceiver::flush() {
  buffer_.flush();
  depacketizer_->flush();
}

void TrackReceiver::append_report(base::ByteVector& out, SteadyTime now) {
  if (!stats_) return;
  const media::RtcpReportBlock block = stats_->report(now);
  media::append_receiver_report(out, own_ssrc_, {&block, 1}, "miharu");
}

}  // namespace miharu::ingest::rtsp
