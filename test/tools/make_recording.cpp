// Makes a store with recordings of a day long gone, for tests of playback: through the real path, but by a
// clock that is set, so that minutes take seconds. Four cameras record the same demo picture at
// once: "fmp4" and "mpegts", and both "-silent". Every picture carries its frame number, which proves its
// wall-clock time (docs/demo-camera.md).
//
//   make_recording STORE [--hour TIME] [--fps N] [--gop SECONDS] [--step SECONDS]
//
// In each recording: a gap of 40 s, the picture's size changed twice without a gap, and the border of an hour
// inside an object. With --step a minute only, in whose middle, inside a group of pictures, the recorder's
// clock is set by so much; the pictures' numbers go on. What lies where is printed as JSON, times in Unix
// milliseconds.
#include <cstdio>
#include <cstdlib>
#include <deque>

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "ingest/demo/picture.h"
#include "ingest/demo/tone.h"
#include "ingest/demo/video_encoder.h"
#include "media/aac_encoder.h"
#include "record/recorder.h"
#include "stream/camera_stream.h"
#include "support/manual_clock.h"

namespace miharu::test {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;
using base::UtcTime;
using ingest::DemoOptions;
using ingest::demo::Tone;
using ingest::demo::VideoEncoder;
using media::AacEncoder;

struct Options {
  std::filesystem::path store;
  UtcTime hour = base::from_unix_ms(1'711'846'800'000);  // 2024-03-31T01:00:00Z, summer time begins in Europe
  uint32_t fps = 25;
  seconds gop{4};
  seconds step{};
};

// Relative to the hour. All lie inside groups of pictures, so that nothing falls together by chance.
struct Plan {
  nanoseconds start = -milliseconds(180'000);
  nanoseconds smaller = -milliseconds(134'600);
  nanoseconds gap_start = -milliseconds(90'200);
  nanoseconds gap_end = -milliseconds(50'200);
  nanoseconds larger = milliseconds(70'600);
  nanoseconds end = milliseconds(120'000);
};

[[noreturn]] void stop(const base::Error& error) {
  fmt::print(stderr, "make_recording: {}\n", error.to_string());
  std::exit(1);
}

template <class T>
T need(base::Result<T> result) {
  if (!result) stop(result.error());
  return std::move(*result);
}

// Frames come from outside; the source is only where they go in.
class FedSource final : public ingest::Source {
 public:
  FedSource(ingest::SourceListener*& place, ingest::SourceListener& listener) { place = &listener; }
  void start() override {}
  void stop() override {}
  ingest::SourceStatus status() const override { return {}; }
};

// The loops have no threads: run() does what is due on both, so that the clock stands still meanwhile.
struct Machine {
  explicit Machine(const Options& options)
      : clock(options.hour + Plan{}.start),
        store(need(
            store::DirectoryStore::open(options.store, store::DirectoryStore::Open::kCreate, {}, clock))),
        gaps(need(record::GapLog::open(options.store.string() + "-gaps.db"))) {}

  void run() {
    while (media.context().poll() + disk_loop.context().poll() > 0) {
    }
  }

  ManualClock clock;
  std::unique_ptr<store::DirectoryStore> store;
  std::unique_ptr<record::GapLog> gaps;
  std::unique_ptr<record::Disk> disk = record::make_system_disk();
  record::RecordingIndex index;
  net::EventLoop media{"media"};
  net::EventLoop disk_loop{"disk"};
};

class FedCamera {
 public:
  FedCamera(Machine& machine, const std::string& name, store::Container container, bool sound)
      : machine_(machine), sound_(sound) {
    record::SegmenterOptions options;
    options.container = container;
    recorder_ = std::make_unique<record::Recorder>(
        name, options,
        record::RecorderEnvironment{machine.media, machine.disk_loop, *machine.disk, *machine.store,
                                    machine.index, *machine.gaps, machine.clock, nullptr, nullptr});
    stream_ = std::make_unique<stream::CameraStream>(
        name, machine.media, machine.clock, stream::StreamOptions{container == store::Container::kMpegTs},
        [this](ingest::SourceListener& listener) { return std::make_unique<FedSource>(listener_, listener); },
        *recorder_);
    recorder_->start();
    stream_->start();
    machine.run();
  }

  void tell_tracks() { listener_->on_tracks(true, sound_); }
  void feed(const media::FramePtr& frame) {
    if (frame->is_video() || sound_) listener_->on_frame(frame);
  }
  void lose() {
    listener_->on_interrupted(ingest::Interruption::kConnection,
                              {base::Errc::kTimeout, "the camera did not answer for 10 s", -1});
  }
  void finish() {
    stream_->stop(store::RunReason::kRestart, "the recording ends here");
    bool done = false;
    recorder_->stop([&done] { done = true; });
    while (!done) machine_.run();
    if (const auto error = recorder_->status().last_error) stop(*error);
  }

 private:
  Machine& machine_;
  bool sound_;
  ingest::SourceListener* listener_ = nullptr;
  std::unique_ptr<record::Recorder> recorder_;
  std::unique_ptr<stream::CameraStream> stream_;
};

// What ingest::DemoSource does by the system's clock, by that of the machine.
class Studio {
 public:
  Studio(Machine& machine, std::deque<FedCamera>& cameras, const Options& options)
      : machine_(machine), cameras_(cameras), options_(options) {
    demo_.fps = options.fps;
    demo_.gop = options.gop;
  }

  // When the time of the pictures comes to it, the machine's clock is set.
  void step(UtcTime at, nanoseconds by) {
    step_at_ = at;
    step_ = by;
  }

  // Pictures and sound of [from, to); `session`: the camera was just connected to.
  void make(UtcTime from, UtcTime to, uint32_t width, uint32_t height, bool session) {
    demo_.width = width;
    demo_.height = height;
    const auto encoder = need(VideoEncoder::make(demo_));
    ingest::demo::Picture picture(demo_);
    if (session) {
      sound_ = need(AacEncoder::make(Tone::kSampleRate, 1, 64000));
      position_ = number_at(from) * Tone::kSampleRate / options_.fps;
      for (FedCamera& camera : cameras_) camera.tell_tracks();
    }
    bool first = true;
    for (int64_t number = number_at(from); number < number_at(to); ++number) {
      const UtcTime time = time_of(number);
      machine_.clock.advance(time + set_by_ - machine_.clock.utc());
      if (time >= step_at_) {
        machine_.clock.step(step_);
        set_by_ += step_;
        step_at_ = UtcTime::max();
      }
      picture.draw(time, static_cast<uint32_t>(number));
      const bool key = first || number % demo_.gop_frames() == 0;
      first = false;
      feed(need(
          encoder->encode(picture, number * VideoEncoder::kClockRate / options_.fps, key, machine_.clock)));
      make_sound(number * Tone::kSampleRate / options_.fps);
      machine_.run();
    }
    machine_.clock.advance(to + set_by_ - machine_.clock.utc());
  }

 private:
  [[nodiscard]] int64_t number_at(UtcTime time) const {
    return time.time_since_epoch().count() / 1'000'000 * options_.fps / 1000;
  }
  [[nodiscard]] UtcTime time_of(int64_t number) const {
    const int64_t fps = options_.fps;
    return UtcTime(seconds(number / fps) + nanoseconds((number % fps * 1'000'000'000 + fps - 1) / fps));
  }
  void feed(const media::FramePtr& frame) {
    for (FedCamera& camera : cameras_) camera.feed(frame);
  }
  void make_sound(int64_t until) {
    std::array<float, AacEncoder::kSamplesPerFrame> samples{};
    for (; position_ + static_cast<int64_t>(samples.size()) <= until; position_ += samples.size()) {
      tone_.read(position_, samples);
      if (auto done = sound_->encode(samples, position_, machine_.clock.steady(),
                                     [this](const media::FramePtr& frame) { feed(frame); });
          !done)
        stop(done.error());
    }
  }

  Machine& machine_;
  std::deque<FedCamera>& cameras_;
  const Options& options_;
  DemoOptions demo_;
  Tone tone_;
  std::unique_ptr<AacEncoder> sound_;
  int64_t position_ = 0;
  UtcTime step_at_ = UtcTime::max();
  nanoseconds step_{};
  nanoseconds set_by_{};
};

Options parse(int count, char** values) {
  Options options;
  std::deque<std::string> arguments(values + 1, values + count);
  while (!arguments.empty()) {
    const std::string name = arguments.front();
    arguments.pop_front();
    if (!name.starts_with("--")) {
      options.store = name;
      continue;
    }
    if (arguments.empty()) stop({base::Errc::kInvalid, name + " lacks its value", -1});
    const std::string value = arguments.front();
    arguments.pop_front();
    if (name == "--hour") {
      options.hour = need(base::parse_time(value, base::system_clock().utc()));
    } else if (name == "--fps") {
      options.fps = static_cast<uint32_t>(std::atoi(value.c_str()));
    } else if (name == "--gop") {
      options.gop = seconds(std::atoi(value.c_str()));
    } else if (name == "--step") {
      options.step = seconds(std::atoi(value.c_str()));
    } else {
      stop({base::Errc::kInvalid, "there is no option " + name, -1});
    }
  }
  if (options.store.empty() || options.fps < 1 || options.fps > 60 || options.gop < seconds(1)) {
    stop({base::Errc::kInvalid,
          "make_recording STORE [--hour TIME] [--fps 1..60] [--gop SECONDS] [--step SECONDS]", -1});
  }
  return options;
}

void record_step(const Options& options, Machine& machine, Studio& studio, std::deque<FedCamera>& cameras) {
  const UtcTime start = machine.clock.utc();
  const UtcTime step = start + milliseconds(29'400);
  const UtcTime end = start + seconds(60);
  studio.step(step, options.step);
  studio.make(start, end, 640, 360, true);
  for (FedCamera& camera : cameras) camera.finish();
  fmt::print(
      "{{\"cameras\": [\"fmp4\", \"fmp4-silent\", \"mpegts\", \"mpegts-silent\"], \"fps\": {}, \"start\": "
      "{}, \"step\": {{\"at\": {}, \"by\": {}}}, \"end\": {}}}\n",
      options.fps, base::to_unix_ms(start), base::to_unix_ms(step), options.step.count() * 1000,
      base::to_unix_ms(end + options.step));
}

void record_all(const Options& options) {
  const Plan plan;
  Machine machine(options);
  std::deque<FedCamera> cameras;
  cameras.emplace_back(machine, "fmp4", store::Container::kFmp4, true);
  cameras.emplace_back(machine, "fmp4-silent", store::Container::kFmp4, false);
  cameras.emplace_back(machine, "mpegts", store::Container::kMpegTs, true);
  cameras.emplace_back(machine, "mpegts-silent", store::Container::kMpegTs, false);

  Studio studio(machine, cameras, options);
  if (options.step != seconds(0)) return record_step(options, machine, studio, cameras);
  const UtcTime hour = options.hour;
  studio.make(hour + plan.start, hour + plan.smaller, 640, 360, true);
  studio.make(hour + plan.smaller, hour + plan.gap_start, 480, 272, false);
  for (FedCamera& camera : cameras) camera.lose();
  machine.run();
  machine.clock.advance(plan.gap_end - plan.gap_start);
  studio.make(hour + plan.gap_end, hour + plan.larger, 480, 272, true);
  studio.make(hour + plan.larger, hour + plan.end, 640, 360, false);
  for (FedCamera& camera : cameras) camera.finish();

  const auto ms = [hour](nanoseconds offset) { return base::to_unix_ms(hour + offset); };
  fmt::print(
      "{{\"cameras\": [\"fmp4\", \"fmp4-silent\", \"mpegts\", \"mpegts-silent\"], \"fps\": {}, \"start\": "
      "{}, "
      "\"changes\": [{}, {}], \"gap\": {{\"start\": {}, \"end\": {}}}, \"hour\": {}, \"end\": {}}}\n",
      options.fps, ms(plan.start), ms(plan.smaller), ms(plan.larger), ms(plan.gap_start), ms(plan.gap_end),
      ms({}), ms(plan.end));
}

}  // namespace
}  // namespace miharu::test

int main(int count, char** values) {
  miharu::test::record_all(miharu::test::parse(count, values));
  return 0;
}
