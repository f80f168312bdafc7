#include "record/recording_index.h"

#include <algorithm>

#include <fmt/format.h>

namespace miharu::record {

void RecordingIndex::begin(const std::string& camera, const store::ObjectName& name,
                           std::shared_ptr<const base::File> file) {
  const std::lock_guard lock(mutex_);
  Camera& mine = cameras_[camera];
  mine.growing = name;
  mine.growing->chunks.clear();
  mine.file = std::move(file);
}

void RecordingIndex::part(const std::string& camera, const Part& part, uint64_t offset) {
  {
    const std::lock_guard lock(mutex_);
    Camera& mine = cameras_[camera];
    if (!mine.growing) return;
    if (part.starts_chunk) {
      Entry entry;
      entry.chunk.run = mine.growing->run;
      entry.chunk.seq = part.seq;
      entry.chunk.container = mine.growing->container;
      entry.chunk.start = part.start;
      entry.file = mine.file;
      entry.offset = offset;
      entry.init_bytes = mine.growing->init_bytes;
      mine.chunks.push_back(std::move(entry));
    }
    if (mine.chunks.empty()) return;
    RecentChunk& chunk = mine.chunks.back().chunk;
    chunk.chunk.size_bytes += static_cast<uint32_t>(part.size_bytes);
    chunk.chunk.key_bytes = std::max(chunk.chunk.key_bytes, part.key_bytes);
    chunk.chunk.damaged |= part.damaged;
    chunk.duration_ms = static_cast<uint32_t>(base::to_unix_ms(part.end) - base::to_unix_ms(chunk.start));
    chunk.parts.push_back(
        {part.seq, offset, static_cast<uint32_t>(part.size_bytes),
         static_cast<uint32_t>(std::chrono::duration_cast<base::microseconds>(part.end - part.start).count()),
         part.independent});
    ++mine.generation;
  }
  changed(camera);
}

void RecordingIndex::chunk_end(const std::string& camera, const store::Chunk& chunk) {
  {
    const std::lock_guard lock(mutex_);
    Camera& mine = cameras_[camera];
    if (!mine.growing || mine.chunks.empty()) return;
    mine.growing->chunks.push_back(chunk);
    RecentChunk& last = mine.chunks.back().chunk;
    last.chunk = chunk;
    last.duration_ms = chunk.duration_ms;
    last.finished = true;
    const base::UtcTime newest = last.start;
    // What lies later than the newest was recorded before the clock was stepped back: it would block the
    // queue.
    const auto is_old = [this, newest](const RecentChunk& each) {
      return each.start < newest - keep_.time || each.start > newest;
    };
    uint64_t bytes = 0;
    for (const Entry& entry : mine.chunks) bytes += entry.chunk.chunk.size_bytes;
    while (mine.chunks.size() > 1 && (is_old(mine.chunks.front().chunk) || bytes > keep_.bytes) &&
           mine.chunks.front().file != mine.file) {
      bytes -= mine.chunks.front().chunk.chunk.size_bytes;
      mine.chunks.pop_front();
    }
    ++mine.generation;
  }
  changed(camera);
}

void RecordingIndex::end(const std::string& camera) {
  const std::lock_guard lock(mutex_);
  Camera& mine = cameras_[camera];
  mine.growing.reset();
  mine.file.reset();
  // A chunk that the disk could not end is not one.
  if (!mine.chunks.empty() && !mine.chunks.back().chunk.finished) mine.chunks.pop_back();
  ++mine.generation;
}

void RecordingIndex::forget(const std::string& camera) {
  const std::lock_guard lock(mutex_);
  Camera& mine = cameras_[camera];
  mine.growing.reset();
  mine.file.reset();
  mine.chunks.clear();
  ++mine.generation;
}

std::vector<store::ObjectName> RecordingIndex::growing(std::string_view camera) const {
  const std::lock_guard lock(mutex_);
  const auto found = cameras_.find(camera);
  if (found == cameras_.end() || !found->second.growing) return {};
  store::ObjectName name = *found->second.growing;
  // The chunk that still grows is playable up to its last part.
  if (!found->second.chunks.empty()) {
    const RecentChunk& last = found->second.chunks.back().chunk;
    if (!last.finished && last.run == name.run && last.duration_ms > 0) {
      name.chunks.push_back(last.chunk);
      name.chunks.back().duration_ms = last.duration_ms;
    }
  }
  if (name.chunks.empty()) return {};
  return {std::move(name)};
}

std::vector<RecentChunk> RecordingIndex::recent(std::string_view camera) const {
  const std::lock_guard lock(mutex_);
  std::vector<RecentChunk> chunks;
  const auto found = cameras_.find(camera);
  if (found == cameras_.end()) return chunks;
  chunks.reserve(found->second.chunks.size());
  for (const Entry& entry : found->second.chunks) chunks.push_back(entry.chunk);
  return chunks;
}

uint64_t RecordingIndex::generation(std::string_view camera) const {
  const std::lock_guard lock(mutex_);
  const auto found = cameras_.find(camera);
  return found == cameras_.end() ? 0 : found->second.generation;
}

base::Result<Location> RecordingIndex::chunk(std::string_view camera, store::Run run, uint64_t seq) const {
  const std::lock_guard lock(mutex_);
  const auto found = cameras_.find(camera);
  if (found != cameras_.end()) {
    for (const Entry& entry : found->second.chunks) {
      if (entry.chunk.seq != seq || entry.chunk.run != run) continue;
      return Location{entry.file,
                      entry.offset,
                      entry.chunk.chunk.size_bytes,
                      !entry.chunk.finished,
                      entry.chunk.container,
                      entry.chunk.start,
                      entry.chunk.start + base::milliseconds(entry.chunk.duration_ms)};
    }
  }
  return base::fail(base::Errc::kNotFound,
                    fmt::format("chunk {} of camera {} is not among the latest", seq, camera));
}

base::Result<Location> RecordingIndex::init(std::string_view camera, store::Run run) const {
  const std::lock_guard lock(mutex_);
  const auto found = cameras_.find(camera);
  if (found != cameras_.end()) {
    std::optional<Location> location;
    for (const Entry& entry : found->second.chunks) {
      if (entry.chunk.run != run) continue;
      if (!location)
        location =
            Location{entry.file, 0, entry.init_bytes, false, entry.chunk.container, entry.chunk.start, {}};
      location->end = entry.chunk.start + base::milliseconds(entry.chunk.duration_ms);
    }
    if (location) return *location;
  }
  return base::fail(base::Errc::kNotFound,
                    fmt::format("run {} of camera {} is not among the latest", run.number, camera));
}

}  // namespace miharu::record
