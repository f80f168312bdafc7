// One muxer, one set of bytes: the fragment made here is the live part, the recorded bytes and the uploaded
// bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "media/frame.h"

namespace miharu::media {

// `ticks` of `from` a second in ticks of `to` a second, rounded to the nearest, halves up. Exact for any time
// of this age.
int64_t rescale_ticks(int64_t ticks, int64_t from, int64_t to);
// Ticks from the Unix epoch. Every muxer rounds this way, so that the end of a sample and the start of the
// next agree.
inline int64_t to_ticks(base::UtcTime time, int64_t rate) {
  return rescale_ticks(time.time_since_epoch().count(), 1'000'000'000, rate);
}

// A frame with its place on the wall clock. Times are cumulative: a muxer rounds them, never durations.
struct Sample {
  FramePtr frame;
  base::UtcTime dts;
  base::UtcTime pts;
  base::UtcTime end;  // dts of the next sample of the track
};

// The bytes of a fragment: `head`, then the payload of each frame in order. Payloads are not copied (fMP4).
struct Fragment {
  base::ByteVector head;
  std::vector<FramePtr> payloads;
  [[nodiscard]] size_t size_bytes() const {
    size_t size = head.size();
    for (const FramePtr& frame : payloads) size += frame->data().size();
    return size;
  }
};

// One run of one camera with fixed tracks. Not thread-safe.
class Muxer {
 public:
  virtual ~Muxer() = default;
  // The initialization part, the same bytes all through a run. Empty in MPEG-TS.
  [[nodiscard]] virtual base::ByteVector init() const = 0;
  // Samples of one fragment; either list may be empty, not both. `chunk_start`: the first of a
  // chunk, marked so that a recovery finds the chunks again (scan.h, starts_chunk).
  [[nodiscard]] virtual Fragment fragment(std::span<const Sample> video, std::span<const Sample> audio,
                                          bool chunk_start) = 0;
};

// fMP4 (ISO/IEC 14496-12): tracks 1 (video, timescale 90000) and 2 (audio, timescale = sample rate; Opus
// 48000); baseMediaDecodeTime counts from the Unix epoch; moof = mfhd + one traf a non-empty track, mdat =
// video run, audio run. Audio: AAC or Opus. `audio` may be null.
std::unique_ptr<Muxer> make_fmp4_muxer(TrackConfigPtr video, TrackConfigPtr audio);
// MPEG-TS (ISO/IEC 13818-1): every fragment begins with PAT and PMT and ends with a null packet (PID 0x1FFF),
// by which a recovery knows that it is whole; Annex B with AUD, parameter sets before every key frame and at
// the start of each chunk; PCR on the video PID; AAC as ADTS; timestamps = epoch in 90 kHz modulo 2^33.
// Audio: AAC only.
std::unique_ptr<Muxer> make_mpegts_muxer(const TrackConfigPtr& video, const TrackConfigPtr& audio);

}  // namespace miharu::media
