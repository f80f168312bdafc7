// What an object contains, read back from its bytes: for recovery, verify and export. Input may be cut off or
// hostile.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "media/track.h"

namespace miharu::media {

struct ScannedSample {
  uint64_t offset = 0;      // fMP4: of the payload in the object. MPEG-TS: of the first packet of its PES
  uint32_t size_bytes = 0;  // of the payload as Frame::data() holds it. MPEG-TS: as extract_sample() gives it
  int64_t dts =
      0;  // ticks from the Unix epoch; MPEG-TS: modulo 2^33 unwrapped to be nearest to `near_epoch_90k`
  int64_t pts = 0;
  uint32_t duration = 0;  // ticks; MPEG-TS: to the next sample, 0 for the last
  bool key = false;
};

struct ScannedFragment {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  std::vector<ScannedSample> video;
  std::vector<ScannedSample> audio;
  bool starts_chunk = false;  // fMP4: a styp box stands before its moof (and belongs to the fragment's
                              // bytes). MPEG-TS: the first payload byte of its closing null packet is 'C'
  // First video sample is a key frame.
  [[nodiscard]] bool begins_with_key() const { return !video.empty() && video.front().key; }
};

struct Scan {
  uint32_t init_bytes = 0;
  TrackConfigPtr video;  // null where the object has no such track; clock_rate = timescale of the container
  TrackConfigPtr audio;
  std::vector<ScannedFragment> fragments;  // the whole ones, in order
  uint64_t whole_bytes = 0;                // end of the last whole fragment: where a recovery cuts
  base::Error stopped;  // why it stopped there, when whole_bytes < size (a tail of zeros: kTruncated)
};

// An error only when not even the initialization part (or, in MPEG-TS, one fragment) can be read. Bounded:
// samples and boxes are limited by the size of the input.
base::Result<Scan> scan_fmp4(base::ByteView object);
// MPEG-TS audio: one sample an ADTS frame; those of one PES share its offset. clock_rate is 90000 for both
// tracks.
base::Result<Scan> scan_mpegts(base::ByteView object, int64_t near_epoch_90k);

// The payload of a sample of scan_mpegts as a Frame and an MP4 hold it: AVCC without access unit delimiters,
// parameter sets and filler, or one raw AAC frame. Exactly sample.size_bytes. (In fMP4 the payload lies at
// sample.offset as it is.)
base::Result<base::ByteVector> extract_sample(base::ByteView object, const ScannedSample& sample,
                                              Codec codec);

}  // namespace miharu::media
