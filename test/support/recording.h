// A store with a recording in it, made by the segmenter and the writer of the real recorder, without threads:
// 25 pictures a second with sound, a key frame every second, objects of six seconds.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "record/camera_writer.h"
#include "record/gap_log.h"
#include "record/segmenter.h"
#include "support/frames.h"
#include "support/manual_clock.h"
#include "support/temp_dir.h"

namespace miharu::test {

inline const base::UtcTime kRecordingStart = base::from_unix_ms(1'795'230'000'000);  // 2026-11-21T03:00:00Z

// One camera of the store.
class HandRecorder final : private record::SegmenterListener {
 public:
  HandRecorder(std::string camera, store::DirectoryStore& store, record::RecordingIndex& index,
               ManualClock& clock, const record::SegmenterOptions& options)
      : clock_(clock),
        disk_(record::make_system_disk()),
        writer_(std::move(camera), *disk_, store, index, clock, options.max_name_length),
        segmenter_(options, 0, 0, *this) {}

  void begin_run(store::RunReason reason = store::RunReason::kRestart, bool sound = true) {
    const auto point = writer_.resume();
    ASSERT_TRUE(point) << point.error().to_string();
    segmenter_.set_counters(point->next_run, point->next_seq);
    sound_ = sound;
    pictures_ = 0;
    segmenter_.start_run({reason, "", video, sound ? audio : nullptr});
    sound_time_ = clock_.utc();
  }
  // As after a step of the clock: the run ends, and another goes on with the same group of pictures.
  void continue_run() {
    segmenter_.end_run();
    segmenter_.start_run({store::RunReason::kClockStep, "", video, sound_ ? audio : nullptr, {}, true, true});
    sound_time_ = clock_.utc();
  }
  // The clock goes on with the recording.
  void record(base::nanoseconds length) {
    constexpr base::milliseconds kPicture{40};
    const base::UtcTime until = clock_.utc() + length;
    for (; clock_.utc() < until; clock_.advance(kPicture), ++pictures_) {
      const base::UtcTime now = clock_.utc();
      segmenter_.add(
          {make_frame(video, pictures_ * 3600, pictures_ % 25 == 0, 3000, clock_.steady()), now, now});
      for (; sound_ && sound_time_ < now + kPicture;
           sound_time_ += base::nanoseconds(1024 * 1'000'000'000LL / 48000))
        segmenter_.add({make_frame(audio, 0, true, 200, clock_.steady()), sound_time_, sound_time_});
    }
  }
  void end_run() { segmenter_.end_run(); }
  // What a crash leaves: the last part is lost, the object stays without its name.
  void crash() { segmenter_.abandon_run(); }

  media::TrackConfigPtr video = video_config();
  media::TrackConfigPtr audio = aac_config();

 private:
  void on_object(record::ObjectStart start) override { check(writer_.begin(start)); }
  void on_part(record::Part part) override { check(writer_.append(part)); }
  void on_chunk_end(base::UtcTime end, bool object) override { check(writer_.chunk_end(end, object)); }
  static void check(const base::Status& done) { ASSERT_TRUE(done) << done.error().to_string(); }

  ManualClock& clock_;
  std::unique_ptr<record::Disk> disk_;
  record::CameraWriter writer_;
  record::Segmenter segmenter_;
  bool sound_ = true;
  int64_t pictures_ = 0;
  base::UtcTime sound_time_;
};

struct RecordedStore {
  explicit RecordedStore(store::Container container = store::Container::kFmp4) {
    options.segment = base::seconds(6);
    options.container = container;
  }
  HandRecorder& camera(const std::string& name = "front") {
    auto& recorder = recorders[name];
    if (!recorder) recorder = std::make_unique<HandRecorder>(name, *store, index, clock, options);
    return *recorder;
  }
  // A whole run; then the clock is at its end.
  void run(base::nanoseconds length, store::RunReason reason = store::RunReason::kRestart,
           const std::string& name = "front") {
    camera(name).begin_run(reason);
    camera(name).record(length);
    camera(name).end_run();
  }
  std::vector<store::CatalogEntryPtr> entries(const std::string& name = "front") {
    store::Catalog catalog(*store, &index, clock);
    return catalog.find(name, base::from_unix_ms(0), clock.utc() + std::chrono::hours(24))->entries;
  }

  TempDir folder;
  ManualClock clock{kRecordingStart};
  std::unique_ptr<store::DirectoryStore> store = std::move(
      *store::DirectoryStore::open(folder.path() / "store", store::DirectoryStore::Open::kCreate, {}, clock));
  std::unique_ptr<record::GapLog> gaps = std::move(*record::GapLog::open(folder.path() / "miharu.db"));
  record::RecordingIndex index;
  record::SegmenterOptions options;
  std::map<std::string, std::unique_ptr<HandRecorder>> recorders;
};

}  // namespace miharu::test
