// H.264 as far as a recorder needs it (ITU-T H.264 = ISO/IEC 14496-10): NAL units, parameter sets, slice
// headers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "media/track.h"

namespace miharu::media::h264 {

// Table 7-1; RFC 6184 section 5.2 from 24 on.
enum class NalType : uint8_t {
  kSlice = 1,
  kPartitionA = 2,
  kPartitionB = 3,
  kPartitionC = 4,
  kIdr = 5,
  kSei = 6,
  kSps = 7,
  kPps = 8,
  kAud = 9,
  kEndOfSequence = 10,
  kEndOfStream = 11,
  kFiller = 12,
  kSpsExtension = 13,
  kStapA = 24,
  kFuA = 28,
  kFuB = 29,
};
constexpr NalType nal_type(uint8_t header) {
  return static_cast<NalType>(header & 0x1f);
}
constexpr NalType nal_type(base::ByteView nal) {
  return nal.empty() ? static_cast<NalType>(0) : nal_type(std::to_integer<uint8_t>(nal[0]));
}
constexpr bool is_slice(NalType type) {
  return type >= NalType::kSlice && type <= NalType::kIdr;
}

// Without emulation prevention bytes (7.3.1), reading at most `limit` bytes of input. `out` keeps its memory.
void unescape(base::ByteView nal, base::ByteVector& out, size_t limit = SIZE_MAX);

struct Sps {
  uint8_t id = 0;
  uint8_t profile_idc = 0;
  uint8_t constraints = 0;  // constraint_set flags as they are in the byte
  uint8_t level_idc = 0;
  uint8_t chroma_format_idc = 1;
  uint8_t bit_depth_luma = 8;
  uint8_t bit_depth_chroma = 8;
  bool separate_colour_planes = false;
  uint8_t log2_max_frame_num = 4;
  uint8_t poc_type = 0;
  uint8_t log2_max_poc_lsb = 4;
  uint32_t max_num_ref_frames = 0;
  bool frame_mbs_only = true;
  uint32_t width = 0;  // after cropping
  uint32_t height = 0;
  uint32_t coded_width = 0;
  uint32_t coded_height = 0;
  // VUI; absent also when it could not be read, which does not make the SPS invalid.
  uint32_t num_units_in_tick = 0;
  uint32_t time_scale = 0;
  std::optional<uint32_t> max_num_reorder_frames;

  [[nodiscard]] double frames_per_second()
      const;  // what the VUI claims (quirk C11: not to be relied on), 0 = nothing
  [[nodiscard]] std::string codec_string() const;  // RFC 6381: "avc1.64001f"
  // How many frames may have to wait for an earlier one to be shown: from the VUI, else what the profile and
  // the number of reference frames allow (C.4.5.3).
  [[nodiscard]] uint32_t reorder_frames() const;
};

// `nal` with its header byte and with emulation prevention. Sizes are limited to 16384 a side.
base::Result<Sps> parse_sps(base::ByteView nal);

struct Pps {
  uint8_t id = 0;
  uint8_t sps_id = 0;
  bool bottom_field_pic_order_in_frame_present = false;
};
base::Result<Pps> parse_pps(base::ByteView nal);

// The first elements of a slice header (7.3.3).
struct SliceHeader {
  uint32_t first_mb = 0;
  uint8_t slice_type = 0;  // 0..4: P B I SP SI
  uint8_t pps_id = 0;
  uint32_t frame_num = 0;
  bool field = false;
  bool bottom_field = false;
  uint32_t poc_lsb = 0;          // poc_type 0
  int32_t delta_poc_bottom = 0;  // poc_type 0
};
// Only first_mb, slice_type and pps_id, for which no SPS is needed.
base::Result<SliceHeader> parse_slice_start(base::ByteView nal);
base::Result<SliceHeader> parse_slice_header(base::ByteView nal, const Sps& sps, const Pps& pps);

// Whether an SEI holds a recovery point (D.1.8), by which a picture without IDR is a place to start (quirk
// C8).
bool has_recovery_point(base::ByteView sei_nal);

// Calls `visit(ByteView nal)` for each NAL unit of a byte stream (annex B) that may begin without a start
// code. Zero bytes before a start code of four bytes or more are left at the unit before (all but one), as
// cameras count them.
template <class Visit>
void for_each_annexb_nal(base::ByteView bytes, Visit visit);
std::vector<base::ByteView> split_annexb(base::ByteView bytes);
// The position of the first 00 00 01 at or after `from`, or npos.
inline constexpr size_t kNoStartCode = SIZE_MAX;
size_t find_start_code(base::ByteView bytes, size_t from = 0);

// What can be kept of a sprop-parameter-sets value (RFC 6184 8.1, quirk S6): cut at start codes, trailing
// zeros stripped, only SPS and PPS that parse.
struct SpropSets {
  std::vector<base::ByteVector> sps;
  std::vector<base::ByteVector> pps;
  bool repaired = false;  // it was not clean
};
SpropSets parse_sprop(std::string_view sprop_parameter_sets);

// The parameter sets of a stream, the last one of each id (quirk C5), and the track configuration that
// follows from them.
class ParameterSets {
 public:
  enum class Change : uint8_t {
    kNone,     // the same bytes as before, or not usable
    kNoise,    // other bytes, but nothing that a decoder or player would notice: timing, VUI (quirk C6)
    kChanged,  // first of its id, or different in what matters
  };
  // An SPS or PPS NAL unit. Others and unreadable ones are kNone.
  Change add(base::ByteView nal);
  // The sets that a slice of that pps_id uses. Null when one lacks.
  [[nodiscard]] const Pps* pps(uint8_t pps_id) const;
  [[nodiscard]] const Sps* sps_of(uint8_t pps_id) const;
  [[nodiscard]] bool complete() const;  // there is a PPS whose SPS is there
  // The configuration for frames that use `pps_id`: the SPS of that PPS, and every PPS that refers to that
  // SPS. `codec_private` is an avcC. The same pointer as before unless something that matters changed; null
  // when sets lack.
  [[nodiscard]] TrackConfigPtr config(uint8_t pps_id, uint32_t clock_rate);
  void clear();

 private:
  struct StoredSps {
    base::ByteVector bytes;
    base::ByteVector essence;  // without what is timing only
    Sps sps;
  };
  struct StoredPps {
    base::ByteVector bytes;
    Pps pps;
  };
  std::map<uint8_t, StoredSps> sps_;
  std::map<uint8_t, StoredPps> pps_;
  TrackConfigPtr config_;
  uint8_t config_sps_id_ = 0;
  bool stale_ = true;
};

// ISO/IEC 14496-15 5.3.3.1.
base::Result<base::ByteVector> build_avcc(std::span<const base::ByteView> sps,
                                          std::span<const base::ByteView> pps);
struct AvcC {
  uint8_t length_size = 4;
  std::vector<base::ByteView> sps;  // views into the input
  std::vector<base::ByteView> pps;
};
base::Result<AvcC> parse_avcc(base::ByteView bytes);

template <class Visit>
void for_each_annexb_nal(base::ByteView bytes, Visit visit) {
  size_t begin = 0;
  size_t code = find_start_code(bytes, 0);
  while (true) {
    if (code == kNoStartCode) {
      if (begin < bytes.size()) visit(bytes.subspan(begin));
      return;
    }
    size_t end = code;
    if (end > begin && bytes[end - 1] == std::byte{0}) --end;
    if (end > begin) visit(bytes.subspan(begin, end - begin));
    begin = code + 3;
    code = find_start_code(bytes, begin);
  }
}

}  // namespace miharu::media::h264
