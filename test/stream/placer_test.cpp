#include "stream/placer.h"

#include <gtest/gtest.h>

#include "stream/placed_collector.h"
#include "support/frames.h"
#include "support/manual_clock.h"

namespace miharu::stream {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;
using store::RunReason;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);
constexpr nanoseconds kPicture = milliseconds(40);
// Sound arrives when its last sample was taken.
constexpr nanoseconds kSoundFrame{1024 * 1'000'000'000LL / 48000};

media::TrackConfigPtr wider_video() {
  auto config = std::make_shared<media::TrackConfig>(*test::video_config(0x20));
  config->width = 1920;
  config->height = 1080;
  return config;
}

// A camera of 25 pictures a second; picture n is made at kStart + n * 40 ms and arrives when the test says.
class PlacerTest : public ::testing::Test {
 protected:
  void picture(int64_t n, bool key, size_t bytes = 1000) {
    give(test::make_frame(video_, video_zero_ + n * 3600, key, bytes, clock_.steady()));
  }
  // The sound of 1/25 s as one frame: lengths of audio frames are nothing to the placer.
  void sound(int64_t n) {
    give(test::make_frame(audio_, audio_zero_ + n * 1920, true, 100, clock_.steady()));
  }
  void give(const media::FramePtr& frame) {
    placer_.observe(*frame);
    placer_.add(frame);
  }
  // Pictures as they are made, key frames every `gop`; with sound when `with_sound`.
  void play(int64_t count, bool with_sound = false, int64_t gop = 25) {
    for (int64_t i = 0; i < count; ++i, ++next_) {
      picture(next_, next_ % gop == 0);
      if (with_sound) sound(next_);
      clock_.advance(kPicture);
    }
  }
  static base::UtcTime made(int64_t n) { return kStart + n * kPicture; }
  PlacedCollector::Run& last() { return out_.runs.back(); }

  test::ManualClock clock_{kStart};
  PlacedCollector out_;
  Placer placer_{clock_, out_};
  media::TrackConfigPtr video_ = test::video_config();
  media::TrackConfigPtr audio_ = test::aac_config();
  int64_t video_zero_ = 123'456'789;
  int64_t audio_zero_ = 42;
  int64_t next_ = 0;
};

TEST_F(PlacerTest, ABurstIsHeldAndPlacedByWhatArrivesAsItIsMade) {
  clock_.advance(50 * kPicture);
  for (int64_t n = 0; n < 50; ++n) picture(n, n % 25 == 0);  // the camera's cache, at once
  next_ = 50;
  play(4);  // 120 ms: a burst might go on
  EXPECT_TRUE(out_.runs.empty());
  play(20);
  ASSERT_EQ(out_.runs.size(), 1U);
  ASSERT_EQ(last().video.size(), 74U);
  for (size_t n = 0; n < last().video.size(); ++n)
    ASSERT_EQ(last().video[n].dts, made(static_cast<int64_t>(n))) << n;
  EXPECT_EQ(last().start.reason, RunReason::kRestart);
  EXPECT_FALSE(last().start.audio);
}

TEST_F(PlacerTest, WhatComesBeforeTheFirstKeyFrameIsLeftOut) {
  next_ = 10;
  play(60);
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 45U);
  EXPECT_EQ(last().video.front().dts, made(25 - 10));
}

TEST_F(PlacerTest, CompositionTimesAreKept) {
  for (; next_ < 40; ++next_) {
    give(test::make_frame(video_, next_ * 3600, next_ == 0, 100, clock_.steady(), 7200));
    clock_.advance(kPicture);
  }
  ASSERT_EQ(out_.runs.size(), 1U);
  for (const PlacedFrame& frame : last().video) EXPECT_EQ(frame.pts - frame.dts, milliseconds(80));
}

TEST_F(PlacerTest, AHoldEndsAtItsLimitOfBytes) {
  constexpr size_t kBytes = 1 << 20;
  for (int64_t n = 0; n < 32; ++n) picture(n, n == 0, kBytes - 4);
  EXPECT_TRUE(out_.runs.empty());
  picture(32, false, kBytes);
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 33U);
}

TEST_F(PlacerTest, SoundIsWaitedForWhenItWasOffered) {
  struct Case {
    const char* name;
    bool expected;
    int64_t sound_from;  // picture with which the sound begins, -1 never
    bool declared;
    int64_t most_held;  // pictures
  };
  for (const Case& c :
       {Case{"not offered", false, -1, false, 6}, Case{"offered, never comes", true, -1, false, 26},
        Case{"offered, at once", true, 0, true, 6}, Case{"offered, after 0.8 s", true, 20, true, 26},
        Case{"not offered, but there", false, 3, true, 10}}) {
    SCOPED_TRACE(c.name);
    PlacedCollector out;
    test::ManualClock clock(kStart);
    Placer placer(clock, out);
    placer.set_expected(c.expected);
    int64_t held = 0;
    for (int64_t n = 0; n < 100; ++n, clock.advance(kPicture)) {
      const auto give_one = [&](const media::FramePtr& frame) {
        placer.observe(*frame);
        placer.add(frame);
      };
      give_one(test::make_frame(video_, n * 3600, n == 0, 100, clock.steady()));
      if (c.sound_from >= 0 && n >= c.sound_from)
        give_one(test::make_frame(audio_, n * 1920, true, 100, clock.steady()));
      if (out.runs.empty()) held = n;
    }
    ASSERT_EQ(out.runs.size(), 1U);
    EXPECT_EQ(out.runs[0].start.audio != nullptr, c.declared);
    EXPECT_EQ(out.runs[0].video.size(), 100U);
    EXPECT_LE(held, c.most_held);
    if (c.declared) {
      ASSERT_FALSE(out.runs[0].audio.empty());
      // What comes with the first picture was made before it.
      EXPECT_EQ(out.runs[0].audio.front().dts, made(std::max<int64_t>(1, c.sound_from)) - kSoundFrame);
    }
  }
}

TEST_F(PlacerTest, BothTracksUseOneMapping) {
  play(100, true);
  ASSERT_EQ(out_.runs.size(), 1U);
  // The first sound was made before the first picture.
  ASSERT_EQ(last().audio.size() + 1, last().video.size());
  for (size_t i = 0; i < last().audio.size(); ++i)
    EXPECT_EQ(last().audio[i].dts + kSoundFrame, last().video[i + 1].dts);
}

TEST_F(PlacerTest, SoundOfBeforeTheFirstPictureIsLeftOut) {
  play(50, true);
  // A new run begins with picture 50; the sound of 48 and 49 comes behind it.
  video_ = wider_video();
  picture(50, true);
  for (int64_t n = 48; n < 53; ++n) sound(n);
  ASSERT_EQ(out_.runs.size(), 2U);
  ASSERT_EQ(last().audio.size(), 2U);
  EXPECT_EQ(last().audio.front().dts, last().video.front().dts + kPicture - kSoundFrame);
}

TEST_F(PlacerTest, ParametersThatChangeBeginARunAtAKeyFrame) {
  play(60);
  video_ = wider_video();
  play(15);  // of the group 50..74: nothing of it could be decoded
  EXPECT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 60U);
  play(25);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_EQ(out_.runs[0].end_reason, RunReason::kParameters);
  EXPECT_NE(out_.runs[0].end_detail.find("1280x720 to 1920x1080"), std::string::npos);
  EXPECT_EQ(last().start.reason, RunReason::kParameters);
  EXPECT_EQ(last().start.detail, out_.runs[0].end_detail);
  EXPECT_EQ(last().video.front().dts, made(75));
  EXPECT_EQ(last().video.size(), 25U);
}

TEST_F(PlacerTest, EqualParametersInAnotherObjectAreNoChange) {
  play(60);
  video_ = std::make_shared<media::TrackConfig>(*video_);
  play(60);
  EXPECT_EQ(out_.runs.size(), 1U);
}

TEST_F(PlacerTest, AStepOfTheWallClockBeginsARunAtTheCorrectedTime) {
  for (const nanoseconds step :
       {nanoseconds(seconds(10)), nanoseconds(seconds(-10)), nanoseconds(std::chrono::hours(-24)),
        nanoseconds(milliseconds(300)), nanoseconds(milliseconds(-300))}) {
    SCOPED_TRACE(step.count());
    PlacedCollector out;
    test::ManualClock clock(kStart);
    Placer placer(clock, out);
    for (int64_t n = 0; n < 150; ++n, clock.advance(kPicture)) {
      if (n == 60) clock.step(step);
      const auto frame = test::make_frame(video_, n * 3600, n % 25 == 0, 100, clock.steady());
      placer.observe(*frame);
      placer.add(frame);
    }
    ASSERT_EQ(out.runs.size(), 2U);
    EXPECT_EQ(out.runs[0].end_reason, RunReason::kClockStep);
    EXPECT_EQ(out.runs[1].start.reason, RunReason::kClockStep);
    EXPECT_EQ(out.runs[0].video.back().dts, made(59)) << "not a picture longer under the old clock";
    EXPECT_TRUE(out.runs[1].start.dependent);
    EXPECT_EQ(out.runs[1].video.front().dts, made(60) + step);
    EXPECT_EQ(out.runs[0].video.size() + out.runs[1].video.size(), 150U);
  }
}

TEST_F(PlacerTest, AStepAtAKeyFrameMakesNoDependentRun) {
  play(75);
  clock_.step(seconds(10));
  play(75);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_FALSE(out_.runs[1].start.dependent);
  EXPECT_EQ(out_.runs[1].video.front().dts, made(75) + seconds(10));
}

TEST_F(PlacerTest, ASmallStepIsNoNewRunButSlewed) {
  play(60);
  clock_.step(milliseconds(45));
  play(2'000);
  ASSERT_EQ(out_.runs.size(), 1U);
  // 80 s at 500 ppm.
  const nanoseconds left = made(2'059) + milliseconds(45) - last().video.back().dts;
  EXPECT_LT(left, milliseconds(6));
  EXPECT_GT(left, milliseconds(4));
}

TEST_F(PlacerTest, AJumpOfTheCamerasClockLosesNothingAndIsOneChangeOfRuns) {
  for (const int64_t jump : {int64_t{5}, int64_t{-5}, int64_t{100'000}, int64_t{-100'000}}) {
    SCOPED_TRACE(jump);
    PlacedCollector out;
    test::ManualClock clock(kStart);
    Placer placer(clock, out);
    for (int64_t n = 0; n < 150; ++n, clock.advance(kPicture)) {
      const auto give_one = [&](const media::FramePtr& frame) {
        placer.observe(*frame);
        placer.add(frame);
      };
      const int64_t zero = n < 60 ? 0 : jump;
      if (n == 60) placer.clock_jumped("the picture's clock jumped");
      give_one(test::make_frame(video_, n * 3600 + zero * 90'000, n % 25 == 0, 100, clock.steady()));
      if (n == 60) placer.clock_jumped("the sound's clock jumped");
      give_one(test::make_frame(audio_, n * 1920 + zero * 48'000, true, 100, clock.steady()));
    }
    ASSERT_EQ(out.runs.size(), 2U);
    EXPECT_EQ(out.runs[0].end_reason, RunReason::kClockStep);
    EXPECT_EQ(out.runs[0].end_detail, "the sound's clock jumped");
    ASSERT_EQ(out.runs[0].video.size(), 75U) << "the run goes on to the next key frame";
    ASSERT_EQ(out.runs[1].video.size(), 75U);
    for (size_t n = 0; n < 150; ++n) {
      const PlacedFrame& frame = n < 75 ? out.runs[0].video[n] : out.runs[1].video[n - 75];
      EXPECT_EQ(frame.dts, made(static_cast<int64_t>(n))) << n;
    }
    EXPECT_GE(out.runs[0].audio.size() + out.runs[1].audio.size(), 148U);
  }
}

TEST_F(PlacerTest, ATrackThatJumpsAfterTheOtherChangedTheRunMakesNoSecondRun) {
  for (const int64_t jump : {int64_t{5}, int64_t{-5}, int64_t{100'000}, int64_t{-100'000}}) {
    SCOPED_TRACE(jump);
    PlacedCollector out;
    test::ManualClock clock(kStart);
    Placer placer(clock, out);
    for (int64_t n = 0; n < 150; ++n, clock.advance(kPicture)) {
      const auto give_one = [&](const media::FramePtr& frame) {
        placer.observe(*frame);
        placer.add(frame);
      };
      const int64_t zero = n < 50 ? 0 : jump;
      if (n == 50) placer.clock_jumped("the picture's clock jumped, at a key frame");
      give_one(test::make_frame(video_, n * 3600 + zero * 90'000, n % 25 == 0, 100, clock.steady()));
      if (n == 50) placer.clock_jumped("the sound's clock jumped");
      give_one(test::make_frame(audio_, n * 1920 + zero * 48'000, true, 100, clock.steady()));
    }
    ASSERT_EQ(out.runs.size(), 2U);
    EXPECT_EQ(out.runs[1].start.detail, "the picture's clock jumped, at a key frame");
    ASSERT_EQ(out.runs[0].video.size(), 50U);
    ASSERT_EQ(out.runs[1].video.size(), 100U);
    for (size_t n = 0; n < 100; ++n)
      EXPECT_EQ(out.runs[1].video[n].dts, made(static_cast<int64_t>(n) + 50)) << n;
    EXPECT_GE(out.runs[0].audio.size() + out.runs[1].audio.size(), 148U);
    EXPECT_LT(std::chrono::abs(made(149) - kSoundFrame - out.runs[1].audio.back().dts),
              base::microseconds(1));
    clock.step(seconds(10));
    const auto key = test::make_frame(video_, 150 * 3600 + jump * 90'000, true, 100, clock.steady());
    placer.observe(*key);
    placer.add(key);
    ASSERT_EQ(out.runs.size(), 3U);
    EXPECT_NE(out.runs[2].start.detail.find("was set 10.0 s forward"), std::string::npos)
        << "not what was said of the jump: " << out.runs[2].start.detail;
  }
}

TEST_F(PlacerTest, ACacheThatComesTrackByTrackIsHandedOnInTheOrderOfTime) {
  clock_.advance(50 * kPicture);
  for (int64_t n = 0; n < 50; ++n) picture(n, n % 25 == 0);
  for (int64_t n = 0; n < 50; ++n) sound(n);
  next_ = 50;
  play(20, true);
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 70U);
  EXPECT_GE(last().audio.size(), 69U);
  for (size_t i = 1; i < last().all.size(); ++i) EXPECT_LE(last().all[i - 1], last().all[i] + kPicture) << i;
}

TEST_F(PlacerTest, SoundThatAppearsBeginsARunAtTheNextKeyFrame) {
  play(60);
  play(40, true);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_FALSE(out_.runs[0].start.audio);
  EXPECT_EQ(out_.runs[0].end_reason, RunReason::kParameters);
  ASSERT_TRUE(last().start.audio);
  EXPECT_EQ(last().video.front().dts, made(75));
  EXPECT_EQ(last().audio.size(), 24U) << "that of the first picture began before it";
}

TEST_F(PlacerTest, SoundThatVanishesIsDroppedFromTheRecording) {
  play(100, true);
  play(240);  // 9.6 s without
  EXPECT_EQ(out_.runs.size(), 1U);
  play(50);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_FALSE(last().start.audio);
  EXPECT_EQ(out_.runs[0].end_detail, "the camera's sound ended");
  EXPECT_EQ(out_.runs[0].video.size() + out_.runs[1].video.size(), 390U);
}

TEST_F(PlacerTest, SoundThatReturnsBeforeAKeyFrameGoesOn) {
  play(50, true, 1000);
  play(300, false, 1000);
  play(50, true, 1000);
  next_ = 1000;
  clock_.advance(600 * kPicture);
  play(50, true, 1000);
  EXPECT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().audio.size(), 149U) << "the very first began before its picture";
}

TEST_F(PlacerTest, SoundOfAnotherKindBeginsARun) {
  play(60, true);
  auto other = std::make_shared<media::TrackConfig>(*audio_);
  other->channels = 2;
  other->codec_private = test::bytes_of("1190");
  audio_ = other;
  play(40, true);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_EQ(last().start.audio->channels, 2U);
  EXPECT_EQ(last().audio.size(), 24U) << "that of the first picture began before it";
}

TEST_F(PlacerTest, AnInterruptionHandsOnWhatIsHeld) {
  play(5);
  EXPECT_TRUE(out_.runs.empty());
  placer_.interrupt(RunReason::kCameraLost, "no route to host");
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 5U);
  EXPECT_TRUE(last().ended);
  EXPECT_EQ(last().end_reason, RunReason::kCameraLost);
}

TEST_F(PlacerTest, WhatIsHeldOfACameraThatFellSilentIsPlaced) {
  play(5);
  placer_.tick(clock_.steady());
  EXPECT_TRUE(out_.runs.empty());
  clock_.advance(Placer::kSilent);
  placer_.tick(clock_.steady());
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().video.size(), 5U);
  EXPECT_EQ(last().video.front().dts, kStart);
  EXPECT_FALSE(last().ended);
  next_ = (clock_.utc() - kStart) / kPicture;
  play(5);
  ASSERT_EQ(out_.runs.size(), 1U) << "it goes on";
  EXPECT_EQ(last().video.size(), 10U);
  EXPECT_EQ(last().video.back().dts, made(next_ - 1));
}

TEST_F(PlacerTest, AfterAnInterruptionTimesAreFoundAnew) {
  play(60, true);
  placer_.interrupt(RunReason::kCameraLost, "no route to host");
  clock_.advance(seconds(100));
  video_zero_ = -7'000'000'000;  // of another session
  next_ = 0;
  const base::UtcTime again = clock_.utc();
  play(60, true);
  ASSERT_EQ(out_.runs.size(), 2U);
  EXPECT_EQ(last().start.reason, RunReason::kCameraLost);
  EXPECT_EQ(last().start.detail, "no route to host");
  EXPECT_EQ(last().video.front().dts, again);
  EXPECT_EQ(last().video.size(), 60U);
}

TEST_F(PlacerTest, AnInterruptionBeforeTheFirstPictureIsRemembered) {
  placer_.interrupt(RunReason::kCameraLost, "refused");
  placer_.interrupt(RunReason::kCameraLost, "refused again");
  EXPECT_TRUE(out_.runs.empty());
  play(30);
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(last().start.detail, "refused again");
}

}  // namespace
}  // namespace miharu::stream
