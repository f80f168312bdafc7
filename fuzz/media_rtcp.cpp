#include "media/rtcp.h"

namespace {

struct Listener final : miharu::media::RtcpListener {
  void on_cname(uint32_t, std::string_view cname) override { sum += cname.empty() ? 0 : cname.back(); }
  int sum = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Listener listener;
  (void)miharu::media::parse_rtcp({reinterpret_cast<const std::byte*>(data), size}, listener);
  return 0;
}
