#include <cstdlib>

#include "media/scan.h"

using namespace miharu;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::ByteView object{reinterpret_cast<const std::byte*>(data), size};
  const auto scan = media::scan_fmp4(object);
  if (!scan) return 0;
  if (scan->whole_bytes > size) std::abort();
  for (const media::ScannedFragment& fragment : scan->fragments) {
    if (fragment.offset + fragment.size_bytes > scan->whole_bytes) std::abort();
    for (const auto* samples : {&fragment.video, &fragment.audio}) {
      for (const media::ScannedSample& sample : *samples) {
        if (sample.offset + sample.size_bytes > fragment.offset + fragment.size_bytes) std::abort();
      }
    }
  }
  return 0;
}
