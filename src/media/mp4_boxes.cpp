#include "media/mp4_boxes.h"

#include "base/check.h"

namespace miharu::media {
namespace {

using base::ByteWriter;

// Unity: no rotation, no scaling (8.2.2).
void write_matrix(ByteWriter& out) {
  for (const uint32_t value : {0x10000U, 0U, 0U, 0U, 0x10000U, 0U, 0U, 0U, 0x40000000U}) out.u32(value);
}

// ISO/IEC 14496-1 8.3.3: a size of one byte would do for ours, but a large AudioSpecificConfig is a camera's
// to send.
void write_descriptor_header(ByteWriter& out, uint8_t tag, size_t size) {
  out.u8(tag);
  for (unsigned shift = 21; shift > 0; shift -= 7) out.u8(0x80 | (size >> shift & 0x7F));
  out.u8(size & 0x7F);
}

// ISO/IEC 14496-14 3.1.2.
void write_esds(ByteWriter& out, base::ByteView audio_specific_config) {
  constexpr size_t kHeader = 5;
  constexpr size_t kDecoderConfigFixed = 13;
  const size_t specific = kHeader + audio_specific_config.size();
  const size_t decoder_config = kHeader + kDecoderConfigFixed + specific;
  const Mp4Box box(out, "esds", 0, 0);
  write_descriptor_header(out, 0x03, 3 + decoder_config + kHeader + 1);
  out.u16(0);  // ES_ID is that of the track
  out.u8(0);
  write_descriptor_header(out, 0x04, kDecoderConfigFixed + specific);
  out.u8(0x40);           // MPEG-4 audio
  out.u8(0x05 << 2 | 1);  // audio stream
  out.u24(0);             // buffer size, then greatest and mean bit rate: unknown
  out.u32(0);
  out.u32(0);
  write_descriptor_header(out, 0x05, audio_specific_config.size());
  out.bytes(audio_specific_config);
  write_descriptor_header(out, 0x06, 1);
  out.u8(0x02);  // SLConfig: reserved for MP4
}

void write_visual_entry(ByteWriter& out, const TrackConfig& config) {
  const Mp4Box entry(out, "avc1");
  out.zeros(6);
  out.u16(1);  // data reference
  out.zeros(16);
  out.u16(config.width);
  out.u16(config.height);
  out.u32(0x480000);  // 72 dpi
  out.u32(0x480000);
  out.u32(0);
  out.u16(1);  // frames a sample
  out.zeros(32);
  out.u16(0x18);
  out.u16(0xFFFF);
  const Mp4Box avcc(out, "avcC");
  out.bytes(config.codec_private);
}

void write_sound_entry(ByteWriter& out, const TrackConfig& config) {
  const bool opus = config.codec == Codec::kOpus;
  const Mp4Box entry(out, opus ? "Opus" : "mp4a");
  out.zeros(6);
  out.u16(1);
  out.zeros(8);
  out.u16(config.channels);
  out.u16(16);
  out.u32(0);
  const uint32_t rate = opus ? 48000 : config.sample_rate;
  out.u32(rate < 0x10000 ? rate << 16 : 0);  // 16.16: greater rates are in the AudioSpecificConfig alone
  if (opus) {
    const Mp4Box dops(out, "dOps");
    out.bytes(config.codec_private);
  } else {
    write_esds(out, config.codec_private);
  }
}

}  // namespace

bool is_mp4_codec(Codec codec) {
  return codec == Codec::kH264 || codec == Codec::kAac || codec == Codec::kOpus;
}

uint32_t mp4_timescale(const TrackConfig& config) {
  if (kind_of(config.codec) == TrackKind::kVideo) return kVideoTimescale;
  if (config.codec == Codec::kOpus || config.sample_rate == 0) return 48000;
  return config.sample_rate;
}

void write_movie_header(ByteWriter& out, uint32_t timescale, uint64_t duration) {
  const Mp4Box mvhd(out, "mvhd", 1, 0);
  out.u64(0);  // no creation time: the same recording gives the same bytes
  out.u64(0);
  out.u32(timescale);
  out.u64(duration);
  out.u32(0x10000);  // rate 1.0
  out.u16(0x100);    // volume 1.0
  out.zeros(10);
  write_matrix(out);
  out.zeros(24);
  out.u32(kAudioTrackId + 1);
}

void write_track(ByteWriter& out, const Mp4TrackHeader& header, const std::function<void()>& edits,
                 const std::function<void()>& tables) {
  const bool video = header.kind == TrackKind::kVideo;
  const Mp4Box trak(out, "trak");
  {
    const Mp4Box tkhd(out, "tkhd", 1, 3);  // enabled, in movie
    out.u64(0);
    out.u64(0);
    out.u32(video ? kVideoTrackId : kAudioTrackId);
    out.u32(0);
    out.u64(header.movie_duration);
    out.zeros(8);
    out.u16(0);
    out.u16(0);
    out.u16(video ? 0 : 0x100);
    out.u16(0);
    write_matrix(out);
    out.u32(header.width << 16);
    out.u32(header.height << 16);
  }
  edits();
  const Mp4Box mdia(out, "mdia");
  {
    const Mp4Box mdhd(out, "mdhd", 1, 0);
    out.u64(0);
    out.u64(0);
    out.u32(header.timescale);
    out.u64(header.media_duration);
    out.u16(0x55C4);  // "und"
    out.u16(0);
  }
  {
    const Mp4Box hdlr(out, "hdlr", 0, 0);
    out.u32(0);
    out.text(video ? "vide" : "soun");
    out.zeros(12);
    out.text(video ? "video" : "sound");
    out.u8(0);
  }
  const Mp4Box minf(out, "minf");
  if (video) {
    const Mp4Box vmhd(out, "vmhd", 0, 1);
    out.zeros(8);
  } else {
    const Mp4Box smhd(out, "smhd", 0, 0);
    out.zeros(4);
  }
  {
    const Mp4Box dinf(out, "dinf");
    const Mp4Box dref(out, "dref", 0, 0);
    out.u32(1);
    const Mp4Box url(out, "url ", 0, 1);  // in this file
  }
  const Mp4Box stbl(out, "stbl");
  tables();
}

void write_sample_entry(ByteWriter& out, const TrackConfig& config) {
  CHECK(is_mp4_codec(config.codec));
  if (kind_of(config.codec) == TrackKind::kVideo) {
    write_visual_entry(out, config);
  } else {
    write_sound_entry(out, config);
  }
}

}  // namespace miharu::media
