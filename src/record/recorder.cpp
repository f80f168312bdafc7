#include "record/recorder.h"

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"

namespace miharu::record {

using store::RunReason;

namespace {

void run_after(const RecorderEnvironment& environment, net::EventLoop& loop, base::nanoseconds pause,
               std::function<void()> function) {
  if (environment.after) {
    environment.after(loop, pause, std::move(function));
    return;
  }
  auto timer = std::make_shared<boost::asio::steady_timer>(loop.context(), pause);
  timer->async_wait([timer, function = std::move(function)](const boost::system::error_code& error) {
    if (!error) function();
  });
}

}  // namespace

struct Recorder::DiskSide : std::enable_shared_from_this<DiskSide> {
  DiskSide(const std::string& of_camera, const RecorderEnvironment& with, size_t max_name_length)
      : camera(of_camera),
        writer(camera, with.disk, with.store, with.index, with.clock, max_name_length),
        environment(with) {}

  // Does an order. After one that failed they are ignored until the next resume().
  void attempt(const std::function<base::Status(CameraWriter&)>& work) {
    if (failed) return;
    const uint64_t syncs = writer.syncs();
    const base::Status done = work(writer);
    if (done) {
      if (writer.syncs() > syncs) failures = 0;
      return;
    }
    failed = trouble = true;
    ++failures;
    tell_no_space(done.error());
    on_failure(done.error());
  }

  void tell_no_space(const base::Error& error) const {
    if (error.code == base::Errc::kNoSpace && environment.on_no_space) environment.on_no_space();
  }

  // A gap may have ended without the log's knowing: a power cut took the word of it, or a write that failed
  // left whole parts all the same.
  [[nodiscard]] base::Status end_recorded_gap(base::UtcTime recorded_until) const {
    const auto since = environment.gaps.open_since(camera);
    if (!since) return tl::unexpected(since.error());
    if (!*since || recorded_until <= **since + kLeastGap) return {};
    store::Catalog catalog(environment.store, nullptr, environment.clock);
    const auto found = catalog.find(camera, **since, recorded_until);
    if (!found) return tl::unexpected(found.error());
    // Backwards by number: a clock that was stepped back may have put older objects into the same time.
    std::optional<base::UtcTime> begins;
    for (size_t i = found->entries.size(); i-- > 0;) {
      const store::ObjectName& name = found->entries[i]->name;
      if (name.end() > begins.value_or(recorded_until) + kLeastGap || name.end() <= **since + kLeastGap)
        break;
      begins = name.start;
    }
    return begins ? environment.gaps.end(camera, *begins, kLeastGap) : base::Status{};
  }

  // Also a camera that sends nothing more has its last bytes synced in time.
  void await_sync(base::nanoseconds left) {
    if (sync_awaited) return;
    sync_awaited = true;
    run_after(environment, environment.disk_loop, left, [waiting = weak_from_this()] {
      const auto side = waiting.lock();
      if (!side) return;
      side->sync_awaited = false;
      std::optional<base::nanoseconds> next;
      side->attempt([&next](CameraWriter& of_camera) -> base::Status {
        auto due = of_camera.sync_if_due();
        if (!due) return tl::unexpected(due.error());
        next = *due;
        return {};
      });
      if (next) side->await_sync(*next);
    });
  }

  std::string camera;
  CameraWriter writer;
  RecorderEnvironment environment;
  std::function<void(const base::Error&)> on_failure;
  bool failed = false;
  bool gap_open = true;  // there may be a gap in the log that has no end; an earlier process may have left it
  bool sync_awaited = false;
  // From a failure until something is written again: a disk that stays full fails each attempt anew, and
  // between them the camera must not look recorded.
  std::atomic<bool> trouble{false};
  std::atomic<unsigned> failures{0};  // since something was last made durable
  std::atomic<uint64_t> queued_bytes{0};
  std::atomic<uint64_t> written_bytes{0};
  std::atomic<uint64_t> objects{0};
};

Recorder::Recorder(std::string camera, SegmenterOptions options, const RecorderEnvironment& environment)
    : camera_(std::move(camera)),
      options_(options),
      environment_(environment),
      disk_side_(std::make_shared<DiskSide>(camera_, environment, options.max_name_length)),
      alive_(std::make_shared<bool>(true)),
      segmenter_(options, 0, 0, *this) {
  if (environment_.waiting) ++environment_.waiting->cameras;
  disk_side_->on_failure = [this, alive = alive_, &loop = environment.media_loop](const base::Error& error) {
    loop.post([this, alive, error] {
      if (*alive) disk_failed(error);
    });
  };
  if (environment.on_object) {
    disk_side_->writer.set_on_finished([camera = camera_, on_object = environment.on_object](
                                           const store::ObjectName& name) { on_object(camera, name); });
  }
}

Recorder::~Recorder() {
  if (early_) count_waiting(-static_cast<int64_t>(early_->bytes()));
  if (environment_.waiting) --environment_.waiting->cameras;
  *alive_ = false;
}

void Recorder::start() {
  early_.emplace();
  resume();
}

void Recorder::resume_after_pause() {
  const unsigned doublings = std::clamp(disk_side_->failures.load(), 2U, 16U) - 2;
  const base::seconds pause = std::min(kLongestPause, kLeastPause * (1 << doublings));
  run_after(environment_, environment_.media_loop, pause, [this, alive = alive_] {
    if (*alive && !stopped_) resume();
  });
}

void Recorder::resume() {
  ready_ = false;
  environment_.disk_loop.post([this, side = disk_side_, alive = alive_, &loop = environment_.media_loop] {
    auto point = side->writer.resume();
    side->failed = !point.has_value();
    if (point && point->recorded_until) {
      if (auto ended = side->end_recorded_gap(*point->recorded_until); !ended)
        spdlog::warn("{}: {}", side->camera, ended.error().to_string());
    }
    // What was unfinished of the run before has its name now.
    if (point && side->environment.provisional) side->environment.provisional->grows(side->camera, 0);
    if (!point) {
      ++side->failures;
      side->tell_no_space(point.error());
    }
    loop.post([this, alive, point = std::move(point)] {
      if (*alive) resumed(point);
    });
  });
}

void Recorder::resumed(const base::Result<ResumePoint>& point) {
  if (stopped_) return;
  if (!point) {
    take_early(false);
    if (stop_done_) return stop(std::exchange(stop_done_, nullptr));
    state_ = RecorderStatus::State::kDiskTrouble;
    set_last_error(point.error());
    warn_once(fmt::format("cannot record: {}", point.error().to_string()));
    if (!suspended_) {
      suspended_ = true;
      next_reason_ = RunReason::kDisk;
      next_text_ = point.error().text;
      begin_gap(next_reason_, next_text_);
    }
    resume_after_pause();
    return;
  }
  segmenter_.set_counters(point->next_run, point->next_seq);
  if (point->recorded_until) {
    // Where the recording really ends: less may have reached the disk than was sent to it.
    recorded_until_ = *point->recorded_until;
    begin_gap(next_reason_, next_text_.empty() ? "miharu was not running" : next_text_);
  }
  state_ = RecorderStatus::State::kWaiting;
  ready_ = true;
  suspended_ = false;
  take_early(true);
  if (stop_done_) stop(std::exchange(stop_done_, nullptr));
}

void Recorder::take_early(bool record) {
  if (!early_) return;
  EarlyFrames early = std::move(*early_);
  early_.reset();
  count_waiting(-static_cast<int64_t>(early.bytes()));
  if (record) {
    early.hand_on(*this);
  } else {
    run_ = early.run();
    frames_dropped_ += early.drop();
  }
}

void Recorder::on_run_start(const stream::RunStart& start) {
  if (early_) return early_->on_run_start(start);
  run_ = start;
  // Trouble of the disk explains the gap better than what the camera did meanwhile.
  if (next_reason_ == RunReason::kRestart || !suspended_) next_reason_ = start.reason;
}

void Recorder::begin_segmenter_run(RunReason reason) {
  stream::RunStart start = *run_;
  start.reason = reason;
  continues_ = false;
  segmenter_.start_run(start);
  next_reason_ = RunReason::kCameraLost;
  next_text_.clear();
}

void Recorder::on_placed(const stream::PlacedFrame& placed) {
  if (early_) {
    const uint64_t bytes = EarlyFrames::cost_bytes(placed);
    if (early_->add(placed, may_wait(bytes))) {
      count_waiting(static_cast<int64_t>(bytes));
    } else {
      ++frames_dropped_;
    }
    return;
  }
  if (stopped_ || !run_) return;
  if (segmenter_.is_behind_pause(placed)) {
    segmenter_.end_run();
    if (!suspended_) {
      begin_gap(RunReason::kCameraLost, "the camera sent no pictures");
      // With this picture, key frame or not: of a camera that sends one every 15 s each counts.
      begin_segmenter_run(RunReason::kCameraLost);
    }
  }
  const bool can_start = placed.frame->is_video() && (placed.frame->key || (run_->dependent && continues_));
  if (!segmenter_.running()) {
    if (!ready_ || !can_start) {
      if (!ready_) ++frames_dropped_;
      return;
    }
    begin_segmenter_run(next_reason_);
  }
  ++frames_;
  state_ = RecorderStatus::State::kRecording;
  segmenter_.add(placed);
}

void Recorder::on_run_end(RunReason reason, const std::string& detail) {
  if (early_) return early_->on_run_end(reason, detail);
  run_.reset();
  continues_ = segmenter_.running() && !suspended_;
  if (!suspended_) {
    next_reason_ = reason;
    next_text_ = detail;
  }
  if (!segmenter_.running()) return;
  if (suspended_) {
    // The trouble with the disk is about to end this run, and it is the reason of the gap.
    segmenter_.abandon_run();
    return;
  }
  segmenter_.end_run();
  if (suspended_) return;
  note_run_over();
  begin_gap(reason, detail);
  state_ = RecorderStatus::State::kWaiting;
}

void Recorder::stop(std::function<void()> done) {
  if (early_) {
    stop_done_ = std::move(done);
    return;
  }
  stopped_ = true;
  segmenter_.end_run();
  state_ = RecorderStatus::State::kStopped;
  environment_.disk_loop.post([side = disk_side_, done = std::move(done)] {
    if (!side->failed) {
      if (auto closed = side->writer.close(); !closed) {
        spdlog::error("{}", closed.error().to_string());
      } else if (side->environment.provisional) {
        side->environment.provisional->grows(side->camera, 0);
      }
    }
    done();
  });
}

RecorderStatus Recorder::status() const {
  RecorderStatus status;
  status.state = state_;
  if (disk_side_->trouble && status.state != RecorderStatus::State::kStopped)
    status.state = RecorderStatus::State::kDiskTrouble;
  status.parts = parts_;
  status.frames = frames_;
  status.frames_dropped = frames_dropped_;
  if (const int64_t ms = recorded_until_ms_; ms != 0) status.recorded_until = base::from_unix_ms(ms);
  {
    const std::lock_guard lock(error_mutex_);
    status.last_error = last_error_;
  }
  status.queued_bytes = disk_side_->queued_bytes;
  status.bytes = disk_side_->written_bytes;
  status.objects = disk_side_->objects;
  return status;
}

void Recorder::on_object(ObjectStart start) {
  const uint64_t bytes = start.init.size();
  if (!suspended_ && !may_wait(bytes)) {
    suspend(RunReason::kQueue, "the disk did not keep up");
    return;
  }
  note_clock(start.name);
  order([start = std::make_shared<const ObjectStart>(std::move(start))](
            CameraWriter& writer) { return writer.begin(*start); },
        bytes);
}

void Recorder::note_clock(const store::ObjectName& name) {
  if (!environment_.provisional || suspended_) return;
  ProvisionalRuns& runs = *environment_.provisional;
  environment_.disk_loop.post([&runs, camera = camera_, run = name.run.number, start = name.start,
                               synchronised = run_->synchronised, difference = run_->utc_minus_steady] {
    runs.grows(camera, run);
    if (synchronised) return;
    if (auto done = runs.mark(camera, run, start, difference); !done)
      spdlog::warn("{}: {}", camera, done.error().to_string());
  });
  if (environment_.clock.synchronised())
    correct_provisional(runs, environment_.disk_loop, environment_.clock, camera_);
}

void Recorder::note_run_over() {
  if (!environment_.provisional) return;
  order(
      [&runs = *environment_.provisional, camera = camera_](CameraWriter&) -> base::Status {
        runs.grows(camera, 0);
        return {};
      },
      0);
}

bool Recorder::may_wait(uint64_t bytes) const {
  const uint64_t mine = disk_side_->queued_bytes + bytes;
  if (mine > environment_.max_queued_bytes) return false;
  const WaitingBytes* all = environment_.waiting;
  return !all || all->bytes + bytes <= all->max_bytes ||
         mine <= all->max_bytes / std::max<uint64_t>(1, all->cameras);
}

void Recorder::count_waiting(int64_t more_bytes) {
  // Modulo 2^64.
  disk_side_->queued_bytes += static_cast<uint64_t>(more_bytes);
  if (environment_.waiting) environment_.waiting->bytes += static_cast<uint64_t>(more_bytes);
}

void Recorder::on_part(Part part) {
  if (suspended_) return;
  const uint64_t bytes = part.size_bytes;
  if (!may_wait(bytes)) {
    suspend(RunReason::kQueue, "the disk did not keep up");
    return;
  }
  ++parts_;
  recorded_until_ = part.end;
  recorded_until_ms_ = base::to_unix_ms(part.end);
  order(
      [part = std::make_shared<const Part>(std::move(part)), side = disk_side_, camera = camera_,
       &gaps = environment_.gaps](CameraWriter& writer) -> base::Status {
        auto done = writer.append(*part);
        if (done && side->trouble.exchange(false)) spdlog::info("{}: recording again", camera);
        // Not before something is on disk: a disk that is still full would end its own gap at every attempt.
        if (done && std::exchange(side->gap_open, false)) {
          if (auto ended = gaps.end(camera, part->start, kLeastGap); !ended) {
            spdlog::warn("{}: {}", camera, ended.error().to_string());
            side->gap_open = true;  // tried again with the next part
          }
        }
        if (done) side->await_sync(CameraWriter::kSyncInterval);
        return done;
      },
      bytes);
}

void Recorder::on_chunk_end(base::UtcTime end, bool object) {
  order(
      [end, object, side = disk_side_](CameraWriter& writer) -> base::Status {
        const uint64_t before = writer.finished_bytes();
        auto done = writer.chunk_end(end, object);
        if (done && object && writer.finished_bytes() > before) ++side->objects;
        return done;
      },
      0);
}

void Recorder::order(std::function<base::Status(CameraWriter&)> work, uint64_t bytes) {
  if (suspended_) return;
  count_waiting(static_cast<int64_t>(bytes));
  environment_.disk_loop.post([work = std::move(work), bytes, side = disk_side_] {
    side->queued_bytes -= bytes;
    if (side->environment.waiting) side->environment.waiting->bytes -= bytes;
    side->attempt(work);
    if (!side->failed) side->written_bytes += bytes;
  });
}

void Recorder::disk_failed(const base::Error& error) {
  if (stopped_ || suspended_) return;
  set_last_error(error);
  suspend(RunReason::kDisk, error.text);
}

void Recorder::warn_once(const std::string& text) {
  if (disk_side_->failures <= 1) warned_.clear();
  if (warned_ == text) return;
  warned_ = text;
  spdlog::error("{}: {}", camera_, text);
}

void Recorder::suspend(RunReason reason, const std::string& text) {
  warn_once(fmt::format("recording is interrupted: {}", text));
  suspended_ = true;
  ready_ = false;
  continues_ = false;
  next_reason_ = reason;
  next_text_ = text;
  // The segmenter may be on the stack above: its run is given up once it has returned.
  environment_.media_loop.post([this, alive = alive_, reason, text] {
    if (!*alive || stopped_) return;
    segmenter_.abandon_run();
    begin_gap(reason, text);
    state_ = RecorderStatus::State::kDiskTrouble;
    // Behind what is queued: a queue that overflowed is written first, and its object gets its name.
    environment_.disk_loop.post([side = disk_side_] {
      if (side->failed) return;
      if (auto closed = side->writer.close(); !closed) side->failed = true;
    });
    if (disk_side_->failures > 1) {
      resume_after_pause();
    } else {
      resume();
    }
  });
}

void Recorder::set_last_error(const base::Error& error) {
  const std::lock_guard lock(error_mutex_);
  last_error_ = error;
}

void Recorder::begin_gap(RunReason reason, const std::string& text) {
  // What was never recorded has no end: the gap begins when it is noticed.
  if (recorded_until_ == base::UtcTime()) recorded_until_ = environment_.clock.utc();
  environment_.disk_loop.post([&gaps = environment_.gaps, side = disk_side_, camera = camera_,
                               gap = Gap{recorded_until_, std::nullopt, reason, text}] {
    side->gap_open = true;
    if (auto done = gaps.begin(camera, gap); !done) spdlog::warn("{}: {}", camera, done.error().to_string());
  });
}

}  // namespace miharu::record
