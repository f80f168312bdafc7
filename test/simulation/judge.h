// Takes what the placer hands on, cuts it with the real segmenter, and compares every frame with what was
// handed in and with the true time.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <optional>

#include "record/segmenter.h"
#include "record/verify.h"
#include "simulation/camera.h"

namespace miharu::simulation {

struct Tally {
  uint64_t pictures = 0;
  uint64_t sounds = 0;  // handed on, of those that were handed in
  uint64_t sounds_in = 0;
  uint64_t silences = 0;
  uint64_t chunks = 0;
  uint64_t objects = 0;
  uint64_t verified = 0;        // objects read back
  uint64_t dependent_runs = 0;  // that begin between two key frames
  nanoseconds worst{};          // error of a picture
  nanoseconds worst_after_step{};
  nanoseconds worst_skew{};  // of sound against picture
  nanoseconds worst_hold{};  // from a picture's arrival until it was handed on
  std::map<char, uint64_t> runs;

  [[nodiscard]] uint64_t all_runs() const {
    uint64_t sum = 0;
    for (const auto& [reason, count] : runs) sum += count;
    return sum;
  }
};

class Judge final : public stream::PlacedListener, private record::SegmenterListener {
 public:
  // Errors allowed: always, in the two seconds after a step, and of sound against picture.
  static constexpr nanoseconds kMaxError = milliseconds(100);
  static constexpr nanoseconds kMaxErrorAfterStep = milliseconds(200);

  Judge(const World& world, record::SegmenterOptions options, std::vector<nanoseconds> steps,
        nanoseconds max_skew)
      : world_(world),
        options_(options),
        steps_(std::move(steps)),
        max_skew_(max_skew),
        segmenter_(options, 1, kFirstSeq, *this) {}

  Tally tally;

  void taken(media::TrackKind kind, const Taken& taken) {
    if (kind == media::TrackKind::kVideo) {
      pictures_.push_back(taken);
    } else {
      sounds_.push_back(taken);
      ++tally.sounds_in;
      // The silence that stands for it came instead, or it had no picture.
      while (sounds_.size() > 4000) sounds_.pop_front();
    }
  }
  // After the stream was stopped: nothing may be left.
  void finish() {
    while (!pictures_.empty() && !pictures_.front().decodable) pictures_.pop_front();
    EXPECT_TRUE(pictures_.empty()) << pictures_.size() << " pictures were never handed on";
    EXPECT_TRUE(placed_.empty()) << placed_.size() << " pictures are in no part";
  }

  void on_run_start(const stream::RunStart& start) override {
    ++tally.runs[static_cast<char>(start.reason)];
    run_ = start;
    if (start.dependent) ++tally.dependent_runs;
    last_dts_ = {};
    run_since_ = world_.now();
    segmenter_.start_run(start);
  }
  void on_run_end(store::RunReason /*reason*/, const std::string& /*detail*/) override {
    segmenter_.end_run();
    EXPECT_FALSE(open_) << "a run ended, its object did not";
    object_end_.reset();
  }
  void on_placed(const stream::PlacedFrame& placed) override {
    const bool video = placed.frame->is_video();
    base::UtcTime& last = last_dts_[video ? 0 : 1];
    EXPECT_GT(placed.dts, last) << "times go back within a run";
    last = placed.dts;
    const uint64_t id = id_of(*placed.frame);
    if (video) {
      judge_picture(placed, id);
    } else if (id == 0) {
      ++tally.silences;
    } else {
      judge_sound(placed, id);
    }
    segmenter_.add(placed);
  }

 private:
  static constexpr uint64_t kFirstSeq = 1000;

  // By what the clock showed when the picture came, or, of one that was held, when it was placed.
  [[nodiscard]] nanoseconds error_of(base::UtcTime placed, nanoseconds moment, nanoseconds arrival) const {
    const nanoseconds came = placed - world_.shown(moment, arrival);
    const nanoseconds handed_on = placed - world_.shown(moment, world_.now());
    return std::chrono::abs(came) < std::chrono::abs(handed_on) ? came : handed_on;
  }
  [[nodiscard]] bool just_stepped() const {
    const auto after = std::upper_bound(steps_.begin(), steps_.end(), world_.now());
    return after != steps_.begin() && world_.now() - *std::prev(after) <= seconds(2);
  }

  void judge_picture(const stream::PlacedFrame& placed, uint64_t id) {
    while (!pictures_.empty() && pictures_.front().id != id && !pictures_.front().decodable)
      pictures_.pop_front();
    ASSERT_FALSE(pictures_.empty());
    ASSERT_EQ(pictures_.front().id, id) << "a picture is lost, doubled or out of its order";
    const Taken taken = pictures_.front();
    pictures_.pop_front();
    placed_.push_back(id);
    ++tally.pictures;
    tally.worst_hold = std::max(tally.worst_hold, nanoseconds(world_.steady() - placed.frame->arrival));

    const nanoseconds error = error_of(placed.pts, taken.moment, taken.arrival);
    picture_error_ = error;
    picture_arrival_ = taken.arrival;
    nanoseconds& worst = just_stepped() ? tally.worst_after_step : tally.worst;
    worst = std::max<nanoseconds>(worst, std::chrono::abs(error));
    const nanoseconds allowed = just_stepped() ? kMaxErrorAfterStep : kMaxError;
    if (std::chrono::abs(error) > allowed && ++complaints_ <= 5) {
      ADD_FAILURE() << "picture " << id << " of moment "
                    << std::chrono::duration<double>(taken.moment).count() << " s is placed "
                    << static_cast<double>(error.count()) / 1e6 << " ms off";
    }
    // What a user finds when the clock is put right later.
    if (!run_.synchronised) {
      const base::UtcTime corrected = placed.pts - run_.utc_minus_steady + synchronised_difference();
      const nanoseconds off = corrected - world_.shown(taken.moment, nanoseconds::max());
      EXPECT_LE(std::chrono::abs(off), kMaxError) << "provisional picture " << id;
    }
  }
  [[nodiscard]] nanoseconds synchronised_difference() const {
    return world_.shown(world_.now(), nanoseconds::max()).time_since_epoch() -
           world_.steady().time_since_epoch();
  }

  void judge_sound(const stream::PlacedFrame& placed, uint64_t id) {
    while (!sounds_.empty() && sounds_.front().id < id) sounds_.pop_front();
    ASSERT_FALSE(sounds_.empty());
    ASSERT_EQ(sounds_.front().id, id) << "sound is doubled or out of its order";
    const Taken taken = sounds_.front();
    sounds_.pop_front();
    ++tally.sounds;
    if (!max_skew_.count() || placed.frame->arrival - world_.steady_at(run_since_) < seconds(5)) return;
    const nanoseconds skew = error_of(placed.dts, taken.moment, picture_arrival_) - picture_error_;
    tally.worst_skew = std::max<nanoseconds>(tally.worst_skew, std::chrono::abs(skew));
    if (std::chrono::abs(skew) > max_skew_ && ++complaints_ <= 5) {
      ADD_FAILURE() << "sound " << id << " of moment " << std::chrono::duration<double>(taken.moment).count()
                    << " s is " << static_cast<double>(skew.count()) / 1e6 << " ms off its picture";
    }
  }

  // ---- what becomes of it on disk
  void on_object(record::ObjectStart start) override {
    EXPECT_FALSE(open_);
    object_ = std::move(start.name);
    object_.chunks.clear();
    EXPECT_EQ(object_.seq, next_seq_) << "numbers have a hole";
    if (object_end_) {
      EXPECT_EQ(object_.run, last_run_);
      EXPECT_EQ(object_.start, *object_end_) << "objects of a run do not meet";
    } else {
      EXPECT_EQ(object_.run.number, last_run_.number + 1);
    }
    last_run_ = object_.run;
    open_ = true;
    // Every so often an object is read back as `verify` does.
    keep_bytes_ = tally.objects % 97 == 0;
    bytes_ = keep_bytes_ ? std::move(start.init) : base::ByteVector();
  }
  void on_part(record::Part part) override {
    ASSERT_TRUE(open_);
    EXPECT_LE(part.start, part.end);
    if (part.starts_chunk) chunk_ = {};
    chunk_.size_bytes += static_cast<uint32_t>(part.size_bytes);
    chunk_.key_bytes = std::max(chunk_.key_bytes, part.key_bytes);
    for (const record::Part::Piece& piece : part.pieces) {
      if (keep_bytes_) bytes_.insert(bytes_.end(), piece.head.begin(), piece.head.end());
      for (const media::FramePtr& frame : piece.payloads) {
        if (keep_bytes_) bytes_.insert(bytes_.end(), frame->data().begin(), frame->data().end());
        if (!frame->is_video()) continue;
        ASSERT_FALSE(placed_.empty());
        ASSERT_EQ(placed_.front(), id_of(*frame))
            << "a picture is lost, doubled or out of its order in parts";
        placed_.pop_front();
      }
    }
  }
  void on_chunk_end(base::UtcTime end, bool object) override {
    ASSERT_TRUE(open_);
    const int64_t length = base::to_unix_ms(end) - base::to_unix_ms(object_.end());
    ASSERT_GE(length, 1) << "chunks overlap";
    chunk_.duration_ms = static_cast<uint32_t>(length);
    object_.chunks.push_back(chunk_);
    ++tally.chunks;
    if (!object) return;
    open_ = false;
    object_end_ = object_.end();
    next_seq_ = object_.seq + object_.chunks.size();
    ++tally.objects;
    if (!keep_bytes_) return;
    object_.crc = base::crc32c(0, bytes_);
    const auto name = store::encode_name(object_, options_.max_name_length);
    ASSERT_TRUE(name) << name.error().to_string();
    const auto read = store::decode_name(*name);
    ASSERT_TRUE(read) << *name;
    EXPECT_EQ(record::check_object(*read, bytes_, nullptr), std::vector<std::string>());
    // Storage is UTC, whatever the zone of the machine.
    const std::time_t unix_seconds = base::to_unix_ms(read->start) / 1000;
    std::tm parts{};
    gmtime_r(&unix_seconds, &parts);
    std::array<char, 32> text{};
    ASSERT_GT(std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%S", &parts), 0U);
    EXPECT_EQ(name->substr(0, 15), text.data());
    ++tally.verified;
  }

  const World& world_;
  record::SegmenterOptions options_;
  std::vector<nanoseconds> steps_;
  nanoseconds max_skew_;
  record::Segmenter segmenter_;

  std::deque<Taken> pictures_;   // handed in, not yet handed on
  std::deque<Taken> sounds_;     // the same
  std::deque<uint64_t> placed_;  // pictures handed on, not yet in a part
  stream::RunStart run_;
  nanoseconds run_since_{};
  std::array<base::UtcTime, 2> last_dts_{};
  nanoseconds picture_error_{};    // of the latest picture
  nanoseconds picture_arrival_{};  // its: sound is in its run, and goes by its clock
  int complaints_ = 0;

  bool open_ = false;  // an object
  bool keep_bytes_ = false;
  base::ByteVector bytes_;
  store::ObjectName object_;
  store::Chunk chunk_;
  store::Run last_run_{};
  std::optional<base::UtcTime> object_end_;
  uint64_t next_seq_ = kFirstSeq;
};

}  // namespace miharu::simulation
