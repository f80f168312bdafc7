// What travels from the media thread to the disk thread: parts, and the orders around them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "media/frame.h"
#include "record/recording.h"
#include "store/object_name.h"

namespace miharu::record {

// One or more whole fragments, up to half a second of video, appended to the growing object in one write.
struct Part {
  uint64_t seq = 0;  // of its chunk
  bool starts_chunk = false;
  bool independent = false;  // begins with a key frame
  bool damaged = false;      // a unit in it was damaged
  uint32_t key_bytes = 0;  // of the fragment with the chunk's key frame alone, at the front of its first part
  base::UtcTime start;     // of the first frame shown
  base::UtcTime end;       // of the part's video
  // Bytes in the order of the file: pieces[i] is text of our own followed by the payloads of frames.
  struct Piece {
    base::ByteVector head;
    std::vector<media::FramePtr> payloads;
  };
  std::vector<Piece> pieces;
  uint64_t size_bytes = 0;
};

// The head of a new object. Name fields that are not known before its end are filled in by the writer.
struct ObjectStart {
  store::ObjectName name;  // start, run, first seq, container, codecs, init_bytes
  base::ByteVector init;
};

}  // namespace miharu::record
