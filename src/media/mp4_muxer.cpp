#include <algorithm>
#include <limits>

#include "base/check.h"
#include "media/mp4_boxes.h"
#include "media/muxer.h"

namespace miharu::media {
namespace {

using base::ByteVector;
using base::ByteWriter;

// Sample flags (ISO/IEC 14496-12 8.8.3.1).
constexpr uint32_t kKeySample = 0x02000000;        // depends on no other
constexpr uint32_t kDependentSample = 0x01010000;  // depends on others, not a sync sample

constexpr uint32_t kTfhdDefaultFlags = 0x000020;
constexpr uint32_t kTfhdBaseIsMoof = 0x020000;
constexpr uint32_t kTrunDataOffset = 0x001;
constexpr uint32_t kTrunDuration = 0x100;
constexpr uint32_t kTrunSize = 0x200;
constexpr uint32_t kTrunFlags = 0x400;
constexpr uint32_t kTrunCompositionOffset = 0x800;

// Numbers of fragments have to grow, not to follow one another (8.8.5). VLC 3 heeds tfdt only in a fragment
// whose number does not follow, in a track that is in it: counted by ones, sound, which the key frame's
// fragment lacks, would be placed from 0 on and never be heard.
constexpr uint32_t kSequenceStep = 2;

uint32_t duration_ticks(const Sample& sample, uint32_t timescale) {
  const int64_t ticks = to_ticks(sample.end, timescale) - to_ticks(sample.dts, timescale);
  return static_cast<uint32_t>(std::clamp<int64_t>(ticks, 0, std::numeric_limits<uint32_t>::max()));
}

int32_t composition_ticks(const Sample& sample, uint32_t timescale) {
  const int64_t ticks = to_ticks(sample.pts, timescale) - to_ticks(sample.dts, timescale);
  return static_cast<int32_t>(
      std::clamp<int64_t>(ticks, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()));
}

class Fmp4Muxer final : public Muxer {
 public:
  Fmp4Muxer(TrackConfigPtr video, TrackConfigPtr audio) : video_(std::move(video)), audio_(std::move(audio)) {
    CHECK(video_ && is_mp4_codec(video_->codec));
    CHECK(!audio_ || is_mp4_codec(audio_->codec));
  }

  ByteVector init() const override {
    ByteVector bytes;
    ByteWriter out(bytes);
    {
      const Mp4Box ftyp(out, "ftyp");
      // iso6: movie fragments with tfdt, default-base-is-moof and signed composition offsets.
      out.text("iso6");
      out.u32(0);
      out.text("iso6avc1mp41");
    }
    const Mp4Box moov(out, "moov");
    write_movie_header(out, 1000, 0);
    write_init_track(out, *video_);
    if (audio_) write_init_track(out, *audio_);
    const Mp4Box mvex(out, "mvex");
    write_trex(out, kVideoTrackId);
    if (audio_) write_trex(out, kAudioTrackId);
    return bytes;
  }

  Fragment fragment(std::span<const Sample> video, std::span<const Sample> audio, bool chunk_start) override {
    CHECK(!video.empty() || !audio.empty());
    CHECK(audio.empty() || audio_);
    Fragment fragment;
    fragment.payloads.reserve(video.size() + audio.size());
    fragment.head.reserve(256 + 16 * (video.size() + audio.size()));
    ByteWriter out(fragment.head);
    // Where to fill in the run's place in the file, and how far it lies behind the start of the mdat payload.
    struct Patch {
      size_t at;
      uint64_t payload_offset;
    };
    std::vector<Patch> patches;
    uint64_t payload_bytes = 0;
    if (chunk_start) {
      // A media segment begins here (ISO/IEC 14496-12 8.16.2); by it a recovery finds the chunks again.
      const Mp4Box styp(out, "styp");
      out.text("msdh");
      out.u32(0);
      out.text("msdhmsix");
    }
    const size_t checksum_at = out.size();
    {
      const Mp4Box checksum(out, "free");
      out.text(kChecksumMark);
      out.u32(0);
    }
    const size_t moof_at = out.size();
    {
      const Mp4Box moof(out, "moof");
      {
        const Mp4Box mfhd(out, "mfhd", 0, 0);
        out.u32(sequence_ += kSequenceStep);
      }
      for (const std::span<const Sample> samples : {video, audio}) {
        if (samples.empty()) continue;
        const size_t offset_at = write_traf(out, samples);
        patches.push_back({offset_at, payload_bytes});
        for (const Sample& sample : samples) {
          payload_bytes += sample.frame->data().size();
          fragment.payloads.push_back(sample.frame);
        }
      }
    }
    CHECK(payload_bytes + 8 <= std::numeric_limits<uint32_t>::max());
    out.u32(payload_bytes + 8);
    out.text("mdat");
    for (const Patch& patch : patches) out.patch_u32(patch.at, out.size() - moof_at + patch.payload_offset);
    const base::ByteView head(fragment.head);
    uint32_t crc = base::crc32c(base::crc32c(0, head.first(checksum_at)), head.subspan(moof_at));
    for (const FramePtr& frame : fragment.payloads) crc = base::crc32c(crc, frame->data());
    out.patch_u32(moof_at - 4, crc);
    return fragment;
  }

 private:
  static void write_init_track(ByteWriter& out, const TrackConfig& config) {
    const Mp4TrackHeader header{.kind = kind_of(config.codec),
                                .timescale = mp4_timescale(config),
                                .width = config.width,
                                .height = config.height};
    write_track(
        out, header, [] {},
        [&] {
          {
            const Mp4Box stsd(out, "stsd", 0, 0);
            out.u32(1);
            write_sample_entry(out, config);
          }
          for (const std::string_view type : {"stts", "stsc", "stco"}) {
            const Mp4Box box(out, type, 0, 0);
            out.u32(0);
          }
          const Mp4Box stsz(out, "stsz", 0, 0);
          out.u32(0);
          out.u32(0);
        });
  }

  static void write_trex(ByteWriter& out, uint32_t track) {
    const Mp4Box trex(out, "trex", 0, 0);
    out.u32(track);
    out.u32(1);  // sample description
    out.zeros(12);
  }

  // Returns the place of the data offset.
  size_t write_traf(ByteWriter& out, std::span<const Sample> samples) const {
    const bool video = samples.front().frame->is_video();
    const uint32_t timescale = mp4_timescale(video ? *video_ : *audio_);
    const Mp4Box traf(out, "traf");
    {
      const Mp4Box tfhd(out, "tfhd", 0, kTfhdBaseIsMoof | kTfhdDefaultFlags);
      out.u32(video ? kVideoTrackId : kAudioTrackId);
      out.u32(kKeySample);
    }
    {
      const Mp4Box tfdt(out, "tfdt", 1, 0);
      out.u64(static_cast<uint64_t>(to_ticks(samples.front().dts, timescale)));
    }
    const bool all_key =
        std::all_of(samples.begin(), samples.end(), [](const Sample& s) { return s.frame->key; });
    const bool reordered =
        std::any_of(samples.begin(), samples.end(), [](const Sample& s) { return s.pts != s.dts; });
    const bool with_flags = video && !all_key;
    const Mp4Box trun(out, "trun", 1,
                      kTrunDataOffset | kTrunDuration | kTrunSize | (with_flags ? kTrunFlags : 0) |
                          (reordered ? kTrunCompositionOffset : 0));
    out.u32(samples.size());
    const size_t offset_at = out.size();
    out.u32(0);
    for (const Sample& sample : samples) {
      out.u32(duration_ticks(sample, timescale));
      out.u32(sample.frame->data().size());
      if (with_flags) out.u32(sample.frame->key ? kKeySample : kDependentSample);
      if (reordered) out.u32(static_cast<uint32_t>(composition_ticks(sample, timescale)));
    }
    return offset_at;
  }

  TrackConfigPtr video_;
  TrackConfigPtr audio_;
  uint32_t sequence_ = 0;
};

}  // namespace

std::unique_ptr<Muxer> make_fmp4_muxer(TrackConfigPtr video, TrackConfigPtr audio) {
  return std::make_unique<Fmp4Muxer>(std::move(video), std::move(audio));
}

}  // namespace miharu::media
