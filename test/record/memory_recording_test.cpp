#include "record/memory_recording.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "support/frames.h"
#include "support/manual_clock.h"

namespace miharu::record {
namespace {

using base::milliseconds;
using base::seconds;

class MemoryRecordingTest : public testing::Test {
 protected:
  void begin_run() {
    recording_.on_run_start({store::RunReason::kRestart, "", video_, nullptr});
    pictures_ = 0;
  }
  // 25 pictures a second, the first a key frame, and then every so many.
  void feed(base::nanoseconds length, size_t bytes = 500, int64_t group = 25) {
    for (const base::UtcTime until = clock_.utc() + length; clock_.utc() < until; ++pictures_) {
      recording_.on_placed({test::make_frame(video_, pictures_ * 3600, pictures_ % group == 0, bytes, {}),
                            clock_.utc(), clock_.utc()});
      clock_.advance(milliseconds(40));
    }
  }
  std::vector<RecentChunk> recent() { return index_.recent("front"); }
  // What the files of the recording have in memory.
  uint64_t bytes_in_memory() {
    std::map<const base::File*, uint64_t> sizes;
    for (const RecentChunk& chunk : recent()) {
      const auto place = index_.chunk("front", chunk.run, chunk.seq);
      sizes[place->file.get()] = *place->file->size();
    }
    uint64_t sum = 0;
    for (const auto& [file, size] : sizes) sum += size;
    return sum;
  }
  static size_t open_files() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  }

  test::ManualClock clock_{base::from_unix_ms(1'795'230'000'000)};
  media::TrackConfigPtr video_ = test::video_config();
  RecordingIndex index_{MemoryRecording::kKeep};
  MemoryRecording recording_{"front", store::Container::kFmp4, clock_, index_};
  int64_t pictures_ = 0;
};

TEST_F(MemoryRecordingTest, IsNothingBeforeAndAfter) {
  const size_t before = open_files();
  begin_run();
  feed(seconds(5));
  EXPECT_TRUE(recent().empty());
  recording_.start();
  feed(seconds(5));
  EXPECT_FALSE(recent().empty());
  EXPECT_GT(open_files(), before);
  recording_.stop();
  EXPECT_TRUE(recent().empty());
  EXPECT_EQ(open_files(), before);
  feed(seconds(5));
  EXPECT_TRUE(recent().empty());
}

// In the midst of a run of the stream, which somebody else pulled before.
TEST_F(MemoryRecordingTest, BeginsWithTheNextKeyFrame) {
  begin_run();
  feed(milliseconds(400));
  recording_.start();
  feed(milliseconds(600));
  EXPECT_TRUE(recent().empty());
  const base::UtcTime key = clock_.utc();
  feed(seconds(3));
  const auto chunks = recent();
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].start, key);
  EXPECT_TRUE(chunks[0].finished);
  EXPECT_EQ(chunks[0].duration_ms, 2000U);
  ASSERT_TRUE(chunks[1].parts.front().independent);
  // Initialization part, then fragments.
  const auto init = index_.init("front", chunks[0].run);
  ASSERT_TRUE(init);
  base::ByteVector head(8);
  ASSERT_TRUE(init->file->read_at(init->offset + 4, head));
  EXPECT_EQ(base::as_text(head).substr(0, 4), "ftyp");
  for (const RecentChunk& chunk : chunks) {
    const auto place = index_.chunk("front", chunk.run, chunk.seq);
    ASSERT_TRUE(place);
    for (const PartEntry& part : chunk.parts) {
      ASSERT_TRUE(place->file->read_at(part.offset + 4, head));
      EXPECT_TRUE(base::as_text(head).starts_with(&part == &chunk.parts.front() ? "styp" : "free"))
          << base::as_text(head);
    }
    EXPECT_EQ(place->length, chunk.chunk.size_bytes);
  }
}

TEST_F(MemoryRecordingTest, KeepsTheLatestSeconds) {
  recording_.start();
  begin_run();
  feed(seconds(300));
  const size_t files = open_files();
  const auto chunks = recent();
  EXPECT_GE(clock_.utc() - chunks.front().start, seconds(18));
  EXPECT_LE(clock_.utc() - chunks.front().start, seconds(25));
  feed(seconds(300));
  EXPECT_LE(open_files(), files + 1);
}

// Nobody promises that a smaller stream is small, or has key frames.
TEST_F(MemoryRecordingTest, HasABoundHoweverMuchComes) {
  constexpr uint64_t kMost = MemoryRecording::kKeep.bytes + MemoryRecording::kMaxObjectBytes +
                             MemoryRecording::kMaxPartBytes + (1 << 20);
  recording_.start();
  begin_run();
  for (int i = 0; i < 5; ++i) {
    feed(seconds(1), 300'000);
    EXPECT_LT(bytes_in_memory(), kMost);
  }
  EXPECT_GT(bytes_in_memory(), MemoryRecording::kKeep.bytes / 2);
  for (int i = 0; i < 5; ++i) {
    feed(seconds(1), 300'000, 1'000'000);
    EXPECT_LT(bytes_in_memory(), kMost);
  }
}

TEST_F(MemoryRecordingTest, NoTwoRunsHaveOneNumber) {
  std::vector<uint64_t> numbers;
  const auto note = [&] { numbers.push_back(recent().back().run.number); };
  recording_.start();
  begin_run();
  feed(seconds(3));
  note();
  recording_.on_run_end(store::RunReason::kCameraLost, "");
  EXPECT_TRUE(recent().back().finished);
  begin_run();
  feed(seconds(3));
  note();
  // The pictures stop within the run.
  clock_.advance(seconds(12));
  pictures_ = 0;
  feed(seconds(3));
  note();
  recording_.stop();
  recording_.start();
  pictures_ = 0;
  feed(seconds(3));
  note();
  EXPECT_TRUE(std::ranges::is_sorted(numbers, std::less_equal<>())) << testing::PrintToString(numbers);
}

}  // namespace
}  // namespace miharu::record
