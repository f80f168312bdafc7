#include "record/recorder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>

#include "media/scan.h"
#include "record/verify.h"
#include "support/frames.h"
#include "support/temp_dir.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;
using base::milliseconds;
using base::seconds;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);

// The system's disk, failing on demand.
class FaultyDisk final : public Disk {
 public:
  struct Faults {
    std::atomic<int> append_error{0};       // errno of each write, 0 = none
    std::atomic<int64_t> short_append{-1};  // the next write ends after so many bytes, with EIO
    std::atomic<bool> stalled{false};
    std::atomic<int> syncs{0};
  };
  explicit FaultyDisk(Faults& faults) : faults_(faults) {}

  base::Result<std::unique_ptr<DiskFile>> create(const fs::path& path) override {
    return wrap(disk_->create(path));
  }
  base::Result<std::unique_ptr<DiskFile>> open_existing(const fs::path& path) override {
    return wrap(disk_->open_existing(path));
  }
  base::Status make_directories(const fs::path& path) override { return disk_->make_directories(path); }
  base::Status rename(const fs::path& from, const fs::path& to) override { return disk_->rename(from, to); }
  base::Status sync_directory(const fs::path& path) override { return disk_->sync_directory(path); }
  base::Status remove(const fs::path& path) override { return disk_->remove(path); }

 private:
  class FaultyFile final : public DiskFile {
   public:
    FaultyFile(std::unique_ptr<DiskFile> file, Faults& faults) : file_(std::move(file)), faults_(faults) {}
    base::Status append(std::span<const iovec> pieces, uint64_t total) override {
      while (faults_.stalled) std::this_thread::sleep_for(milliseconds(1));
      if (const int error = faults_.append_error) return tl::unexpected(base::system_error("write", error));
      if (const int64_t cut = faults_.short_append.exchange(-1); cut >= 0) {
        base::ByteVector all;
        for (const iovec& piece : pieces) {
          const auto* data = static_cast<const std::byte*>(piece.iov_base);
          all.insert(all.end(), data, data + piece.iov_len);
        }
        all.resize(std::min<size_t>(all.size(), static_cast<size_t>(cut)));
        const iovec part{all.data(), all.size()};
        EXPECT_TRUE(file_->append({&part, 1}, all.size()));
        return tl::unexpected(base::system_error("write", EIO));
      }
      return file_->append(pieces, total);
    }
    base::Status allocate(uint64_t size) override { return file_->allocate(size); }
    base::Status truncate(uint64_t size) override { return file_->truncate(size); }
    base::Status sync() override {
      ++faults_.syncs;
      return file_->sync();
    }
    base::Status rewrite(base::ByteView bytes) override { return file_->rewrite(bytes); }
    void drop_cache() override { file_->drop_cache(); }
    std::shared_ptr<const base::File> readable() const override { return file_->readable(); }

   private:
    std::unique_ptr<DiskFile> file_;
    Faults& faults_;
  };
  base::Result<std::unique_ptr<DiskFile>> wrap(base::Result<std::unique_ptr<DiskFile>> file) {
    if (!file) return file;
    return std::make_unique<FaultyFile>(std::move(*file), faults_);
  }
  std::unique_ptr<Disk> disk_ = make_system_disk();
  Faults& faults_;
};

// The system's clock, which a test may put forward.
class ShiftedClock final : public base::Clock {
 public:
  explicit ShiftedClock(const std::atomic<base::nanoseconds>& by) : by_(by) {}
  base::UtcTime utc() const override { return base::system_clock().utc(); }
  base::SteadyTime steady() const override { return base::system_clock().steady() + by_.load(); }
  bool synchronised() const override { return true; }

 private:
  const std::atomic<base::nanoseconds>& by_;
};

// A recorder over a real directory, fed by hand: 25 pictures a second with sound, a key frame every second.
class RecorderTest : public ::testing::TestWithParam<store::Container> {
 protected:
  void SetUp() override {
    store_ = std::move(
        *store::DirectoryStore::open(folder_.path() / "store", store::DirectoryStore::Open::kCreate));
    gaps_ = std::move(*GapLog::open(folder_.path() / "miharu.db"));
    media_.start();
    disk_loop_.start();
    make_recorder();
  }
  void TearDown() override {
    if (recorder_) stop_recorder();
    media_.stop();
    disk_loop_.stop();
  }

  void make_recorder() {
    begin_recorder();
    settle();
  }
  void begin_recorder() {
    SegmenterOptions options;
    options.container = GetParam();
    options.segment = seconds(6);
    media_.run_and_wait([&] {
      recorder_ = std::make_unique<Recorder>(
          "front", options,
          RecorderEnvironment{
              media_,
              disk_loop_,
              disk_,
              *store_,
              index_,
              *gaps_,
              clock_,
              {},
              {},
              // Pauses are of no length, but synchronisation waits: the tests take no seconds.
              [this](net::EventLoop& loop, base::nanoseconds pause, std::function<void()> function) {
                if (&loop == &media_) {
                  pauses_.push_back(pause);
                  loop.post(std::move(function));
                } else {
                  when_due_ = std::move(function);
                }
              },
              RecorderEnvironment::kMaxQueuedBytes,
              &waiting_});
      recorder_->start();
    });
  }
  // The disk thread has something else to do until the promise is kept.
  [[nodiscard]] std::promise<void> hold_up_disk() {
    std::promise<void> release;
    disk_loop_.post([until = std::make_shared<std::future<void>>(release.get_future())] { until->wait(); });
    return release;
  }
  void stop_recorder() {
    std::promise<void> done;
    media_.post([&] { recorder_->stop([&] { done.set_value(); }); });
    done.get_future().wait();
    media_.run_and_wait([&] { recorder_.reset(); });
  }
  // What was posted to and fro is done.
  // Pictures of a minute without a pause for the disk: the most bytes that waited for it.
  uint64_t most_queued_in_a_minute(size_t picture_bytes) {
    uint64_t most = 0;
    media_.run_and_wait([&] {
      for (int i = 0; i < 25 * 60; ++i, time_ += milliseconds(40)) {
        const int64_t n = (time_ - kStart) / milliseconds(40);
        recorder_->on_placed(
            {test::make_frame(video_, n * 3600, n % 25 == 0, picture_bytes, {}), time_, time_});
        most = std::max(most, recorder_->status().queued_bytes);
      }
    });
    return most;
  }
  void settle() {
    for (int i = 0; i < 4; ++i) {
      disk_loop_.run_and_wait([] {});
      media_.run_and_wait([] {});
    }
  }
  void start_run(store::RunReason reason = store::RunReason::kRestart) {
    media_.run_and_wait([&] { recorder_->on_run_start({reason, "", video_, audio_}); });
  }
  void record(base::nanoseconds length) {
    place(length);
    settle();
  }
  void place(base::nanoseconds length) {
    media_.run_and_wait([&] {
      const base::UtcTime until = time_ + length;
      for (; time_ < until; time_ += milliseconds(40)) {
        const int64_t n = (time_ - kStart) / milliseconds(40);
        recorder_->on_placed({test::make_frame(video_, n * 3600, n % 25 == 0, 3000, {}), time_, time_});
        while (audio_time_ < time_ + milliseconds(40)) {
          recorder_->on_placed({test::make_frame(audio_, 0, true, 200, {}), audio_time_, audio_time_});
          audio_time_ += base::nanoseconds(1024 * 1'000'000'000LL / 48000);
        }
      }
    });
  }
  VerifyReport verify() {
    auto report = verify_store(*store_, {}, {});
    EXPECT_TRUE(report.has_value());
    for (const VerifyFinding& finding : report->findings)
      ADD_FAILURE() << finding.key << ": " << finding.text;
    return *report;
  }
  std::vector<store::CatalogEntryPtr> recorded() {
    store::Catalog catalog(*store_, &index_);
    return catalog.find("front", kStart - std::chrono::hours(1), kStart + std::chrono::hours(2))->entries;
  }

  std::vector<base::nanoseconds> pauses_;  // before attempts; of the media thread
  WaitingBytes waiting_;
  std::function<void()> when_due_;  // the synchronisation; of the disk thread
  test::TempDir folder_;
  FaultyDisk::Faults faults_;
  FaultyDisk disk_{faults_};
  std::atomic<base::nanoseconds> time_offset_{};
  ShiftedClock clock_{time_offset_};
  net::EventLoop media_{"media"};
  net::EventLoop disk_loop_{"disk"};
  std::unique_ptr<store::DirectoryStore> store_;
  std::unique_ptr<GapLog> gaps_;
  RecordingIndex index_;
  std::unique_ptr<Recorder> recorder_;
  media::TrackConfigPtr video_ = test::video_config();
  media::TrackConfigPtr audio_ = test::aac_config();
  base::UtcTime time_ = kStart;
  base::UtcTime audio_time_ = kStart;
};

TEST_P(RecorderTest, RecordsObjectsWithoutAHole) {
  start_run();
  record(seconds(20));
  stop_recorder();
  const VerifyReport report = verify();
  EXPECT_EQ(report.frames, 500U);
  EXPECT_EQ(report.objects, 4U);
  EXPECT_EQ(report.runs, 1U);
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries.front()->name.start, kStart);
  EXPECT_EQ(entries.front()->name.chunks.size(), 3U);
  EXPECT_EQ(entries.front()->name.duration(), seconds(6));
  EXPECT_EQ(entries.back()->name.end(), kStart + seconds(20));
  EXPECT_EQ(entries.front()->name.run.reason, store::RunReason::kRestart);
}

TEST_P(RecorderTest, TheGrowingObjectIsPlayableUpToItsLastPart) {
  start_run();
  record(milliseconds(3500));
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_TRUE(entries[0]->growing);
  EXPECT_GE(entries[0]->name.end(), kStart + milliseconds(2900));
  const auto chunks = index_.recent("front");
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_TRUE(chunks[0].finished);
  EXPECT_FALSE(chunks[1].finished);
  // The bytes are there: initialization part and chunks make an object that can be read.
  base::ByteVector bytes;
  const auto append = [&bytes](const Location& location) {
    const size_t at = bytes.size();
    bytes.resize(at + location.length);
    ASSERT_TRUE(location.file->read_at(location.offset, std::span(bytes).subspan(at)));
  };
  append(*index_.init("front", chunks[0].run));
  for (const RecentChunk& chunk : chunks) append(*index_.chunk("front", chunk.run, chunk.seq));
  const auto scan = GetParam() == store::Container::kFmp4
                        ? media::scan_fmp4(bytes)
                        : media::scan_mpegts(bytes, base::to_unix_ms(kStart) * 90);
  ASSERT_TRUE(scan.has_value());
  EXPECT_EQ(scan->whole_bytes, bytes.size());
}

TEST_P(RecorderTest, ACrashLosesAtMostTheRunningPart) {
  start_run();
  record(milliseconds(8730));
  // The process is gone: nothing was ended. A second recorder finds what the first left.
  media_.run_and_wait([&] { recorder_.reset(); });
  settle();
  make_recorder();
  const VerifyReport report = verify();
  EXPECT_EQ(report.objects, 2U);
  const auto entries = recorded();
  EXPECT_GE(entries.back()->name.end(), kStart + milliseconds(8730) - seconds(1) - milliseconds(80));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "store" / "tmp"));
  // Numbers go on without a hole.
  time_ += seconds(10);
  audio_time_ = time_;
  time_ = kStart + seconds(20);
  audio_time_ = time_;
  start_run();
  record(seconds(5));
  stop_recorder();
  const VerifyReport after = verify();
  EXPECT_EQ(after.runs, 2U);
}

// After a kill the disk thread recovers what all cameras left, one after the other: nothing that this one
// sends meanwhile may be lost, nor by a stop in the middle of it.
TEST_P(RecorderTest, WhatComesWhileObjectsAreRecoveredIsRecorded) {
  start_run();
  record(milliseconds(2400));
  media_.run_and_wait([&] { recorder_.reset(); });
  settle();
  std::promise<void> recovered = hold_up_disk();
  begin_recorder();
  time_ = audio_time_ = kStart + seconds(10);
  const base::UtcTime begun = time_;
  start_run();
  place(milliseconds(3400));
  media_.run_and_wait([&] {
    recorder_->on_run_end(store::RunReason::kCameraLost, "the camera was lost");
    recorder_->on_run_start({store::RunReason::kCameraLost, "", video_, audio_});
  });
  time_ = audio_time_ = kStart + seconds(16);  // with a key frame
  place(milliseconds(1800));
  const uint64_t waiting = recorder_->status().queued_bytes;
  EXPECT_GT(waiting, 5200 / 40 * 3000U);
  EXPECT_EQ(waiting_.bytes, waiting);
  media_.post([this, &recovered] {
    recorder_->on_run_end(store::RunReason::kRestart, "miharu was stopped");
    recovered.set_value();
  });
  stop_recorder();
  EXPECT_EQ(waiting_.bytes, 0U);
  EXPECT_EQ(verify().runs, 3U);
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[1]->name.start, begun);
  EXPECT_EQ(entries[1]->name.end(), begun + milliseconds(3400));
  EXPECT_EQ(entries[2]->name.start, kStart + seconds(16));
  EXPECT_EQ(entries[2]->name.end(), kStart + milliseconds(17'800));
  const auto gaps = gaps_->find("front", kStart, kStart + seconds(20));
  ASSERT_TRUE(gaps.has_value());
  ASSERT_EQ(gaps->size(), 3U);
  EXPECT_EQ((*gaps)[0].end, begun);
  EXPECT_EQ((*gaps)[1].end, kStart + seconds(16));
  EXPECT_FALSE((*gaps)[2].end) << "it was stopped";
}

TEST_P(RecorderTest, AStoreThatIsNotThereAtTheStartIsAGap) {
  stop_recorder();
  const fs::path identity = folder_.path() / "store" / "miharu-store.json";
  fs::rename(identity, folder_.path() / "aside");
  std::promise<void> asked = hold_up_disk();
  begin_recorder();
  start_run();
  place(seconds(2));
  asked.set_value();
  settle();
  EXPECT_GE(recorder_->status().frames_dropped, 50U);
  EXPECT_EQ(waiting_.bytes, 0U);
  fs::rename(folder_.path() / "aside", identity);
  settle();
  const base::UtcTime again = time_;
  record(seconds(3));
  stop_recorder();
  EXPECT_EQ(verify().runs, 1U);
  const auto entries = recorded();
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries.front()->name.start, again);
  EXPECT_EQ(entries.front()->name.run.reason, store::RunReason::kDisk);
}

TEST_P(RecorderTest, WhatWaitsForARecoveryIsBoundedAndTheRestIsAGap) {
  stop_recorder();
  std::promise<void> recovered = hold_up_disk();
  begin_recorder();
  start_run();
  const uint64_t most = most_queued_in_a_minute(60'000);
  EXPECT_LE(most, RecorderEnvironment::kMaxQueuedBytes);
  EXPECT_GT(most, RecorderEnvironment::kMaxQueuedBytes / 2);
  EXPECT_GT(recorder_->status().frames_dropped, 0U);
  recovered.set_value();
  settle();
  audio_time_ = time_;
  const base::UtcTime again = time_;
  record(seconds(4));
  stop_recorder();
  EXPECT_EQ(waiting_.bytes, 0U);
  EXPECT_EQ(verify().runs, 2U);
  const auto entries = recorded();
  EXPECT_EQ(entries.front()->name.start, kStart);
  EXPECT_EQ(entries.back()->name.run.reason, store::RunReason::kQueue);
  EXPECT_EQ(entries.back()->name.start, again);
}

// A step of the clock between two key frames: the run that goes on is recorded at once, unless what its
// pictures lean on was not.
TEST_P(RecorderTest, ADependentRunNeedsTheOneBefore) {
  const auto step = [this] {
    media_.run_and_wait([&] {
      recorder_->on_run_end(store::RunReason::kClockStep, "the clock was set");
      time_ += seconds(100);
      audio_time_ = time_;
      recorder_->on_run_start({store::RunReason::kClockStep, "", video_, audio_, {}, true, true});
    });
  };
  start_run();
  record(milliseconds(2400));
  step();
  const base::UtcTime first = time_;
  record(milliseconds(1000));
  step();
  record(milliseconds(5200));
  faults_.append_error = EIO;
  record(milliseconds(1000));
  step();
  faults_.append_error = 0;
  settle();
  record(milliseconds(2600));
  stop_recorder();
  EXPECT_EQ(verify().runs, 4U);
  const auto entries = recorded();
  std::map<uint64_t, std::vector<store::CatalogEntryPtr>> runs;
  for (const auto& entry : entries) runs[entry->name.run.number].push_back(entry);
  ASSERT_EQ(runs.size(), 4U);
  std::vector<bool> dependent;
  for (const auto& [number, objects] : runs) dependent.push_back(objects[0]->name.chunks[0].key_bytes == 0);
  EXPECT_EQ(dependent, (std::vector<bool>{false, true, true, false}));
  EXPECT_EQ(std::next(runs.begin())->second[0]->name.start, first);
}

TEST_P(RecorderTest, EveryCutOfAnUnfinishedFileIsRecovered) {
  start_run();
  record(milliseconds(5500));
  media_.run_and_wait([&] { recorder_.reset(); });
  settle();
  const fs::path part = fs::directory_iterator(folder_.path() / "store" / "tmp")->path();
  const auto whole = *base::read_file(part, 1 << 30);
  for (size_t cut = whole.size(); cut > 2000; cut -= std::min(cut, size_t{7919})) {
    fs::remove_all(folder_.path() / "store" / "rec");
    for (const size_t zeros : {size_t{0}, size_t{4096}}) {
      base::ByteVector bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(cut));
      bytes.resize(cut + zeros);
      fs::remove_all(folder_.path() / "store" / "rec");
      std::ofstream(part, std::ios::binary)
          .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      CameraWriter writer("front", disk_, *store_, index_, base::system_clock(), store::kMaxNameLength);
      const auto point = writer.resume();
      ASSERT_TRUE(point.has_value()) << point.error().to_string();
      verify();
      EXPECT_FALSE(fs::exists(part));
    }
  }
}

TEST_P(RecorderTest, AFullDiskBecomesAGapWithItsReason) {
  start_run();
  record(seconds(7));
  faults_.append_error = ENOSPC;
  record(seconds(3));
  EXPECT_EQ(recorder_->status().state, RecorderStatus::State::kDiskTrouble) << "until a write succeeds again";
  record(seconds(3));
  faults_.append_error = 0;
  settle();
  record(seconds(6));
  const base::UtcTime until = time_;
  stop_recorder();
  const VerifyReport report = verify();
  EXPECT_GE(report.runs, 2U);
  const auto entries = recorded();
  EXPECT_EQ(entries.back()->name.run.reason, store::RunReason::kDisk);
  EXPECT_EQ(entries.back()->name.end(), until);
  const auto gaps = gaps_->find("front", kStart, until);
  ASSERT_TRUE(gaps.has_value());
  ASSERT_GE(gaps->size(), 1U);
  EXPECT_EQ(gaps->front().reason, store::RunReason::kDisk);
  EXPECT_NE(gaps->front().text.find("No space left"), std::string::npos) << gaps->front().text;
}

TEST_P(RecorderTest, ADiskThatStaysFullIsTriedEverLessOften) {
  start_run();
  record(seconds(3));
  faults_.append_error = ENOSPC;
  for (int i = 0; i < 30; ++i) record(seconds(1));
  std::vector<base::nanoseconds> pauses;
  media_.run_and_wait([&] { pauses = pauses_; });
  ASSERT_GE(pauses.size(), 8U);
  // The first attempt came at once.
  EXPECT_EQ(pauses[0], Recorder::kLeastPause);
  for (size_t i = 1; i < pauses.size(); ++i)
    EXPECT_EQ(pauses[i], std::min<base::nanoseconds>(Recorder::kLongestPause, 2 * pauses[i - 1])) << i;
  faults_.append_error = 0;
}

TEST_P(RecorderTest, ACameraThatFallsSilentIsSyncedAllTheSame) {
  start_run();
  record(seconds(3));
  ASSERT_TRUE(when_due_) << "the disk thread waits for the time";
  const int before = faults_.syncs;  // of the file of numbers
  time_offset_ = CameraWriter::kSyncInterval;
  disk_loop_.run_and_wait([this] { std::exchange(when_due_, nullptr)(); });
  EXPECT_EQ(faults_.syncs, before + 1);
  EXPECT_FALSE(when_due_) << "everything is synced";
}

TEST_P(RecorderTest, APauseOfThePicturesEndsTheRunAndLosesNoPicture) {
  start_run();
  record(seconds(3));
  const base::UtcTime pause = time_;
  time_ += milliseconds(21'400);  // the next picture is no key frame
  audio_time_ = time_;
  record(seconds(4));
  stop_recorder();
  EXPECT_EQ(verify().frames, 175U);
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_LE(std::chrono::abs(entries[0]->name.end() - pause), milliseconds(1));
  EXPECT_EQ(entries[1]->name.start, pause + milliseconds(21'400));
  EXPECT_EQ(entries[1]->name.run.reason, store::RunReason::kCameraLost);
  EXPECT_EQ(entries[1]->name.run.number, entries[0]->name.run.number + 1);
  EXPECT_EQ(entries[1]->name.seq, entries[0]->name.seq + entries[0]->name.chunks.size());
  EXPECT_EQ(entries[1]->name.chunks.front().key_bytes, 0U);
  const auto gaps = gaps_->find("front", kStart, time_);
  ASSERT_EQ(gaps->size(), 1U);
  EXPECT_LE(std::chrono::abs(gaps->front().start - pause), milliseconds(1));
  EXPECT_EQ(gaps->front().end, pause + milliseconds(21'400));
}

TEST_P(RecorderTest, ACrashBehindAPauseLosesNoPicture) {
  start_run();
  record(seconds(3));
  time_ += milliseconds(21'400);
  audio_time_ = time_;
  record(milliseconds(560));  // no key frame came since
  media_.run_and_wait([&] { recorder_.reset(); });
  settle();
  make_recorder();
  verify();
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1]->name.start, kStart + milliseconds(24'400));
}

TEST_P(RecorderTest, AWriteThatEndsHalfwayIsCutOff) {
  start_run();
  record(seconds(3));
  faults_.short_append = 100;
  record(seconds(3));
  record(seconds(7));
  stop_recorder();
  const VerifyReport report = verify();
  EXPECT_GE(report.objects, 2U);
  EXPECT_EQ(recorded().back()->name.run.reason, store::RunReason::kDisk);
}

TEST_P(RecorderTest, AStalledDiskBoundsMemoryAndLosesNothingThatWasQueued) {
  start_run();
  record(seconds(2));
  faults_.stalled = true;
  const uint64_t most = most_queued_in_a_minute(60'000);
  EXPECT_LE(most, RecorderEnvironment::kMaxQueuedBytes);
  EXPECT_GT(most, RecorderEnvironment::kMaxQueuedBytes / 2);
  faults_.stalled = false;
  settle();
  audio_time_ = time_;
  record(seconds(4));
  stop_recorder();
  verify();
  EXPECT_EQ(recorded().back()->name.run.reason, store::RunReason::kQueue);
  EXPECT_EQ(recorded().back()->name.end(), time_);
}

TEST_P(RecorderTest, WhatWaitsOfAllCamerasIsBoundedAndALittleIsLeftToEach) {
  stop_recorder();
  waiting_.max_bytes = 4'000'000;
  waiting_.bytes = 4'000'000;  // of three others
  waiting_.cameras = 3;
  make_recorder();
  start_run();
  record(seconds(2));
  faults_.stalled = true;
  const uint64_t most = most_queued_in_a_minute(10'000);
  EXPECT_LE(most, 1'000'000U);
  EXPECT_GT(most, 500'000U);
  faults_.stalled = false;
  settle();
  EXPECT_EQ(waiting_.bytes, 4'000'000U);
  audio_time_ = time_;
  record(seconds(4));
  stop_recorder();
  EXPECT_EQ(waiting_.cameras, 3U);
  verify();
  EXPECT_EQ(recorded().back()->name.run.reason, store::RunReason::kQueue);
}

TEST_P(RecorderTest, AStoreThatVanishesIsNotAnEmptyStore) {
  start_run();
  record(seconds(3));
  fs::rename(folder_.path() / "store" / "miharu-store.json", folder_.path() / "aside");
  faults_.append_error = EIO;
  record(seconds(2));
  faults_.append_error = 0;
  record(seconds(2));
  EXPECT_EQ(recorder_->status().state, RecorderStatus::State::kDiskTrouble);
  ASSERT_TRUE(recorder_->status().last_error.has_value());
  EXPECT_EQ(recorder_->status().last_error->code, base::Errc::kNotFound);
  fs::rename(folder_.path() / "aside", folder_.path() / "store" / "miharu-store.json");
}

TEST_P(RecorderTest, ParametersThatChangeBeginANewRun) {
  start_run();
  record(seconds(4));
  media_.run_and_wait([&] { recorder_->on_run_end(store::RunReason::kParameters, "another size"); });
  video_ = test::video_config(0x20);
  start_run(store::RunReason::kParameters);
  record(seconds(4));
  stop_recorder();
  verify();
  const auto entries = recorded();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1]->name.run.reason, store::RunReason::kParameters);
  EXPECT_EQ(entries[1]->name.run.number, entries[0]->name.run.number + 1);
  EXPECT_EQ(entries[1]->name.start, entries[0]->name.end());
  EXPECT_EQ(entries[1]->name.seq, entries[0]->name.seq + entries[0]->name.chunks.size());
  EXPECT_TRUE(gaps_->find("front", kStart, time_)->empty()) << "no picture is missing: this is no gap";
}

INSTANTIATE_TEST_SUITE_P(Containers, RecorderTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

}  // namespace
}  // namespace miharu::record
