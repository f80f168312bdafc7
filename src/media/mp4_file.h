// One ordinary MP4 (ISO/IEC 14496-12) made of recorded samples, for people to keep: moov first, so that it
// plays while it is being loaded; an edit list, so that it begins and ends on the exact picture.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/error.h"
#include "media/mp4_boxes.h"
#include "media/scan.h"

namespace miharu::media {

// A sample and the object that it lies in, numbered as the caller likes.
struct Mp4Sample {
  uint32_t object = 0;
  ScannedSample scanned;
};

// What becomes of the time between two runs in which nothing was recorded.
enum class Mp4Gaps : uint8_t { kClosed, kKept };

// Shows the pictures with from <= pts < to. What lies before them back to a key frame, and what they need
// after them, is in the file and hidden by the edit list; sound is cut to the same interval (the first and
// last frame of it hidden in part). Two passes: all samples first, then prepare(), then write() with the
// payloads in file order. About 60 bytes of memory a sample. A run whose clock was set back, so that it comes
// before `from` again, is shown from its key frame. Not thread-safe.
class Mp4FileWriter {
 public:
  // The payload of a sample as an MP4 holds it (AVCC, a raw AAC frame, an Opus packet) with exactly
  // scanned.size_bytes. The view must live until the next call.
  using Payload = std::function<base::Result<base::ByteView>(TrackKind, const Mp4Sample&)>;
  using Sink = std::function<base::Status(base::ByteView)>;

  Mp4FileWriter(base::UtcTime from, base::UtcTime to, Mp4Gaps gaps = Mp4Gaps::kClosed)
      : from_(from), to_(to), gaps_(gaps) {}

  // A run begins: samples on one unbroken clock, with these parameters (of Scan; `audio` may be null). Times
  // are ticks of clock_rate from the Unix epoch. Objects of a run are added one after the other without a new
  // run. One that `continues` the run before begins without a key frame: its first pictures need those that
  // end the run before, which are in the file, hidden at its start, if nothing else of that run is.
  void begin_run(TrackConfigPtr video, TrackConfigPtr audio, bool continues = false);
  // In order of dts within a track.
  void add_video(const Mp4Sample& sample) { runs_.back().video.push_back(sample); }
  void add_audio(const Mp4Sample& sample) { runs_.back().audio.push_back(sample); }

  // Lays the file out; nothing may be added afterwards. The size of the file in bytes. Errors: kNotFound when
  // no picture in the interval can be decoded, kUnsupported for a codec that MP4 does not hold.
  base::Result<uint64_t> prepare();
  // Pictures in the file, hidden ones included; after prepare().
  [[nodiscard]] uint64_t video_frames() const { return video_.samples.size(); }
  // May be called again, for example for a range of a download.
  base::Status write(const Payload& payload, const Sink& sink) const;

 private:
  struct Run {
    TrackConfigPtr video_config;
    TrackConfigPtr audio_config;
    bool continues = false;
    std::vector<Mp4Sample> video;
    std::vector<Mp4Sample> audio;
    size_t lead = 0;  // first ones of `video` that are of the run before, by this one's clock
  };
  struct PlacedSample {
    Mp4Sample source;
    uint32_t description = 0;  // from 1, as in stsc
    int64_t dts = 0;           // ticks of the track, on the timeline of the file
    int64_t pts = 0;
  };
  struct Track {
    uint32_t timescale = kVideoTimescale;
    std::vector<TrackConfigPtr> descriptions;
    std::vector<PlacedSample> samples;
    int64_t end = 0;  // of the last sample; the others last until the next one
    uint32_t describe(const TrackConfigPtr& config);
    [[nodiscard]] uint64_t duration_of(size_t index) const;
  };
  // Consecutive samples of one track and one description.
  struct Chunk {
    TrackKind kind = TrackKind::kVideo;
    size_t first = 0;
    size_t count = 0;
    uint64_t offset = 0;  // from the start of the mdat payload
  };
  struct Edit {
    uint64_t duration = 0;   // 90 kHz
    int64_t media_time = 0;  // ticks of the track; -1: nothing is shown
  };
  // Where a run lies. Wall clock and timeline in 90 kHz.
  struct Place {
    int64_t shift = 0;  // timeline = wall clock + shift
    int64_t shown_from = 0;
    int64_t shown_to = 0;
  };

  [[nodiscard]] base::Status check(const Run& run) const;
  static void prepend_lead(const Run& before, Run& run);
  void place(const Run& run);
  void place_audio(const Run& run, const Place& place, bool first_run);
  void lay_out_chunks();
  [[nodiscard]] std::vector<Edit> edits(TrackKind kind) const;
  [[nodiscard]] base::ByteVector make_head(bool wide_offsets) const;
  void write_trak(base::ByteWriter& out, TrackKind kind, bool wide_offsets,
                  std::vector<std::pair<size_t, uint64_t>>& offsets) const;
  [[nodiscard]] const Track& track(TrackKind kind) const {
    return kind == TrackKind::kVideo ? video_ : audio_;
  }

  base::UtcTime from_;
  base::UtcTime to_;
  Mp4Gaps gaps_;
  std::vector<Run> runs_;

  bool placed_to_end_ = false;  // the last picture of the run before is in the file
  Track video_;
  Track audio_;
  std::vector<Chunk> chunks_;
  int64_t first_shift_ = 0;
  int64_t shown_from_ = 0;  // on the timeline, 90 kHz
  int64_t shown_to_ = 0;
  uint64_t payload_bytes_ = 0;
  base::ByteVector head_;
};

}  // namespace miharu::media
