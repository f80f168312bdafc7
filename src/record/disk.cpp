#include "record/disk.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace miharu::record {
namespace {

namespace fs = std::filesystem;

class SystemDiskFile final : public DiskFile {
 public:
  SystemDiskFile(base::File file, uint64_t size)
      : file_(std::make_shared<const base::File>(std::move(file))), size_(size) {}

  base::Status append(std::span<const iovec> pieces, uint64_t total_bytes) override {
    std::vector<iovec> rest(pieces.begin(), pieces.end());
    size_t first = 0;
    uint64_t left = total_bytes;
    while (left > 0) {
      const auto count = static_cast<int>(std::min<size_t>(rest.size() - first, IOV_MAX));
      const ssize_t written = ::pwritev(file_->fd(), rest.data() + first, count, static_cast<off_t>(size_));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return base::fail_system("write");
      size_ += static_cast<uint64_t>(written);
      left -= static_cast<uint64_t>(written);
      auto skip = static_cast<size_t>(written);
      while (first < rest.size() && skip >= rest[first].iov_len) skip -= rest[first++].iov_len;
      if (skip > 0) {
        rest[first].iov_base = static_cast<std::byte*>(rest[first].iov_base) + skip;
        rest[first].iov_len -= skip;
      }
    }
    return {};
  }

  base::Status allocate(uint64_t size) override {
    int failed = 0;
    do {
      failed = ::fallocate(file_->fd(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size));
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) return {};
    // Some file systems cannot; then appending allocates.
    if (errno == EOPNOTSUPP || errno == ENOSYS) return {};
    return base::fail_system("preallocate");
  }

  base::Status truncate(uint64_t size) override {
    if (::ftruncate(file_->fd(), static_cast<off_t>(size)) != 0) return base::fail_system("truncate");
    size_ = size;
    return {};
  }

  base::Status sync() override {
    if (::fdatasync(file_->fd()) != 0) return base::fail_system("sync");
    return {};
  }

  base::Status rewrite(base::ByteView bytes) override {
    uint64_t at = 0;
    while (!bytes.empty()) {
      const ssize_t written = ::pwrite(file_->fd(), bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return base::fail_system("write again");
      at += static_cast<uint64_t>(written);
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  void drop_cache() override { ::posix_fadvise(file_->fd(), 0, 0, POSIX_FADV_DONTNEED); }

  std::shared_ptr<const base::File> readable() const override { return file_; }

 private:
  std::shared_ptr<const base::File> file_;
  uint64_t size_;
};

class SystemDisk final : public Disk {
 public:
  base::Result<std::unique_ptr<DiskFile>> create(const fs::path& path) override {
    auto file = base::File::open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
    if (!file) return tl::unexpected(file.error());
    return std::make_unique<SystemDiskFile>(std::move(*file), 0);
  }

  base::Result<std::unique_ptr<DiskFile>> open_existing(const fs::path& path) override {
    auto file = base::File::open(path, O_RDWR);
    if (!file) return tl::unexpected(file.error());
    const auto size = file->size();
    if (!size) return tl::unexpected(size.error());
    return std::make_unique<SystemDiskFile>(std::move(*file), *size);
  }

  base::Status make_directories(const fs::path& path) override {
    if (::access(path.c_str(), F_OK) == 0) return {};
    const fs::path parent = path.parent_path();
    if (!parent.empty() && parent != path) {
      if (auto made = make_directories(parent); !made) return made;
    }
    if (::mkdir(path.c_str(), 0750) != 0 && errno != EEXIST)
      return base::fail_system("make directory " + path.string());
    return base::sync_directory(parent.empty() ? "." : parent);
  }

  base::Status rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return base::fail_system("rename to " + to.string());
    return {};
  }

  base::Status sync_directory(const fs::path& path) override { return base::sync_directory(path); }

  base::Status remove(const fs::path& path) override {
    if (::unlink(path.c_str()) != 0) return base::fail_system("remove " + path.string());
    return {};
  }
};

}  // namespace

std::unique_ptr<Disk> make_system_disk() {
  return std::make_unique<SystemDisk>();
}

base::Status put_in_place(Disk& disk, DiskFile& file, uint64_t size, const fs::path& from,
                          const fs::path& to) {
  if (auto done = file.truncate(size); !done) return done;
  if (auto done = file.sync(); !done) return done;
  if (auto done = disk.make_directories(to.parent_path()); !done) return done;
  auto renamed = disk.rename(from, to);
  if (!renamed && renamed.error().code == base::Errc::kNotFound) {
    if (auto done = disk.make_directories(to.parent_path()); !done) return done;
    renamed = disk.rename(from, to);
  }
  if (!renamed) return renamed;
  return disk.sync_directory(to.parent_path());
}

}  // namespace miharu::record
