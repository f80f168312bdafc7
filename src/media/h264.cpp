#include "media/h264.h"

#include <algorithm>
#include <cstdio>

namespace miharu::media::h264 {
namespace {

using base::BitReader;
using base::ByteVector;
using base::ByteView;
using base::Errc;
using base::fail;

constexpr uint32_t kMaxSide = 16384;
// A slice header up to delta_pic_order_cnt_bottom takes less.
constexpr size_t kSliceHeaderBytes = 48;
// An SPS with all scaling lists takes about 1 KiB.
constexpr size_t kMaxParameterSetBytes = 8192;

size_t unescape_into(ByteView nal, std::byte* out, size_t limit) {
  size_t zeros = 0;
  size_t size = 0;
  for (size_t i = 0; i < nal.size() && size < limit; ++i) {
    if (zeros >= 2 && nal[i] == std::byte{3}) {
      zeros = 0;
      continue;
    }
    zeros = nal[i] == std::byte{0} ? zeros + 1 : 0;
    out[size++] = nal[i];
  }
  return size;
}

bool has_chroma_info(uint8_t profile_idc) {
  switch (profile_idc) {
    case 100:
    case 110:
    case 122:
    case 244:
    case 44:
    case 83:
    case 86:
    case 118:
    case 128:
    case 138:
    case 139:
    case 134:
    case 135:
      return true;
    default:
      return false;
  }
}

// 7.3.2.1.1.1
void skip_scaling_list(BitReader& in, unsigned size) {
  int32_t last = 8;
  int32_t next = 8;
  for (unsigned i = 0; i < size && in.ok(); ++i) {
    if (next != 0) next = static_cast<int32_t>((static_cast<int64_t>(last) + in.se() + 256) % 256);
    if (next != 0) last = next;
  }
}

void skip_hrd(BitReader& in) {
  const uint32_t count = in.ue() + 1;
  in.skip(8);
  for (uint32_t i = 0; i < count && i < 32 && in.ok(); ++i) {
    in.ue();
    in.ue();
    in.skip(1);
  }
  in.skip(20);
}

// E.1.1. What could be read before a failure is kept. Returns the position of timing_info_present_flag, 0 if
// not reached.
size_t read_vui(BitReader& in, Sps& sps) {
  if (in.bit() && in.bits(8) == 255) in.skip(32);  // aspect ratio
  if (in.bit()) in.skip(1);                        // overscan
  if (in.bit()) {                                  // video signal type
    in.skip(4);
    if (in.bit()) in.skip(24);
  }
  if (in.bit()) {  // chroma location
    in.ue();
    in.ue();
  }
  const size_t timing_at = in.ok() ? in.position_bits() : 0;
  if (in.bit()) {
    const uint32_t units = in.bits(32);
    const uint32_t scale = in.bits(32);
    in.skip(1);
    if (in.ok()) {
      sps.num_units_in_tick = units;
      sps.time_scale = scale;
    }
  }
  const bool nal_hrd = in.bit();
  if (nal_hrd) skip_hrd(in);
  const bool vcl_hrd = in.bit();
  if (vcl_hrd) skip_hrd(in);
  if (nal_hrd || vcl_hrd) in.skip(1);
  in.skip(1);
  if (in.bit()) {  // bitstream restriction
    in.skip(1);
    in.ue();
    in.ue();
    in.ue();
    in.ue();
    const uint32_t reorder = in.ue();
    if (in.ok() && reorder <= 16) sps.max_num_reorder_frames = reorder;
  }
  return timing_at;
}

struct ParsedSps {
  Sps sps;
  size_t essential_bits = 0;  // what comes after is timing
};

base::Result<ParsedSps> parse_sps_rbsp(ByteView rbsp) {
  ParsedSps out;
  Sps& sps = out.sps;
  BitReader in(rbsp);
  in.skip(8);
  sps.profile_idc = static_cast<uint8_t>(in.bits(8));
  sps.constraints = static_cast<uint8_t>(in.bits(8));
  sps.level_idc = static_cast<uint8_t>(in.bits(8));
  const uint32_t id = in.ue();
  if (has_chroma_info(sps.profile_idc)) {
    const uint32_t chroma = in.ue();
    if (chroma > 3) return fail(Errc::kMalformed, "SPS has an invalid chroma format");
    sps.chroma_format_idc = static_cast<uint8_t>(chroma);
    if (chroma == 3) sps.separate_colour_planes = in.bit();
    const uint32_t luma = in.ue();
    const uint32_t chroma_depth = in.ue();
    if (luma > 6 || chroma_depth > 6) return fail(Errc::kMalformed, "SPS has an invalid bit depth");
    sps.bit_depth_luma = static_cast<uint8_t>(8 + luma);
    sps.bit_depth_chroma = static_cast<uint8_t>(8 + chroma_depth);
    in.skip(1);
    if (in.bit()) {
      for (unsigned i = 0; i < (chroma == 3 ? 12U : 8U) && in.ok(); ++i) {
        if (in.bit()) skip_scaling_list(in, i < 6 ? 16 : 64);
      }
    }
  }
  const uint32_t frame_num = in.ue();
  const uint32_t poc_type = in.ue();
  if (poc_type == 0) {
    const uint32_t lsb = in.ue();
    if (lsb > 12) return fail(Errc::kMalformed, "SPS has an invalid picture order count size");
    sps.log2_max_poc_lsb = static_cast<uint8_t>(4 + lsb);
  } else if (poc_type == 1) {
    in.skip(1);
    in.se();
    in.se();
    const uint32_t cycle = in.ue();
    if (cycle > 255) return fail(Errc::kMalformed, "SPS has an invalid picture order count cycle");
    for (uint32_t i = 0; i < cycle && in.ok(); ++i) in.se();
  }
  sps.max_num_ref_frames = in.ue();
  in.skip(1);
  const uint64_t width_mbs = uint64_t{in.ue()} + 1;
  const uint64_t height_units = uint64_t{in.ue()} + 1;
  sps.frame_mbs_only = in.bit();
  if (!sps.frame_mbs_only) in.skip(1);
  in.skip(1);
  uint64_t crop[4] = {};
  if (in.bit()) {
    for (uint64_t& side : crop) side = in.ue();
  }
  if (!in.ok()) return fail(Errc::kTruncated, "SPS is cut off", static_cast<int64_t>(rbsp.size()));
  if (id > 31 || frame_num > 12 || poc_type > 2 || sps.max_num_ref_frames > 16) {
    return fail(Errc::kMalformed, "SPS has values out of range");
  }
  sps.id = static_cast<uint8_t>(id);
  sps.log2_max_frame_num = static_cast<uint8_t>(4 + frame_num);
  sps.poc_type = static_cast<uint8_t>(poc_type);

  const uint64_t field_factor = sps.frame_mbs_only ? 1 : 2;
  const uint64_t width = width_mbs * 16;
  const uint64_t height = height_units * 16 * field_factor;
  const bool planar = sps.chroma_format_idc == 0 || sps.separate_colour_planes;
  const uint64_t unit_x = planar || sps.chroma_format_idc == 3 ? 1 : 2;
  const uint64_t unit_y = (planar || sps.chroma_format_idc != 1 ? 1 : 2) * field_factor;
  const uint64_t crop_x = (crop[0] + crop[1]) * unit_x;
  const uint64_t crop_y = (crop[2] + crop[3]) * unit_y;
  if (width > kMaxSide || height > kMaxSide || crop_x >= width || crop_y >= height) {
    return fail(Errc::kMalformed, "SPS has an impossible picture size");
  }
  sps.coded_width = static_cast<uint32_t>(width);
  sps.coded_height = static_cast<uint32_t>(height);
  sps.width = static_cast<uint32_t>(width - crop_x);
  sps.height = static_cast<uint32_t>(height - crop_y);

  out.essential_bits = in.position_bits();
  if (in.bit()) {
    const size_t timing_at = read_vui(in, sps);
    out.essential_bits = timing_at != 0 ? timing_at : out.essential_bits + 1;
  }
  return out;
}

base::Result<ByteVector> rbsp_of(ByteView nal, NalType type, const char* what) {
  if (nal_type(nal) != type) return fail(Errc::kMalformed, std::string("not a ") + what + " NAL unit", 0);
  if (nal.size() > kMaxParameterSetBytes) return fail(Errc::kLimit, std::string(what) + " is too large");
  ByteVector rbsp;
  unescape(nal, rbsp);
  return rbsp;
}

// The bits of an SPS that matter to who shows the picture, the rest of the last byte being zero.
ByteVector essence_of(ByteVector rbsp, const ParsedSps& parsed) {
  rbsp.resize(std::min(rbsp.size(), (parsed.essential_bits + 7) / 8));
  if (parsed.essential_bits % 8 != 0 && !rbsp.empty()) {
    rbsp.back() &= static_cast<std::byte>(0xff << (8 - parsed.essential_bits % 8));
  }
  rbsp.push_back(static_cast<std::byte>(parsed.sps.max_num_reorder_frames.value_or(255)));
  // nal_ref_idc says nothing in an SPS.
  rbsp[0] &= std::byte{0x1f};
  return rbsp;
}

ByteView strip_trailing_zeros(ByteView nal) {
  while (!nal.empty() && nal.back() == std::byte{0}) nal = nal.first(nal.size() - 1);
  return nal;
}

}  // namespace

void unescape(ByteView nal, ByteVector& out, size_t limit) {
  out.resize(std::min(nal.size(), limit));
  out.resize(unescape_into(nal, out.data(), out.size()));
}

double Sps::frames_per_second() const {
  return num_units_in_tick == 0 ? 0 : static_cast<double>(time_scale) / (2.0 * num_units_in_tick);
}

std::string Sps::codec_string() const {
  char text[16];
  std::snprintf(text, sizeof text, "avc1.%02x%02x%02x", profile_idc, constraints, level_idc);
  return text;
}

uint32_t Sps::reorder_frames() const {
  if (max_num_reorder_frames) return *max_num_reorder_frames;
  if (profile_idc == 66 || poc_type == 2) return 0;
  const bool intra_only =
      (constraints & 0x10) != 0 && (profile_idc == 44 || profile_idc == 86 || profile_idc == 100 ||
                                    profile_idc == 110 || profile_idc == 122 || profile_idc == 244);
  return intra_only ? 0 : max_num_ref_frames;
}

base::Result<Sps> parse_sps(ByteView nal) {
  const auto rbsp = rbsp_of(nal, NalType::kSps, "SPS");
  if (!rbsp) return tl::unexpected(rbsp.error());
  const auto parsed = parse_sps_rbsp(*rbsp);
  if (!parsed) return tl::unexpected(parsed.error());
  return parsed->sps;
}

base::Result<Pps> parse_pps(ByteView nal) {
  const auto rbsp = rbsp_of(nal, NalType::kPps, "PPS");
  if (!rbsp) return tl::unexpected(rbsp.error());
  BitReader in(*rbsp);
  in.skip(8);
  const uint32_t id = in.ue();
  const uint32_t sps_id = in.ue();
  in.skip(1);
  Pps pps;
  pps.bottom_field_pic_order_in_frame_present = in.bit();
  if (!in.ok()) return fail(Errc::kTruncated, "PPS is cut off", static_cast<int64_t>(nal.size()));
  if (id > 255 || sps_id > 31) return fail(Errc::kMalformed, "PPS has an id out of range", 1);
  pps.id = static_cast<uint8_t>(id);
  pps.sps_id = static_cast<uint8_t>(sps_id);
  return pps;
}

namespace {

base::Result<SliceHeader> read_slice_start(BitReader& in) {
  SliceHeader slice;
  in.skip(8);
  slice.first_mb = in.ue();
  const uint32_t type = in.ue();
  const uint32_t pps_id = in.ue();
  if (!in.ok()) return fail(Errc::kTruncated, "slice header is cut off");
  if (type > 9 || pps_id > 255) return fail(Errc::kMalformed, "slice header has values out of range", 1);
  slice.slice_type = static_cast<uint8_t>(type % 5);
  slice.pps_id = static_cast<uint8_t>(pps_id);
  return slice;
}

}  // namespace

base::Result<SliceHeader> parse_slice_start(ByteView nal) {
  std::byte rbsp[kSliceHeaderBytes];
  BitReader in(ByteView(rbsp, unescape_into(nal, rbsp, sizeof rbsp)));
  return read_slice_start(in);
}

base::Result<SliceHeader> parse_slice_header(ByteView nal, const Sps& sps, const Pps& pps) {
  std::byte rbsp[kSliceHeaderBytes];
  BitReader in(ByteView(rbsp, unescape_into(nal, rbsp, sizeof rbsp)));
  auto slice = read_slice_start(in);
  if (!slice) return slice;
  if (sps.separate_colour_planes) in.skip(2);
  slice->frame_num = in.bits(sps.log2_max_frame_num);
  if (!sps.frame_mbs_only) {
    slice->field = in.bit();
    if (slice->field) slice->bottom_field = in.bit();
  }
  if (nal_type(nal) == NalType::kIdr) in.ue();
  if (sps.poc_type == 0) {
    slice->poc_lsb = in.bits(sps.log2_max_poc_lsb);
    if (pps.bottom_field_pic_order_in_frame_present && !slice->field) slice->delta_poc_bottom = in.se();
  }
  if (!in.ok()) return fail(Errc::kTruncated, "slice header is cut off");
  return slice;
}

bool has_recovery_point(ByteView nal) {
  constexpr uint32_t kRecoveryPoint = 6;
  size_t at = 1;
  // Payload types and sizes hold no emulation prevention bytes in practice; a wrong turn ends at the bounds.
  while (at + 1 < nal.size()) {
    uint32_t type = 0;
    uint32_t size = 0;
    for (uint32_t* value : {&type, &size}) {
      while (at < nal.size() && nal[at] == std::byte{0xff}) {
        *value += 255;
        ++at;
      }
      if (at >= nal.size()) return false;
      *value += std::to_integer<uint32_t>(nal[at++]);
    }
    if (type == kRecoveryPoint && size > 0) return true;
    if (size > nal.size() - at) return false;
    at += size;
    if (at < nal.size() && nal[at] == std::byte{0x80}) return false;
  }
  return false;
}

size_t find_start_code(ByteView bytes, size_t from) {
  // Two zeros in a row are rare. Blocks without any are passed over, by vector instructions that the compiler
  // makes of the inner loop: seven times as fast as byte by byte, which was more than half of all
  // instructions of pulling a camera.
  constexpr size_t kBlock = 64;
  size_t i = from;
  for (; i + kBlock + 1 < bytes.size(); i += kBlock) {
    const std::byte* const block = bytes.data() + i;
    auto least = std::byte{0xff};  // of each two neighbours or-ed
    for (size_t k = 0; k < kBlock; ++k) least = std::min(least, block[k] | block[k + 1]);
    if (least != std::byte{0}) continue;
    for (size_t k = 0; k < kBlock; ++k) {
      if (block[k] == std::byte{0} && block[k + 1] == std::byte{0} && block[k + 2] == std::byte{1})
        return i + k;
    }
  }
  for (; i + 2 < bytes.size(); ++i) {
    if (bytes[i] == std::byte{0} && bytes[i + 1] == std::byte{0} && bytes[i + 2] == std::byte{1}) return i;
  }
  return kNoStartCode;
}

std::vector<ByteView> split_annexb(ByteView bytes) {
  std::vector<ByteView> nals;
  for_each_annexb_nal(bytes, [&nals](ByteView nal) { nals.push_back(nal); });
  return nals;
}

SpropSets parse_sprop(std::string_view text) {
  SpropSets out;
  constexpr size_t kMaxSets = 64;
  size_t rest = text.size();
  size_t from = 0;
  while (rest > 0 && out.sps.size() + out.pps.size() < kMaxSets) {
    const size_t size = std::min(text.find(',', from) - from, rest);
    const std::string_view item = text.substr(from, size);
    from += std::min(size + 1, rest);
    rest = text.size() - from;
    const auto bytes = base::from_base64(item);
    if (!bytes || bytes->empty()) {
      out.repaired = true;
      continue;
    }
    for_each_annexb_nal(*bytes, [&](ByteView nal) {
      const ByteView clean = strip_trailing_zeros(nal);
      out.repaired = out.repaired || clean.size() != bytes->size();
      if (parse_sps(clean)) {
        out.sps.emplace_back(clean.begin(), clean.end());
      } else if (parse_pps(clean)) {
        out.pps.emplace_back(clean.begin(), clean.end());
      } else {
        out.repaired = true;
      }
    });
  }
  return out;
}

ParameterSets::Change ParameterSets::add(ByteView nal) {
  nal = strip_trailing_zeros(nal);
  if (nal_type(nal) == NalType::kPps) {
    const auto pps = parse_pps(nal);
    if (!pps) return Change::kNone;
    StoredPps& stored = pps_[pps->id];
    if (std::equal(nal.begin(), nal.end(), stored.bytes.begin(), stored.bytes.end())) return Change::kNone;
    stored.bytes.assign(nal.begin(), nal.end());
    stored.pps = *pps;
    stale_ = true;
    return Change::kChanged;
  }
  if (nal_type(nal) != NalType::kSps) return Change::kNone;
  for (const auto& [id, stored] : sps_) {
    if (std::equal(nal.begin(), nal.end(), stored.bytes.begin(), stored.bytes.end())) return Change::kNone;
  }
  auto rbsp = rbsp_of(nal, NalType::kSps, "SPS");
  if (!rbsp) return Change::kNone;
  const auto parsed = parse_sps_rbsp(*rbsp);
  if (!parsed) return Change::kNone;
  ByteVector essence = essence_of(std::move(*rbsp), *parsed);
  StoredSps& stored = sps_[parsed->sps.id];
  // What differs in timing only does not replace the first, so that two that alternate stay one.
  if (stored.essence == essence) return Change::kNoise;
  stored.bytes.assign(nal.begin(), nal.end());
  stored.essence = std::move(essence);
  stored.sps = parsed->sps;
  stale_ = true;
  return Change::kChanged;
}

const Pps* ParameterSets::pps(uint8_t pps_id) const {
  const auto found = pps_.find(pps_id);
  return found == pps_.end() ? nullptr : &found->second.pps;
}

const Sps* ParameterSets::sps_of(uint8_t pps_id) const {
  const Pps* pps = this->pps(pps_id);
  if (pps == nullptr) return nullptr;
  const auto found = sps_.find(pps->sps_id);
  return found == sps_.end() ? nullptr : &found->second.sps;
}

bool ParameterSets::complete() const {
  return std::any_of(pps_.begin(), pps_.end(),
                     [this](const auto& entry) { return sps_of(entry.first) != nullptr; });
}

TrackConfigPtr ParameterSets::config(uint8_t pps_id, uint32_t clock_rate) {
  const Sps* sps = sps_of(pps_id);
  if (sps == nullptr) return nullptr;
  if (config_ && !stale_ && config_sps_id_ == sps->id && config_->clock_rate == clock_rate) return config_;
  std::vector<ByteView> pps;
  for (const auto& [id, stored] : pps_) {
    if (stored.pps.sps_id == sps->id && pps.size() < 255) pps.emplace_back(stored.bytes);
  }
  const ByteView sps_bytes = sps_[sps->id].bytes;
  auto avcc = build_avcc(std::span(&sps_bytes, 1), pps);
  if (!avcc) return nullptr;
  TrackConfig config;
  config.codec = Codec::kH264;
  config.clock_rate = clock_rate;
  config.codec_private = std::move(*avcc);
  config.codec_string = sps->codec_string();
  config.width = sps->width;
  config.height = sps->height;
  if (!config_ || *config_ != config) config_ = std::make_shared<const TrackConfig>(std::move(config));
  config_sps_id_ = sps->id;
  stale_ = false;
  return config_;
}

void ParameterSets::clear() {
  *this = ParameterSets();
}

base::Result<ByteVector> build_avcc(std::span<const ByteView> sps, std::span<const ByteView> pps) {
  if (sps.empty() || sps.size() > 31 || pps.size() > 255) {
    return fail(Errc::kInvalid, "avcC needs 1 to 31 SPS and at most 255 PPS");
  }
  const auto first = parse_sps(sps[0]);
  if (!first) return tl::unexpected(first.error());
  ByteVector out;
  base::ByteWriter writer(out);
  writer.u8(1);
  writer.bytes(sps[0].subspan(1, 3));
  writer.u8(0xfc | 3);  // 4-byte lengths
  writer.u8(0xe0 | sps.size());
  const auto put = [&writer](std::span<const ByteView> sets) {
    for (const ByteView set : sets) {
      writer.u16(set.size());
      writer.bytes(set);
    }
  };
  put(sps);
  writer.u8(pps.size());
  put(pps);
  if (first->profile_idc != 66 && first->profile_idc != 77 && first->profile_idc != 88) {
    writer.u8(0xfcU | first->chroma_format_idc);
    writer.u8(0xf8U | (first->bit_depth_luma - 8U));
    writer.u8(0xf8U | (first->bit_depth_chroma - 8U));
    writer.u8(0);
  }
  return out;
}

base::Result<AvcC> parse_avcc(ByteView bytes) {
  base::ByteReader in(bytes);
  AvcC out;
  if (in.u8() != 1 && in.ok()) return in.error("avcC version is not 1");
  in.skip(3);
  out.length_size = static_cast<uint8_t>((in.u8() & 3) + 1);
  const unsigned sps_count = in.u8() & 0x1f;
  for (unsigned i = 0; i < sps_count && in.ok(); ++i) out.sps.push_back(in.bytes(in.u16()));
  const unsigned pps_count = in.u8();
  for (unsigned i = 0; i < pps_count && in.ok(); ++i) out.pps.push_back(in.bytes(in.u16()));
  if (!in.ok()) return in.error("avcC is cut off");
  return out;
}

}  // namespace miharu::media::h264
