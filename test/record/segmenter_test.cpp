#include "record/segmenter.h"

#include <gtest/gtest.h>

#include "media/scan.h"
#include "record/recovery.h"
#include "support/frames.h"

namespace miharu::record {
namespace {

using base::milliseconds;
using base::seconds;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);

struct Object {
  store::ObjectName name;
  base::ByteVector bytes;
  std::vector<base::UtcTime> chunk_ends;
  std::vector<Part> parts;
  bool ended = false;
};

class Collector final : public SegmenterListener {
 public:
  void on_object(ObjectStart start) override { objects.push_back({start.name, start.init, {}, {}}); }
  void on_part(Part part) override {
    Object& object = objects.back();
    for (const Part::Piece& piece : part.pieces) {
      object.bytes.insert(object.bytes.end(), piece.head.begin(), piece.head.end());
      for (const media::FramePtr& frame : piece.payloads)
        object.bytes.insert(object.bytes.end(), frame->data().begin(), frame->data().end());
    }
    object.parts.push_back(std::move(part));
  }
  void on_chunk_end(base::UtcTime end, bool object) override {
    objects.back().chunk_ends.push_back(end);
    objects.back().ended = object;
  }
  std::vector<Object> objects;
};

// Pictures at 25 a second with a key frame every `gop` of them.
class SegmenterTest : public ::testing::Test {
 protected:
  void start(bool audio = false) {
    segmenter_.emplace(options_, 5, 100, collector_);
    segmenter_->start_run({store::RunReason::kCameraLost, "", video_, audio ? audio_ : nullptr});
  }
  void pictures(int count, int gop, size_t bytes = 500) {
    for (int i = 0; i < count; ++i, ++n_) {
      const base::UtcTime time = kStart + milliseconds(40) * n_;
      segmenter_->add({test::make_frame(video_, n_ * 3600, n_ % gop == 0, bytes, {}), time, time});
    }
  }
  void sound(base::UtcTime time) {
    segmenter_->add({test::make_frame(audio_, 0, true, 100, {}), time, time});
  }

  SegmenterOptions options_;
  Collector collector_;
  std::optional<Segmenter> segmenter_;
  media::TrackConfigPtr video_ = test::video_config();
  media::TrackConfigPtr audio_ = test::aac_config();
  int n_ = 0;
};

TEST_F(SegmenterTest, AnObjectEndsAtTheFirstChunkBoundaryAfterThirtySeconds) {
  start();
  pictures(25 * 70, 100);
  segmenter_->end_run();
  ASSERT_EQ(collector_.objects.size(), 3U);
  EXPECT_EQ(collector_.objects[0].chunk_ends.size(), 8U);
  EXPECT_EQ(collector_.objects[0].chunk_ends.back(), kStart + seconds(32));
  EXPECT_EQ(collector_.objects[1].name.start, kStart + seconds(32));
  EXPECT_EQ(collector_.objects[1].name.seq, 108U);
  EXPECT_EQ(collector_.objects[0].name.run.number, 5U);
  for (const Object& object : collector_.objects) EXPECT_TRUE(object.ended);
}

// The run goes on under another clock in the middle of a group of pictures, some of which are shown later
// than they are decoded.
TEST_F(SegmenterTest, ARunThatLeansOnTheOneBeforeBeginsWithADependentChunk) {
  for (const store::Container container : {store::Container::kFmp4, store::Container::kMpegTs}) {
    for (const int last : {140, 190}) {  // with and without a key frame of its own
      SCOPED_TRACE(last);
      options_.container = container;
      collector_.objects.clear();
      start();
      constexpr milliseconds kPicture{40};
      const auto picture = [&](int n, base::UtcTime zero) {
        const milliseconds shown_later = n % 100 == 0 ? kPicture
                                         : n % 2 == 0 ? 2 * kPicture
                                                      : milliseconds(0);
        const auto ticks = int64_t{n} * 3600;
        segmenter_->add({test::make_frame(video_, ticks + shown_later.count() * 90, n % 100 == 0, 500, {}),
                         zero + kPicture * n, zero + kPicture * n + shown_later});
      };
      for (int n = 0; n < 150; ++n) picture(n, kStart);
      segmenter_->end_run();
      const base::UtcTime zero = kStart - std::chrono::hours(2);
      segmenter_->start_run({store::RunReason::kClockStep, "", video_, nullptr});
      for (int n = 150; n < last + 50; ++n) picture(n, zero);
      segmenter_->end_run();
      ASSERT_EQ(collector_.objects.size(), 2U);
      const Object& object = collector_.objects[1];
      EXPECT_TRUE(object.parts.front().starts_chunk);
      EXPECT_FALSE(object.parts.front().independent);
      EXPECT_EQ(object.parts.front().key_bytes, 0U);
      EXPECT_EQ(object.name.start, zero + kPicture * 151) << "as the pictures of the group are shown";
      const auto recovered = recover_object(object.bytes, object.name);
      ASSERT_TRUE(recovered) << recovered.error().to_string();
      EXPECT_EQ(recovered->name.start, object.name.start);
      EXPECT_EQ(recovered->name.chunks.size(), object.chunk_ends.size());
      EXPECT_EQ(recovered->name.chunks.front().key_bytes, 0U);
      EXPECT_EQ(recovered->name.chunks.size() > 1, last > 150);
    }
  }
}

TEST_F(SegmenterTest, ShortGroupsOfPicturesShareAChunk) {
  start();
  pictures(25 * 10, 10);  // key frames every 0.4 s
  segmenter_->end_run();
  ASSERT_EQ(collector_.objects.size(), 1U);
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(collector_.objects[0].chunk_ends[i], kStart + seconds(2) * static_cast<int64_t>(i + 1));
}

TEST_F(SegmenterTest, LongGroupsAreCutEveryTenSecondsAndFlaggedDependent) {
  start();
  pictures(25 * 35, 100'000);
  segmenter_->end_run();
  ASSERT_EQ(collector_.objects.size(), 1U);
  const Object& object = collector_.objects[0];
  ASSERT_EQ(object.chunk_ends.size(), 4U);
  EXPECT_EQ(object.chunk_ends[0], kStart + seconds(10));
  EXPECT_EQ(object.chunk_ends[3], kStart + seconds(35));
  std::vector<bool> independent;
  for (const Part& part : object.parts) {
    if (part.starts_chunk) independent.push_back(part.independent);
  }
  EXPECT_EQ(independent, (std::vector<bool>{true, false, false, false}));
}

TEST_F(SegmenterTest, PartsHoldASecondOfPicturesAtTheMost) {
  start();
  pictures(25 * 9, 100);
  segmenter_->end_run();
  const Object& object = collector_.objects[0];
  base::UtcTime expected = kStart;
  for (const Part& part : object.parts) {
    EXPECT_EQ(part.start, expected);
    EXPECT_LE(part.end - part.start, seconds(1));
    EXPECT_GT(part.size_bytes, 0U);
    expected = part.end;
  }
  EXPECT_EQ(expected, kStart + seconds(9));
}

TEST_F(SegmenterTest, TheKeyFrameIsAFragmentOfItsOwn) {
  start(true);
  for (int i = 0; i < 100; ++i) {
    pictures(1, 50);
    sound(kStart + milliseconds(40) * i);
  }
  segmenter_->end_run();
  const Object& object = collector_.objects[0];
  const auto scan = media::scan_fmp4(object.bytes);
  ASSERT_TRUE(scan.has_value()) << scan.error().to_string();
  EXPECT_EQ(scan->whole_bytes, object.bytes.size());
  size_t chunks = 0;
  for (const media::ScannedFragment& fragment : scan->fragments) {
    if (!fragment.starts_chunk) continue;
    ++chunks;
    EXPECT_TRUE(fragment.begins_with_key());
    EXPECT_EQ(fragment.video.size(), 1U);
    EXPECT_TRUE(fragment.audio.empty());
  }
  EXPECT_EQ(chunks, 2U);
}

TEST_F(SegmenterTest, NothingIsLostWhenTheRunEndsInMidPart) {
  start();
  pictures(37, 25);
  segmenter_->end_run();
  const auto scan = media::scan_fmp4(collector_.objects[0].bytes);
  size_t frames = 0;
  for (const media::ScannedFragment& fragment : scan->fragments) frames += fragment.video.size();
  EXPECT_EQ(frames, 37U);
  EXPECT_EQ(collector_.objects[0].chunk_ends.back(), kStart + milliseconds(40) * 37);
}

TEST_F(SegmenterTest, LargeObjectsEndEarly) {
  options_.max_object_bytes = 100'000;
  start();
  pictures(25 * 20, 50, 5000);
  segmenter_->end_run();
  EXPECT_GT(collector_.objects.size(), 4U);
  for (const Object& object : collector_.objects) EXPECT_LT(object.bytes.size(), 500'000U);
}

TEST_F(SegmenterTest, WhatIsPendingHasACap) {
  options_.max_part_bytes = 20'000;
  start(true);
  pictures(1, 1000);
  // A thousand pictures of one moment, and sound far ahead of them.
  for (int i = 0; i < 1000; ++i) {
    const base::UtcTime time = kStart + base::microseconds(100) * i;
    segmenter_->add({test::make_frame(video_, i, false, 1000, {}), time, time});
    sound(kStart + seconds(1) + milliseconds(i));
  }
  segmenter_->end_run();
  uint64_t bytes = 0;
  for (const Part& part : collector_.objects.at(0).parts) {
    EXPECT_LT(part.size_bytes, 60'000U);
    bytes += part.size_bytes;
  }
  EXPECT_GT(bytes, 1'000'000U);
  EXPECT_LT(bytes, 1'060'000U);
}

TEST_F(SegmenterTest, ANameThatIsFullEndsItsObject) {
  options_.max_name_length = 143;  // eCryptfs
  options_.segment = std::chrono::minutes(10);
  start();
  pictures(25 * 120, 50, 5000);
  segmenter_->end_run();
  ASSERT_GT(collector_.objects.size(), 2U);
  for (Object& object : collector_.objects) {
    store::ObjectName name = object.name;
    base::UtcTime start = name.start;
    for (const base::UtcTime end : object.chunk_ends) {
      name.chunks.push_back({static_cast<uint32_t>((end - start) / milliseconds(1)), 252'000, 5'100, false});
      start = end;
    }
    EXPECT_TRUE(store::encode_name(name, 143).has_value());
  }
}

TEST_F(SegmenterTest, TimesRoundToContiguousMilliseconds) {
  start();
  // 30000/1001 pictures a second.
  for (int i = 0; i < 30 * 70; ++i) {
    const base::UtcTime time = kStart + base::nanoseconds(int64_t{i} * 1001 * 1'000'000'000 / 30000);
    segmenter_->add({test::make_frame(video_, i * 3003, i % 60 == 0, 300, {}), time, time});
  }
  segmenter_->end_run();
  ASSERT_EQ(collector_.objects.size(), 3U);
  for (size_t i = 1; i < collector_.objects.size(); ++i) {
    EXPECT_EQ(collector_.objects[i].name.start, collector_.objects[i - 1].chunk_ends.back());
  }
}

TEST_F(SegmenterTest, TheBytesLeadToTheSameStartAtTheEdgeOfAMillisecond) {
  start();
  // One nanosecond before the half, and one tick of 90 kHz on it: rounded apart they would differ by a
  // millisecond.
  const base::UtcTime begin = kStart + base::nanoseconds(1'499'999);
  for (int i = 0; i < 100; ++i) {
    const base::UtcTime time = begin + milliseconds(40) * i;
    segmenter_->add({test::make_frame(video_, i * 3600, i % 50 == 0, 300, {}), time, time});
  }
  segmenter_->end_run();
  const Object& object = collector_.objects.at(0);
  const auto recovered = recover_object(object.bytes, object.name);
  ASSERT_TRUE(recovered.has_value()) << recovered.error().to_string();
  EXPECT_EQ(recovered->name.start, object.name.start);
  EXPECT_EQ(recovered->name.end(), object.chunk_ends.back());
}

}  // namespace
}  // namespace miharu::record
