// Boxes of ISO/IEC 14496-12 that the fragmented and the ordinary MP4 writer share.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/bytes.h"
#include "media/track.h"

namespace miharu::media {

inline constexpr uint32_t kVideoTimescale = 90000;
inline constexpr uint32_t kVideoTrackId = 1;
inline constexpr uint32_t kAudioTrackId = 2;

constexpr uint32_t fourcc(std::string_view type) {
  uint32_t value = 0;
  for (const char c : type) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

// Writes the header of a box; its size when it goes out of scope.
class Mp4Box {
 public:
  Mp4Box(base::ByteWriter& out, std::string_view type) : out_(out), start_(out.size()) {
    out_.u32(0);
    out_.text(type);
  }
  // A full box: with version and flags.
  Mp4Box(base::ByteWriter& out, std::string_view type, uint8_t version, uint32_t flags) : Mp4Box(out, type) {
    out_.u8(version);
    out_.u24(flags);
  }
  Mp4Box(const Mp4Box&) = delete;
  Mp4Box& operator=(const Mp4Box&) = delete;
  ~Mp4Box() { out_.patch_u32(start_, out_.size() - start_); }

 private:
  base::ByteWriter& out_;
  size_t start_;
};

// A `free` box of 16 bytes that stands before a fragment's moof: this mark, then the CRC-32C of all other
// bytes of the fragment (styp, moof, mdat). Players skip it; by it a recovery sees what a power cut tore.
inline constexpr std::string_view kChecksumMark = "crc1";
inline constexpr size_t kChecksumBoxBytes = 16;

// H.264, AAC or Opus.
bool is_mp4_codec(Codec codec);
// Video 90000; sound its sample rate, Opus always 48000 (Encapsulation of Opus in ISOBMFF, 4.3).
uint32_t mp4_timescale(const TrackConfig& config);

// mvhd. `timescale` is that of `duration` and of every movie_duration and edit.
void write_movie_header(base::ByteWriter& out, uint32_t timescale, uint64_t duration);

struct Mp4TrackHeader {
  TrackKind kind = TrackKind::kVideo;
  uint32_t timescale = kVideoTimescale;
  uint64_t movie_duration = 0;  // movie ticks, 0 in a fragmented file
  uint64_t media_duration = 0;  // ticks of `timescale`, 0 in a fragmented file
  uint32_t width = 0;
  uint32_t height = 0;
};
// trak; `edits` writes the edts box or nothing, `tables` the content of stbl.
void write_track(base::ByteWriter& out, const Mp4TrackHeader& header, const std::function<void()>& edits,
                 const std::function<void()>& tables);
// avc1, mp4a or Opus, for stsd.
void write_sample_entry(base::ByteWriter& out, const TrackConfig& config);

}  // namespace miharu::media
