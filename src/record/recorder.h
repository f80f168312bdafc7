// Records one camera: placed frames in, objects of some tens of seconds out, and every gap with its reason.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "net/event_loop.h"
#include "record/camera_writer.h"
#include "record/early_frames.h"
#include "record/gap_log.h"
#include "record/provisional.h"
#include "record/segmenter.h"

namespace miharu::record {

struct RecorderStatus {
  enum class State : uint8_t {
    kStarting,
    kWaiting,
    kRecording,
    kDiskTrouble,
    kStopped
  } state = State::kStarting;
  std::optional<base::Error> last_error;  // of the disk
  std::optional<base::UtcTime> recorded_until;
  uint64_t bytes = 0;  // written since the start
  uint64_t objects = 0;
  uint64_t parts = 0;
  uint64_t frames = 0;
  uint64_t frames_dropped = 0;  // not recorded: disk trouble or a full queue
  uint64_t queued_bytes = 0;
};

// What waits for one disk, of all cameras together. Thread-safe.
struct WaitingBytes {
  // With 64 cameras at 4 Mbit/s this is a disk that stalls for 17 s.
  static constexpr uint64_t kMaxBytes = 512 << 20;
  uint64_t max_bytes = kMaxBytes;
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> cameras{0};
};

// What a recorder works with. All must outlive it; `disk_loop` runs everything of CameraWriter and the gap
// log.
struct RecorderEnvironment {
  // Frames that wait for the disk, per camera. At 4 Mbit/s this is a disk that stalls for 90 s.
  static constexpr uint64_t kMaxQueuedBytes = 48 << 20;

  net::EventLoop& media_loop;
  net::EventLoop& disk_loop;
  Disk& disk;
  store::DirectoryStore& store;
  RecordingIndex& index;
  GapLog& gaps;
  const base::Clock& clock;
  // Called on the disk thread when an object got its name; and when the disk is full.
  std::function<void(const std::string& camera, const store::ObjectName& name)> on_object;
  std::function<void()> on_no_space;
  // Calls a function on a loop after a time; by the system's clock unless tests give another.
  std::function<void(net::EventLoop&, base::nanoseconds, std::function<void()>)> after = {};
  uint64_t max_queued_bytes = kMaxQueuedBytes;
  // Beyond its cap cameras above their share of it get a gap. Null: no cap over all; outlives the disk loop's
  // queue.
  WaitingBytes* waiting = nullptr;
  ProvisionalRuns* provisional =
      nullptr;  // null: runs under a clock that is not synchronised stay as they are
};

// Lives on the camera's media thread; make it, start() it and stop() it there. status() may be asked from any
// thread.
class Recorder final : public stream::PlacedListener, private SegmenterListener {
 public:
  // The first failure of a disk is answered at once; when nothing could be made durable since, the pause
  // before the next attempt doubles from the first to the second.
  static constexpr base::seconds kLeastPause{1};
  static constexpr base::seconds kLongestPause{30};
  static constexpr base::seconds kLeastGap{2};  // shorter ones are not marked (quirk T7)

  Recorder(std::string camera, SegmenterOptions options, const RecorderEnvironment& environment);
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  // What is placed before the disk thread has answered (it may have to recover what a crash left) is recorded
  // once it has.
  void start();
  // After the stream ended its run. `done` is called on the disk thread once everything is on disk under its
  // final name.
  void stop(std::function<void()> done);
  [[nodiscard]] RecorderStatus status() const;

  void on_run_start(const stream::RunStart& start) override;
  void on_placed(const stream::PlacedFrame& frame) override;
  void on_run_end(store::RunReason reason, const std::string& detail) override;

 private:
  // What the disk thread keeps of this recorder; it may outlive the recorder until its queue is empty.
  struct DiskSide;

  void on_object(ObjectStart start) override;
  void on_part(Part part) override;
  void on_chunk_end(base::UtcTime end, bool object) override;

  void resume();
  void resume_after_pause();  // the longer the more often the disk failed
  void resumed(const base::Result<ResumePoint>& point);
  // Of those placed before the first resumed(): records them, or forgets them.
  void take_early(bool record);
  // Stops feeding the disk until it answers again; the run that follows begins with `reason`.
  void suspend(store::RunReason reason, const std::string& text);
  void begin_segmenter_run(store::RunReason reason);
  void disk_failed(const base::Error& error);
  // Marks the run if it was placed by a clock that is not synchronised; puts marked ones right if it is now.
  void note_clock(const store::ObjectName& name);
  // Behind all orders of the run.
  void note_run_over();
  // Whether so many bytes more may wait for the disk.
  [[nodiscard]] bool may_wait(uint64_t bytes) const;
  void count_waiting(int64_t more_bytes);
  void set_last_error(const base::Error& error);
  // Once for each thing that goes wrong: a disk that stays full would fill the log as well.
  void warn_once(const std::string& text);
  void begin_gap(store::RunReason reason, const std::string& text);
  // Runs on the disk thread; its failure comes back as suspend().
  void order(std::function<base::Status(CameraWriter&)> work, uint64_t bytes);

  std::string camera_;
  SegmenterOptions options_;
  RecorderEnvironment environment_;
  std::shared_ptr<DiskSide> disk_side_;
  std::shared_ptr<bool> alive_;  // false once destroyed: asked by what the disk thread posts back

  Segmenter segmenter_;
  std::optional<EarlyFrames> early_;     // from start() to the first resumed()
  std::function<void()> stop_done_;      // a stop() that waits for the first resumed()
  std::optional<stream::RunStart> run_;  // the placer's current run
  bool continues_ = false;  // what the pictures of a dependent run lean on was recorded just before
  bool ready_ = false;      // the disk side answered: parts may be sent
  bool suspended_ = false;
  bool stopped_ = false;
  store::RunReason next_reason_ = store::RunReason::kRestart;
  std::string next_text_;
  std::string warned_;  // what the log was last told
  base::UtcTime recorded_until_{};

  // Written on the media thread, read by any.
  std::atomic<RecorderStatus::State> state_{RecorderStatus::State::kStarting};
  std::atomic<uint64_t> parts_{0};
  std::atomic<uint64_t> frames_{0};
  std::atomic<uint64_t> frames_dropped_{0};
  std::atomic<int64_t> recorded_until_ms_{0};  // 0: nothing yet
  mutable std::mutex error_mutex_;
  std::optional<base::Error> last_error_;  // guarded by error_mutex_
};

}  // namespace miharu::record
