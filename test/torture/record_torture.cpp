// Records cameras for hours of virtual time over a disk that fails, fills, stalls and loses its power,
// through the real recorder, and compares every frame of the store with what was recorded: docs/testing.md.
//
//   record_torture [--seed N] [--seconds S] [--hours H] [--folder DIR] [--verbose]
//
// Ends after S seconds, or after H hours of virtual time: those are the same for the same seed.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>

#include "record/recorder.h"
#include "record/retention.h"
#include "support/frames.h"
#include "support/manual_clock.h"
#include "support/temp_dir.h"
#include "torture/truth.h"

namespace miharu::torture {
namespace {

namespace fs = std::filesystem;
using base::milliseconds;
using base::nanoseconds;
using base::seconds;
using base::UtcTime;
using store::RunReason;
using test::Dice;
using test::FaultyDisk;

constexpr uint64_t kMaxQueued = 1 << 20;
constexpr uint64_t kKeepBytes = 24 << 20;
// From the end of a trouble until frames must be recorded again: the longest pause, the longest group of
// pictures behind it, and what is pending in a part.
constexpr seconds kForgiven{30 + 13 + 3};

struct Options {
  uint64_t seed = 1;
  double wall_seconds = 10;
  double hours = 1e9;
  fs::path folder;
  bool verbose = false;
};

class Torture;

// A camera: what it sends and when.
struct Actor {
  Actor(Torture& torture, uint8_t number, store::Container container);
  void begin_session(Dice& dice, UtcTime now);
  void end_run(RunReason reason);
  void step(Dice& dice, UtcTime now);

  Torture& torture;
  CameraTruth truth;
  record::SegmenterOptions options;
  std::unique_ptr<record::Recorder> recorder;
  media::TrackConfigPtr video = test::video_config();
  media::TrackConfigPtr audio;
  uint8_t level = 0x10;

  bool sending = false;
  bool in_run = false;
  RunReason next_reason = RunReason::kRestart;
  nanoseconds silent_until{};
  nanoseconds run_until{};
  uint32_t gop_frames = 10;
  uint32_t until_key = 0;
  size_t frame_bytes = 400;
  nanoseconds composition{};
  UtcTime next_frame{};
  UtcTime next_sound{};
  nanoseconds excused_until{};
  nanoseconds busy_since{};  // in a run without a break
};

class Torture final : public FaultyDisk::Listener {
 public:
  explicit Torture(const Options& options)
      : options_(options),
        dice_(options.seed),
        root_(options.folder / "store"),
        disk_(options.folder / "disk", dice_, *this) {
    clock_ = std::make_unique<test::ManualClock>(base::from_unix_ms(1'795'230'000'000));
    const size_t count = 2 + dice_.roll(3);
    for (size_t i = 0; i < count; ++i)
      actors_.push_back(
          std::make_unique<Actor>(*this, static_cast<uint8_t>(i),
                                  dice_.once_in(2) ? store::Container::kFmp4 : store::Container::kMpegTs));
  }

  bool run();

  [[nodiscard]] nanoseconds now() const { return clock_->steady().time_since_epoch(); }
  test::ManualClock& clock() { return *clock_; }
  Dice& dice() { return dice_; }
  void note(const std::string& text) {
    last_notes_.push_back(fmt::format("{} (+{:.1f} s) {}", base::format_rfc3339(clock_->utc()),
                                      std::chrono::duration<double>(now()).count() - 3600, text));
    if (options_.verbose) fmt::print("{}\n", last_notes_.back());
    if (last_notes_.size() > 60) last_notes_.pop_front();
  }
  [[nodiscard]] bool resumed_once(const Actor& actor) const {
    return actor.recorder->status().state != record::RecorderStatus::State::kStarting;
  }

 private:
  friend struct Actor;
  // Files and folders tell whom a fault may cost something.
  int fault(FaultyDisk::Operation operation, const fs::path& path) override;
  void wrote(uint64_t file, uint64_t end, base::ByteView bytes) override;

  void start_process();
  void drop_process();
  void kill();
  void cut_power();
  void stop_cleanly();
  void take_back_gap_log(bool torn);
  void step();
  void step_clock_of_the_stopped();
  void poll();
  void maybe_start_trouble();
  void end_trouble();
  void retain();
  void excuse(Actor& actor, nanoseconds from_now);
  void excuse_all(nanoseconds from_now) {
    for (const auto& actor : actors_) excuse(*actor, from_now);
  }
  void check(bool read_all);
  void check_gaps(Actor& actor);
  void check_progress();
  void fail(const std::string& text);
  [[nodiscard]] bool healthy() const { return !stalled_ && trouble_error_ == 0 && !unmounted_; }

  Options options_;
  Dice dice_;
  fs::path root_;
  std::unique_ptr<test::ManualClock> clock_;
  std::vector<std::unique_ptr<Actor>> actors_;
  FaultyDisk disk_;

  // The process.
  std::unique_ptr<net::EventLoop> media_;
  std::unique_ptr<net::EventLoop> disk_loop_;
  std::unique_ptr<store::DirectoryStore> store_;
  std::unique_ptr<record::GapLog> gaps_;
  std::unique_ptr<record::RecordingIndex> index_;
  std::unique_ptr<record::Retention> retention_;
  struct Timer {
    nanoseconds due;
    net::EventLoop* loop;
    std::function<void()> function;
  };
  std::vector<Timer> timers_;

  // Troubles of the disk.
  bool stalled_ = false;
  nanoseconds stalled_until_{};
  nanoseconds disk_time_{};
  int trouble_error_ = 0;
  uint64_t trouble_operations_ = 0;  // mask
  uint64_t trouble_chance_ = 1;
  const Actor* trouble_of_ = nullptr;  // null: of all
  nanoseconds trouble_until_{};
  bool unmounted_ = false;
  uint64_t single_chance_ = 3000;
  bool full_ = false;
  nanoseconds next_event_{};
  nanoseconds next_retention_{};
  nanoseconds next_check_{};
  nanoseconds gaps_trusted_from_{};
  bool may_be_unreadable_ = false;

  std::deque<std::string> last_notes_;
  std::vector<std::string> failures_;
  uint64_t faults_ = 0, kills_ = 0, cuts_ = 0, stops_ = 0, stalls_ = 0, troubles_ = 0, checks_ = 0,
           deleted_ = 0, steps_back_ = 0, mounts_ = 0, overflows_ = 0, unreadable_ = 0;
};

Actor::Actor(Torture& of, uint8_t number, store::Container container)
    : torture(of), truth(number, fmt::format("cam{}", number)) {
  options.container = container;
  options.segment = seconds(torture.dice().between(4, 30));
}

void Actor::begin_session(Dice& dice, UtcTime now) {
  if (dice.once_in(3)) video = test::video_config(++level);
  audio = dice.once_in(3) ? nullptr : test::aac_config();
  gop_frames = static_cast<uint32_t>(dice.once_in(5) ? dice.between(80, 130) : dice.between(5, 40));
  frame_bytes = static_cast<size_t>(dice.between(40, 900));
  composition = milliseconds(dice.once_in(3) ? 200 : 0);
  sending = true;
  in_run = false;
  until_key = 0;
  next_frame = next_sound = now;
  run_until = torture.now() + seconds(dice.between(2, 240));
}

void Actor::end_run(RunReason reason) {
  if (in_run) recorder->on_run_end(reason, "the test ends the run");
  in_run = sending = false;
  next_reason = reason;
}

void Actor::step(Dice& dice, UtcTime now) {
  if (torture.now() < silent_until) return;
  // Cameras that are silent for longer mostly lose their run to the watchdog of their session; where sound or
  // reports go on they do not.
  if (sending && next_frame < now - seconds(9) && !dice.once_in(3)) end_run(RunReason::kCameraLost);
  if (!sending) begin_session(dice, now);
  if (next_frame < now - seconds(1)) {  // it was silent inside of its run
    // Its next key frame comes that much later.
    if (torture.now() - (now - next_frame) < excused_until)
      excused_until = std::max(excused_until, torture.now() + seconds(16));
    next_frame = now;
    next_sound = std::max(next_sound, now);
  }
  for (; next_frame <= now; next_frame += milliseconds(100)) {
    const bool key = until_key == 0;
    until_key = key ? gop_frames - 1 : until_key - 1;
    if (key && !in_run) {
      recorder->on_run_start({next_reason, "", video, audio});
      in_run = true;
      busy_since = torture.now();
      next_sound = std::max(next_sound, next_frame);
    } else if (in_run && dice.once_in(300)) {
      // What a step of the wall clock makes of it, but for the times, by which the truth is told.
      recorder->on_run_end(RunReason::kClockStep, "the clock was set");
      recorder->on_run_start({RunReason::kClockStep, "", video, audio, {}, true, !key});
    }
    const size_t size =
        kHeadBytes + frame_bytes / 2 + dice.roll(frame_bytes) + (dice.once_in(500) ? 40'000 : 0);
    TrueFrame& frame = truth.fed(static_cast<uint32_t>(size), next_frame + composition, torture.now());
    frame.excused = torture.now() < excused_until || !torture.resumed_once(*this);
    if (frame.excused && !torture.resumed_once(*this))
      excused_until = std::max(excused_until, torture.now() + seconds(15));
    media::FrameBuilder builder;
    builder.append_u32(static_cast<uint32_t>(size + 1));
    const std::byte head{static_cast<unsigned char>(key ? 0x65 : 0x41)};
    builder.append({&head, 1});
    builder.append(make_payload({truth.number(), true, frame.number, frame.size_bytes}));
    const int64_t ticks = next_frame.time_since_epoch() / milliseconds(1) * 90;
    recorder->on_placed({builder.finish({video, ticks, ticks, torture.clock().steady(), key, false}),
                         next_frame, next_frame + composition});
    if (!audio) continue;
    for (; next_sound < next_frame + milliseconds(100);
         next_sound += nanoseconds(1024 * 1'000'000'000LL / 48000)) {
      const FrameId id = truth.fed_sound(static_cast<uint32_t>(kHeadBytes + dice.roll(60)), next_sound);
      builder.append(make_payload(id));
      recorder->on_placed(
          {builder.finish({audio, 0, 0, torture.clock().steady(), true, false}), next_sound, next_sound});
    }
  }
}

int Torture::fault(FaultyDisk::Operation operation, const fs::path& path) {
  const bool in_trouble =
      trouble_error_ != 0 && (trouble_operations_ >> static_cast<unsigned>(operation) & 1) != 0;
  const std::string text = path.string();
  Actor* whose = nullptr;
  for (const auto& actor : actors_) {
    if (text.find("/" + actor->truth.name()) != std::string::npos) whose = actor.get();
  }
  int error = 0;
  if (in_trouble && (!trouble_of_ || trouble_of_ == whose) && dice_.once_in(trouble_chance_)) {
    error = trouble_error_;
  } else if (!full_ && dice_.once_in(single_chance_)) {
    error = dice_.once_in(3) ? ENOSPC : EIO;
  }
  if (error == 0) return 0;
  ++faults_;
  note(fmt::format("fault {} at {} of {}", error, static_cast<int>(operation),
                   path.filename().string().substr(0, 50)));
  if (whose) {
    excuse(*whose, kForgiven);
  } else {
    excuse_all(kForgiven);
  }
  return error;
}

// What is not written yet may be lost by a fault now, and what comes until the recorder tries again.
void Torture::excuse(Actor& actor, nanoseconds from_now) {
  auto& frames = actor.truth.frames();
  for (auto each = frames.lower_bound(actor.truth.written_to); each != frames.end(); ++each)
    each->second.excused = true;
  actor.excused_until = std::max(actor.excused_until, now() + from_now);
}

void Torture::wrote(uint64_t file, uint64_t end, base::ByteView bytes) {
  for (const FrameId& id : find_heads(bytes)) {
    if (!id.video) continue;
    CameraTruth& truth = actors_.at(id.camera)->truth;
    TrueFrame* frame = truth.find(id.number);
    if (!frame || frame->written) {
      fail(fmt::format("{}: frame {} is written again", truth.name(), id.number));
      continue;
    }
    for (uint32_t number = truth.written_to; number < id.number; ++number) {
      const TrueFrame* skipped = truth.find(number);
      if (skipped && !skipped->excused && !skipped->written)
        fail(fmt::format("{}: frame {} (fed at {:.1f}) was not recorded though nothing was wrong",
                         truth.name(), number, std::chrono::duration<double>(skipped->fed).count() - 3600));
    }
    if (id.number < truth.written_to)
      fail(fmt::format("{}: frame {} is written too late", truth.name(), id.number));
    truth.written_to = id.number + 1;
    frame->written = true;
    frame->file = file;
    frame->file_end = end;
    frame->written_at = disk_time_;
  }
}

void Torture::start_process() {
  media_ = std::make_unique<net::EventLoop>("media");
  disk_loop_ = std::make_unique<net::EventLoop>("disk");
  auto opened = store::DirectoryStore::open(root_, store::DirectoryStore::Open::kCreate, {}, *clock_);
  if (!opened) {
    fail(opened.error().to_string());
    return;
  }
  store_ = std::move(*opened);
  auto log = record::GapLog::open(options_.folder / "miharu.db");
  if (!log) {
    fail(log.error().to_string());
    return;
  }
  gaps_ = std::move(*log);
  index_ = std::make_unique<record::RecordingIndex>();
  record::RetentionOptions keep;
  keep.all.bytes = kKeepBytes;
  keep.disk = &disk_;
  retention_ = std::make_unique<record::Retention>(*store_, *clock_, keep);
  for (const auto& actor : actors_) {
    record::RecorderEnvironment environment{
        *media_,
        *disk_loop_,
        disk_,
        *store_,
        *index_,
        *gaps_,
        *clock_,
        [this](const std::string& camera, const store::ObjectName& name) {
          retention_->added(camera, name.start, name.size_bytes());
        },
        [this] { full_ = true; },
        [this](net::EventLoop& loop, nanoseconds pause, std::function<void()> function) {
          timers_.push_back({now() + pause, &loop, std::move(function)});
        },
        kMaxQueued};
    actor->recorder = std::make_unique<record::Recorder>(actor->truth.name(), actor->options, environment);
    actor->recorder->start();
    actor->in_run = actor->sending = false;
    actor->next_reason = RunReason::kRestart;
    actor->silent_until = now() + milliseconds(dice_.between(0, 5000));
  }
  poll();
}

void Torture::drop_process() {
  timers_.clear();
  for (const auto& actor : actors_) actor->recorder.reset();
  // What was queued is gone with the process.
  media_.reset();
  disk_loop_.reset();
  retention_.reset();
  index_.reset();
  store_.reset();
}

// The files of SQLite as they lie there now: closing it would put everything in order.
void Torture::take_back_gap_log(bool torn) {
  const fs::path file = options_.folder / "miharu.db";
  const fs::path aside = options_.folder / "aside";
  fs::create_directories(aside);
  for (const char* part : {"miharu.db", "miharu.db-wal"}) {
    std::error_code error;
    fs::copy_file(options_.folder / part, aside / part, fs::copy_options::overwrite_existing, error);
    if (error) fs::remove(aside / part, error);
  }
  gaps_.reset();
  for (const char* part : {"miharu.db", "miharu.db-wal", "miharu.db-shm"}) fs::remove(options_.folder / part);
  for (const char* part : {"miharu.db", "miharu.db-wal"}) {
    if (fs::exists(aside / part)) fs::rename(aside / part, options_.folder / part);
  }
  const fs::path wal = options_.folder / "miharu.db-wal";
  if (torn && fs::exists(wal)) fs::resize_file(wal, dice_.roll(fs::file_size(wal) + 1));
}

void Torture::kill() {
  note("kill");
  ++kills_;
  take_back_gap_log(false);
  drop_process();
  disk_.process_ended();
  for (const auto& actor : actors_) {
    for (auto& [number, frame] : actor->truth.frames()) {
      if (!frame.written) {
        frame.excused = true;
      } else if (!frame.gone && !frame.luck) {
        frame.promised = true;
      }
    }
    actor->truth.written_to = actor->truth.next();
  }
}

void Torture::cut_power() {
  ++cuts_;
  take_back_gap_log(true);
  drop_process();
  for (const auto& actor : actors_) {
    for (auto& [number, frame] : actor->truth.frames()) {
      frame.excused = frame.excused || !frame.written;
      if (!frame.written || frame.gone || frame.luck) continue;
      const bool old =
          disk_time_ - frame.written_at > record::CameraWriter::kSyncInterval + milliseconds(300) &&
          !disk_.had_fault(frame.file);
      const bool durable = disk_.is_durable(frame.file, frame.file_end);
      if (old && !durable)
        fail(fmt::format("{}: frame {} was not synced within 10 s, but after {:.1f} s it is not",
                         actor->truth.name(), frame.number,
                         std::chrono::duration<double>(disk_time_ - frame.written_at).count()));
      frame.promised = durable;
      frame.luck = !durable;
      frame.file = 0;
    }
    actor->truth.written_to = actor->truth.next();
  }
  note("power cut:" + disk_.power_cut());
  gaps_trusted_from_ = now();
  may_be_unreadable_ = true;
}

void Torture::stop_cleanly() {
  note("stop");
  ++stops_;
  size_t left = actors_.size();
  for (const auto& actor : actors_) {
    actor->end_run(RunReason::kRestart);
    actor->recorder->stop([&left] { --left; });
  }
  const bool was_stalled = std::exchange(stalled_, false);
  poll();
  if (left > 0) fail("a recorder did not stop");
  for (const auto& actor : actors_) {
    if (!was_stalled && now() >= actor->excused_until) {
      for (const auto& [number, frame] : actor->truth.frames()) {
        if (!frame.written && !frame.excused)
          fail(fmt::format("{}: frame {} was not recorded by a clean stop", actor->truth.name(),
                           frame.number));
      }
      if (fs::exists(root_ / "tmp")) {
        for (const auto& entry : fs::directory_iterator(root_ / "tmp")) {
          if (entry.path().filename().string().starts_with(actor->truth.name() + "_"))
            fail("left by a clean stop: " + entry.path().filename().string());
        }
      }
    }
    for (auto& [number, frame] : actor->truth.frames()) {
      frame.excused = frame.excused || !frame.written;
      if (frame.written && !frame.gone && !frame.luck) frame.promised = true;
    }
    actor->truth.written_to = actor->truth.next();
  }
  gaps_.reset();
  drop_process();
  disk_.process_ended();
}

void Torture::step_clock_of_the_stopped() {
  if (!dice_.once_in(8)) return;
  const auto by = seconds(dice_.between(-200'000, 100'000));
  note(fmt::format("clock step {} s", by.count()));
  ++steps_back_;
  clock_->step(by);
}

void Torture::poll() {
  while (true) {
    const bool disk_first = !stalled_ && dice_.once_in(2);
    size_t done = disk_first ? disk_loop_->context().poll_one() : media_->context().poll_one();
    if (done == 0)
      done = disk_first ? media_->context().poll_one() : stalled_ ? 0 : disk_loop_->context().poll_one();
    if (done == 0) return;
  }
}

void Torture::end_trouble() {
  if (trouble_error_ != 0) note("trouble ends");
  trouble_error_ = 0;
  trouble_until_ = {};
  if (unmounted_) {
    note("mounted again");
    fs::remove_all(root_);
    fs::rename(options_.folder / "elsewhere", root_);
    unmounted_ = false;
    excuse_all(kForgiven);
  }
}

void Torture::maybe_start_trouble() {
  next_event_ = now() + milliseconds(dice_.between(500, 90'000));
  const uint64_t what = dice_.roll(100);
  if (what < 16) {
    kill();
    end_trouble();
    stalled_ = false;
    if (dice_.once_in(2)) check(false);
    clock_->advance(milliseconds(dice_.between(0, 20'000)));
    start_process();
    check(false);
  } else if (what < 32) {
    end_trouble();
    cut_power();
    stalled_ = false;
    clock_->advance(milliseconds(dice_.between(0, 60'000)));
    step_clock_of_the_stopped();
    start_process();
    check(false);
  } else if (what < 40) {
    end_trouble();
    stop_cleanly();
    clock_->advance(milliseconds(dice_.between(0, 20'000)));
    step_clock_of_the_stopped();
    start_process();
    check(false);
  } else if (what < 55) {
    stalled_ = true;
    stalled_until_ = now() + milliseconds(dice_.between(100, dice_.once_in(4) ? 120'000 : 8'000));
    // A recorder that waits for its disk may have asked it just now, and has its answer behind the stall.
    for (const auto& actor : actors_) {
      if (now() < actor->excused_until) excuse(*actor, stalled_until_ - now() + kForgiven);
    }
    note(fmt::format("stall of {:.1f} s", std::chrono::duration<double>(stalled_until_ - now()).count()));
    ++stalls_;
  } else if (what < 75) {
    static constexpr int kErrors[] = {ENOSPC, EIO, EROFS};
    trouble_error_ = kErrors[dice_.roll(3)];
    trouble_operations_ =
        dice_.once_in(2) ? ~uint64_t{0} : uint64_t{1} << dice_.roll(11) | uint64_t{1} << dice_.roll(11);
    trouble_chance_ = dice_.once_in(2) ? 1 : 3;
    trouble_of_ = dice_.once_in(2) ? nullptr : actors_[dice_.roll(actors_.size())].get();
    trouble_until_ = now() + milliseconds(dice_.between(10, dice_.once_in(3) ? 90'000 : 3'000));
    note(fmt::format("trouble {} of {} for {:.1f} s", trouble_error_,
                     trouble_of_ ? trouble_of_->truth.name() : "all",
                     std::chrono::duration<double>(trouble_until_ - now()).count()));
    ++troubles_;
  } else if (what < 78) {
    end_trouble();
    note("unmounted");
    disk_.blame_all();
    ++mounts_;
    fs::rename(root_, options_.folder / "elsewhere");
    fs::create_directory(root_);
    unmounted_ = true;
    trouble_until_ = now() + milliseconds(dice_.between(100, 60'000));
    excuse_all(trouble_until_ - now() + kForgiven);
  } else if (what < 92) {
    Actor& actor = *actors_[dice_.roll(actors_.size())];
    static constexpr RunReason kReasons[] = {RunReason::kCameraLost, RunReason::kParameters,
                                             RunReason::kOperator};
    if (dice_.once_in(3)) {  // it only falls silent
      actor.silent_until = now() + milliseconds(dice_.between(500, 30'000));
    } else {
      actor.end_run(kReasons[dice_.roll(3)]);
      actor.silent_until = now() + milliseconds(dice_.once_in(3) ? 0 : dice_.between(0, 40'000));
    }
  } else if (what < 95) {
    const auto by = seconds(dice_.once_in(2) ? dice_.between(-100'000, 50'000) : dice_.between(-600, 600));
    note(fmt::format("clock step {} s", by.count()));
    ++steps_back_;
    clock_->step(by);
    for (const auto& actor : actors_) actor->end_run(RunReason::kClockStep);
  } else {
    check(false);
  }
}

void Torture::retain() {
  next_retention_ = now() + seconds(60);
  if (unmounted_) return;
  check(false);
  uint64_t before = 0;
  std::vector<std::pair<UtcTime, uint64_t>> ages;
  for (const auto& actor : actors_) {
    for (const auto& [key, object] : actor->truth.objects) {
      before += object.name.size_bytes();
      ages.emplace_back(object.name.start, object.name.size_bytes());
    }
  }
  const uint64_t faults_before = faults_;
  const auto done = retention_->run_once(false);
  if (!done && faults_ == faults_before) {
    fail("retention: " + done.error().to_string());
    return;
  }
  uint64_t after = 0;
  std::optional<UtcTime> newest_deleted;
  std::optional<UtcTime> oldest_kept;
  uint64_t deleted_bytes = 0;
  uint64_t last_deleted_bytes = 0;
  for (const auto& actor : actors_) {
    CameraTruth& truth = actor->truth;
    for (auto each = truth.objects.begin(); each != truth.objects.end();) {
      const CheckedObject& object = each->second;
      if (fs::exists(root_ / each->first)) {
        after += object.name.size_bytes();
        oldest_kept = std::min(oldest_kept.value_or(object.name.start), object.name.start);
        ++each;
        continue;
      }
      ++deleted_;
      if (options_.verbose) fmt::print("deleted {} {}\n", each->first, object.name.size_bytes());
      deleted_bytes += object.name.size_bytes();
      if (!newest_deleted || object.name.start > *newest_deleted) last_deleted_bytes = 0;
      newest_deleted = std::max(newest_deleted.value_or(object.name.start), object.name.start);
      if (object.name.start == *newest_deleted)
        last_deleted_bytes = std::max(last_deleted_bytes, object.name.size_bytes());
      truth.deleted[object.name.seq] = object.name.seq + object.name.chunks.size();
      for (const FrameId& id : object.video) {
        if (TrueFrame* frame = truth.find(id.number)) frame->gone = true;
      }
      each = truth.objects.erase(each);
    }
  }
  if (after > kKeepBytes && faults_ == faults_before)
    fail(fmt::format("retention keeps {} bytes of {} allowed", after, kKeepBytes));
  if (faults_ == faults_before && newest_deleted && oldest_kept && *newest_deleted > *oldest_kept)
    fail(fmt::format("retention deleted what began at {} and kept what began at {}",
                     base::format_rfc3339(*newest_deleted), base::format_rfc3339(*oldest_kept)));
  if (deleted_bytes > 0 && before - (deleted_bytes - last_deleted_bytes) <= kKeepBytes)
    fail(fmt::format("retention deleted {} bytes of {}, the newest of them {}", deleted_bytes, before,
                     last_deleted_bytes));
  for (const auto& actor : actors_) {
    CameraTruth& truth = actor->truth;
    // Nothing is asked any more of frames that were never recorded. A write that failed may have left whole
    // fragments all the same, which an object holds
    // now, or will when it is recovered.
    std::set<uint32_t> held;
    for (const auto& [key, object] : truth.objects) {
      for (const FrameId& id : object.video) held.insert(id.number);
    }
    for (auto& [number, frame] : truth.frames()) {
      if (number >= truth.written_to) break;
      const bool settled = now() - frame.fed > std::chrono::minutes(30);
      frame.gone |= !frame.written && settled && !held.contains(number);
    }
    truth.forget_gone();
  }
}

void Torture::step() {
  const nanoseconds pace = milliseconds(100);
  clock_->advance(pace);
  if (!stalled_) disk_time_ += pace;
  if (stalled_ && now() >= stalled_until_) stalled_ = false;
  if (trouble_until_ != nanoseconds(0) && now() >= trouble_until_) end_trouble();
  for (size_t i = 0; i < timers_.size();) {
    if (timers_[i].due > now()) {
      ++i;
      continue;
    }
    timers_[i].loop->post(std::move(timers_[i].function));
    timers_.erase(timers_.begin() + static_cast<ptrdiff_t>(i));
  }
  for (const auto& actor : actors_) actor->step(dice_, clock_->utc());
  for (const auto& actor : actors_) {
    const auto status = actor->recorder->status();
    if (status.queued_bytes > kMaxQueued)
      fail(fmt::format("{} bytes wait for the disk", status.queued_bytes));
    // Only a queue that is as good as full may drop.
    if (stalled_ && status.queued_bytes > kMaxQueued - (kMaxQueued / 4)) {
      if (now() >= actor->excused_until) ++overflows_;
      excuse(*actor, stalled_until_ - now() + kForgiven);
    }
  }
  poll();
  check_progress();
  if (full_ && now() >= next_retention_ - seconds(55)) {
    full_ = false;
    if (healthy()) retain();
  }
  if (now() >= next_retention_) retain();
  if (now() >= next_event_ && !stalled_) maybe_start_trouble();
}

// When nothing is wrong, what was fed two seconds ago lies on the disk.
void Torture::check_progress() {
  if (!healthy()) return;
  for (const auto& actor : actors_) {
    if (!actor->in_run || now() < actor->excused_until || now() < actor->busy_since + seconds(3)) continue;
    const TrueFrame* frame = actor->truth.find(actor->truth.written_to);
    if (!frame || frame->excused || now() - frame->fed < milliseconds(2500)) continue;
    if (now() < actor->silent_until || now() - actor->truth.frames().rbegin()->second.fed > milliseconds(200))
      continue;
    fail(fmt::format("{}: frame {} is not on disk {} ms after it came, though nothing is wrong",
                     actor->truth.name(), frame->number, (now() - frame->fed) / milliseconds(1)));
  }
}

void Torture::check(bool read_all) {
  if (unmounted_) return;
  ++checks_;
  std::unique_ptr<store::DirectoryStore> own;
  store::DirectoryStore* store = store_.get();
  if (!store) {
    auto opened = store::DirectoryStore::open(root_, store::DirectoryStore::Open::kExisting, {}, *clock_);
    if (!opened) {
      fail(opened.error().to_string());
      return;
    }
    own = std::move(*opened);
    store = own.get();
  }
  for (const auto& actor : actors_) {
    // What is still in tmp/ is judged when it has its name.
    bool unfinished = false;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(root_ / "tmp", error)) {
      const std::string file = entry.path().filename().string();
      if (!file.starts_with(actor->truth.name() + "_")) continue;
      unfinished |= file.ends_with(".part");
      if (!file.ends_with(".bad")) continue;
      // Only what a power cut left may be unreadable from its first byte; the frames that are missing then
      // are judged as all others.
      if (!may_be_unreadable_) fail("put aside: " + file);
      ++unreadable_;
      fs::remove(entry.path());
    }
    for (const std::string& text : check_camera(*store, actor->truth, read_all, unfinished)) fail(text);
    check_gaps(*actor);
  }
  may_be_unreadable_ = may_be_unreadable_ && now() < gaps_trusted_from_ + seconds(120);
}

void Torture::check_gaps(Actor& actor) {
  if (!gaps_) return;
  std::vector<const CheckedObject*> order;
  for (const auto& [key, object] : actor.truth.objects) order.push_back(&object);
  std::sort(order.begin(), order.end(),
            [](const auto* a, const auto* b) { return a->name.seq < b->name.seq; });
  for (size_t i = 1; i < order.size(); ++i) {
    const store::ObjectName& before = order[i - 1]->name;
    const store::ObjectName& after = order[i]->name;
    if (after.seq != before.seq + before.chunks.size()) continue;
    if (after.start - before.end() <= milliseconds(2100)) continue;
    const TrueFrame* first =
        order[i]->video.empty() ? nullptr : actor.truth.find(order[i]->video.front().number);
    if (!first || first->fed < gaps_trusted_from_) continue;
    const auto rows = gaps_->find(actor.truth.name(), before.end(), after.start);
    if (!rows) {
      fail(rows.error().to_string());
      continue;
    }
    UtcTime covered = before.end() + milliseconds(200);
    for (const record::Gap& gap : *rows) {
      if (gap.start <= covered + milliseconds(200))
        covered = std::max(covered, gap.end.value_or(after.start));
      if (gap.text.empty()) fail(actor.truth.name() + ": a gap without a text");
    }
    if (covered + milliseconds(200) < after.start) {
      std::string log;
      for (const record::Gap& gap : *rows)
        log += fmt::format(" {} to {} ({})", base::format_rfc3339(gap.start),
                           gap.end ? base::format_rfc3339(*gap.end) : "now", gap.text);
      fail(fmt::format("{}: the gap from {} to {} is not in the log:{}", actor.truth.name(),
                       base::format_rfc3339(before.end()), base::format_rfc3339(after.start), log));
    }
  }
}

void Torture::fail(const std::string& text) {
  if (failures_.size() < 20)
    failures_.push_back(fmt::format("{} (+{:.1f} s) {}", base::format_rfc3339(clock_->utc()),
                                    std::chrono::duration<double>(now()).count() - 3600, text));
}

bool Torture::run() {
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [&began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  const nanoseconds start = now();
  const auto end =
      start + std::chrono::duration_cast<nanoseconds>(
                  std::chrono::duration<double, std::ratio<3600>>(std::min(options_.hours, 1e6)));
  next_event_ = start + seconds(20);
  next_retention_ = start + seconds(60);
  start_process();
  double told = 0;
  while (failures_.empty() && now() < end && elapsed() < options_.wall_seconds) {
    for (int i = 0; i < 50 && failures_.empty(); ++i) step();
    if (elapsed() - told >= 60) {
      told = elapsed();
      fmt::print("{:.0f} s: {:.1f} h recorded, {} faults, {} kills, {} power cuts, {} stops, {} stalls\n",
                 told, std::chrono::duration<double>(now() - start).count() / 3600, faults_, kills_, cuts_,
                 stops_, stalls_);
      std::fflush(stdout);
    }
  }
  if (failures_.empty()) {
    end_trouble();
    stop_cleanly();
    start_process();
    check(true);
    stop_cleanly();
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  if (usage.ru_maxrss > 400 * 1024) fail(fmt::format("the program took {} MB", usage.ru_maxrss / 1024));
  uint64_t fed = 0;
  for (const auto& actor : actors_) fed += actor->truth.next();
  fmt::print(
      "seed {}: {:.1f} h of {} cameras in {:.0f} s, {} frames, {} disk operations, {} faults, {} troubles, "
      "{} stalls, {} overflows, {} kills, "
      "{} power cuts, {} stops, {} clock steps, {} missing mounts, {} objects deleted, {} checks, {} "
      "unreadable, {} MB\n",
      options_.seed, std::chrono::duration<double>(now() - start).count() / 3600, actors_.size(), elapsed(),
      fed, disk_.operations(), faults_, troubles_, stalls_, overflows_, kills_, cuts_, stops_, steps_back_,
      mounts_, deleted_, checks_, unreadable_, usage.ru_maxrss / 1024);
  if (failures_.empty()) return true;
  fmt::print("what happened last:\n");
  for (const std::string& text : last_notes_) fmt::print("  {}\n", text);
  fmt::print("WRONG:\n");
  for (const std::string& text : failures_) fmt::print("  {}\n", text);
  return false;
}

int main_with(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : ""; };
    if (argument == "--seed") {
      options.seed = std::strtoull(value(), nullptr, 10);
    } else if (argument == "--seconds") {
      options.wall_seconds = std::strtod(value(), nullptr);
    } else if (argument == "--hours") {
      options.hours = std::strtod(value(), nullptr);
    } else if (argument == "--folder") {
      options.folder = value();
    } else if (argument == "--verbose") {
      options.verbose = true;
    } else {
      fmt::print(stderr,
                 "usage: record_torture [--seed N] [--seconds S] [--hours H] [--folder DIR] [--verbose]\n");
      return 2;
    }
  }
  if (!options.verbose) spdlog::set_default_logger(spdlog::null_logger_mt("none"));
  fmt::print("record_torture --seed {}\n", options.seed);
  std::fflush(stdout);
  const test::TempDir temporary;
  if (options.folder.empty()) options.folder = temporary.path();
  const bool good = [&] {
    Torture torture(options);
    return torture.run();
  }();
  if (!good) fmt::print("to repeat: {} --seed {} --seconds 100000\n", argv[0], options.seed);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace miharu::torture

int main(int argc, char** argv) {
  return miharu::torture::main_with(argc, argv);
}
