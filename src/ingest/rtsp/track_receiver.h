// From the RTP and RTCP packets of one track to frames: which ssrc is ours, order, time, receiver reports.
// Pure: packets and times go in, frames come out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "ingest/rtsp/rate_meter.h"
#include "ingest/source.h"
#include "media/depacketizer.h"
#include "media/reorder_buffer.h"
#include "media/rtcp.h"

namespace miharu::ingest::rtsp {

// Called during the receiver's methods; must outlive it.
class TrackListener {
 public:
  virtual ~TrackListener() = default;
  virtual void on_track_frame(media::FramePtr frame) = 0;
  virtual void on_track_report(const SenderReport& report) = 0;
  virtual void on_track_oddity(std::string_view quirk_id) = 0;
  // Quirk P5, of video: the frames that follow have another zero.
  virtual void on_track_time_jump(const base::Error& error) = 0;
};

class TrackReceiver final : private media::ReorderSink,
                            private media::FrameSink,
                            private media::RtcpListener {
 public:
  // `reorder` for UDP: waits for packets that are late. Over TCP what is missing stays missing.
  static base::Result<std::unique_ptr<TrackReceiver>> make(media::TrackKind kind,
                                                           const media::SdpMedia& media,
                                                           const media::SdpChoice& choice, bool reorder,
                                                           TrackListener& listener);

  // True if the packet is one of this track.
  bool on_rtp(base::ByteView packet, base::SteadyTime arrival);
  void on_rtcp(base::ByteView packet, base::SteadyTime arrival);
  // Gives up on packets that are missing for too long.
  void advance(base::SteadyTime now);
  [[nodiscard]] std::optional<base::SteadyTime> deadline() const;
  void flush();  // the session is over

  // Appends a receiver report on what came since the last one; nothing while nothing has come.
  void append_report(base::ByteVector& out, base::SteadyTime now);

  [[nodiscard]] media::TrackKind kind() const { return kind_; }
  [[nodiscard]] uint64_t packets() const { return packets_; }
  [[nodiscard]] uint64_t lost() const { return lost_; }
  [[nodiscard]] std::optional<base::SteadyTime> last_packet() const { return last_packet_; }
  // The camera said BYE and has sent nothing since (quirk U6).
  [[nodiscard]] std::optional<base::SteadyTime> bye_at() const { return bye_at_; }
  [[nodiscard]] const RateMeter& rate() const { return rate_; }
  // Frames of a session that is no more are mixed into ours (quirk T4).
  [[nodiscard]] bool mixed_with_another_session() const { return returns_ >= 3; }

 private:
  TrackReceiver(media::TrackKind kind, const media::SdpChoice& choice, bool reorder, TrackListener& listener)
      : kind_(kind), format_(choice.format), reorder_(reorder), listener_(listener), buffer_(*this) {}

  void switch_to(uint32_t ssrc);
  void accept(const media::RtpPacket& packet, base::SteadyTime arrival);
  // The timestamp for frames, after what a jump of the clock calls for.
  int64_t follow_clock(int64_t timestamp, base::SteadyTime arrival);

  void on_ordered_packet(const media::RtpPacket& packet, base::SteadyTime arrival,
                         uint32_t lost_before) override;
  void on_frame(media::FramePtr frame) override { listener_.on_track_frame(std::move(frame)); }
  void on_oddity(std::string_view quirk_id) override { listener_.on_track_oddity(quirk_id); }
  void on_drop(base::Error reason) override;
  void on_sender_report(const media::RtcpSenderReport& report) override;
  void on_bye(uint32_t ssrc) override;

  // What the media time was when, to tell a jump of the camera's clock from a stall of the network.
  struct TimeMark {
    int64_t timestamp = 0;
    base::SteadyTime arrival{};
    double lead = 0;      // seconds of media time ahead of arrival, since the segment began
    double max_lead = 0;  // the least delayed packet of the segment
  };

  const media::TrackKind kind_;
  const media::SdpFormat format_;
  const bool reorder_;
  TrackListener& listener_;
  media::ReorderBuffer buffer_;
  std::unique_ptr<media::Depacketizer> depacketizer_;
  std::optional<media::ReceptionStats> stats_;
  media::Probation other_ssrc_;
  std::optional<uint32_t> previous_ssrc_;
  unsigned returns_ = 0;  // changes back to the ssrc before
  bool new_ssrc_ = false;
  media::TimestampUnwrapper timestamps_;
  int64_t shift_ = 0;  // ticks, added to timestamps: what audio's jumps are made up for with
  std::optional<TimeMark> mark_;
  RateMeter rate_;
  bool rate_told_ = false;
  std::optional<base::SteadyTime> last_packet_;
  std::optional<base::SteadyTime> bye_at_;
  base::SteadyTime report_arrival_{};
  uint32_t own_ssrc_ = 0;
  uint64_t packets_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace miharu::ingest::rtsp
