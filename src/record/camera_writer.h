// The disk side of one camera's recorder: appends parts, gives finished objects their names, recovers what a
// crash left.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "record/disk.h"
#include "record/numbering.h"
#include "record/part.h"
#include "record/recording_index.h"
#include "store/directory_store.h"

namespace miharu::record {

// Where a camera's numbering continues, and where its recording ends.
struct ResumePoint {
  uint64_t next_run = 1;
  uint64_t next_seq = 0;
  std::optional<base::UtcTime> recorded_until;
  uint64_t recovered_objects = 0;
};

// Everything runs on the disk thread. After an error the growing object is given up as it is (its file stays
// for resume()), and orders are ignored until resume() succeeds.
class CameraWriter {
 public:
  // Space is reserved this far ahead of the end of the growing file.
  static constexpr uint64_t kPreallocateBytes = 8 << 20;
  // A power cut loses at most this.
  static constexpr base::seconds kSyncInterval{10};
  // An unfinished file that so often could not be read or named is put aside: recording matters more.
  static constexpr int kRecoveryAttempts = 20;

  // All must outlive the writer.
  CameraWriter(std::string camera, Disk& disk, store::DirectoryStore& store, RecordingIndex& index,
               const base::Clock& clock, size_t max_name_length);

  // Checks that the store is there, turns unfinished files of the camera into objects and finds the numbers
  // to go on with.
  base::Result<ResumePoint> resume();
  // Told of each object that got its name, recovered ones too.
  void set_on_finished(std::function<void(const store::ObjectName& name)> on_finished) {
    on_finished_ = std::move(on_finished);
  }
  base::Status begin(const ObjectStart& start);
  base::Status append(const Part& part);
  // With `object` the growing object gets its final name, told by `finished_bytes()`.
  base::Status chunk_end(base::UtcTime end, bool object);
  // Names what there is of the growing object, its last chunk cut short: for a stop between chunks.
  base::Status close();
  // Syncs what was written kSyncInterval ago or earlier. Gives the time until there will be something to
  // sync, none while everything is: so that also the last bytes of a camera that fell silent are safe in
  // time.
  base::Result<std::optional<base::nanoseconds>> sync_if_due();
  [[nodiscard]] bool growing() const { return growing_.has_value(); }
  [[nodiscard]] uint64_t finished_bytes() const { return finished_bytes_; }  // of all objects finished so far
  // That succeeded, of growing objects and at their ends.
  [[nodiscard]] uint64_t syncs() const { return syncs_; }

 private:
  struct Growing {
    store::ObjectName name;
    std::filesystem::path path;
    std::unique_ptr<DiskFile> file;
    uint64_t size = 0;
    uint64_t allocated = 0;
    uint32_t crc = 0;
    store::Chunk chunk;  // the one being written
    bool chunk_open = false;
    base::UtcTime chunk_until;                       // end of its last part
    std::optional<base::SteadyTime> unsynced_since;  // when the first byte was written that is not synced
    bool entry_synced = false;                       // of the file in tmp/
  };
  base::Status write(std::span<const iovec> pieces, uint64_t total_bytes);
  base::Status finish_object();
  base::Status sync();
  base::Status recover(const std::filesystem::path& part_file);
  base::Status recover_bytes(const std::filesystem::path& part_file, const store::ObjectName& head);
  base::Status put_aside(const std::filesystem::path& part_file, const base::Error& why);
  // What the store and this writer's own past say about the numbers.
  base::Status find_next(ResumePoint& point);
  base::Status give_up(base::Error error, std::string_view doing);

  std::string camera_;
  Disk& disk_;
  store::DirectoryStore& store_;
  RecordingIndex& index_;
  const base::Clock& clock_;
  size_t max_name_length_;
  std::function<void(const store::ObjectName&)> on_finished_;
  std::optional<Growing> growing_;
  uint64_t finished_bytes_ = 0;
  uint64_t syncs_ = 0;
  Numbers numbers_;                             // behind the finished objects, and the runs that were begun
  std::optional<base::UtcTime> numbered_hour_;  // that `.numbers` points to; none: there is no such file
  std::set<std::filesystem::path> unsafe_;      // unfinished files of which a sync failed
  std::map<std::filesystem::path, int> attempts_;  // that failed to recover an unfinished file
};

}  // namespace miharu::record
