// Packets of any kind and time through the receiver of a track.
#include "ingest/rtsp/track_receiver.h"
#include "media/sdp.h"

namespace {

using namespace miharu;

class Checker final : public ingest::rtsp::TrackListener {
 public:
  void on_track_frame(media::FramePtr frame) override {
    if (!frame->config || frame->data().empty() || frame->dts > frame->pts || (last_ && frame->dts <= *last_))
      __builtin_trap();
    last_ = frame->dts;
  }
  void on_track_report(const ingest::SenderReport&) override {}
  void on_track_oddity(std::string_view) override {}
  void on_track_time_jump(const base::Error&) override { last_.reset(); }

 private:
  std::optional<int64_t> last_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto sdp = media::parse_sdp(
      "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
      "a=fmtp:96 sprop-parameter-sets=Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgBA==,aO48gA==\r\n"
      "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/8000/1\r\na=fmtp:97 mode=AAC-hbr;config=1588\r\n");
  base::ByteReader in({reinterpret_cast<const std::byte*>(data), size});
  const uint8_t head = in.u8();
  const auto kind = (head & 1) != 0 ? media::TrackKind::kAudio : media::TrackKind::kVideo;
  const media::SdpMedia& media = sdp->media[head & 1];
  Checker checker;
  auto receiver =
      *ingest::rtsp::TrackReceiver::make(kind, media, *media::choose_format(media), (head & 2) != 0, checker);
  base::SteadyTime now{};
  while (!in.empty()) {
    const uint8_t what = in.u8();
    now += base::milliseconds(what >> 2);
    const base::ByteView packet = in.bytes(std::min<size_t>(in.u8(), in.remaining()));
    if ((what & 3) == 3) {
      receiver->on_rtcp(packet, now);
    } else {
      receiver->on_rtp(packet, now);
    }
    receiver->advance(now);
  }
  receiver->flush();
  base::ByteVector report;
  receiver->append_report(report, now);
  return 0;
}
