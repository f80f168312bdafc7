#include "stream/camera_stream.h"

#include <gtest/gtest.h>

#include "stream/placed_collector.h"
#include "support/frames.h"
#include "support/manual_clock.h"

namespace miharu::stream {
namespace {

using base::milliseconds;
using base::seconds;
using store::RunReason;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);

// A source that the test plays by hand.
class HandSource final : public ingest::Source {
 public:
  HandSource(ingest::SourceListener& listener, HandSource*& self) : listener_(listener), self_(self) {
    self_ = this;
  }
  ~HandSource() override { self_ = nullptr; }
  void start() override { status_.state = ingest::SourceStatus::State::kPlaying; }
  void stop() override { status_.state = ingest::SourceStatus::State::kIdle; }
  ingest::SourceStatus status() const override { return status_; }
  ingest::SourceListener& listener() { return listener_; }

 private:
  ingest::SourceListener& listener_;
  HandSource*& self_;
  ingest::SourceStatus status_;
};

class CameraStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    loop_.start();
    on_loop([this] { make({}); });
  }
  void TearDown() override {
    on_loop([this] { stream_.reset(); });
    loop_.stop();
  }
  void on_loop(const std::function<void()>& function) { loop_.run_and_wait(function); }
  void make(StreamOptions options) {
    stream_.reset();
    stream_ = std::make_unique<CameraStream>(
        "front", loop_, clock_, options,
        [this](ingest::SourceListener& listener) { return std::make_unique<HandSource>(listener, source_); },
        out_);
    stream_->start();
  }
  // 25 pictures a second, each with 40 ms of sound in two frames.
  void play(int64_t pictures, const media::TrackConfigPtr& audio) {
    source_->listener().on_tracks(true, audio != nullptr);
    for (int64_t i = 0; i < pictures; ++i, ++next_) {
      source_->listener().on_frame(
          test::make_frame(video_, next_ * 3600, next_ % 50 == 0, 1000, clock_.steady()));
      for (int64_t half = 0; audio && half < 2; ++half) {
        const int64_t ticks = audio->clock_rate / 50;
        source_->listener().on_frame(test::make_frame(audio, (next_ * 2 + half) * ticks, true,
                                                      static_cast<size_t>(ticks), clock_.steady()));
      }
      clock_.advance(milliseconds(40));
    }
  }
  static media::TrackConfigPtr pcmu(uint32_t rate) {
    auto config = std::make_shared<media::TrackConfig>();
    config->codec = media::Codec::kPcmu;
    config->clock_rate = config->sample_rate = rate;
    config->channels = 1;
    return config;
  }

  net::EventLoop loop_{"media"};
  test::ManualClock clock_{kStart};
  PlacedCollector out_;
  HandSource* source_ = nullptr;
  std::unique_ptr<CameraStream> stream_;
  media::TrackConfigPtr video_ = test::video_config();
  int64_t next_ = 0;
};

TEST_F(CameraStreamTest, G711IsRecordedAsAac) {
  on_loop([this] {
    play(250, pcmu(8000));
    stream_->stop(RunReason::kOperator, "enough");
  });
  ASSERT_EQ(out_.runs.size(), 1U);
  const auto& run = out_.runs[0];
  ASSERT_TRUE(run.start.audio);
  EXPECT_EQ(run.start.audio->codec, media::Codec::kAac);
  EXPECT_EQ(run.start.audio->sample_rate, 16000U);
  EXPECT_EQ(run.video.size(), 250U);
  ASSERT_GE(run.audio.size(), 150U);  // 64 ms each
  EXPECT_LE(run.audio.front().dts - kStart, milliseconds(64));
  EXPECT_GE(run.audio.back().dts, kStart + seconds(10) - milliseconds(300));
}

TEST_F(CameraStreamTest, SoundThatCannotBeRecordedCostsTheSoundOnly) {
  on_loop([this] { play(100, pcmu(44100)); });
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_FALSE(out_.runs[0].start.audio);
  EXPECT_EQ(out_.runs[0].video.size(), 100U);
  EXPECT_EQ(stream_->status().audio, nullptr) << "nothing was published yet";
}

TEST_F(CameraStreamTest, InterruptionsEndTheRunWithTheirReason) {
  on_loop([this] {
    play(50, nullptr);
    source_->listener().on_interrupted(ingest::Interruption::kConnection,
                                       {base::Errc::kTimeout, "no packets for 10 s", -1});
    ASSERT_FALSE(out_.runs.empty());
    EXPECT_EQ(out_.runs.back().end_reason, RunReason::kCameraLost);
    EXPECT_EQ(out_.runs.back().end_detail, "no packets for 10 s");
    play(60, nullptr);
    source_->listener().on_interrupted(ingest::Interruption::kClockJump,
                                       {base::Errc::kMalformed, "the camera's clock jumped", -1});
    EXPECT_EQ(out_.runs.size(), 2U) << "the run goes on to the next key frame";
    next_ += 90'000;
    play(90, nullptr);
    EXPECT_EQ(out_.runs.size(), 3U);
    EXPECT_EQ(out_.runs[1].end_reason, RunReason::kClockStep);
    EXPECT_EQ(out_.runs[1].end_detail, "the camera's clock jumped");
    EXPECT_EQ(out_.runs.back().start.reason, RunReason::kClockStep);
    EXPECT_EQ(out_.runs[1].video.size() + out_.runs[2].video.size(), 150U) << "nothing is lost";
  });
}

TEST_F(CameraStreamTest, StopEndsTheRunAndTheSource) {
  on_loop([this] {
    play(5, nullptr);  // still held
    stream_->stop(RunReason::kOperator, "recording was switched off");
    EXPECT_EQ(source_, nullptr);
    stream_->stop(RunReason::kRestart, "again");
  });
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(out_.runs[0].video.size(), 5U);
  EXPECT_EQ(out_.runs[0].end_reason, RunReason::kOperator);
  EXPECT_EQ(stream_->status().source.state, ingest::SourceStatus::State::kIdle);
}

TEST_F(CameraStreamTest, StatusTellsWhatTheCameraSends) {
  on_loop([this] {
    play(120, pcmu(8000));
    source_->listener().on_interrupted(ingest::Interruption::kConnection, {base::Errc::kClosed, "bye", -1});
  });
  const StreamStatus status = stream_->status();
  ASSERT_TRUE(status.video);
  EXPECT_EQ(status.video->width, 1280U);
  ASSERT_TRUE(status.audio);
  EXPECT_EQ(status.audio->codec, media::Codec::kPcmu) << "as the camera sends it";
  EXPECT_DOUBLE_EQ(status.gop_seconds, 2.0);
  EXPECT_EQ(status.source.state, ingest::SourceStatus::State::kPlaying);
}

TEST_F(CameraStreamTest, AGroupOfPicturesIsNotMeasuredOverAnInterruption) {
  on_loop([this] {
    play(60, nullptr);
    source_->listener().on_interrupted(ingest::Interruption::kConnection, {base::Errc::kClosed, "bye", -1});
    next_ = 100'000;
    play(60, nullptr);
    source_->listener().on_interrupted(ingest::Interruption::kConnection, {base::Errc::kClosed, "bye", -1});
  });
  EXPECT_DOUBLE_EQ(stream_->status().gop_seconds, 2.0);
}

TEST_F(CameraStreamTest, OpusIsTranscodedOnlyWhereTheContainerNeedsIt) {
  auto opus = std::make_shared<media::TrackConfig>();
  opus->codec = media::Codec::kOpus;
  opus->clock_rate = opus->sample_rate = 48000;
  opus->channels = 1;
  for (const bool to_aac : {false, true}) {
    on_loop([&] {
      stream_.reset();
      out_.runs.clear();
      next_ = 0;
      make({to_aac});
      source_->listener().on_tracks(true, true);
      for (int64_t n = 0; n < 100; ++n, clock_.advance(milliseconds(40))) {
        source_->listener().on_frame(test::make_frame(video_, n * 3600, n == 0, 1000, clock_.steady()));
        for (int64_t half = 0; half < 2; ++half) {
          media::FrameBuilder builder;  // 20 ms of silence
          builder.append(test::bytes_of("f8fffe"));
          const int64_t pts = (n * 2 + half) * 960;
          source_->listener().on_frame(builder.finish({opus, pts, pts, clock_.steady(), true, false}));
        }
      }
    });
    ASSERT_EQ(out_.runs.size(), 1U);
    ASSERT_TRUE(out_.runs[0].start.audio);
    EXPECT_EQ(out_.runs[0].start.audio->codec, to_aac ? media::Codec::kAac : media::Codec::kOpus);
    EXPECT_GE(out_.runs[0].audio.size(), to_aac ? 170U : 195U);
  }
}

}  // namespace
}  // namespace miharu::stream
