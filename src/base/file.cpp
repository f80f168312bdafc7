#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include <fmt/format.h>

namespace miharu::base {

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

File::~File() {
  close();
}

void File::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<File> File::open(const std::filesystem::path& path, int flags, unsigned mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return fail_system("open " + path.string());
  return File(fd);
}

Result<uint64_t> File::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return fail_system("fstat");
  return static_cast<uint64_t>(info.st_size);
}

Result<size_t> File::read_some_at(uint64_t offset, std::span<std::byte> out) const {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t count =
        ::pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_system("read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

Status File::read_at(uint64_t offset, std::span<std::byte> out) const {
  const auto done = read_some_at(offset, out);
  if (!done) return tl::unexpected(done.error());
  if (*done < out.size()) {
    return fail(Errc::kTruncated, fmt::format("file ends {} bytes early", out.size() - *done),
                static_cast<int64_t>(offset + *done));
  }
  return {};
}

Result<ByteVector> read_file(const std::filesystem::path& path, uint64_t limit_bytes) {
  const auto file = File::open(path, O_RDONLY);
  if (!file) return tl::unexpected(file.error());
  const auto size = file->size();
  if (!size) return tl::unexpected(size.error());
  if (*size > limit_bytes) {
    return fail(Errc::kLimit,
                fmt::format("{} has {} bytes, more than the {} allowed", path.string(), *size, limit_bytes));
  }
  ByteVector bytes(*size);
  if (auto read = file->read_at(0, bytes); !read)
    return tl::unexpected(std::move(read.error()).in(path.string()));
  return bytes;
}

Status write_file(const std::filesystem::path& path, ByteView bytes, unsigned mode) {
  const std::filesystem::path temporary = path.string() + ".new";
  auto file = File::open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode);
  if (!file) return tl::unexpected(file.error());
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(file->fd(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_system("write " + temporary.string());
    done += static_cast<size_t>(count);
  }
  if (::fsync(file->fd()) != 0) return fail_system("sync " + temporary.string());
  if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_system("rename to " + path.string());
  return sync_directory(path.parent_path().empty() ? "." : path.parent_path());
}

Status sync_directory(const std::filesystem::path& path) {
  const auto directory = File::open(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return tl::unexpected(directory.error());
  if (::fsync(directory->fd()) != 0) return fail_system("sync " + path.string());
  return {};
}

}  // namespace miharu::base
