#include "media/depacketizer.h"
#include "media/sdp.h"

namespace {

struct Sink final : miharu::media::FrameSink {
  void on_frame(miharu::media::FramePtr) override {}
  void on_oddity(std::string_view) override {}
  void on_drop(miharu::base::Error) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto sdp = media::parse_sdp(text);
  const std::string base =
      media::sdp_base_url("rtsp://camera/x", text.substr(0, size / 2), text.substr(size / 2));
  (void)media::sdp_control_url(base, text);
  if (!sdp) return 0;
  Sink sink;
  for (const auto& media : sdp->media) {
    const auto choice = media::choose_format(media);
    if (choice && !media::make_depacketizer(media, choice->format, sink)) __builtin_trap();
  }
  return 0;
}
