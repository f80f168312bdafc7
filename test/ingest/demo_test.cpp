#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <vector>

#include "ingest/demo/demo_source.h"
#include "ingest/demo/frame_number.h"
#include "ingest/demo/frame_pacer.h"
#include "ingest/demo/picture.h"
#include "ingest/demo/tone.h"
#include "ingest/demo/video_encoder.h"
#include "media/aac_encoder.h"
#include "media/av_handles.h"
#include "media/h264.h"
#include "support/data_path.h"
#include "tools/frame_number.h"

namespace miharu::ingest {
namespace {

using base::SteadyTime;
using base::UtcTime;
using media::FramePtr;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

struct Gray {
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<uint8_t> luma;

  [[nodiscard]] std::optional<uint32_t> number() const {
    return test::read_frame_number(luma.data(), width, height, width);
  }
  // Every 2x2 block becomes its mean, as a player that shows the picture at half its size does.
  [[nodiscard]] Gray halved() const {
    Gray half{width / 2, height / 2, {}};
    for (uint32_t y = 0; y < half.height; ++y) {
      for (uint32_t x = 0; x < half.width; ++x) {
        const uint8_t* at = luma.data() + size_t{2} * y * width + size_t{2} * x;
        half.luma.push_back(static_cast<uint8_t>((at[0] + at[1] + at[width] + at[width + 1]) / 4));
      }
    }
    return half;
  }
  [[nodiscard]] Gray resized(uint32_t to_width, uint32_t to_height) const {
    Gray out{to_width, to_height, {}};
    for (uint32_t y = 0; y < to_height; ++y) {
      for (uint32_t x = 0; x < to_width; ++x) {
        out.luma.push_back(luma[size_t{y} * height / to_height * width + size_t{x} * width / to_width]);
      }
    }
    return out;
  }
};

class Decoder {
 public:
  explicit Decoder(const media::TrackConfig& config) {
    const bool video = config.codec == media::Codec::kH264;
    const AVCodec* codec = avcodec_find_decoder(video ? AV_CODEC_ID_H264 : AV_CODEC_ID_AAC);
    context_.reset(avcodec_alloc_context3(codec));
    context_->thread_count = 1;
    context_->flags |= AV_CODEC_FLAG_LOW_DELAY;
    const base::ByteVector& setup = config.codec_private;
    context_->extradata = static_cast<uint8_t*>(av_mallocz(setup.size() + AV_INPUT_BUFFER_PADDING_SIZE));
    std::memcpy(context_->extradata, setup.data(), setup.size());
    context_->extradata_size = static_cast<int>(setup.size());
    EXPECT_EQ(0, avcodec_open2(context_.get(), codec, nullptr));
  }
  template <class Visit>
  void decode(const FramePtr& frame, Visit visit) {
    if (frame) {
      ASSERT_EQ(0, av_new_packet(packet_.get(), static_cast<int>(frame->data().size())));
      std::memcpy(packet_->data, frame->data().data(), frame->data().size());
      ASSERT_EQ(0, avcodec_send_packet(context_.get(), packet_.get()));
      av_packet_unref(packet_.get());
    } else {
      avcodec_send_packet(context_.get(), nullptr);
    }
    while (avcodec_receive_frame(context_.get(), out_.get()) == 0) visit(*out_);
  }

 private:
  media::AvPtr<AVCodecContext> context_;
  media::AvPtr<AVPacket> packet_{av_packet_alloc()};
  media::AvPtr<AVFrame> out_{av_frame_alloc()};
};

std::vector<Gray> decode_pictures(const std::vector<FramePtr>& frames) {
  std::vector<Gray> out;
  Decoder decoder(*frames.at(0)->config);
  const auto take = [&](const AVFrame& picture) {
    Gray gray{static_cast<uint32_t>(picture.width), static_cast<uint32_t>(picture.height), {}};
    for (int y = 0; y < picture.height; ++y) {
      const uint8_t* row = picture.data[0] + ptrdiff_t{y} * picture.linesize[0];
      gray.luma.insert(gray.luma.end(), row, row + picture.width);
    }
    out.push_back(std::move(gray));
  };
  for (const FramePtr& frame : frames) decoder.decode(frame, take);
  decoder.decode({}, take);
  return out;
}

struct Listener final : SourceListener {
  void on_tracks(bool video, bool audio) override {
    const std::lock_guard lock(mutex);
    tracks.emplace_back(video, audio);
  }
  void on_frame(FramePtr frame) override {
    if (block) block();
    const std::lock_guard lock(mutex);
    (frame->is_video() ? pictures : sounds).push_back(std::move(frame));
    changed.notify_all();
  }
  void on_sender_report(const SenderReport&) override { ADD_FAILURE() << "a demo camera sends no reports"; }
  void on_interrupted(Interruption reason, const base::Error&) override {
    const std::lock_guard lock(mutex);
    interruptions.push_back(reason);
    pictures_before_interruption = pictures.size();
    changed.notify_all();
  }
  template <class Condition>
  bool wait_until(Condition condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, seconds(30), condition);
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::pair<bool, bool>> tracks;
  std::vector<FramePtr> pictures;
  std::vector<FramePtr> sounds;
  std::vector<Interruption> interruptions;
  size_t pictures_before_interruption = 0;
  std::function<void()> block;
};

// The machine's clock, with UTC set differently.
class ShiftedClock final : public base::Clock {
 public:
  UtcTime utc() const override { return base::system_clock().utc() + seconds(shift_seconds.load()); }
  SteadyTime steady() const override { return base::system_clock().steady(); }
  bool synchronised() const override { return true; }
  std::atomic<int64_t> shift_seconds{0};
};

class Running {
 public:
  Running(const DemoOptions& options, Listener& listener, const base::Clock& clock = base::system_clock())
      : loop_("test"), source_(make_demo_source(loop_, clock, options, listener)) {
    loop_.start();
    loop_.run_and_wait([this] { source_->start(); });
  }
  ~Running() { stop(); }
  void stop() {
    loop_.run_and_wait([this] { source_->stop(); });
  }
  SourceStatus status() {
    SourceStatus status;
    loop_.run_and_wait([&] { status = source_->status(); });
    return status;
  }
  net::EventLoop& loop() { return loop_; }

 private:
  net::EventLoop loop_;
  std::unique_ptr<Source> source_;
};

TEST(DemoUrl, Options) {
  const auto plain = parse_demo_url("demo:");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->width, 640u);
  EXPECT_EQ(plain->height, 360u);
  EXPECT_EQ(plain->fps, 25u);
  EXPECT_EQ(plain->gop_frames(), 50);
  EXPECT_TRUE(plain->audio);
  EXPECT_FALSE(plain->start_frame);
  EXPECT_TRUE(parse_demo_url("demo:?"));

  const auto all = parse_demo_url("demo:?size=1280x720&fps=30&gop=500ms&audio=0&start_frame=4294967295");
  ASSERT_TRUE(all) << all.error().to_string();
  EXPECT_EQ(all->width, 1280u);
  EXPECT_EQ(all->height, 720u);
  EXPECT_EQ(all->fps, 30u);
  EXPECT_EQ(all->gop_frames(), 15);
  EXPECT_FALSE(all->audio);
  EXPECT_EQ(all->start_frame, 4294967295u);
}

TEST(DemoUrl, Refused) {
  struct Case {
    const char* url;
    const char* text;
    int64_t offset;
  };
  for (const Case& c :
       {Case{"rtsp://x", "begins with demo:", -1}, Case{"demo://x", "after demo:", 5},
        Case{"demo:?size=640", "WIDTHxHEIGHT", 6}, Case{"demo:?size=641x360", "even", 6},
        Case{"demo:?size=64x48", "384 to 1920", 6}, Case{"demo:?size=4000x3000", "384 to 1920", 6},
        Case{"demo:?size=-640x360", "WIDTHxHEIGHT", 6}, Case{"demo:?fps=0", "1 to 60", 6},
        Case{"demo:?fps=29.97", "whole number", 6}, Case{"demo:?fps=25&gop=2", "gop", 13},
        Case{"demo:?gop=1h", "100ms to 30s", 6}, Case{"demo:?audio=yes", "0 (no sound) or 1", 6},
        Case{"demo:?start_frame=4294967296", "4294967295", 6},
        Case{"demo:?sise=640x360", "\"sise\" is no option", 6}}) {
    const auto options = parse_demo_url(c.url);
    ASSERT_FALSE(options) << c.url;
    EXPECT_EQ(options.error().code, base::Errc::kInvalid) << c.url;
    EXPECT_THAT(options.error().text, HasSubstr(c.text)) << c.url;
    EXPECT_EQ(options.error().offset, c.offset) << c.url;
  }
}

TEST(FramePacer, NumbersAreTimes) {
  for (const uint32_t fps : {1u, 7u, 25u, 30u, 60u}) {
    const demo::FramePacer pacer(fps);
    for (const int64_t number :
         {int64_t{0}, int64_t{1}, int64_t{1'790'000'001} * fps + 1, int64_t{5'000'000'000} * fps}) {
      const UtcTime time = pacer.time_of(number);
      EXPECT_EQ(pacer.number_at(time), number) << fps;
      if (number == 0) continue;
      EXPECT_EQ(pacer.number_at(time - nanoseconds(1)), number - 1) << fps;
    }
  }
}

TEST(FramePacer, LateFramesAreSkipped) {
  demo::FramePacer pacer(25);
  UtcTime utc(seconds(1'800'000'000) + milliseconds(5));
  SteadyTime steady(seconds(100));
  const auto after = [&](nanoseconds time) {
    utc += time;
    steady += time;
    return pacer.take(utc, steady);
  };
  const int64_t first = int64_t{1'800'000'000} * 25;
  EXPECT_EQ(after(nanoseconds(0))->number, first);
  EXPECT_EQ(pacer.wait(utc), milliseconds(35));
  EXPECT_FALSE(after(milliseconds(34)));
  EXPECT_EQ(after(milliseconds(1))->number, first + 1);
  const auto late = after(milliseconds(130));
  EXPECT_EQ(late->number, first + 4);
  EXPECT_FALSE(late->jumped);
  EXPECT_EQ(pacer.wait(utc), milliseconds(30));
}

TEST(FramePacer, ClockSteps) {
  demo::FramePacer pacer(25);
  const UtcTime utc(seconds(1'800'000'000));
  const SteadyTime steady(seconds(100));
  const int64_t first = pacer.take(utc, steady)->number;

  EXPECT_FALSE(pacer.take(utc - milliseconds(300), steady + milliseconds(40)));
  EXPECT_EQ(pacer.wait(utc - milliseconds(300)), milliseconds(340)) << "a small step back is waited out";

  auto due = pacer.take(utc + seconds(3600), steady + milliseconds(40));
  EXPECT_TRUE(due->jumped);
  EXPECT_EQ(due->number, first + 3600 * 25);
  due = pacer.take(utc, steady + milliseconds(80));
  EXPECT_TRUE(due->jumped);
  EXPECT_EQ(due->number, first);
  EXPECT_LE(pacer.wait(utc), milliseconds(40));
}

TEST(FrameNumber, CrcOfTheManual) {
  EXPECT_EQ(demo::strip_crc(0), 0xd1);
  EXPECT_EQ(demo::strip_crc(0xffffffff), 0x0f);
  static_assert(demo::strip_cells(0)[0] && !demo::strip_cells(0)[3]);
}

TEST(FrameNumber, SurvivesEncodingAndScaling) {
  struct Case {
    const char* url;
    int kilobytes_at_most;  // of two seconds
  };
  for (const Case& c : {Case{"demo:", 260}, Case{"demo:?size=384x240&fps=10", 200},
                        Case{"demo:?size=1280x720&fps=30", 900}}) {
    SCOPED_TRACE(c.url);
    const DemoOptions options = parse_demo_url(c.url).value();
    auto encoder = demo::VideoEncoder::make(options);
    ASSERT_TRUE(encoder) << encoder.error().to_string();
    EXPECT_EQ((*encoder)->config()->width, options.width);
    EXPECT_EQ((*encoder)->config()->height, options.height);
    EXPECT_THAT((*encoder)->config()->codec_string, testing::StartsWith("avc1.4d40"));

    demo::Picture picture(options);
    std::vector<FramePtr> frames;
    std::vector<uint32_t> numbers;
    size_t bytes = 0;
    for (uint32_t i = 0; i < 2 * options.fps; ++i) {
      // Every bit changes in the sequence, and it passes the wrap.
      numbers.push_back(i < 10 ? 0xfffffffbu + i : i * 2654435761u);
      picture.draw(UtcTime(seconds(1'800'000'000) + milliseconds(1000) * i / options.fps), numbers.back());
      auto frame =
          (*encoder)->encode(picture, int64_t{i} * 90000 / options.fps, i % 15 == 0, base::system_clock());
      ASSERT_TRUE(frame);
      EXPECT_EQ((*frame)->key, i % 15 == 0);
      bytes += (*frame)->data().size();
      frames.push_back(std::move(*frame));
    }
    EXPECT_LT(bytes, static_cast<size_t>(c.kilobytes_at_most) * 1000);
    const auto pictures = decode_pictures(frames);
    ASSERT_EQ(pictures.size(), numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
      EXPECT_EQ(pictures[i].number(), numbers[i]) << i;
      EXPECT_EQ(pictures[i].halved().number(), numbers[i]) << i;
      EXPECT_EQ(pictures[i].resized(options.width * 2 / 3, options.height / 2).number(), numbers[i]) << i;
    }
  }
}

TEST(FrameNumber, NoNumberInOtherPictures) {
  Gray black{640, 360, std::vector<uint8_t>(640 * 360, 16)};
  EXPECT_FALSE(black.number());
  const DemoOptions options;
  demo::Picture picture(options);
  picture.draw(UtcTime(seconds(1'800'000'000)), 77);
  Gray drawn{640, 360, {picture.plane(0), picture.plane(0) + 640 * 360}};
  ASSERT_EQ(drawn.number(), 77u);
  for (uint32_t y = 0; y < 24; ++y) std::fill_n(drawn.luma.begin() + y * 640 + 400, 27, uint8_t{235});
  EXPECT_FALSE(drawn.number()) << "a cell was painted over";
}

TEST(FrameNumber, PythonReaderAgrees) {
  if (std::system("python3 -c 1 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here";
  const std::string directory = testing::TempDir();
  const DemoOptions options = parse_demo_url("demo:?size=768x432").value();
  demo::Picture picture(options);
  std::string command = "python3 " + test::data_path("../tools/frame_number.py");
  std::string expected;
  for (const uint32_t number : {0u, 123456789u, 4294967295u}) {
    picture.draw(UtcTime(seconds(1'800'000'000)), number);
    const Gray full{768, 432, {picture.plane(0), picture.plane(0) + 768 * 432}};
    for (const Gray& gray : {full, full.halved()}) {
      const std::string path =
          directory + "frame_number_" + std::to_string(number) + "_" + std::to_string(gray.width) + ".pgm";
      std::ofstream file(path, std::ios::binary);
      file << "P5\n# a comment\n" << gray.width << ' ' << gray.height << "\n255\n";
      file.write(reinterpret_cast<const char*>(gray.luma.data()),
                 static_cast<std::streamsize>(gray.luma.size()));
      command += " '" + path + "'";
      expected += std::to_string(number) + "\n";
    }
  }
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output += static_cast<char>(c);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(output, expected);
}

TEST(Tone, BeepsEverySecond) {
  const demo::Tone tone;
  std::vector<float> samples(48000);
  tone.read(int64_t{1'800'000'000} * 48000 - 24000, samples);
  const auto loudest = [&](size_t from, size_t to) {
    float value = 0;
    for (size_t i = from; i < to; ++i) value = std::max(value, std::abs(samples[i]));
    return value;
  };
  EXPECT_LT(loudest(0, 24000), 0.02f);
  EXPECT_GT(loudest(24000, 24000 + 4800), 0.18f);
  EXPECT_LT(loudest(24000 + 4800, 48000), 0.02f);
}

TEST(AacEncoder, SoundComesOutAtItsTime) {
  auto encoder = media::AacEncoder::make(48000, 1, 64000);
  ASSERT_TRUE(encoder) << encoder.error().to_string();
  EXPECT_EQ((*encoder)->config()->codec_string, "mp4a.40.2");
  constexpr int64_t kZero = 86'400'000'000'000;
  constexpr size_t kClick = 5 * 1024 + 300;
  std::vector<float> input(12 * 1024);
  input[kClick] = 0.9f;
  std::vector<FramePtr> frames;
  const auto keep = [&](FramePtr frame) { frames.push_back(std::move(frame)); };
  for (size_t i = 0; i < 12; ++i) {
    ASSERT_TRUE((*encoder)->encode({input.data() + i * 1024, 1024}, kZero + static_cast<int64_t>(i) * 1024,
                                   {}, keep));
  }
  ASSERT_TRUE((*encoder)->flush(keep));
  ASSERT_EQ(frames.size(), 12u) << "as many as went in";

  Decoder decoder(*(*encoder)->config());
  std::vector<float> output;
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(frames[i]->pts, kZero + static_cast<int64_t>(i) * 1024);
    decoder.decode(frames[i], [&](const AVFrame& frame) {
      const auto* samples = reinterpret_cast<const float*>(frame.data[0]);
      output.insert(output.end(), samples, samples + frame.nb_samples);
    });
  }
  ASSERT_EQ(output.size(), input.size());
  const auto peak = std::max_element(output.begin(), output.end()) - output.begin();
  EXPECT_NEAR(static_cast<double>(peak), static_cast<double>(kClick), 4);
}

TEST(AacEncoder, RefusesWhatAacCannot) {
  EXPECT_FALSE(media::AacEncoder::make(44000, 1, 64000));
  EXPECT_FALSE(media::AacEncoder::make(48000, 0, 64000));
  EXPECT_FALSE(media::AacEncoder::make(48000, 9, 64000));
}

TEST(DemoSource, FramesTellTheirTime) {
  Listener listener;
  DemoOptions options;
  options.name = "front door";
  options.gop = milliseconds(400);
  const UtcTime before = base::system_clock().utc();
  Running running(options, listener);
  ASSERT_TRUE(
      listener.wait_until([&] { return listener.pictures.size() >= 25 && listener.sounds.size() >= 30; }));
  const SourceStatus status = running.status();
  running.stop();
  const UtcTime after = base::system_clock().utc();

  EXPECT_EQ(status.state, SourceStatus::State::kPlaying);
  EXPECT_GE(status.frames, 55u);
  EXPECT_EQ(listener.tracks, (std::vector<std::pair<bool, bool>>{{true, true}}));
  EXPECT_TRUE(listener.interruptions.empty());

  const auto pictures = decode_pictures(listener.pictures);
  ASSERT_EQ(pictures.size(), listener.pictures.size());
  int64_t last = 0;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const FramePtr& frame = listener.pictures[i];
    ASSERT_EQ(frame->pts % 3600, 0);
    const int64_t number = frame->pts / 3600;
    EXPECT_GT(number, last);
    EXPECT_EQ(frame->dts, frame->pts);
    EXPECT_EQ(pictures[i].number(), static_cast<uint32_t>(number));
    EXPECT_EQ(frame->key, number / 10 != last / 10) << "key frames every 400 ms of UTC";
    last = number;
  }
  const UtcTime first_time(milliseconds(listener.pictures.front()->pts / 90));
  const UtcTime last_time(milliseconds(listener.pictures.back()->pts / 90));
  EXPECT_GE(first_time, before - milliseconds(40));
  EXPECT_LE(last_time, after);

  for (size_t i = 1; i < listener.sounds.size(); ++i) {
    EXPECT_EQ(listener.sounds[i]->pts, listener.sounds[i - 1]->pts + 1024);
  }
  EXPECT_EQ(listener.sounds[0]->pts * 25, listener.pictures[0]->pts / 3600 * 48000)
      << "both begin at the same moment";
}

TEST(DemoSource, PayloadIsLengthPrefixedSlices) {
  Listener listener;
  DemoOptions options;
  options.audio = false;
  options.start_frame = 0xfffffffeu;
  Running running(options, listener);
  ASSERT_TRUE(listener.wait_until([&] { return listener.pictures.size() >= 4; }));
  running.stop();
  EXPECT_TRUE(listener.sounds.empty());
  EXPECT_EQ(listener.tracks, (std::vector<std::pair<bool, bool>>{{true, false}}));
  for (const FramePtr& frame : listener.pictures) {
    base::ByteReader reader(frame->data());
    while (!reader.empty()) {
      const base::ByteView nal = reader.bytes(reader.u32());
      ASSERT_TRUE(reader.ok());
      EXPECT_EQ(media::h264::nal_type(nal),
                frame->key ? media::h264::NalType::kIdr : media::h264::NalType::kSlice);
    }
  }
  const auto pictures = decode_pictures(listener.pictures);
  const int64_t first = listener.pictures[0]->pts / 3600;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const int64_t since = listener.pictures[i]->pts / 3600 - first;
    EXPECT_EQ(pictures[i].number(), static_cast<uint32_t>(0xfffffffeu + since)) << i;
  }
}

TEST(DemoSource, SaysWhenUtcIsSet) {
  ShiftedClock clock;
  Listener listener;
  DemoOptions options;
  options.gop = seconds(30);
  Running running(options, listener, clock);
  ASSERT_TRUE(listener.wait_until([&] { return listener.pictures.size() >= 3; }));
  clock.shift_seconds = -3600;
  ASSERT_TRUE(listener.wait_until([&] {
    return !listener.interruptions.empty() &&
           listener.pictures.size() >= listener.pictures_before_interruption + 3 &&
           listener.sounds.back()->pts < listener.sounds.front()->pts;
  }));
  running.stop();
  EXPECT_EQ(listener.interruptions, std::vector<Interruption>{Interruption::kClockJump});
  const size_t at = listener.pictures_before_interruption;
  EXPECT_TRUE(listener.pictures[at]->key);
  EXPECT_LT(listener.pictures[at]->pts, listener.pictures[0]->pts);
  EXPECT_GT(listener.pictures[at + 1]->pts, listener.pictures[at]->pts);
}

TEST(DemoSource, NothingComesAfterStop) {
  Listener listener;
  Running running(DemoOptions{}, listener);
  ASSERT_TRUE(listener.wait_until([&] { return listener.pictures.size() >= 2; }));
  running.stop();
  const size_t pictures = listener.pictures.size();
  const size_t sounds = listener.sounds.size();
  running.stop();
  EXPECT_EQ(running.status().state, SourceStatus::State::kIdle);
  EXPECT_EQ(listener.pictures.size(), pictures);
  EXPECT_EQ(listener.sounds.size(), sounds);
}

TEST(DemoSource, StopsAtAnyMoment) {
  for (int i = 0; i < 20; ++i) {
    Listener listener;
    DemoOptions options;
    options.fps = 60;
    Running running(options, listener);
    // From before the encoders are open to between pictures.
    std::this_thread::sleep_for(milliseconds(i));
    running.stop();
  }
  Listener listener;
  net::EventLoop loop("test");
  const auto never_started = make_demo_source(loop, base::system_clock(), DemoOptions{}, listener);
  never_started->stop();
}

TEST(DemoSource, SlowListenerMissesFramesButCanDecode) {
  Listener listener;
  std::atomic<bool> blocked{true};
  listener.block = [&] {
    // Longer than the two seconds that may wait.
    if (blocked.exchange(false)) std::this_thread::sleep_for(seconds(4));
  };
  DemoOptions options;
  // So few that a busy machine makes them all: else it is that which leaves frames out.
  options.fps = 5;
  options.audio = false;
  options.gop = seconds(30);
  Running running(options, listener);
  ASSERT_TRUE(listener.wait_until([&] { return listener.pictures.size() >= 15; }));
  running.stop();
  const auto pictures = decode_pictures(listener.pictures);
  ASSERT_EQ(pictures.size(), listener.pictures.size());
  int64_t longest_step = 0;
  for (size_t i = 1; i < pictures.size(); ++i) {
    const int64_t number = listener.pictures[i]->pts / 18'000;
    EXPECT_EQ(pictures[i].number(), static_cast<uint32_t>(number));
    longest_step = std::max(longest_step, number - listener.pictures[i - 1]->pts / 18'000);
  }
  EXPECT_GT(longest_step, 5) << "frames were left out while the listener slept";
}

}  // namespace
}  // namespace miharu::ingest
