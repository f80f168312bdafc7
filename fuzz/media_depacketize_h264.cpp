#include "depacketize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  static const media::SdpFormat kFormat{
      96, "H264", 90000, 0, {{"sprop-parameter-sets", "Z2QAKKzZQHgCJ+WEAAADAAQAAAMA8DxgxlgA,aM48gA=="}}};
  fuzz::depacketize("video", kFormat, {reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
