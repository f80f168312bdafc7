// 64 cameras of 2 Mbit/s on one disk whose every seek takes 20 ms, in virtual time.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "record/recorder.h"
#include "support/frames.h"
#include "support/manual_clock.h"
#include "support/temp_dir.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;
using base::milliseconds;
using base::nanoseconds;
using base::seconds;

constexpr milliseconds kSeek{20};
constexpr uint64_t kBytesPerMillisecond = 100'000;

// Charges what a disk with platters takes for what waits for it. Appending is left to the page cache, as
// Linux does it; the bytes are charged when they are synced. They are not kept.
class SeekingDisk final : public Disk {
 public:
  nanoseconds busy{};  // all that was charged so far
  uint64_t appends = 0;

  base::Result<std::unique_ptr<DiskFile>> create(const fs::path& path) override {
    busy += kSeek;
    auto file = disk_->create(path);
    if (!file) return file;
    return std::make_unique<File>(*this, std::move(*file));
  }
  base::Result<std::unique_ptr<DiskFile>> open_existing(const fs::path& path) override {
    busy += kSeek;
    return disk_->open_existing(path);
  }
  base::Status make_directories(const fs::path& path) override {
    if (!fs::exists(path)) busy += kSeek;
    return disk_->make_directories(path);
  }
  base::Status rename(const fs::path& from, const fs::path& to) override {
    busy += kSeek;
    return disk_->rename(from, to);
  }
  base::Status sync_directory(const fs::path&) override {
    busy += kSeek;
    return {};
  }
  base::Status remove(const fs::path& path) override {
    busy += kSeek;
    return disk_->remove(path);
  }

 private:
  class File final : public DiskFile {
   public:
    File(SeekingDisk& disk, std::unique_ptr<DiskFile> file) : disk_(disk), file_(std::move(file)) {}
    base::Status append(std::span<const iovec>, uint64_t total) override {
      ++disk_.appends;
      unsynced_ += total;
      return {};
    }
    base::Status allocate(uint64_t) override { return {}; }
    base::Status truncate(uint64_t) override { return {}; }
    base::Status sync() override {
      // To the data, and to the journal.
      disk_.busy += 2 * kSeek + milliseconds(unsynced_ / kBytesPerMillisecond);
      unsynced_ = 0;
      return {};
    }
    base::Status rewrite(base::ByteView) override { return {}; }
    void drop_cache() override {}
    std::shared_ptr<const base::File> readable() const override { return file_->readable(); }

   private:
    SeekingDisk& disk_;
    std::unique_ptr<DiskFile> file_;
    uint64_t unsynced_ = 0;
  };
  std::unique_ptr<Disk> disk_ = make_system_disk();
};

TEST(SlowDisk, KeepsUpWith64Cameras) {
  constexpr size_t kCameras = 64;
  constexpr seconds kLength{100};
  constexpr milliseconds kPicture{40};
  test::TempDir folder;
  test::ManualClock clock{base::from_unix_ms(1'795'230'000'000)};
  SeekingDisk disk;
  net::EventLoop media{"media"};
  net::EventLoop disk_loop{"disk"};
  const auto store = std::move(
      *store::DirectoryStore::open(folder.path() / "store", store::DirectoryStore::Open::kCreate, {}, clock));
  const auto gaps = std::move(*GapLog::open(folder.path() / "miharu.db"));
  RecordingIndex index;
  std::vector<std::pair<base::SteadyTime, std::function<void()>>> timers;  // all of the disk thread
  std::vector<std::unique_ptr<Recorder>> recorders;
  for (size_t i = 0; i < kCameras; ++i) {
    recorders.push_back(std::make_unique<Recorder>(
        fmt::format("cam{}", i), SegmenterOptions{},
        RecorderEnvironment{media,
                            disk_loop,
                            disk,
                            *store,
                            index,
                            *gaps,
                            clock,
                            {},
                            {},
                            [&](net::EventLoop&, nanoseconds pause, std::function<void()> function) {
                              timers.emplace_back(clock.steady() + pause, std::move(function));
                            }}));
    recorders.back()->start();
  }
  // One thing after the other, and the next only when the disk is done with the one before.
  base::SteadyTime free_at = clock.steady();
  const auto run = [&] {
    for (size_t i = 0; i < timers.size();) {
      if (timers[i].first > clock.steady()) {
        ++i;
        continue;
      }
      disk_loop.post(std::move(timers[i].second));
      timers.erase(timers.begin() + static_cast<ptrdiff_t>(i));
    }
    media.context().poll();
    while (free_at <= clock.steady()) {
      const nanoseconds before = disk.busy;
      if (disk_loop.context().poll_one() == 0) break;
      free_at = std::max(free_at, clock.steady() - kPicture) + (disk.busy - before);
      media.context().poll();
    }
  };
  while (disk_loop.context().poll() + media.context().poll() > 0) {
  }
  disk.busy = {};

  const media::TrackConfigPtr video = test::video_config();
  // All begin at once and have the same groups of pictures: what they ask of the disk comes in one heap.
  for (const auto& recorder : recorders)
    recorder->on_run_start({store::RunReason::kRestart, "", video, nullptr});
  uint64_t most_queued = 0;
  const base::SteadyTime began = clock.steady();
  for (int64_t n = 0; clock.steady() - began < kLength; ++n) {
    const auto frame =
        test::make_frame(video, n * 3600, n % 100 == 0, n % 100 == 0 ? 100'000 : 9'100, clock.steady());
    for (const auto& recorder : recorders) recorder->on_placed({frame, clock.utc(), clock.utc()});
    run();
    for (const auto& recorder : recorders)
      most_queued = std::max(most_queued, recorder->status().queued_bytes);
    clock.advance(kPicture);
  }
  const double share = std::chrono::duration<double>(disk.busy) / kLength;
  const double strict = std::chrono::duration<double>(disk.busy + disk.appends * kSeek) / kLength;
  RecordProperty("busy", fmt::format("{:.2f}", share));
  fmt::print(
      "disk thread busy {:.0f} %, longest queue {:.1f} MB of one camera; {:.0f} % if each append were a "
      "seek\n",
      100 * share, static_cast<double>(most_queued) / 1e6, 100 * strict);
  EXPECT_GT(share, 0.1) << "seeks are charged";
  EXPECT_LT(share, 0.8);
  EXPECT_LT(most_queued, RecorderEnvironment::kMaxQueuedBytes / 10);
  for (const auto& recorder : recorders) {
    EXPECT_EQ(recorder->status().frames_dropped, 0U);
    EXPECT_GE(recorder->status().objects, 2U);
  }
}

}  // namespace
}  // namespace miharu::record
