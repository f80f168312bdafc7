// Keeps a store within its limits: deletes the oldest objects by age, bytes and free space.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "base/clock.h"
#include "record/disk.h"
#include "store/directory_store.h"
#include "store/object_name.h"

namespace miharu::record {

struct KeepLimits {
  std::optional<base::nanoseconds> age;  // of an object's end
  std::optional<uint64_t> bytes;         // of all objects counted together
};

// What else there is of a recording. Thread-safe.
class SecondCopy {
 public:
  enum class State : uint8_t {
    kNone,
    kUnverified,  // something of its name is there, which nobody has compared
    kVerified,
  };
  virtual ~SecondCopy() = default;
  [[nodiscard]] virtual State state_of(const std::string& camera, const store::ObjectName& name) const = 0;
  // Whether of an object that begins in [from, to) as much is known as `least`, which is not kNone.
  [[nodiscard]] virtual bool any(const std::string& camera, base::UtcTime from, base::UtcTime to,
                                 State least) const = 0;
  // The object is gone from the disk; `why` in case that there was no copy.
  virtual void deleted(const std::string& camera, const store::ObjectName& name, const std::string& why) = 0;
};

struct RetentionOptions {
  KeepLimits all;
  std::optional<double> free_fraction;  // of the file system, 0..1, that is to stay free
  std::optional<uint64_t> free_bytes;
  std::map<std::string, KeepLimits> cameras;  // in addition to `all`
  // Objects whose time is not known yet are too old by mistake only: not deleted by age, and last where bytes
  // are too many. May be empty; any thread.
  std::function<bool(const std::string& camera, const store::ObjectName& name)> spared;
  // What has no copy there is not deleted but on a full disk, and then last. Where bytes are too many,
  // verified copies that are older than kFresh go before unverified ones. Null: there is no second copy.
  SecondCopy* copies = nullptr;
  Disk* disk = nullptr;  // that the numbers of what goes are noted on; null: the system's
};

// One thread of its own, so that a long listing holds up no writing. Hours are the unit of its books: what
// lies in an hour is listed when it is about to be deleted.
class Retention {
 public:
  static constexpr base::seconds kInterval{60};
  // What is newer gives no room to what is older and not verified: the disk would never show it again.
  static constexpr std::chrono::hours kFresh{24};

  // All must outlive it.
  Retention(store::DirectoryStore& store, const base::Clock& clock, RetentionOptions options);
  ~Retention();

  void start();
  void stop();
  // An object was finished. Any thread.
  void added(const std::string& camera, base::UtcTime start, uint64_t bytes);
  // The disk is full: look at once, and make room for at least some minutes of recording. Any thread.
  void hurry();

  // One pass, for tests and for the thread. Gives the number of objects deleted.
  base::Result<uint64_t> run_once(bool disk_is_full);

 private:
  using HourKey = int64_t;  // hours since the epoch
  base::Status take_stock();
  enum class Spare : uint8_t { kUnverified, kSparedAndUnsafe, kUnsafe, kNothing };
  struct Deleted {
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  // The oldest of one hour: while `wanted_bytes` are not reached, and all that ended before `older_than`.
  base::Result<Deleted> delete_from(const std::set<std::string>& cameras, HourKey hour, uint64_t wanted_bytes,
                                    base::UtcTime older_than, Spare spare);
  // Deletes the oldest of `cameras` until `excess` bytes are gone; of what is not safe only with
  // `disk_is_full`.
  base::Result<Deleted> shrink(const std::set<std::string>& cameras, uint64_t excess,
                               bool disk_is_full = false);
  base::Result<Deleted> expire(const std::string& camera, base::UtcTime older_than);
  [[nodiscard]] uint64_t bytes_of(const std::set<std::string>& cameras);
  [[nodiscard]] std::set<std::string> known_cameras();
  [[nodiscard]] uint64_t missing_free_bytes(bool disk_is_full);
  void loop();

  store::DirectoryStore& store_;
  const base::Clock& clock_;
  RetentionOptions options_;
  uint64_t unverified_ = 0;  // deleted in this pass
  const std::unique_ptr<Disk> system_disk_ = make_system_disk();

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_, as the following
  bool hurry_ = false;
  bool stock_taken_ = false;
  std::map<std::string, std::map<HourKey, uint64_t>> books_;  // bytes of a camera's hour
  std::thread thread_;
};

}  // namespace miharu::record
