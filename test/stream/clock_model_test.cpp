#include "stream/clock_model.h"

#include <gtest/gtest.h>

#include "support/manual_clock.h"

namespace miharu::stream {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;
using media::TrackKind;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);

// A camera of 25 pictures a second, `delay` late, whose clock runs `ppm` too fast.
class Camera {
 public:
  Camera(ClockModel& model, test::ManualClock& clock) : model_(model), clock_(clock) {}
  void picture(nanoseconds delay = {}) {
    clock_.advance(delay);
    model_.observe(TrackKind::kVideo, media_, clock_.steady(), clock_.utc());
    clock_.advance(milliseconds(40) - delay);
    media_ += milliseconds(40) + milliseconds(40) * ppm_ / 1'000'000;
  }
  nanoseconds media() const { return media_; }
  void skip(nanoseconds length) { media_ += length; }
  void run_ppm(int64_t ppm) { ppm_ = ppm; }

 private:
  ClockModel& model_;
  test::ManualClock& clock_;
  nanoseconds media_{seconds(77)};
  int64_t ppm_ = 0;
};

TEST(TicksToTime, RoundsCumulativeTimesAndComesBack) {
  for (const int64_t ticks :
       {int64_t{0}, int64_t{1}, int64_t{3003}, int64_t{1'795'230'000} * 90000 + 1234, int64_t{-3003}}) {
    const nanoseconds time = ticks_to_time(ticks, 90000);
    const int64_t back =
        (time.count() / 1'000'000'000) * 90000 +
        (time.count() % 1'000'000'000 * 90000 + (ticks < 0 ? -500'000'000 : 500'000'000)) / 1'000'000'000;
    EXPECT_EQ(back, ticks);
  }
}

TEST(ClockModel, PlacesABurstByTheFrameThatWasLeastDelayed) {
  test::ManualClock clock(kStart);
  ClockModel model;
  // The cached group of pictures, four seconds of it, comes at once; then pictures as they are made.
  nanoseconds media{};
  for (int i = 0; i < 100; ++i, media += milliseconds(40))
    model.observe(TrackKind::kVideo, media, clock.steady(), clock.utc());
  EXPECT_FALSE(model.settled(clock.steady()));
  for (int i = 0; i < 20; ++i, media += milliseconds(40)) {
    model.observe(TrackKind::kVideo, media, clock.steady(), clock.utc());
    clock.advance(milliseconds(40));
  }
  EXPECT_TRUE(model.settled(clock.steady()));
  model.place();
  // The hundredth picture was the first that came as it was made.
  EXPECT_EQ(model.map(TrackKind::kVideo, milliseconds(4000)), kStart);
  EXPECT_EQ(model.map(TrackKind::kVideo, {}), kStart - seconds(4));
}

TEST(ClockModel, HoldsTwoSecondsAtTheMostHoweverTheDelayImproves) {
  test::ManualClock clock(kStart);
  ClockModel model;
  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(model.settled(clock.steady()));
    model.observe(TrackKind::kVideo, milliseconds(60) * i, clock.steady(), clock.utc());
    clock.advance(milliseconds(40));
  }
  EXPECT_TRUE(model.settled(clock.steady()));
}

TEST(ClockModel, FollowsAFastCameraClockBySlewing) {
  test::ManualClock clock(kStart);
  ClockModel model;
  Camera camera(model, clock);
  camera.run_ppm(200);
  for (int i = 0; i < 30; ++i) camera.picture();
  model.place();
  base::UtcTime last = base::UtcTime::min();
  for (int i = 0; i < 25 * 3600; ++i) {
    camera.picture(milliseconds(i % 7));
    ASSERT_FALSE(model.stepped());
    const base::UtcTime now = model.map(TrackKind::kVideo, camera.media());
    ASSERT_GT(now, last);
    last = now;
    ASSERT_LT(std::abs((now - clock.utc()).count()), nanoseconds(milliseconds(20)).count())
        << "after picture " << i;
  }
}

TEST(ClockModel, AStepOfTheWallClockIsSeenAtOnceAndCorrected) {
  for (const auto step : {nanoseconds(std::chrono::hours(2)), nanoseconds(-std::chrono::hours(2)),
                          nanoseconds(milliseconds(500))}) {
    test::ManualClock clock(kStart);
    ClockModel model;
    Camera camera(model, clock);
    for (int i = 0; i < 30; ++i) camera.picture();
    model.place();
    for (int i = 0; i < 100; ++i) camera.picture();
    EXPECT_FALSE(model.stepped());
    clock.step(step);
    camera.picture();
    ASSERT_TRUE(model.stepped());
    model.correct_step();
    EXPECT_FALSE(model.stepped());
    EXPECT_EQ(model.map(TrackKind::kVideo, camera.media()), clock.utc());
  }
}

TEST(ClockModel, SenderReportsAlignSoundThatComesLate) {
  test::ManualClock clock(kStart);
  ClockModel model;
  // Sound is sent 300 ms later than the picture of the same moment; both clocks start anywhere.
  const nanoseconds video_zero = seconds(11);
  const nanoseconds audio_zero = seconds(500);
  const auto report = [&](TrackKind kind, nanoseconds media) {
    // The camera's wall clock shows 1970 and some: only differences count.
    const uint64_t ntp = uint64_t{5000} << 32;
    model.observe(ingest::SenderReport{kind, ntp, 0, clock.steady()}, media);
  };
  report(TrackKind::kVideo, video_zero);
  report(TrackKind::kAudio, audio_zero);
  for (int i = 0; i < 50; ++i) {
    model.observe(TrackKind::kVideo, video_zero + milliseconds(40) * i, clock.steady(), clock.utc());
    if (i >= 8)
      model.observe(TrackKind::kAudio, audio_zero + milliseconds(40) * i - milliseconds(300), clock.steady(),
                    clock.utc());
    clock.advance(milliseconds(40));
  }
  model.place();
  EXPECT_EQ(model.map(TrackKind::kVideo, video_zero), model.map(TrackKind::kAudio, audio_zero));
}

TEST(ClockModel, AStallOfTheNetworkIsNoStep) {
  test::ManualClock clock(kStart);
  ClockModel model;
  Camera camera(model, clock);
  for (int i = 0; i < 30; ++i) camera.picture();
  model.place();
  const base::UtcTime before = model.map(TrackKind::kVideo, camera.media());
  EXPECT_EQ(before, clock.utc());
  for (int stall = 0; stall < 30; ++stall) {
    // 12 s, whenever windows begin; then what was kept comes at once.
    for (int i = 0; i < 13 * stall; ++i) camera.picture();
    nanoseconds media = camera.media();
    const base::UtcTime made = clock.utc();
    clock.advance(seconds(12));
    for (int i = 0; i < 300; ++i, media += milliseconds(40))
      model.observe(TrackKind::kVideo, media, clock.steady(), clock.utc());
    ASSERT_FALSE(model.stepped());
    camera.skip(seconds(12));
    ASSERT_EQ(model.map(TrackKind::kVideo, camera.media()), made + seconds(12));
  }
}

TEST(ClockModel, PicturesThatComeBeforeTheirTimeAreAStepAtOnce) {
  test::ManualClock clock(kStart);
  ClockModel model;
  Camera camera(model, clock);
  // All of the hold came through a queue of 150 ms that is gone later.
  for (int i = 0; i < 30; ++i) {
    model.observe(TrackKind::kVideo, milliseconds(40) * i, clock.steady(), clock.utc() + milliseconds(0));
    clock.advance(milliseconds(40));
  }
  model.place();
  model.observe(TrackKind::kVideo, milliseconds(1200 + 150), clock.steady(), clock.utc());
  ASSERT_TRUE(model.stepped());
  model.correct_step();
  EXPECT_EQ(model.map(TrackKind::kVideo, milliseconds(1200 + 150)), clock.utc());
  EXPECT_FALSE(model.stepped());
}

TEST(ClockModel, SoundIsNotPlacedByTheFirstFrameOfAPacket) {
  test::ManualClock clock(kStart);
  ClockModel model;
  Camera camera(model, clock);
  for (int i = 0; i < 8; ++i) camera.picture();
  ASSERT_TRUE(model.settled(clock.steady()));
  // Two frames of 128 ms in a packet: the first waited for the second.
  const nanoseconds heard = camera.media();
  model.observe(TrackKind::kAudio, heard - milliseconds(128), clock.steady(), clock.utc());
  EXPECT_FALSE(model.settled(clock.steady()));
  model.observe(TrackKind::kAudio, heard, clock.steady(), clock.utc());
  const base::UtcTime now = clock.utc();
  for (int i = 0; i < 5; ++i) camera.picture();
  ASSERT_TRUE(model.settled(clock.steady()));
  model.place();
  EXPECT_EQ(model.map(TrackKind::kAudio, heard), now);
}

TEST(ClockModel, ReportsOfAClockThatStepsAreNotBelieved) {
  test::ManualClock clock(kStart);
  ClockModel model;
  for (int i = 0; i < 500; ++i) {
    if (i % 50 == 0) {
      // 600 ms apart, and elsewhere each time.
      const uint64_t ntp = static_cast<uint64_t>(5000 + i * (1 + i % 4)) << 32;
      model.observe(ingest::SenderReport{TrackKind::kVideo, ntp, 0, clock.steady()}, milliseconds(40) * i);
      model.observe(ingest::SenderReport{TrackKind::kAudio, ntp, 0, clock.steady()},
                    milliseconds(40) * i + milliseconds(600));
    }
    model.observe(TrackKind::kVideo, milliseconds(40) * i, clock.steady(), clock.utc());
    model.observe(TrackKind::kAudio, milliseconds(40) * i, clock.steady(), clock.utc());
    if (i == 30) model.place();
    clock.advance(milliseconds(40));
  }
  EXPECT_EQ(model.map(TrackKind::kVideo, seconds(2)), model.map(TrackKind::kAudio, seconds(2)));
}

TEST(ClockModel, SenderReportsThatAreFarOffAreNotBelieved) {
  test::ManualClock clock(kStart);
  ClockModel model;
  model.observe(ingest::SenderReport{TrackKind::kVideo, uint64_t{5000} << 32, 0, clock.steady()}, seconds(1));
  model.observe(ingest::SenderReport{TrackKind::kAudio, uint64_t{9000} << 32, 0, clock.steady()}, seconds(1));
  for (int i = 0; i < 50; ++i) {
    model.observe(TrackKind::kVideo, seconds(1) + milliseconds(40) * i, clock.steady(), clock.utc());
    model.observe(TrackKind::kAudio, seconds(1) + milliseconds(40) * i, clock.steady(), clock.utc());
    clock.advance(milliseconds(40));
  }
  model.place();
  EXPECT_EQ(model.map(TrackKind::kVideo, seconds(2)), model.map(TrackKind::kAudio, seconds(2)));
}

}  // namespace
}  // namespace miharu::stream
