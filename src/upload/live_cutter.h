// Cuts the latest recording of a camera into pieces of about a second, to be put into a bucket while somebody
// watches. The bytes are those of the recording: a piece is a row of parts of one chunk.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "record/recording.h"

namespace miharu::upload {

struct LivePiece {
  store::Run run;
  uint64_t seq = 0;    // of its chunk
  uint64_t index = 0;  // of its first part in the chunk
  store::Container container = store::Container::kFmp4;
  base::UtcTime start;
  base::microseconds duration{};
  uint64_t offset = 0;  // in the chunk's file
  uint64_t size_bytes = 0;
  bool key = false;            // begins with a key frame
  bool discontinuity = false;  // not what follows the piece before it
  bool sub = false;            // of the smaller stream; set by who cuts

  [[nodiscard]] std::string name() const;  // "2fr_1a2b3c_0.mp4": the same for the same bytes
};

// Not thread-safe. No I/O.
class LiveCutter {
 public:
  static constexpr base::milliseconds kPiece{900};  // a part more than that, at most

  // What is new of `chunks` (Recordings::recent). It begins with the latest key frame that begins a chunk,
  // and does so again where chunks are missing.
  std::vector<LivePiece> cut(const std::vector<record::RecentChunk>& chunks);
  // Goes on with the latest key frame that was not cut yet, for what waits is too much for the line. False:
  // there is none, and nothing was changed.
  bool skip(const std::vector<record::RecentChunk>& chunks, uint64_t behind_seq);
  // Goes on with the latest key frame, of whatever recording: what was cut and not sent is given up.
  void begin_anew();

 private:
  struct Place {
    store::Run run;
    uint64_t seq = 0;
    size_t part = 0;
  };
  std::optional<Place> next_;  // none: at the latest key frame
  bool broken_ = false;
  bool began_ = false;
};

}  // namespace miharu::upload
