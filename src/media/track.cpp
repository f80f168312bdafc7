#include "media/track.h"

namespace miharu::media {

std::string_view name_of(Codec codec) {
  switch (codec) {
    case Codec::kH264:
      return "h264";
    case Codec::kAac:
      return "aac";
    case Codec::kPcmu:
      return "pcmu";
    case Codec::kPcma:
      return "pcma";
    case Codec::kOpus:
      return "opus";
  }
  return "unknown";
}

std::string_view name_of(TrackKind kind) {
  return kind == TrackKind::kVideo ? "video" : "audio";
}

}  // namespace miharu::media
