// Parameter sets, slice headers, byte streams and sprop-parameter-sets.
#include "media/h264.h"
#include "media/h264_dts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  namespace h264 = media::h264;
  const base::ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)h264::parse_sprop(base::as_text(bytes));
  (void)h264::parse_avcc(bytes);
  h264::ParameterSets sets;
  h264::DtsExtractor extractor;
  int64_t pts = 0;
  int64_t last = INT64_MIN;
  for (const base::ByteView nal : h264::split_annexb(bytes)) {
    sets.add(nal);
    (void)h264::has_recovery_point(nal);
    const auto start = h264::parse_slice_start(nal);
    const auto* sps = start ? sets.sps_of(start->pps_id) : nullptr;
    if (sps == nullptr) continue;
    if (!sets.config(start->pps_id, 90000)) __builtin_trap();
    const auto slice = h264::parse_slice_header(nal, *sps, *sets.pps(start->pps_id));
    if (!slice) continue;
    // Presentation times that the input chooses, mostly forward.
    pts += std::to_integer<int>(nal.back()) * 100 - 3000;
    const bool reference = (std::to_integer<int>(nal[0]) & 0x60) != 0;
    const auto times =
        extractor.extract({*slice, h264::nal_type(nal) == h264::NalType::kIdr, reference}, *sps, pts);
    if (!times) continue;
    if (times->dts > times->pts || times->dts <= last) __builtin_trap();
    last = times->dts;
  }
  return 0;
}
