#include "store/directory_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

namespace miharu::store {
namespace {

using base::Errc;
using base::fail;

constexpr std::string_view kIdentityFile = "miharu-store.json";
constexpr std::string_view kTemporaries = "tmp";
constexpr std::string_view kIdentityHead = R"({"format":1,"id":")";
constexpr std::string_view kIdentityTail = R"("})";
constexpr size_t kIdLength = 32;
constexpr size_t kMaxKeyLength = 1024;  // as in S3
constexpr size_t kMaxPartLength = 255;
constexpr unsigned kMaxDepth = 16;
constexpr base::seconds kSettled{2};

// A part of a key. Names that begin with a dot or end in .new are never objects: hidden files and
// temporaries.
bool is_key_part(std::string_view part) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '=' || c == '-';
  };
  return !part.empty() && part.size() <= kMaxPartLength && part[0] != '.' && !part.ends_with(".new") &&
         std::ranges::all_of(part, allowed);
}
bool is_reserved(std::string_view top_part) {
  return top_part == kIdentityFile || top_part == kTemporaries;
}

// `text` is a key, or with `prefix` the start of keys that ends in '/' (or is empty).
base::Status check_key(std::string_view text, bool prefix) {
  if (prefix && text.empty()) return {};
  const auto bad = [&](std::string_view why, size_t at) {
    return fail(Errc::kInvalid, fmt::format("object key: {}", why), static_cast<int64_t>(at));
  };
  if (text.size() > kMaxKeyLength) return bad("more than 1024 characters", kMaxKeyLength);
  if (prefix != text.ends_with('/')) return bad(prefix ? "a prefix ends in '/'" : "ends in '/'", text.size());
  if (prefix) text.remove_suffix(1);
  unsigned depth = 0;
  for (size_t at = 0; at <= text.size(); ++depth) {
    const std::string_view part = text.substr(at, std::min(text.find('/', at), text.size()) - at);
    if (!is_key_part(part))
      return bad("parts are of A-Za-z0-9._=- and begin with no dot, nor end in .new", at);
    if (at == 0 && is_reserved(part)) return bad(fmt::format("'{}' holds no objects", part), at);
    if (depth >= kMaxDepth) return bad("too many parts", at);
    at += part.size() + 1;
  }
  return {};
}

struct SplitKey {
  std::string_view directory;  // ends in '/', or is empty
  std::string_view name;
};
SplitKey split(std::string_view key) {
  const size_t at = key.rfind('/') + 1;  // npos + 1 = 0
  return {key.substr(0, at), key.substr(at)};
}

// The directory of `prefix` below `root`, part by part: O_NOFOLLOW guards only the last part of a path.
base::Result<base::File> open_directory(const std::filesystem::path& root, std::string_view prefix,
                                        bool create = false) {
  auto directory = base::File::open(root, O_RDONLY | O_DIRECTORY);
  while (directory && !prefix.empty()) {
    const size_t length = prefix.find('/');
    const std::string part(prefix.substr(0, length));
    prefix.remove_prefix(length + 1);
    if (create) {
      if (::mkdirat(directory->fd(), part.c_str(), 0755) == 0) {
        if (::fsync(directory->fd()) != 0) return base::fail_system("sync directory above " + part);
      } else if (errno != EEXIST) {
        return base::fail_system("make directory " + part + " in " + root.string());
      }
    }
    const int fd = ::openat(directory->fd(), part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return base::fail_system("open directory " + part + " in " + root.string());
    directory = base::File(fd);
  }
  return directory;
}

class DirectoryReader {
 public:
  explicit DirectoryReader(const base::File& directory) {
    const int fd = ::fcntl(directory.fd(), F_DUPFD_CLOEXEC, 0);  // closedir closes it
    stream_ = fd < 0 ? nullptr : ::fdopendir(fd);
    if (stream_ == nullptr && fd >= 0) ::close(fd);
  }
  DirectoryReader(const DirectoryReader&) = delete;
  DirectoryReader& operator=(const DirectoryReader&) = delete;
  ~DirectoryReader() {
    if (stream_ != nullptr) ::closedir(stream_);
  }
  [[nodiscard]] bool ok() const { return stream_ != nullptr; }
  // Null at the end (errno 0) and on error.
  dirent* next() {
    errno = 0;
    return ::readdir(stream_);
  }
  // DT_REG, DT_DIR, ...; asks the file system only where readdir does not tell.
  [[nodiscard]] unsigned char type(const dirent& entry) const {
    if (entry.d_type != DT_UNKNOWN) return entry.d_type;
    struct stat info {};
    if (::fstatat(::dirfd(stream_), entry.d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) return DT_UNKNOWN;
    return S_ISDIR(info.st_mode) ? DT_DIR : S_ISREG(info.st_mode) ? DT_REG : DT_UNKNOWN;
  }

 private:
  DIR* stream_ = nullptr;
};

base::Status list_into(const base::File& directory, const std::string& prefix, bool one_level, unsigned depth,
                       Listing& out) {
  DirectoryReader reader(directory);
  if (!reader.ok()) return base::fail_system("list " + prefix);
  while (const dirent* entry = reader.next()) {
    const std::string_view name = entry->d_name;
    if (!is_key_part(name) || (prefix.empty() && is_reserved(name))) continue;
    const unsigned char type = reader.type(*entry);
    if (type == DT_REG) {
      std::string& key = out.objects.emplace_back().key;
      key.reserve(prefix.size() + name.size());
      key.append(prefix).append(name);
    } else if (type == DT_DIR && one_level) {
      out.prefixes.push_back(prefix + entry->d_name + '/');
    } else if (type == DT_DIR && depth < kMaxDepth) {
      const int fd = ::openat(directory.fd(), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (fd < 0 && errno == ENOENT) continue;  // removed since it was read
      if (fd < 0) return base::fail_system("open directory " + prefix + entry->d_name);
      const base::File below(fd);
      auto listed = list_into(below, prefix + entry->d_name + '/', false, depth + 1, out);
      if (!listed) return listed;
    }
  }
  if (errno != 0) return base::fail_system("list " + prefix);
  return {};
}

base::Result<std::string> read_identity(const std::filesystem::path& root) {
  const auto path = root / kIdentityFile;
  const auto bytes = base::read_file(path, 4096);
  if (!bytes) return tl::unexpected(bytes.error());
  std::string text(base::as_text(*bytes));
  std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; });
  const std::string_view head = kIdentityHead;
  const bool framed = text.size() == head.size() + kIdLength + kIdentityTail.size() &&
                      text.starts_with(head) && text.ends_with(kIdentityTail);
  const std::string id = framed ? text.substr(head.size(), kIdLength) : std::string();
  if (!framed || id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return fail(Errc::kMalformed,
                fmt::format("{} is not {}<32 hex digits>{}: of a newer miharu, or damaged"
                            "a backup; the id is in the configuration's log of the last start)",
                            path.string(), kIdentityHead, kIdentityTail));
  }
  return id;
}

base::Result<std::string> create_identity(const std::filesystem::path& root) {
  std::error_code error;
  std::filesystem::create_directories(root, error);
  if (error)
    return fail(Errc::kIo, fmt::format("make the store's directory {}: {}", root.string(), error.message()));
  for (std::filesystem::directory_iterator it(root, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    // A fresh ext4 has lost+found; the temporary is of a start that was cut off.
    if (name == "lost+found" || name == std::string(kIdentityFile) + ".new") continue;
    return fail(Errc::kInvalid,
                fmt::format("{} is no store but holds other things ({}): give an empty or new directory",
                            root.string(), name));
  }
  if (error) return fail(Errc::kIo, fmt::format("list {}: {}", root.string(), error.message()));
  std::array<std::byte, kIdLength / 2> random{};
  if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return base::fail_system("get random bytes for the store's id");
  }
  const std::string id = base::to_hex(random);
  const std::string text = std::string(kIdentityHead) + id + std::string(kIdentityTail) + "\n";
  if (auto written = base::write_file(root / kIdentityFile, base::as_bytes(text)); !written) {
    return tl::unexpected(std::move(written.error()));
  }
  return id;
}

tl::unexpected<base::Error> missing_mount(const std::filesystem::path& root, std::string_view what) {
  return fail(Errc::kNotFound, fmt::format("{} {}: is the disk mounted?", root.string(), what));
}

// The identity on disk, which must be `expected` unless that is empty.
base::Result<std::string> expect_identity(const std::filesystem::path& root, std::string_view expected) {
  auto id = read_identity(root);
  if (!id && id.error().code == Errc::kNotFound) {
    return missing_mount(root, fmt::format("has no {}", kIdentityFile));
  }
  if (id && !expected.empty() && *id != expected) {
    return missing_mount(root, fmt::format("is the store {}, not {}", *id, expected));
  }
  return id;
}

}  // namespace

base::Result<std::unique_ptr<DirectoryStore>> DirectoryStore::open(const std::filesystem::path& root,
                                                                   Open mode, std::string_view expected_id,
                                                                   const base::Clock& clock) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(root, error);
  if (error) return fail(Errc::kInvalid, fmt::format("{}: {}", root.string(), error.message()));
  auto id = expect_identity(absolute, expected_id);
  const bool absent = !id && id.error().code == Errc::kNotFound;
  // With an expected id an empty directory is a missing mount, whatever the mode.
  if (absent && mode == Open::kCreate && expected_id.empty()) id = create_identity(absolute);
  if (!id) return tl::unexpected(std::move(id.error()));
  return std::unique_ptr<DirectoryStore>(new DirectoryStore(absolute, std::move(*id), clock));
}

base::Status DirectoryStore::check_identity() const {
  auto id = expect_identity(root_, id_);
  if (!id) return tl::unexpected(std::move(id.error()));
  return {};
}

base::Result<std::filesystem::path> DirectoryStore::path_of(std::string_view key) const {
  if (auto checked = check_key(key, false); !checked) return tl::unexpected(std::move(checked.error()));
  return root_ / key;
}

base::Result<Listing> DirectoryStore::list(std::string_view prefix, bool one_level) {
  if (auto checked = check_key(prefix, true); !checked) return tl::unexpected(std::move(checked.error()));
  Listing out;
  const auto directory = open_directory(root_, prefix);
  if (!directory) {
    // Nothing below a prefix is no error, but a root that is gone is.
    if (directory.error().code == Errc::kNotFound && ::access(root_.c_str(), F_OK) == 0) return out;
    return tl::unexpected(directory.error());
  }
  if (auto listed = list_into(*directory, std::string(prefix), one_level, 0, out); !listed) {
    return tl::unexpected(std::move(listed.error()));
  }
  std::ranges::sort(out.objects, {}, &ListedObject::key);
  std::ranges::sort(out.prefixes);
  return out;
}

std::optional<PrefixVersion> DirectoryStore::version(std::string_view prefix) {
  if (!check_key(prefix, true)) return std::nullopt;
  const auto directory = open_directory(root_, prefix);
  struct stat info {};
  if (!directory || ::fstat(directory->fd(), &info) != 0) return PrefixVersion{};
  const base::UtcTime changed{base::seconds(info.st_ctim.tv_sec) + base::nanoseconds(info.st_ctim.tv_nsec)};
  // The inode tells a directory that was removed and made again; an odd factor keeps the two apart.
  const auto inode = static_cast<uint64_t>(info.st_ino) * 0x9E3779B97F4A7C15U;
  return PrefixVersion{.value = static_cast<uint64_t>(changed.time_since_epoch().count()) ^ inode,
                       .settled = clock_.utc() - changed >= kSettled};
}

base::Result<base::File> DirectoryStore::open_object(std::string_view key) const {
  if (auto checked = check_key(key, false); !checked) return tl::unexpected(std::move(checked.error()));
  const SplitKey parts = split(key);
  const auto directory = open_directory(root_, parts.directory);
  if (!directory) return tl::unexpected(directory.error());
  // O_NONBLOCK: a FIFO would hold the caller for ever.
  const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const int fd = ::openat(directory->fd(), std::string(parts.name).c_str(), flags);
  if (fd < 0) return base::fail_system(fmt::format("open object {}", key));
  base::File file(fd);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return base::fail_system(fmt::format("stat object {}", key));
  if (!S_ISREG(info.st_mode)) return fail(Errc::kNotFound, fmt::format("object {} is no file", key));
  return file;
}

base::Result<base::ByteVector> DirectoryStore::get(std::string_view key, uint64_t offset, uint64_t length) {
  const auto file = open_object(key);
  if (!file) {
    if (file.error().code != Errc::kNotFound) return tl::unexpected(file.error());
    // The empty directory below a disk that is not mounted is no verdict on what was there.
    const auto there = check_identity();
    return there ? tl::unexpected(file.error()) : fail(Errc::kIo, there.error().text);
  }
  const auto size = file->size();
  if (!size) return tl::unexpected(size.error());
  base::ByteVector out(std::min(length, *size - std::min(offset, *size)));
  const auto read = file->read_some_at(offset, out);
  if (!read) return tl::unexpected(base::Error(read.error()).in(key));
  out.resize(*read);
  return out;
}

base::Status DirectoryStore::put(std::string_view key, base::ByteView bytes) {
  return write(key, bytes, false);
}

base::Status DirectoryStore::replace(std::string_view key, base::ByteView bytes) {
  return write(key, bytes, true);
}

base::Status DirectoryStore::write(std::string_view key, base::ByteView bytes, bool may_exist) {
  const auto path = path_of(key);
  if (!path) return tl::unexpected(path.error());
  const SplitKey parts = split(key);
  const std::lock_guard lock(put_mutex_);
  const auto directory = open_directory(root_, parts.directory, true);
  if (!directory) return tl::unexpected(directory.error());
  struct stat info {};
  if (!may_exist &&
      ::fstatat(directory->fd(), std::string(parts.name).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    return fail(Errc::kExists, fmt::format("object {} is there already", key));
  }
  return base::write_file(*path, bytes);
}

base::Status DirectoryStore::remove(std::string_view key) {
  if (auto checked = check_key(key, false); !checked) return checked;
  const SplitKey parts = split(key);
  const auto directory = open_directory(root_, parts.directory);
  if (!directory) return tl::unexpected(directory.error());
  if (::unlinkat(directory->fd(), std::string(parts.name).c_str(), 0) != 0) {
    return base::fail_system(fmt::format("remove object {}", key));
  }
  if (::fsync(directory->fd()) != 0) return base::fail_system(fmt::format("sync the directory of {}", key));
  // rec/<camera>/ stays: an hour that is being made below it needs a parent.
  std::string_view empty = parts.directory;
  while (std::ranges::count(empty, '/') > 2) {
    empty.remove_suffix(1);
    const SplitKey upper = split(empty);
    const auto parent = open_directory(root_, upper.directory);
    if (!parent || ::unlinkat(parent->fd(), std::string(upper.name).c_str(), AT_REMOVEDIR) != 0) break;
    empty = upper.directory;
  }
  return {};
}

}  // namespace miharu::store
