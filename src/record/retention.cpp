#include "record/retention.h"

#include <pthread.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "base/log.h"
#include "record/camera_writer.h"
#include "record/numbering.h"
#include "store/catalog.h"

namespace miharu::record {
namespace {

// What is freed at least when the disk is full, so that recording does not stop again at once.
constexpr uint64_t kLeastRoomBytes = 256 << 20;

int64_t hour_of(base::UtcTime time) {
  return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

base::UtcTime start_of(int64_t hour) {
  return base::UtcTime(std::chrono::hours(hour));
}

}  // namespace

Retention::Retention(store::DirectoryStore& store, const base::Clock& clock, RetentionOptions options)
    : store_(store), clock_(clock), options_(std::move(options)) {}

Retention::~Retention() {
  stop();
}

void Retention::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "retention");
    loop();
  });
}

void Retention::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Retention::loop() {
  while (true) {
    bool full = false;
    {
      std::unique_lock lock(mutex_);
      if (stopping_) return;
      full = std::exchange(hurry_, false);
    }
    const auto deleted = run_once(full);
    if (!deleted) {
      spdlog::warn("retention: {}", deleted.error().to_string());
    } else if (*deleted > 0) {
      spdlog::info("retention: deleted the {} oldest objects", *deleted);
    }
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kInterval, [this] { return stopping_ || hurry_; });
  }
}

void Retention::added(const std::string& camera, base::UtcTime start, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  books_[camera][hour_of(start)] += bytes;
}

void Retention::hurry() {
  {
    const std::lock_guard lock(mutex_);
    hurry_ = true;
  }
  wake_.notify_all();
}

base::Status Retention::take_stock() {
  store::Catalog catalog(store_, nullptr, clock_);
  const auto cameras = catalog.cameras();
  if (!cameras) return tl::unexpected(cameras.error());
  std::map<std::string, std::map<HourKey, uint64_t>> books;
  for (const std::string& camera : *cameras) {
    const auto listing = store_.list("rec/" + camera + "/", false);
    if (!listing) return tl::unexpected(listing.error());
    for (const store::ListedObject& object : listing->objects) {
      const auto name = store::decode_name(store::file_name_of(object.key));
      if (name) books[camera][hour_of(name->start)] += name->size_bytes();
    }
    const std::lock_guard lock(mutex_);
    if (stopping_) return base::fail(base::Errc::kClosed, "stopping");
  }
  const std::lock_guard lock(mutex_);
  // Objects that ended while this was listed may be missing: books are put right when their hour is deleted.
  books_ = std::move(books);
  stock_taken_ = true;
  return {};
}

base::Result<uint64_t> Retention::run_once(bool disk_is_full) {
  const bool by_bytes =
      options_.all.bytes || std::any_of(options_.cameras.begin(), options_.cameras.end(),
                                        [](const auto& camera) { return camera.second.bytes.has_value(); });
  const bool by_age =
      options_.all.age || std::any_of(options_.cameras.begin(), options_.cameras.end(),
                                      [](const auto& camera) { return camera.second.age.has_value(); });
  const uint64_t missing = missing_free_bytes(disk_is_full);
  unverified_ = 0;
  if (!by_bytes && !by_age && missing == 0) return 0;
  bool stock_taken = false;
  {
    const std::lock_guard lock(mutex_);
    stock_taken = stock_taken_;
  }
  if (!stock_taken) {
    if (auto taken = take_stock(); !taken) return tl::unexpected(taken.error());
  }

  uint64_t objects = 0;
  const auto count = [&objects](const base::Result<Deleted>& deleted) -> base::Status {
    if (!deleted) return tl::unexpected(deleted.error());
    objects += deleted->objects;
    return {};
  };
  const std::set<std::string> all = known_cameras();
  for (const std::string& camera : all) {
    std::optional<base::nanoseconds> age = options_.all.age;
    const auto own = options_.cameras.find(camera);
    if (own != options_.cameras.end() && own->second.age) age = own->second.age;
    if (age) {
      if (auto done = count(expire(camera, clock_.utc() - *age)); !done) return tl::unexpected(done.error());
    }
    if (own == options_.cameras.end() || !own->second.bytes) continue;
    const uint64_t used = bytes_of({camera});
    if (used > *own->second.bytes) {
      if (auto done = count(shrink({camera}, used - *own->second.bytes)); !done)
        return tl::unexpected(done.error());
    }
  }
  if (options_.all.bytes) {
    const uint64_t used = bytes_of(all);
    if (used > *options_.all.bytes) {
      if (auto done = count(shrink(all, used - *options_.all.bytes)); !done)
        return tl::unexpected(done.error());
    }
  }
  if (const uint64_t still_missing = missing_free_bytes(disk_is_full && objects == 0); still_missing > 0) {
    if (auto done = count(shrink(all, still_missing, disk_is_full)); !done)
      return tl::unexpected(done.error());
  }
  if (unverified_ > 0) {
    spdlog::warn(
        "retention: {} of what was deleted is in the bucket since before it was uploaded, and was never "
        "compared: `miharu verify --store` reads it",
        unverified_);
  }
  return objects;
}

uint64_t Retention::missing_free_bytes(bool disk_is_full) {
  struct statvfs info {};
  if (::statvfs(store_.root().c_str(), &info) != 0) return 0;
  const uint64_t total = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  uint64_t wanted = options_.free_bytes.value_or(0);
  if (options_.free_fraction)
    wanted = std::max(wanted, static_cast<uint64_t>(static_cast<double>(total) * *options_.free_fraction));
  if (disk_is_full) {
    // A twentieth of a small disk is room enough, if each camera can reserve what it reserves and name an
    // object besides; of a tiny one not more than half.
    const uint64_t reserved = (known_cameras().size() + 1) * CameraWriter::kPreallocateBytes;
    const uint64_t room = std::max(std::min(kLeastRoomBytes, total / 20), reserved);
    wanted = std::max(wanted, std::min(room, total / 2));
  }
  return wanted > free ? wanted - free : 0;
}

std::set<std::string> Retention::known_cameras() {
  const std::lock_guard lock(mutex_);
  std::set<std::string> cameras;
  for (const auto& [camera, hours] : books_) cameras.insert(camera);
  return cameras;
}

uint64_t Retention::bytes_of(const std::set<std::string>& cameras) {
  const std::lock_guard lock(mutex_);
  uint64_t sum = 0;
  for (const std::string& camera : cameras) {
    for (const auto& [hour, bytes] : books_[camera]) sum += bytes;
  }
  return sum;
}

base::Result<Retention::Deleted> Retention::expire(const std::string& camera, base::UtcTime older_than) {
  std::vector<HourKey> hours;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [hour, bytes] : books_[camera]) {
      if (start_of(hour) < older_than) hours.push_back(hour);
    }
  }
  Deleted sum;
  for (const HourKey hour : hours) {
    const auto deleted = delete_from({camera}, hour, 0, older_than, Spare::kSparedAndUnsafe);
    if (!deleted) return tl::unexpected(deleted.error());
    sum.objects += deleted->objects;
    sum.bytes += deleted->bytes;
  }
  return sum;
}

base::Result<Retention::Deleted> Retention::shrink(const std::set<std::string>& cameras, uint64_t excess,
                                                   bool disk_is_full) {
  std::map<HourKey, std::set<std::string>> oldest;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& camera : cameras) {
      for (const auto& [hour, bytes] : books_[camera]) oldest[hour].insert(camera);
    }
  }
  Deleted sum;
  // What is spared goes last, and not never: a clock that nobody ever synchronises must not fill the disk.
  for (const Spare spare : {Spare::kUnverified, Spare::kSparedAndUnsafe, Spare::kUnsafe, Spare::kNothing}) {
    if (spare == Spare::kUnverified && !options_.copies) continue;
    if (spare == Spare::kUnsafe && !options_.spared) continue;
    if (spare == Spare::kNothing && (!options_.copies || !disk_is_full)) continue;
    for (const auto& [hour, of_hour] : oldest) {
      if (sum.bytes >= excess) return sum;
      if (spare == Spare::kUnverified && start_of(hour) >= clock_.utc() - kFresh) break;
      const auto deleted = delete_from(of_hour, hour, excess - sum.bytes, base::UtcTime::min(), spare);
      if (!deleted) return tl::unexpected(deleted.error());
      sum.objects += deleted->objects;
      sum.bytes += deleted->bytes;
    }
  }
  return sum;
}

base::Result<Retention::Deleted> Retention::delete_from(const std::set<std::string>& cameras, HourKey hour,
                                                        uint64_t wanted_bytes, base::UtcTime older_than,
                                                        Spare spare) {
  using State = SecondCopy::State;
  struct Candidate {
    std::string camera;
    std::string key;
    base::UtcTime start;
    base::UtcTime end;
    uint64_t bytes;
    uint64_t next_seq;
    State copy;
    store::ObjectName name;
  };
  std::vector<Candidate> candidates;
  std::map<std::string, uint64_t> left;
  std::map<std::string, Numbers> given;
  std::map<std::string, uint64_t> unnoted;
  const SecondCopy* copies = options_.copies;
  const State least = !copies || spare == Spare::kNothing ? State::kNone
                      : spare == Spare::kUnverified       ? State::kVerified
                                                          : State::kUnverified;
  const bool spares = spare == Spare::kUnverified || spare == Spare::kSparedAndUnsafe;
  for (const std::string& camera : cameras) {
    if (least > State::kNone && !copies->any(camera, start_of(hour), start_of(hour + 1), least)) continue;
    const auto listing = store_.list(store::hour_prefix(camera, start_of(hour)), true);
    if (!listing) return tl::unexpected(listing.error());
    uint64_t& bytes = left[camera];
    for (const store::ListedObject& object : listing->objects) {
      auto name = store::decode_name(store::file_name_of(object.key));
      if (!name) continue;
      bytes += name->size_bytes();
      given[camera].take(*name);
      if (spares && options_.spared && options_.spared(camera, *name)) continue;
      if (spare == Spare::kUnverified && name->end() > clock_.utc() - kFresh) continue;
      const State copy = copies ? copies->state_of(camera, *name) : State::kNone;
      if (copy < least) continue;
      candidates.push_back({camera, object.key, name->start, name->end(), name->size_bytes(),
                            name->seq + name->chunks.size(), copy, std::move(*name)});
    }
  }
  // By age over all cameras: none may lose an hour that its neighbour keeps.
  std::ranges::stable_sort(candidates, {}, &Candidate::start);
  Deleted deleted;
  base::Status removed;
  for (const Candidate& each : candidates) {
    if (deleted.bytes >= wanted_bytes && each.end >= older_than) continue;
    // Names tell which numbers were given: these are about to go.
    if (const auto numbers = given.extract(each.camera)) {
      Disk& disk = options_.disk ? *options_.disk : *system_disk_;
      removed = raise_numbers(disk, store_, each.camera, numbers.mapped());
      if (!removed && removed.error().code != base::Errc::kNoSpace) break;
      // A disk without room even for this has to lose something first: not the name with the highest ones.
      if (!removed) {
        unnoted.emplace(each.camera, numbers.mapped().next_seq);
        removed = disk.sync_directory(store_.root() / store::hour_prefix(each.camera, each.start));
        if (!removed) break;
      }
    }
    if (const auto highest = unnoted.find(each.camera);
        highest != unnoted.end() && highest->second == each.next_seq)
      continue;
    removed = store_.remove(each.key);
    if (!removed) break;
    if (options_.copies)
      options_.copies->deleted(each.camera, each.name, "the disk was full before it was uploaded");
    if (each.copy == State::kUnverified) unverified_ += 1;
    deleted.objects += 1;
    deleted.bytes += each.bytes;
    left[each.camera] -= each.bytes;
  }
  const std::lock_guard lock(mutex_);
  for (const auto& [camera, bytes] : left) {
    if (bytes == 0 && hour < hour_of(clock_.utc())) {
      books_[camera].erase(hour);
    } else {
      books_[camera][hour] = bytes;
    }
  }
  if (!removed) return tl::unexpected(removed.error());
  return deleted;
}

}  // namespace miharu::record
