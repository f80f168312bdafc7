#include "record/camera_writer.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/text.h"
#include "record/recovery.h"

namespace miharu::record {

namespace fs = std::filesystem;
using base::Status;

namespace {

// Above the largest object: its cap, and a last chunk of ten seconds behind it.
constexpr uint64_t kMaxUnfinishedBytes = 512 << 20;

// When the sync of its folder fails, an object has its name all the same.
bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

CameraWriter::CameraWriter(std::string camera, Disk& disk, store::DirectoryStore& store,
                           RecordingIndex& index, const base::Clock& clock, size_t max_name_length)
    : camera_(std::move(camera)),
      disk_(disk),
      store_(store),
      index_(index),
      clock_(clock),
      max_name_length_(max_name_length) {}

base::Result<ResumePoint> CameraWriter::resume() {
  if (growing_) {
    growing_.reset();
    index_.end(camera_);
  }
  if (auto there = store_.check_identity(); !there) return tl::unexpected(there.error());
  const fs::path folder = store_.root() / "tmp";
  if (auto made = disk_.make_directories(folder); !made) return tl::unexpected(made.error());

  ResumePoint point;
  if (auto found = find_next(point); !found) return tl::unexpected(found.error());
  std::error_code error;
  std::vector<fs::path> unfinished;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto parsed = parse_unfinished_file_name(entry.path().filename().string());
    if (!parsed || parsed->camera != camera_) continue;
    unfinished.push_back(entry.path());
    // Its run may have been published though nothing of it can be kept: the number is not given again.
    point.next_run = std::max(point.next_run, parsed->head.run.number + 1);
  }
  if (error) return tl::unexpected(base::system_error("list " + folder.string(), error.value()));
  std::sort(unfinished.begin(), unfinished.end());
  if (point.next_run > numbers_.next_run) {
    if (auto done = raise_numbers(disk_, store_, camera_, {point.next_run, 0, std::nullopt}); !done)
      return tl::unexpected(done.error());
    numbers_.next_run = point.next_run;
  }
  for (const fs::path& path : unfinished) {
    const uint64_t before = finished_bytes_;
    if (auto recovered = recover(path); !recovered)
      return tl::unexpected(std::move(recovered.error()).in(path.filename().string()));
    if (finished_bytes_ > before) ++point.recovered_objects;
  }

  if (point.recovered_objects > 0) {
    if (auto found = find_next(point); !found) return tl::unexpected(found.error());
  }
  return point;
}

Status CameraWriter::find_next(ResumePoint& point) {
  const auto found = find_numbers(store_, camera_);
  if (!found) return tl::unexpected(found.error());
  numbered_hour_ = found->hour;
  numbers_.take(found->numbers);
  point.next_run = numbers_.next_run = std::max(point.next_run, numbers_.next_run);
  point.recorded_until = numbers_.recorded_until;
  if (numbers_.next_seq == 0)
    numbers_.next_seq = static_cast<uint64_t>(std::max<int64_t>(1, base::to_unix_ms(clock_.utc()) / 100));
  point.next_seq = numbers_.next_seq;
  return {};
}

Status CameraWriter::recover(const fs::path& path) {
  const auto parsed = parse_unfinished_file_name(path.filename().string());
  CHECK(parsed.has_value());
  auto done = recover_bytes(path, parsed->head);
  if (done) {
    attempts_.erase(path);
    unsafe_.erase(path);
    return done;
  }
  // Room may come, and a mount; of a file that the disk cannot read there is no hope.
  if (done.error().code != base::Errc::kIo || ++attempts_[path] < kRecoveryAttempts) return done;
  attempts_.erase(path);
  return put_aside(path, done.error());
}

// Not something that we know how to read or name: kept out of the way, because footage is never thrown away
// unseen, and because it must not keep the camera from being recorded.
Status CameraWriter::put_aside(const fs::path& path, const base::Error& why) {
  spdlog::warn("{}: {} cannot be recovered and is kept as .bad: {}", camera_, path.filename().string(),
               why.to_string());
  return disk_.rename(path, path.string() + ".bad");
}

Status CameraWriter::recover_bytes(const fs::path& path, const store::ObjectName& head) {
  auto file = disk_.open_existing(path);
  if (!file) return tl::unexpected(file.error());
  const auto size = (*file)->readable()->size();
  if (!size) return tl::unexpected(size.error());
  if (*size > kMaxUnfinishedBytes)
    return put_aside(path, {base::Errc::kLimit, "larger than any object can be", -1});
  // Read, not mapped: a sector that cannot be read would be a signal that ends the process.
  base::ByteVector bytes(*size);
  if (auto read = (*file)->readable()->read_at(0, bytes); !read) return read;
  const auto recovered = recover_object(bytes, head);
  if (!recovered) {
    if (recovered.error().code == base::Errc::kNotFound) return disk_.remove(path);
    return put_aside(path, recovered.error());
  }
  const auto file_name = store::encode_name(recovered->name, max_name_length_);
  if (!file_name) return put_aside(path, file_name.error());
  if (unsafe_.contains(path)) {
    if (auto done = (*file)->rewrite(base::ByteView(bytes).first(recovered->size_bytes)); !done) return done;
  }
  unsafe_.insert(path);  // until it is in place
  const fs::path target = store_.root() / store::hour_prefix(camera_, recovered->name.start) / *file_name;
  if (numbered_hour_ != std::chrono::floor<std::chrono::hours>(recovered->name.start)) {
    // First what is numbered, then the numbers: those of chunks that a power cut takes now would be a hole.
    if (auto synced = (*file)->sync(); !synced) return synced;
    Numbers given;
    given.take(recovered->name);
    if (auto noted = raise_numbers(disk_, store_, camera_, given); !noted) return noted;
  }
  auto done = put_in_place(disk_, **file, recovered->size_bytes, path, target);
  if (on_finished_ && is_there(target)) on_finished_(recovered->name);
  if (!done) return done;
  finished_bytes_ += recovered->size_bytes;
  spdlog::info("{}: recovered {} chunks that an earlier stop left unfinished", camera_,
               recovered->name.chunks.size());
  return {};
}

Status CameraWriter::give_up(base::Error error, std::string_view doing) {
  // A try only: what is written should not have to wait until the disk answers again.
  if (growing_ && growing_->unsynced_since) static_cast<void>(growing_->file->sync());
  // It may have been a sync that failed, or writing behind our back that the next one tells of.
  if (growing_) unsafe_.insert(growing_->path);
  growing_.reset();
  index_.end(camera_);
  return tl::unexpected(std::move(error).in(fmt::format("{} {}", doing, store_.root().string())));
}

Status CameraWriter::begin(const ObjectStart& start) {
  CHECK(!growing_);
  const fs::path folder = store_.root() / "tmp";
  const fs::path path = folder / unfinished_file_name(camera_, start.name);
  // Wherever the clock puts the object, the next start must find its numbers.
  const base::UtcTime hour = std::chrono::floor<std::chrono::hours>(start.name.start);
  if (numbered_hour_ != hour) {
    Numbers given = numbers_;
    given.next_run = std::max(given.next_run, start.name.run.number + 1);
    if (auto done = write_numbers(disk_, store_, camera_, given, hour); !done)
      return give_up(done.error(), "note the numbers in");
    numbered_hour_ = hour;
  }
  auto file = disk_.create(path);
  if (!file) return give_up(file.error(), "start an object in");
  const bool new_run = start.name.run.number >= numbers_.next_run;
  numbers_.next_run = std::max(numbers_.next_run, start.name.run.number + 1);
  Growing growing;
  growing.name = start.name;
  growing.name.chunks.clear();
  growing.path = path;
  growing.file = std::move(*file);
  growing.chunk_until = start.name.start;
  growing_ = std::move(growing);
  // The name tells a later start that the run's number was given out, even if a power cut takes all of its
  // bytes.
  if (new_run) {
    if (auto done = disk_.sync_directory(folder); !done) return give_up(done.error(), "start an object in");
    growing_->entry_synced = true;
  }
  index_.begin(camera_, growing_->name, growing_->file->readable());
  if (start.init.empty()) return {};
  const iovec piece{const_cast<std::byte*>(start.init.data()), start.init.size()};
  return write({&piece, 1}, start.init.size());
}

Status CameraWriter::write(std::span<const iovec> pieces, uint64_t total_bytes) {
  Growing& mine = *growing_;
  if (mine.size + total_bytes > mine.allocated) {
    const uint64_t wanted = mine.size + total_bytes + kPreallocateBytes;
    if (auto done = mine.file->allocate(wanted); !done) return give_up(done.error(), "reserve space in");
    mine.allocated = wanted;
  }
  if (auto done = mine.file->append(pieces, total_bytes); !done) return give_up(done.error(), "write to");
  mine.size += total_bytes;
  if (!mine.unsynced_since) mine.unsynced_since = clock_.steady();
  for (const iovec& piece : pieces) {
    mine.crc = base::crc32c(mine.crc, {static_cast<const std::byte*>(piece.iov_base), piece.iov_len});
  }
  return {};
}

Status CameraWriter::append(const Part& part) {
  if (!growing_) return {};
  std::vector<iovec> pieces;
  for (const Part::Piece& piece : part.pieces) {
    pieces.push_back({const_cast<std::byte*>(piece.head.data()), piece.head.size()});
    for (const media::FramePtr& frame : piece.payloads) {
      pieces.push_back({const_cast<std::byte*>(frame->data().data()), frame->data().size()});
    }
  }
  const uint64_t offset = growing_->size;
  if (auto done = write(pieces, part.size_bytes); !done) return done;
  Growing& mine = *growing_;
  if (part.starts_chunk) mine.chunk = {};
  mine.chunk_open = true;
  mine.chunk.size_bytes += static_cast<uint32_t>(part.size_bytes);
  mine.chunk.key_bytes = std::max(mine.chunk.key_bytes, part.key_bytes);
  mine.chunk.damaged |= part.damaged;
  mine.chunk_until = part.end;
  index_.part(camera_, part, offset);
  auto synced = sync_if_due();
  if (!synced) return tl::unexpected(std::move(synced.error()));
  return {};
}

base::Result<std::optional<base::nanoseconds>> CameraWriter::sync_if_due() {
  if (!growing_ || !growing_->unsynced_since) return std::nullopt;
  const base::nanoseconds left = kSyncInterval - (clock_.steady() - *growing_->unsynced_since);
  if (left > base::nanoseconds(0)) return left;
  if (auto done = sync(); !done) return tl::unexpected(std::move(done.error()));
  return std::nullopt;
}

Status CameraWriter::sync() {
  Growing& mine = *growing_;
  if (auto done = mine.file->sync(); !done) return give_up(done.error(), "sync");
  if (!mine.entry_synced) {
    if (auto done = disk_.sync_directory(mine.path.parent_path()); !done)
      return give_up(done.error(), "sync");
    mine.entry_synced = true;
  }
  mine.unsynced_since.reset();
  ++syncs_;
  return {};
}

Status CameraWriter::chunk_end(base::UtcTime end, bool object) {
  if (!growing_) return {};
  Growing& mine = *growing_;
  if (mine.chunk_open) {
    const int64_t duration =
        base::to_unix_ms(std::chrono::round<base::milliseconds>(end)) - base::to_unix_ms(mine.name.end());
    mine.chunk.duration_ms = static_cast<uint32_t>(std::max<int64_t>(1, duration));
    mine.name.chunks.push_back(mine.chunk);
    mine.chunk_open = false;
    index_.chunk_end(camera_, mine.chunk);
  }
  return object ? finish_object() : Status{};
}

Status CameraWriter::close() {
  if (!growing_) return {};
  return chunk_end(growing_->chunk_until, true);
}

Status CameraWriter::finish_object() {
  Growing& mine = *growing_;
  if (mine.name.chunks.empty()) {
    Status removed = disk_.remove(mine.path);
    growing_.reset();
    index_.end(camera_);
    return removed;
  }
  mine.name.crc = mine.crc;
  auto file_name = store::encode_name(mine.name, max_name_length_);
  if (!file_name) return give_up(file_name.error(), "name an object in");
  // A disk that is not mounted any more must not get folders in its place.
  if (auto there = store_.check_identity(); !there) return give_up(there.error(), "finish an object in");
  const fs::path target = store_.root() / store::hour_prefix(camera_, mine.name.start) / *file_name;
  auto done = put_in_place(disk_, *mine.file, mine.size, mine.path, target);
  if (on_finished_ && is_there(target)) on_finished_(mine.name);
  if (!done) return give_up(done.error(), "finish an object in");
  finished_bytes_ += mine.size;
  ++syncs_;
  numbers_.take(mine.name);
  mine.file->drop_cache();
  growing_.reset();
  index_.end(camera_);
  return {};
}

}  // namespace miharu::record
