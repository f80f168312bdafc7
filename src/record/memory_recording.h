// The latest seconds of a stream that is recorded nowhere, kept in memory while somebody reads them: the
// parts, chunks and numbers of a recording, behind the same RecordingIndex.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/file.h"
#include "record/recording_index.h"
#include "record/segmenter.h"

namespace miharu::record {

// Lives on the camera's media thread. Costs nothing before start() and after stop().
class MemoryRecording final : public stream::PlacedListener, private SegmenterListener {
 public:
  // For the index: what is kept of a camera. Besides these there are an object that grows and a part.
  static constexpr RecordingIndex::Keep kKeep{base::seconds(20), 16 << 20};
  static constexpr uint64_t kMaxObjectBytes = 4 << 20;
  static constexpr uint64_t kMaxPartBytes = 2 << 20;

  // `index` has no other writer of `camera`; it and the clock must outlive this.
  MemoryRecording(std::string camera, store::Container container, const base::Clock& clock,
                  RecordingIndex& index);
  ~MemoryRecording() override { stop(); }

  // From the next key frame on. Runs are numbered by the time (ms) of this call and on from there, so that no
  // other recording of the camera has their numbers, that of an earlier process included.
  void start();
  void stop();  // and forgets it

  void on_run_start(const stream::RunStart& start) override;
  void on_placed(const stream::PlacedFrame& frame) override;
  void on_run_end(store::RunReason reason, const std::string& detail) override;

 private:
  struct Growing {
    std::shared_ptr<const base::File> file;  // without a name
    uint64_t size_bytes = 0;
    store::Chunk chunk;
    base::UtcTime chunk_start;
  };
  void on_object(ObjectStart start) override;
  void on_part(Part part) override;
  void on_chunk_end(base::UtcTime end, bool object) override;
  bool write(base::ByteView bytes);

  const std::string camera_;
  SegmenterOptions options_;
  const base::Clock& clock_;
  RecordingIndex& index_;
  std::unique_ptr<Segmenter> segmenter_;  // while it records
  std::optional<stream::RunStart> run_;   // of the stream
  std::optional<Growing> growing_;        // none too where memory was refused
};

}  // namespace miharu::record
