#include "record/numbering.h"

#include <algorithm>
#include <mutex>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;

// One sector, always written as a whole and in place: that needs no room on a full disk, and is there or not
// after a power cut.
constexpr size_t kFileBytes = 128;

// Recording and retention read, raise and write.
std::mutex& file_mutex() {
  static std::mutex mutex;
  return mutex;
}

struct Contents {
  Numbers numbers;
  base::UtcTime hour;
};

fs::path path_of(const store::DirectoryStore& store, const std::string& camera) {
  return store.root() / "rec" / camera / ".numbers";
}

std::string encode(const Contents& contents) {
  const std::optional<base::UtcTime>& until = contents.numbers.recorded_until;
  std::string text = fmt::format("{} {} {} {}", contents.numbers.next_run, contents.numbers.next_seq,
                                 std::chrono::floor<hours>(contents.hour).time_since_epoch().count(),
                                 until ? fmt::format("{}", base::to_unix_ms(*until)) : "-");
  text.resize(kFileBytes - 10, ' ');
  return fmt::format("{} {:08x}\n", text, base::crc32c(0, base::as_bytes(text)));
}

std::optional<Contents> decode(std::string_view text) {
  if (text.size() != kFileBytes) return std::nullopt;
  const std::string_view fields = text.substr(0, kFileBytes - 10);
  if (text.substr(fields.size()) != fmt::format(" {:08x}\n", base::crc32c(0, base::as_bytes(fields))))
    return std::nullopt;
  std::string_view rest = fields;
  const auto next_run = base::parse_number<uint64_t>(base::take_until(rest, ' '));
  const auto next_seq = base::parse_number<uint64_t>(base::take_until(rest, ' '));
  const auto hour = base::parse_number<int64_t>(base::take_until(rest, ' '));
  const auto until = base::parse_number<int64_t>(base::take_until(rest, ' '));
  if (!next_run || !next_seq || !hour) return std::nullopt;
  Contents contents;
  contents.numbers.next_run = *next_run;
  contents.numbers.next_seq = *next_seq;
  contents.hour = base::UtcTime(hours(*hour));
  if (until) contents.numbers.recorded_until = base::from_unix_ms(*until);
  return contents;
}

// None where there is no file or not a whole one.
base::Result<std::optional<Contents>> read(const store::DirectoryStore& store, const std::string& camera) {
  const auto bytes = base::read_file(path_of(store, camera), 4096);
  if (bytes) return decode(base::as_text(*bytes));
  if (bytes.error().code == base::Errc::kNotFound) return std::nullopt;
  return tl::unexpected(bytes.error());
}

base::Status write(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                   const Contents& contents) {
  // A disk that is not mounted any more must not get folders in its place.
  if (auto there = store.check_identity(); !there) return there;
  const std::string text = encode(contents);
  const base::ByteView bytes = base::as_bytes(text);
  const fs::path path = path_of(store, camera);
  std::error_code error;
  if (fs::file_size(path, error) == kFileBytes && !error) {
    auto file = disk.open_existing(path);
    if (!file) return tl::unexpected(file.error());
    if (auto done = (*file)->rewrite(bytes); !done) return done;
    return (*file)->sync();
  }
  if (auto made = disk.make_directories(path.parent_path()); !made) return made;
  const fs::path fresh = path.string() + ".new";
  if (fs::exists(fresh, error)) {
    if (auto done = disk.remove(fresh); !done) return done;
  }
  auto file = disk.create(fresh);
  if (!file) return tl::unexpected(file.error());
  const iovec piece{const_cast<std::byte*>(bytes.data()), bytes.size()};
  if (auto done = (*file)->append({&piece, 1}, bytes.size()); !done) return done;
  return put_in_place(disk, **file, bytes.size(), fresh, path);
}

base::Status take_listing(store::DirectoryStore& store, const std::string& prefix, bool one_level,
                          Numbers& numbers) {
  const auto listing = store.list(prefix, one_level);
  if (!listing) return tl::unexpected(listing.error());
  for (const store::ListedObject& object : listing->objects) {
    if (const auto name = store::decode_name(store::file_name_of(object.key))) numbers.take(*name);
  }
  return {};
}

}  // namespace

void Numbers::take(const store::ObjectName& name) {
  take(Numbers{name.run.number + 1, name.seq + name.chunks.size(), name.end()});
}

void Numbers::take(const Numbers& others) {
  next_run = std::max(next_run, others.next_run);
  if (others.next_seq < next_seq || (others.next_seq == next_seq && !others.recorded_until)) return;
  next_seq = others.next_seq;
  if (others.recorded_until) recorded_until = others.recorded_until;
}

base::Result<FoundNumbers> find_numbers(store::DirectoryStore& store, const std::string& camera) {
  const std::lock_guard lock(file_mutex());
  const auto file = read(store, camera);
  if (!file) return tl::unexpected(file.error());
  FoundNumbers found;
  if (*file) {
    found.numbers = (*file)->numbers;
    found.hour = (*file)->hour;
  }
  const std::string prefix =
      *file ? store::hour_prefix(camera, (*file)->hour) : fmt::format("rec/{}/", camera);
  if (auto listed = take_listing(store, prefix, file->has_value(), found.numbers); !listed)
    return tl::unexpected(listed.error());
  return found;
}

base::Status write_numbers(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                           const Numbers& given, base::UtcTime hour) {
  const std::lock_guard lock(file_mutex());
  const auto file = read(store, camera);
  if (!file) return tl::unexpected(file.error());
  Contents contents{given, hour};
  if (*file) contents.numbers.take((*file)->numbers);
  return write(disk, store, camera, contents);
}

base::Status raise_numbers(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                           const Numbers& given) {
  const std::lock_guard lock(file_mutex());
  const auto file = read(store, camera);
  if (!file) return tl::unexpected(file.error());
  Contents contents{{}, given.recorded_until.value_or(base::UtcTime())};
  if (*file) {
    contents = **file;
    if (given.next_run <= contents.numbers.next_run && given.next_seq <= contents.numbers.next_seq) return {};
  } else if (auto listed = take_listing(store, fmt::format("rec/{}/", camera), false, contents.numbers);
             !listed) {
    return listed;
  }
  contents.numbers.take(given);
  return write(disk, store, camera, contents);
}

}  // namespace miharu::record
