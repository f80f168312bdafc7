// What became of each recorded object: recorded -> uploaded -> evicted, or lost with its reason. In SQLite;
// losing this file loses no footage: what is on the disk is told again, and tried again.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "record/retention.h"
#include "store/object_name.h"

namespace SQLite {
class Database;
}

namespace miharu::upload {

struct Pending {
  std::string camera;
  uint64_t seq = 0;
  std::string key;        // in the local store, and below the relay's folder
  uint64_t attempts = 0;  // after which it may be in the bucket
  bool found = false;  // on the disk, by reconcile(): it may be in the bucket since before the log was lost
};

enum class Place : uint8_t {
  kLocal,     // on the disk, not uploaded yet
  kUploaded,  // on the disk and in the bucket
  kEvicted,   // in the bucket alone
  kLost,      // nowhere: gone from the disk before it was uploaded
};

struct PlacedSpan {
  base::UtcTime start;
  base::UtcTime end;
  uint64_t bytes = 0;
  Place place = Place::kLocal;
  std::string reason;  // of what is lost; of what was evicted "" or that it was never compared
};

struct CameraUploads {
  uint64_t pending_objects = 0;
  uint64_t pending_bytes = 0;
  uint64_t lost_objects = 0;
  // All that was recorded before is in the bucket, or lost. None: nothing is there yet.
  std::optional<base::UtcTime> safe_until;
};

// Thread-safe; blocking, so not for media threads. Objects are known by camera and number of their first
// chunk.
class UploadLog final : public record::SecondCopy {
 public:
  static base::Result<std::unique_ptr<UploadLog>> open(const std::filesystem::path& database);
  ~UploadLog() override;

  // An object is on the disk; one that was renamed there meanwhile has its new name from now on.
  base::Status add(const std::string& camera, const store::ObjectName& name);
  // Up to `count` of those to be uploaded, newest first, without those that `skip` names.
  base::Result<std::vector<Pending>> newest(size_t count,
                                            const std::function<bool(const Pending&)>& skip) const;
  // Before the bytes of an attempt: from now on the object in the bucket may be ours.
  base::Status attempt(const std::string& camera, uint64_t seq);
  // Of that attempt nothing is in the bucket: its bytes did not go out whole, or the store refused them.
  base::Status attempt_failed(const std::string& camera, uint64_t seq);
  // `verified` false: something of that name was there before any attempt of ours.
  base::Status uploaded(const std::string& camera, uint64_t seq, bool verified);
  // Compares with what `walk` (called after the log was read) finds on the disk and hands over some at a
  // time: what the log does not know is added, what is gone was evicted or is lost. Gives how many objects
  // were new to the log.
  using Take = std::function<base::Status(std::span<const store::ObjectName>)>;
  base::Result<uint64_t> reconcile(const std::string& camera,
                                   const std::function<base::Status(const Take&)>& walk);
  // Somebody deleted what lies in [from, to), on the disk and in the bucket: nothing is known of it any more.
  base::Status erase(const std::string& camera, base::UtcTime from, base::UtcTime to);
  [[nodiscard]] base::Result<std::vector<std::string>> cameras() const;

  // Of objects that overlap [from, to), by start; neighbours that were evicted or lost are one.
  [[nodiscard]] base::Result<std::vector<PlacedSpan>> find(std::string_view camera, base::UtcTime from,
                                                           base::UtcTime to) const;
  [[nodiscard]] base::Result<std::map<std::string, CameraUploads>> totals() const;

  [[nodiscard]] State state_of(const std::string& camera, const store::ObjectName& name) const override;
  [[nodiscard]] bool any(const std::string& camera, base::UtcTime from, base::UtcTime to,
                         State least) const override;
  void deleted(const std::string& camera, const store::ObjectName& name, const std::string& why) override;

 private:
  struct Count {
    uint64_t objects = 0;
    uint64_t bytes = 0;
  };
  explicit UploadLog(std::unique_ptr<SQLite::Database> database);
  // Gives what is new by it, which is not counted yet.
  Count insert(const std::string& camera, const store::ObjectName& name, bool found);
  void count_pending(const std::string& camera, const Count& more);
  void forget(const std::string& camera, uint64_t seq, const std::string& why);

  mutable std::mutex mutex_;
  std::unique_ptr<SQLite::Database> database_;  // guarded by mutex_
  std::map<std::string, Count> pending_;        // by camera; guarded by mutex_
};

}  // namespace miharu::upload
