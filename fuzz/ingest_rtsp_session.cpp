// What a camera sends, from the first reply on. Byte 0: pieces of the reads; byte 1: transport, and time that
// passes.
#include <algorithm>
#include <cstring>

#include "ingest/rtsp/session.h"
#include "ingest/rtsp/track_receiver.h"

namespace {

using namespace miharu;
using namespace miharu::ingest;
using namespace miharu::ingest::rtsp;

class Sink final : public SessionListener, public TrackListener {
 public:
  void on_send(base::ByteView) override {}
  base::Result<uint16_t> on_select(media::TrackKind kind, const media::SdpMedia& media,
                                   const media::SdpChoice& choice) override {
    auto made = TrackReceiver::make(kind, media, choice, false, *this);
    if (!made) return tl::unexpected(std::move(made.error()));
    receivers[kind == media::TrackKind::kVideo ? 0 : 1] = std::move(*made);
    return 5000;
  }
  void on_setup(media::TrackKind, const Transport&) override {}
  void on_left_out(media::TrackKind) override {}
  void on_playing() override {}
  void on_media(media::TrackKind kind, bool rtcp, base::ByteView packet) override {
    auto& receiver = *receivers[kind == media::TrackKind::kVideo ? 0 : 1];
    if (rtcp) {
      receiver.on_rtcp(packet, now);
    } else {
      receiver.on_rtp(packet, now);
    }
  }
  void on_oddity(std::string_view) override {}
  void on_track_frame(media::FramePtr) override {}
  void on_track_report(const SenderReport&) override {}
  void on_track_oddity(std::string_view) override {}
  void on_track_time_jump(const base::Error&) override {}

  base::SteadyTime now{std::chrono::hours(1)};
  std::unique_ptr<TrackReceiver> receivers[2];
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = size_t{data[0]} * 8 + 1;
  Sink sink;
  Authenticator authenticator("user", "password");
  SessionOptions options;
  options.url = *parse_url("rtsp://camera/stream");
  options.udp = (data[1] & 1) != 0;
  options.buffer_bytes = StreamParser::kMinCapacity;
  Session session(options, authenticator, sink);
  session.start(sink.now);
  for (size_t at = 2; at < size && !session.end();) {
    const auto space = session.space();
    const size_t count = std::min({piece, size - at, space.size()});
    std::memcpy(space.data(), data + at, count);
    at += count;
    session.receive(count, sink.now);
    sink.now += base::milliseconds(data[1] >> 1);
    session.tick(sink.now);
  }
  session.teardown();
  return 0;
}
