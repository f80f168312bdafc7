#include "record/camera_writer.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "record/recovery.h"
#include "store/catalog.h"

namespace miharu::record {

namespace fs = std::filesystem;
using base::Status;

namespace {

// A file's bytes, mapped for reading.
class Mapping {
 public:
  static base::Result<Mapping> of(const base::File& file) {
    const auto size = file.size();
    if (!size) return tl::unexpected(size.error());
    if (*size == 0) return Mapping(nullptr, 0);
    void* address = ::mmap(nullptr, *size, PROT_READ, MAP_PRIVATE, file.fd(), 0);
    if (address == MAP_FAILED) return base::fail_system("map");
    return Mapping(address, *size);
  }
  Mapping(Mapping&& other) noexcept : address_(std::exchange(other.address_, nullptr)), size_(other.size_) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (address_) ::munmap(address_, size_);
  }
  [[nodiscard]] base::ByteView bytes() const {
    return {static_cast<const std::byte*>(address_), address_ ? size_ : 0};
  }

 private:
  Mapping(void* address, size_t size) : address_(address), size_(size) {}
  void* address_;
  size_t size_;
};

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
  for (const fs::path& path : unfinished) {
    const uint64_t before = finished_bytes_;
    if (auto recovered = recover(path); !recovered)
      return tl::unexpected(std::move(recovered.error()).in(path.filename().string()));
    if (finished_bytes_ > before) ++point.recovered_objects;
  }

  store::Catalog catalog(store_, nullptr, clock_);
  const auto newest = catalog.newest(camera_);
  if (!newest) return tl::unexpected(newest.error());
  if (*newest) {
    const store::ObjectName& name = (*newest)->name;
    point.next_run = std::max(point.next_run, name.run.number + 1);
    point.next_seq = name.seq + name.chunks.size();
    point.recorded_until = name.end();
  } else {
    point.next_seq = static_cast<uint64_t>(std::max<int64_t>(0, base::to_unix_ms(clock_.utc()) / 100));
  }
  return point;
}

Status CameraWriter::recover(const fs::path& path) {
  const auto parsed = parse_unfinished_file_name(path.filename().string());
  CHECK(parsed.has_value());
  auto file = disk_.open_existing(path);
  if (!file) return tl::unexpected(file.error());
  const auto mapping = Mapping::of(*(*file)->readable());
  if (!mapping) return tl::unexpected(mapping.error());
  const auto recovered = recover_object(mapping->bytes(), parsed->head);
  // Not something that we know how to read or name: kept out of the way, because footage is never thrown away
  // unseen, and because it must not keep the camera from being recorded.
  const auto put_aside = [&](const base::Error& why) {
    spdlog::warn("{}: {} cannot be recovered and is kept as .bad: {}", camera_, path.filename().string(),
                 why.to_string());
    return disk_.rename(path, path.string() + ".bad");
  };
  if (!recovered) {
    if (recovered.error().code == base::Errc::kNotFound) return disk_.remove(path);
    return put_aside(recovered.error());
  }
  const auto file_name = store::encode_name(recovered->name, max_name_length_);
  if (!file_name) return put_aside(file_name.error());
  const fs::path target = store_.root() / store::hour_prefix(camera_, recovered->name.start) / *file_name;
  if (auto done = put_in_place(disk_, **file, recovered->size_bytes, path, target); !done) return done;
  finished_bytes_ += recovered->size_bytes;
  spdlog::info("{}: recovered {} chunks that an earlier stop left unfinished", camera_,
               recovered->name.chunks.size());
  return {};
}

Status CameraWriter::give_up(base::Error error, std::string_view doing) {
  growing_.reset();
  index_.end(camera_);
  return tl::unexpected(std::move(error).in(fmt::format("{} {}", doing, store_.root().string())));
}

Status CameraWriter::begin(const ObjectStart& start) {
  CHECK(!growing_);
  const fs::path path = store_.root() / "tmp" / unfinished_file_name(camera_, start.name);
  auto file = disk_.create(path);
  if (!file) return give_up(file.error(), "start an object in");
  Growing growing{start.name, path, std::move(*file), 0, 0, 0, {}, false, start.name.start, clock_.steady()};
  growing.name.chunks.clear();
  growing_ = std::move(growing);
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
  if (clock_.steady() - mine.synced >= kSyncInterval) {
    if (auto done = mine.file->sync(); !done) return give_up(done.error(), "sync");
    mine.synced = clock_.steady();
  }
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
    const Status removed = disk_.remove(mine.path);
    growing_.reset();
    index_.end(camera_);
    return removed;
  }
  mine.name.crc = mine.crc;
  auto file_name = store::encode_name(mine.name, max_name_length_);
  if (!file_name) return give_up(file_name.error(), "name an object in");
  const fs::path target = store_.root() / store::hour_prefix(camera_, mine.name.start) / *file_name;
  if (auto done = put_in_place(disk_, *mine.file, mine.size, mine.path, target); !done) {
    return give_up(done.error(), "finish an object in");
  }
  finished_bytes_ += mine.size;
  mine.file->drop_cache();
  growing_.reset();
  index_.end(camera_);
  return {};
}

}  // namespace miharu::record
