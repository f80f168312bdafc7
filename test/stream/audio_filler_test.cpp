#include "stream/audio_filler.h"

#include <gtest/gtest.h>

#include "stream/placed_collector.h"
#include "support/frames.h"

namespace miharu::stream {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;

const base::UtcTime kStart = base::from_unix_ms(1'795'230'000'000);
constexpr nanoseconds kPicture = milliseconds(40);
constexpr nanoseconds kAacFrame{1024 * 1'000'000'000LL / 48000};

class AudioFillerTest : public ::testing::Test {
 protected:
  void begin(const media::TrackConfigPtr& audio) {
    audio_ = audio;
    filler_.on_run_start({store::RunReason::kRestart, "", video_, audio_});
  }
  void picture(base::UtcTime time) {
    filler_.on_placed({test::make_frame(video_, 0, video_count_++ == 0, 100, {}), time, time});
  }
  void sound(base::UtcTime time) {
    filler_.on_placed({test::make_frame(audio_, 0, true, 100, {}), time, time});
  }
  // Pictures and sound of [from, to), in the order of time.
  void play(nanoseconds from, nanoseconds to, bool with_sound) {
    nanoseconds next_sound = (from + kAacFrame - nanoseconds(1)) / kAacFrame * kAacFrame;
    for (nanoseconds t = from; t < to; t += kPicture) {
      picture(kStart + t);
      for (; with_sound && next_sound < t + kPicture && next_sound < to; next_sound += kAacFrame)
        sound(kStart + next_sound);
    }
  }
  // The largest hole or overlap between two frames of sound.
  nanoseconds worst_joint() {
    nanoseconds worst{};
    const auto& audio = out_.runs.back().audio;
    for (size_t i = 1; i < audio.size(); ++i) {
      const nanoseconds off = audio[i].dts - audio[i - 1].dts - kAacFrame;
      worst = std::max(worst, off < nanoseconds::zero() ? -off : off);
    }
    return worst;
  }

  PlacedCollector out_;
  AudioFiller filler_{out_};
  media::TrackConfigPtr video_ = test::video_config();
  media::TrackConfigPtr audio_;
  int video_count_ = 0;
};

TEST_F(AudioFillerTest, PicturesOfOneMomentAreNotHeldWithoutBound) {
  begin(test::aac_config());
  picture(kStart);
  constexpr size_t kBytes = 1 << 20;
  for (int i = 1; i <= 100; ++i) {
    const base::UtcTime time = kStart + base::microseconds(100) * i;
    filler_.on_placed({test::make_frame(video_, 0, false, kBytes, {}), time, time});
  }
  EXPECT_GE(out_.runs.back().video.size() * kBytes, 101 * kBytes - AudioFiller::kMaxHeldBytes);
}

TEST_F(AudioFillerTest, ARunWithoutSoundIsHandedOn) {
  begin(nullptr);
  play({}, seconds(10), false);
  filler_.on_run_end(store::RunReason::kOperator, "stop");
  ASSERT_EQ(out_.runs.size(), 1U);
  EXPECT_EQ(out_.runs[0].video.size(), 250U);
  EXPECT_TRUE(out_.runs[0].audio.empty());
  EXPECT_EQ(out_.runs[0].end_detail, "stop");
}

TEST_F(AudioFillerTest, SoundWithoutAHoleIsNotTouched) {
  begin(test::aac_config());
  play({}, seconds(10), true);
  EXPECT_EQ(filler_.filled_frames(), 0U);
  EXPECT_EQ(filler_.dropped_frames(), 0U);
  EXPECT_EQ(out_.runs.back().audio.size(), 469U);
}

TEST_F(AudioFillerTest, AHoleBecomesSilence) {
  begin(test::aac_config());
  play({}, seconds(2), true);
  play(seconds(2), seconds(5), false);
  play(seconds(5), seconds(7), true);
  EXPECT_NEAR(static_cast<double>(filler_.filled_frames()), 3 * 46.9, 2);
  EXPECT_LE(worst_joint(), kAacFrame);
  EXPECT_GE(out_.runs.back().audio.back().dts, kStart + seconds(7) - 2 * kAacFrame);
}

TEST_F(AudioFillerTest, SilenceComesWhileThePictureRunsOn) {
  begin(test::aac_config());
  play({}, seconds(10), false);
  ASSERT_FALSE(out_.runs.back().audio.empty());
  EXPECT_EQ(out_.runs.back().audio.front().dts, kStart);
  EXPECT_GE(out_.runs.back().audio.back().dts, kStart + seconds(10) - AudioFiller::kPatience - 4 * kAacFrame);
  EXPECT_LE(out_.runs.back().audio.back().dts, kStart + seconds(10) - AudioFiller::kPatience);
  EXPECT_LE(worst_joint(), nanoseconds::zero());
}

TEST_F(AudioFillerTest, SoundReachesTheEndOfTheRun) {
  begin(test::aac_config());
  play({}, seconds(4), true);
  // The sound of the last three pictures is still on its way when the camera goes.
  for (int i = 0; i < 3; ++i) picture(kStart + seconds(4) + kPicture * i);
  filler_.on_run_end(store::RunReason::kCameraLost, "gone");
  const auto& run = out_.runs.back();
  ASSERT_EQ(run.video.size(), static_cast<size_t>(seconds(4) / kPicture) + 3) << "no picture stays behind";
  EXPECT_GE(run.audio.back().dts + kAacFrame, run.video.back().dts + kPicture);
  EXPECT_LT(worst_joint(), milliseconds(1));
}

TEST_F(AudioFillerTest, PicturesWaitForTheirSound) {
  begin(test::aac_config());
  // Sound comes 100 ms after its picture.
  nanoseconds next_sound{};
  for (nanoseconds t{}; t < seconds(4); t += kPicture) {
    picture(kStart + t);
    for (; next_sound <= t - milliseconds(100); next_sound += kAacFrame) sound(kStart + next_sound);
    const auto& run = out_.runs.back();
    if (run.video.size() < 2) continue;
    ASSERT_FALSE(run.audio.empty());
    EXPECT_LE(run.video.back().dts, run.audio.back().dts) << "a picture was handed on before its sound";
  }
}

TEST_F(AudioFillerTest, SoundThatComesTooLateIsDropped) {
  begin(test::aac_config());
  play({}, seconds(10), false);
  const size_t before = out_.runs.back().audio.size();
  sound(kStart + seconds(5));
  EXPECT_EQ(filler_.dropped_frames(), 1U);
  EXPECT_EQ(out_.runs.back().audio.size(), before);
}

TEST_F(AudioFillerTest, SoundOfBeforeTheFirstPictureIsNotHandedOn) {
  begin(test::aac_config());
  sound(kStart);
  EXPECT_TRUE(out_.runs.back().audio.empty());
}

TEST_F(AudioFillerTest, SoundFarAheadOfThePictureIsDropped) {
  begin(test::aac_config());
  play({}, seconds(1), true);
  const size_t before = out_.runs.back().audio.size();
  sound(kStart + std::chrono::hours(1));
  EXPECT_EQ(out_.runs.back().audio.size(), before);
  EXPECT_EQ(filler_.dropped_frames(), 1U);
}

TEST_F(AudioFillerTest, AJumpOfThePictureIsNotFilledWithoutABound) {
  begin(test::aac_config());
  play({}, seconds(1), true);
  picture(kStart + std::chrono::hours(24));
  EXPECT_LE(filler_.filled_frames(), static_cast<uint64_t>(AudioFiller::kLongestFill / kAacFrame) + 1);
}

TEST_F(AudioFillerTest, OpusHasItsOwnSilence) {
  auto opus = std::make_shared<media::TrackConfig>();
  opus->codec = media::Codec::kOpus;
  opus->clock_rate = opus->sample_rate = 48000;
  opus->channels = 2;
  begin(opus);
  play({}, seconds(3), false);
  const auto& audio = out_.runs.back().audio;
  ASSERT_GE(audio.size(), 70U);
  for (size_t i = 1; i < audio.size(); ++i) EXPECT_EQ(audio[i].dts - audio[i - 1].dts, milliseconds(20));
  EXPECT_EQ(base::to_hex(audio[0].frame->data()), "f8fffe");
}

TEST_F(AudioFillerTest, ANewRunBeginsAnew) {
  begin(test::aac_config());
  play({}, seconds(4), true);
  filler_.on_run_end(store::RunReason::kClockStep, "");
  video_count_ = 0;
  begin(test::aac_config());
  play(seconds(-100), seconds(-98), true);  // the clock was set back
  EXPECT_EQ(out_.runs.back().video.front().dts, kStart - seconds(100));
  EXPECT_EQ(filler_.dropped_frames(), 0U);
  EXPECT_GE(out_.runs.back().audio.size(), 90U);
}

}  // namespace
}  // namespace miharu::stream
