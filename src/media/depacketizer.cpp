#include "media/depacketizer.h"

#include "media/depacketize.h"

namespace miharu::media {

base::Result<std::unique_ptr<Depacketizer>> make_depacketizer(const SdpMedia& media, const SdpFormat& format,
                                                              FrameSink& sink) {
  SdpMedia only = media;
  only.formats = {format};
  const auto choice = choose_format(only);
  if (!choice) return tl::unexpected(choice.error());
  switch (choice->codec) {
    case Codec::kH264:
      return make_h264_depacketizer(format, sink);
    case Codec::kAac:
      return make_aac_depacketizer(format, sink);
    case Codec::kPcmu:
    case Codec::kPcma:
    case Codec::kOpus:
      break;
  }
  return make_simple_depacketizer(choice->codec, format, sink);
}

}  // namespace miharu::media
