// An open file, and the few system calls on paths that more than one folder needs, with errors by value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "base/bytes.h"

namespace miharu::base {

// Owns a descriptor. Reads and writes are at given offsets, so that const members may be used by several
// threads.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept;
  ~File();

  // `flags` as for open(2); O_CLOEXEC is added.
  static Result<File> open(const std::filesystem::path& path, int flags, unsigned mode = 0644);

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] Result<uint64_t> size() const;
  // Fills `out`; fewer bytes in the file is kTruncated.
  [[nodiscard]] Status read_at(uint64_t offset, std::span<std::byte> out) const;
  // As much as there is, up to out.size().
  [[nodiscard]] Result<size_t> read_some_at(uint64_t offset, std::span<std::byte> out) const;
  void close();

 private:
  int fd_ = -1;
};

// The whole file, refused above `limit_bytes`.
Result<ByteVector> read_file(const std::filesystem::path& path, uint64_t limit_bytes);
// Durable and all or nothing: temporary file beside it, sync, rename, sync of the directory.
Status write_file(const std::filesystem::path& path, ByteView bytes, unsigned mode = 0644);
Status sync_directory(const std::filesystem::path& path);

}  // namespace miharu::base
