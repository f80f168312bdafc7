// Cuts placed frames into parts, chunks and objects (docs/formats.md). Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "media/muxer.h"
#include "record/part.h"
#include "stream/placer.h"

namespace miharu::record {

// Called in this order: on_object (on_part)+ on_object_end ...
class SegmenterListener {
 public:
  virtual ~SegmenterListener() = default;
  virtual void on_object(ObjectStart start) = 0;
  virtual void on_part(Part part) = 0;
  // The chunk of the last part ends at `end`, and with `object` its object too.
  virtual void on_chunk_end(base::UtcTime end, bool object) = 0;
};

struct SegmenterOptions {
  base::nanoseconds segment = base::seconds(30);     // an object ends at the first chunk boundary after this
  base::nanoseconds part = base::milliseconds(500);  // of video, at most: the parts of low-latency HLS
  base::nanoseconds min_chunk = base::seconds(2);    // shorter groups of pictures share a chunk
  base::nanoseconds max_chunk = base::seconds(10);   // longer ones are cut: TARGETDURATION is always 10
  uint64_t max_object_bytes = 64 << 20;
  uint64_t max_part_bytes = 8 << 20;  // pending: cameras may give any number of pictures one time
  size_t max_name_length = store::kMaxNameLength;
  store::Container container = store::Container::kFmp4;
};

// One camera; lives on its media thread.
class Segmenter {
 public:
  // The listener must outlive the segmenter. `next_seq` and `next_run` continue what the store holds.
  Segmenter(SegmenterOptions options, uint64_t next_run, uint64_t next_seq, SegmenterListener& listener);

  void start_run(const stream::RunStart& start);
  void add(const stream::PlacedFrame& frame);
  // The pictures paused for so long that a run with this one in it would claim what was not recorded:
  // end_run() comes first.
  [[nodiscard]] bool is_behind_pause(const stream::PlacedFrame& frame) const;
  // Hands on all that is pending and ends the object.
  void end_run();
  // Gives up the run without handing on what is pending: the disk failed. set_counters() follows before the
  // next run.
  void abandon_run();
  [[nodiscard]] bool running() const { return muxer_ != nullptr; }
  // After trouble with the disk: what the store says that comes next. Not while running.
  void set_counters(uint64_t next_run, uint64_t next_seq);

 private:
  void begin_chunk(const media::Sample& first);
  void end_chunk(base::UtcTime boundary, bool end_object);
  void flush_part(base::UtcTime boundary, bool everything);
  void add_fragment(Part& part, const std::vector<media::Sample>& video,
                    const std::vector<media::Sample>& audio, bool chunk_start);
  [[nodiscard]] bool name_is_full() const;

  SegmenterOptions options_;
  uint64_t next_run_;
  uint64_t next_seq_;
  SegmenterListener& listener_;

  std::unique_ptr<media::Muxer> muxer_;
  store::ObjectName object_;  // of the growing object; its chunks are those finished so far
  base::ByteVector init_;
  bool run_has_part_ = false;
  bool object_open_ = false;
  uint64_t object_bytes_ = 0;

  bool chunk_open_ = false;
  bool chunk_has_part_ = false;
  bool chunk_independent_ = false;
  base::UtcTime chunk_start_;  // dts
  store::Chunk chunk_;
  // pts - dts of the key frame before, also of one of an earlier run that this one continues.
  std::optional<base::nanoseconds> show_offset_;
  base::UtcTime part_start_;  // dts

  std::vector<media::Sample> video_;  // pending; the last one's end is not known yet
  std::vector<media::Sample> audio_;
  uint64_t video_bytes_ = 0;  // of those pending
  uint64_t audio_bytes_ = 0;
  base::nanoseconds last_video_duration_{};
  base::nanoseconds last_audio_duration_{};
};

}  // namespace miharu::record
