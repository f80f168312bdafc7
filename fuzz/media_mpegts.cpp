#include <cstdlib>

#include "media/scan.h"

using namespace miharu;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::ByteView object{reinterpret_cast<const std::byte*>(data), size};
  const auto scan = media::scan_mpegts(object, int64_t{161'550'000'000'000});
  if (!scan) return 0;
  if (scan->whole_bytes > size) std::abort();
  for (const media::ScannedFragment& fragment : scan->fragments) {
    if (fragment.offset + fragment.size_bytes > scan->whole_bytes) std::abort();
    // What was scanned can be extracted, with the size that was promised.
    for (const media::ScannedSample& sample : fragment.video) {
      if (!media::extract_sample(object, sample, media::Codec::kH264)) std::abort();
    }
    for (const media::ScannedSample& sample : fragment.audio) {
      if (!media::extract_sample(object, sample, media::Codec::kAac)) std::abort();
    }
  }
  return 0;
}
