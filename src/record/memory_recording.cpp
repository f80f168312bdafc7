#include "record/memory_recording.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace miharu::record {

MemoryRecording::MemoryRecording(std::string camera, store::Container container, const base::Clock& clock,
                                 RecordingIndex& index)
    : camera_(std::move(camera)), clock_(clock), index_(index) {
  // An object is a group of pictures: it can be forgotten when it is old.
  options_.segment = base::nanoseconds(0);
  options_.max_object_bytes = kMaxObjectBytes;
  options_.max_part_bytes = kMaxPartBytes;
  options_.container = container;
}

void MemoryRecording::start() {
  if (segmenter_) return;
  const auto first_run = static_cast<uint64_t>(std::max<int64_t>(1, base::to_unix_ms(clock_.utc())));
  SegmenterListener& listener = *this;
  segmenter_ = std::make_unique<Segmenter>(options_, first_run, 0, listener);
}

void MemoryRecording::stop() {
  if (!segmenter_) return;
  segmenter_.reset();
  growing_.reset();
  index_.forget(camera_);
}

void MemoryRecording::on_run_start(const stream::RunStart& start) {
  run_ = start;
}

void MemoryRecording::on_placed(const stream::PlacedFrame& placed) {
  if (!segmenter_ || !run_) return;
  if (segmenter_->is_behind_pause(placed)) segmenter_->end_run();
  if (!segmenter_->running()) {
    if (!placed.frame->is_video() || !placed.frame->key) return;
    segmenter_->start_run(*run_);
  }
  segmenter_->add(placed);
}

void MemoryRecording::on_run_end(store::RunReason /*reason*/, const std::string& /*detail*/) {
  run_.reset();
  if (segmenter_) segmenter_->end_run();
}

void MemoryRecording::on_object(ObjectStart start) {
  const int fd = ::memfd_create("miharu-live", MFD_CLOEXEC);
  if (fd < 0) {
    spdlog::warn("{}: the smaller stream cannot be kept in memory: {}", camera_,
                 base::system_error("memfd_create", errno).to_string());
    growing_.reset();
    return;
  }
  growing_ = Growing();
  growing_->file = std::make_shared<const base::File>(fd);
  if (write(start.init)) index_.begin(camera_, start.name, growing_->file);
}

void MemoryRecording::on_part(Part part) {
  if (!growing_) return;
  base::ByteVector bytes;
  bytes.reserve(part.size_bytes);
  for (const Part::Piece& piece : part.pieces) {
    bytes.insert(bytes.end(), piece.head.begin(), piece.head.end());
    for (const media::FramePtr& frame : piece.payloads) {
      const base::ByteView payload = frame->data();
      bytes.insert(bytes.end(), payload.begin(), payload.end());
    }
  }
  const uint64_t offset = growing_->size_bytes;
  if (!write(bytes)) return;
  if (part.starts_chunk) {
    growing_->chunk = {};
    growing_->chunk_start = part.start;
  }
  store::Chunk& chunk = growing_->chunk;
  chunk.size_bytes += static_cast<uint32_t>(part.size_bytes);
  chunk.key_bytes = std::max(chunk.key_bytes, part.key_bytes);
  chunk.damaged |= part.damaged;
  index_.part(camera_, part, offset);
}

void MemoryRecording::on_chunk_end(base::UtcTime end, bool object) {
  if (!growing_) return;
  const int64_t duration = base::to_unix_ms(end) - base::to_unix_ms(growing_->chunk_start);
  growing_->chunk.duration_ms = static_cast<uint32_t>(std::max<int64_t>(1, duration));
  index_.chunk_end(camera_, growing_->chunk);
  if (!object) return;
  index_.end(camera_);
  growing_.reset();
}

// A file in memory takes all or has no room.
bool MemoryRecording::write(base::ByteView bytes) {
  const auto at = static_cast<off_t>(growing_->size_bytes);
  if (::pwrite(growing_->file->fd(), bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size())) {
    growing_->size_bytes += bytes.size();
    return true;
  }
  spdlog::warn("{}: the smaller stream cannot be kept in memory: {}", camera_,
               base::system_error("write", errno).to_string());
  growing_.reset();
  index_.end(camera_);
  return false;
}

}  // namespace miharu::record
