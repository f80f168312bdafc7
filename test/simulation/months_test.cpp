// Months of cameras in minutes: the real chain from frames to the objects' names, under clocks, networks and
// cameras that do what they do in the field (docs/architecture.md, Time). MIHARU_SIMULATED_DAYS makes it
// longer.
#include <gtest/gtest.h>

#include <cstdlib>

#include <fmt/format.h>

#include "net/event_loop.h"
#include "simulation/judge.h"
#include "stream/camera_stream.h"

namespace miharu::simulation {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

double simulated_days() {
  const char* text = std::getenv("MIHARU_SIMULATED_DAYS");
  return text != nullptr ? std::atof(text) : 1.0;
}

nanoseconds days(double count) {
  return nanoseconds(static_cast<int64_t>(count * 86400e9));
}

// Forwards a stream's calls to the camera that the test plays by hand.
class Session final : public ingest::Source {
 public:
  void start() override {}
  void stop() override {}
  ingest::SourceStatus status() const override { return {}; }
};

struct Scenario {
  explicit Scenario(base::UtcTime boot, bool synchronised = true) : world(boot, synchronised) {}

  World world;
  CameraOptions camera;
  std::vector<Event> events;
  std::vector<nanoseconds> steps;
  record::SegmenterOptions segmenter;
  nanoseconds max_skew = milliseconds(40);
  uint64_t justified_runs = 1;

  void step(nanoseconds at, nanoseconds by) {
    world.step(at, by);
    steps.push_back(at);
    ++justified_runs;
  }
  void lose(nanoseconds at, nanoseconds length) {
    events.push_back({Event::Kind::kLost, at, length});
    ++justified_runs;
  }
  void jump(nanoseconds at, nanoseconds by) {
    events.push_back({Event::Kind::kJump, at, by});
    ++justified_runs;
  }
  void stall(nanoseconds at, nanoseconds length) { events.push_back({Event::Kind::kStall, at, length}); }

  Tally play(nanoseconds length) {
    Judge judge(world, segmenter, steps, max_skew);
    net::EventLoop loop("unused");
    ingest::SourceListener* listener = nullptr;
    stream::CameraStream stream(
        "front", loop, world, {},
        [&](ingest::SourceListener& mine) {
          listener = &mine;
          return std::make_unique<Session>();
        },
        judge);
    stream.start();
    Camera playing(camera, world, events,
                   [&](media::TrackKind kind, const Taken& taken) { judge.taken(kind, taken); });
    playing.run(length, *listener);
    stream.stop(store::RunReason::kOperator, "the simulation is over");
    judge.finish();
    const Tally& tally = judge.tally;
    EXPECT_LE(tally.all_runs(), justified_runs) << "needless discontinuities";
    EXPECT_GT(tally.verified, 0U);
    print(length, tally);
    return tally;
  }

  void print(nanoseconds length, const Tally& tally) const {
    std::string runs;
    for (const auto& [reason, count] : tally.runs) runs += fmt::format(" {}{}", count, reason);
    const auto ms = [](nanoseconds value) { return static_cast<double>(value.count()) / 1e6; };
    const std::string text = fmt::format(
        "{:.1f} days: {} pictures, {} of {} sounds (silences {}), {} chunks, {} objects ({} read back), "
        "runs{} of {} "
        "justified; worst picture {:.1f} ms, after a step {:.1f} ms, sound {:.1f} ms off it, held {:.0f} ms; "
        "{} "
        "runs begin between two key frames",
        ms(length) / 86400e3, tally.pictures, tally.sounds, tally.sounds_in, tally.silences, tally.chunks,
        tally.objects, tally.verified, runs, justified_runs, ms(tally.worst), ms(tally.worst_after_step),
        ms(tally.worst_skew), ms(tally.worst_hold), tally.dependent_runs);
    std::printf("%s\n", text.c_str());
    ::testing::Test::RecordProperty("simulated", text);
  }
};

// A month in which summer time ends, on a machine whose zone has it.
const base::UtcTime kAutumn =
    base::UtcTime(std::chrono::sys_days{std::chrono::year{2026} / 10 / 24}) + hours(12);

class Months : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "Europe/Berlin", 1);
    ::tzset();
  }
  // At random moments, so many a day on average, in order.
  std::vector<nanoseconds> moments(double per_day, double count_of_days) {
    std::vector<nanoseconds> all;
    const auto count = static_cast<size_t>(std::ceil(per_day * count_of_days));
    for (size_t i = 0; i < count; ++i) {
      // One in each stretch, away from its borders: two events are one only by intention.
      const double place = (static_cast<double>(i) + 0.2 + 0.6 * share()) / static_cast<double>(count);
      all.push_back(days(count_of_days * place));
    }
    return all;
  }
  double share() { return static_cast<double>(dice_() % 1'000'000) / 1e6; }
  nanoseconds sign(nanoseconds value) { return dice_() % 2 == 0 ? value : -value; }

  std::mt19937_64 dice_{20261121};
};

TEST_F(Months, PicturesUnderAClockThatIsSetAndACameraThatComesAndGoes) {
  const double length = simulated_days();
  for (const double ppm : {200.0, -200.0}) {
    SCOPED_TRACE(ppm);
    Scenario scenario(kAutumn);
    scenario.camera = {
        .seed = dice_(), .fps = 2, .gop = 8, .ppm = ppm, .ppm_of_temperature = 20, .bursts = true};
    for (const nanoseconds at : moments(2, length)) scenario.step(at, sign(hours(2)));
    for (const nanoseconds at : moments(1.0 / 3, length)) scenario.world.slew(at, sign(milliseconds(100)));
    for (const nanoseconds at : moments(6, length))
      scenario.lose(at, milliseconds(500 + static_cast<int64_t>(share() * 600'000)));
    for (const nanoseconds at : moments(50, length)) scenario.stall(at, seconds(1));
    const Tally tally = scenario.play(days(length));
    EXPECT_GT(tally.dependent_runs, 0U);
    EXPECT_GE(tally.runs.at('t'), scenario.steps.size() * 9 / 10);
  }
}

TEST_F(Months, SoundAndPictureStayTogetherOverWeeks) {
  const double length = simulated_days();
  Scenario scenario(kAutumn);
  scenario.camera = {
      .seed = dice_(), .fps = 1, .gop = 4, .sound_rate = 8000, .ppm = -180, .ppm_of_temperature = 20};
  for (const nanoseconds at : moments(0.5, length)) scenario.step(at, sign(seconds(1)));
  for (const nanoseconds at : moments(20, length)) scenario.stall(at, seconds(1));
  const Tally tally = scenario.play(days(length));
  EXPECT_EQ(tally.all_runs(), scenario.justified_runs);
  EXPECT_GE(tally.sounds, tally.sounds_in - 40 * scenario.justified_runs);
}

TEST_F(Months, ASoundClockOfItsOwnIsFollowed) {
  const double length = simulated_days() / 6;
  for (const Reports reports :
       {Reports::kNone, Reports::kSane, Reports::kSince1900, Reports::kLocalTime, Reports::kStepping}) {
    SCOPED_TRACE(static_cast<int>(reports));
    Scenario scenario(kAutumn);
    scenario.camera = {.seed = dice_(),
                       .fps = 5,
                       .gop = 10,
                       .sound_rate = 16000,
                       .ppm = 100,
                       .sound_ppm = -50,
                       .reports = reports};
    const Tally tally = scenario.play(days(length));
    EXPECT_EQ(tally.all_runs(), 1U);
    EXPECT_GE(tally.sounds, tally.sounds_in - 40) << "sound is followed without cutting it";
  }
}

TEST_F(Months, FullRateWithBFramesAndSoundInBatches) {
  const double length = simulated_days() / 24;
  for (const int64_t fps : {10, 30}) {
    Scenario scenario(kAutumn);
    scenario.camera = {.seed = dice_(),
                       .fps = fps,
                       .gop = 4 * fps,
                       .b_frames = true,
                       .sound_rate = 48000,
                       .ppm = 200,
                       .bursts = true,
                       .sound_batch = milliseconds(200)};
    scenario.max_skew = milliseconds(60);
    for (const nanoseconds at : moments(200, length))
      scenario.lose(at, milliseconds(300 + static_cast<int64_t>(share() * 20'000)));
    for (const nanoseconds at : moments(48, length)) scenario.step(at, sign(hours(2)));
    scenario.play(days(length));
  }
}

TEST_F(Months, AMachineThatStartsIn1970) {
  for (const nanoseconds late : {nanoseconds(seconds(20)), nanoseconds(minutes(7))}) {
    Scenario scenario(base::UtcTime(seconds(12)), false);
    scenario.camera = {
        .seed = dice_(), .fps = 10, .gop = 40, .sound_rate = 16000, .ppm = 150, .bursts = true};
    scenario.step(late, kAutumn - base::UtcTime(seconds(12)));
    scenario.world.synchronise(late);
    const Tally tally = scenario.play(late + minutes(30));
    EXPECT_EQ(tally.runs.at('t'), 1U);
    EXPECT_EQ(tally.all_runs(), 2U);
  }
}

TEST_F(Months, ACameraWhoseClockJumps) {
  const double length = simulated_days() / 6;
  Scenario scenario(kAutumn);
  scenario.camera = {.seed = dice_(), .fps = 5, .gop = 20, .sound_rate = 16000, .ppm = -100};
  // Until the next key frame a track lies where its first frame behind the jump came.
  scenario.max_skew = milliseconds(60);
  for (const nanoseconds at : moments(48, length))
    scenario.jump(at, sign(seconds(2 + static_cast<int64_t>(share() * 40'000))));
  const Tally tally = scenario.play(days(length));
  EXPECT_EQ(tally.all_runs(), scenario.justified_runs) << "one change of runs though both tracks jump";
}

TEST_F(Months, SoundThatIsLabelledWrongHarmsNoPicture) {
  const double length = simulated_days() / 24;
  for (const uint32_t true_rate : {8000U, 32000U}) {
    Scenario scenario(kAutumn);
    scenario.camera = {
        .seed = dice_(), .fps = 10, .gop = 20, .sound_rate = 16000, .true_sound_rate = true_rate};
    scenario.max_skew = {};
    const Tally tally = scenario.play(days(length));
    EXPECT_EQ(tally.all_runs(), 1U);
  }
}

TEST_F(Months, SoundThatStopsAndComesAgain) {
  const double length = simulated_days() / 6;
  Scenario scenario(kAutumn);
  scenario.camera = {.seed = dice_(), .fps = 5, .gop = 10, .sound_rate = 16000, .ppm = 50};
  for (const nanoseconds at : moments(100, length)) {
    const nanoseconds away = milliseconds(static_cast<int64_t>(share() * 40'000));
    scenario.events.push_back({Event::Kind::kSoundStops, at, away});
    // The run changes when it is given up, and when it is back.
    if (away > seconds(9)) scenario.justified_runs += 2;
  }
  scenario.play(days(length));
}

}  // namespace
}  // namespace miharu::simulation
