// The system calls of recording, behind an interface so that tests can make a disk that fails, fills or
// stalls.
#pragma once

#include <sys/uio.h>

#include <filesystem>
#include <memory>
#include <span>

#include "base/file.h"

namespace miharu::record {

// A file that grows at its end. Used by one thread; `readable` may be read by any while it grows.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  // All of it or an error; after an error the file's end is unknown and truncate() puts it right.
  virtual base::Status append(std::span<const iovec> pieces, uint64_t total_bytes) = 0;
  // Reserves space up to `size` without changing the file's length, so that appending does not allocate block
  // by block. Per MB written: growing 1.6-2.5 ms, preallocated 0.15-0.5 ms (docs/performance.md).
  virtual base::Status allocate(uint64_t size) = 0;
  virtual base::Status truncate(uint64_t size) = 0;
  virtual base::Status sync() = 0;
  // Writes the first bytes of the file again, as they are. After a sync that failed the kernel may take pages
  // for written that are not on disk; now they are dirty again, and the next sync() means what it says.
  virtual base::Status rewrite(base::ByteView bytes) = 0;
  // The bytes will hardly be read again soon: lets the page cache have the room.
  virtual void drop_cache() = 0;
  [[nodiscard]] virtual std::shared_ptr<const base::File> readable() const = 0;
};

// Thread-safe.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual base::Result<std::unique_ptr<DiskFile>> create(const std::filesystem::path& path) = 0;
  virtual base::Result<std::unique_ptr<DiskFile>> open_existing(const std::filesystem::path& path) = 0;
  // With the entries on the way down synced.
  virtual base::Status make_directories(const std::filesystem::path& path) = 0;
  virtual base::Status rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual base::Status sync_directory(const std::filesystem::path& path) = 0;
  virtual base::Status remove(const std::filesystem::path& path) = 0;
};

std::unique_ptr<Disk> make_system_disk();

// The order that makes an object durable: cut to `size`, sync, rename to its final name, sync its folder. The
// folder is made; retention may remove it again in between when it was empty, so that is tried twice.
base::Status put_in_place(Disk& disk, DiskFile& file, uint64_t size, const std::filesystem::path& from,
                          const std::filesystem::path& to);

}  // namespace miharu::record
