#include "depacketize.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const base::ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  if (bytes.empty()) return 0;
  // The first byte chooses the format.
  const auto choice = std::to_integer<unsigned>(bytes[0]);
  media::SdpFormat format{97, "MPEG4-GENERIC", 48000, 2, {}};
  if ((choice & 1) != 0) format.parameters["config"] = "1190";
  if ((choice & 2) != 0) format.parameters["mode"] = "AAC-lbr";
  if ((choice & 4) != 0) format.parameters["ctsdeltalength"] = "8";
  if ((choice & 8) != 0) format.parameters["auxiliarydatasizelength"] = "8";
  if ((choice & 16) != 0) format.parameters["sizelength"] = std::to_string(choice >> 3);
  fuzz::depacketize("audio", format, bytes.subspan(1));
  return 0;
}
