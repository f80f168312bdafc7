// Recordings, kept by the disk thread and read by the control thread.
#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <string>

#include "record/part.h"
#include "record/recording.h"

namespace miharu::record {

// Thread-safe. Told in the order of the disk: begin, parts, chunk ends, end.
class RecordingIndex final : public Recordings {
 public:
  // Chunks of finished objects that ended longer ago than this (of recorded time), or are too many, are
  // forgotten.
  struct Keep {
    base::nanoseconds time = base::seconds(120);
    uint64_t bytes = std::numeric_limits<uint64_t>::max();  // of a camera
  };

  RecordingIndex() : RecordingIndex(Keep()) {}
  explicit RecordingIndex(const Keep& keep) : keep_(keep) {}

  void begin(const std::string& camera, const store::ObjectName& name,
             std::shared_ptr<const base::File> file);
  void part(const std::string& camera, const Part& part, uint64_t offset);
  void chunk_end(const std::string& camera, const store::Chunk& chunk);
  // The object has its final name (or was given up): it is found in the store from now on.
  void end(const std::string& camera);
  // All of the camera.
  void forget(const std::string& camera);

  std::vector<store::ObjectName> growing(std::string_view camera) const override;
  std::vector<RecentChunk> recent(std::string_view camera) const override;
  uint64_t generation(std::string_view camera) const override;
  base::Result<Location> chunk(std::string_view camera, store::Run run, uint64_t seq) const override;
  base::Result<Location> init(std::string_view camera, store::Run run) const override;
  // Called without any lock held, on the disk thread, after each part and chunk end of `camera`.
  void set_on_change(std::function<void(const std::string& camera)> on_change) {
    on_change_ = std::move(on_change);
  }

 private:
  struct Entry {
    RecentChunk chunk;
    std::shared_ptr<const base::File> file;
    uint64_t offset = 0;
    uint32_t init_bytes = 0;
  };
  struct Camera {
    std::optional<store::ObjectName> growing;
    std::shared_ptr<const base::File> file;
    std::deque<Entry> chunks;
    uint64_t generation = 0;
  };
  void changed(const std::string& camera) const {
    if (on_change_) on_change_(camera);
  }

  const Keep keep_;
  mutable std::mutex mutex_;
  std::map<std::string, Camera, std::less<>> cameras_;  // guarded by mutex_
  std::function<void(const std::string&)> on_change_;
};

}  // namespace miharu::record
