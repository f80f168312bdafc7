#include "media/aac.h"
#include "media/opus.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const base::ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto config = media::aac::parse_config(bytes)) {
    const auto again = media::aac::parse_config(media::aac::write_config(*config));
    if (!again || again->sample_rate != config->sample_rate || again->object_type != config->object_type)
      __builtin_trap();
  }
  (void)media::aac::make_track_config(bytes);
  if (const auto frame = media::aac::parse_adts(bytes)) {
    base::ByteVector header;
    media::aac::append_adts_header(header, frame->config, frame->payload.size());
  }
  (void)media::opus::packet_samples(bytes);
  return 0;
}
