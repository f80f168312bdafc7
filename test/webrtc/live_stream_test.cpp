#include "webrtc/live_stream.h"

#include "webrtc/media_test_support.h"

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::seconds;

struct Listener final : UnitListener {
  void on_group(const std::vector<UnitPtr>& cached, bool is_whole) override {
    ++groups;
    group = cached;
    whole = is_whole;
  }
  void on_unit(const UnitPtr& unit) override { units.push_back(unit); }
  void on_interrupted() override { ++interruptions; }

  int groups = 0;
  std::vector<UnitPtr> group;
  bool whole = false;
  std::vector<UnitPtr> units;
  int interruptions = 0;
};

media::TrackConfigPtr sound_config(media::Codec codec, uint32_t rate, uint32_t channels = 1) {
  auto config = std::make_shared<media::TrackConfig>();
  config->codec = codec;
  config->clock_rate = rate;
  config->sample_rate = rate;
  config->channels = channels;
  return config;
}

// The camera's thread is that of the test: its loop is polled.
class LiveStreamTest : public testing::Test {
 protected:
  void picture(bool key, base::nanoseconds time, size_t bytes = 500) {
    stream->on_live_frame(make_picture({make_slice(key, true, bytes)}, key, video), at(time));
  }
  void sound(const media::TrackConfigPtr& config, base::nanoseconds time, const base::ByteVector& bytes) {
    media::FrameBuilder builder;
    builder.append(bytes);
    stream->on_live_frame(builder.finish({config}), at(time));
  }
  std::shared_ptr<Listener> subscribe() {
    auto listener = std::make_shared<Listener>();
    stream->subscribe(listener, loop);
    poll();
    return listener;
  }
  void poll() {
    loop.context().restart();
    loop.context().poll();
  }

  net::EventLoop loop{"camera"};
  std::shared_ptr<LiveStream> stream = std::make_shared<LiveStream>(loop);
  media::TrackConfigPtr video = h264_config();
};

TEST_F(LiveStreamTest, TellsTheTracks) {
  EXPECT_EQ(stream->tracks().video, nullptr);
  EXPECT_EQ(stream->tracks().audio, nullptr);
  picture(true, milliseconds(0));
  EXPECT_EQ(stream->tracks().video, video);
  const auto pcmu = sound_config(media::Codec::kPcmu, 8000);
  sound(pcmu, milliseconds(0), base::ByteVector(160));
  EXPECT_EQ(stream->tracks().audio, pcmu);
  video = h264_config();
  picture(true, milliseconds(40));
  EXPECT_EQ(stream->tracks().video, video);
}

TEST_F(LiveStreamTest, WhoSubscribesGetsTheLatestGroupAndThenEachUnit) {
  picture(true, milliseconds(0));
  picture(false, milliseconds(40));
  picture(true, milliseconds(80));
  picture(false, milliseconds(120), 5000);
  picture(false, milliseconds(160));
  const auto first = subscribe();
  ASSERT_EQ(first->groups, 1);
  EXPECT_TRUE(first->whole);
  ASSERT_EQ(first->group.size(), 3U);
  EXPECT_TRUE(first->group[0]->key);
  EXPECT_EQ(first->group[0]->time, at(milliseconds(80)));
  EXPECT_EQ(first->group[1]->packets(), 5U);
  EXPECT_EQ(first->group[2]->time, at(milliseconds(160)));
  EXPECT_TRUE(first->units.empty());
  picture(false, milliseconds(200));
  ASSERT_EQ(first->units.size(), 1U);
  // Packetized once: the second one gets the very same.
  const auto second = subscribe();
  ASSERT_EQ(second->group.size(), 4U);
  EXPECT_EQ(second->group[0], first->group[0]);
  EXPECT_EQ(second->group[3], first->units[0]);
  EXPECT_EQ(first->groups, 1);
}

// Nothing is done for a camera that nobody watches: its frames are kept as they came.
TEST_F(LiveStreamTest, NothingIsPacketizedBeforeSomebodyWatches) {
  const media::FramePtr frame = make_picture({make_slice(true, true, 100)}, true, video);
  std::weak_ptr<const media::TrackConfig> kept = video;
  stream->on_live_frame(frame, at({}));
  EXPECT_GE(kept.use_count(), 3);  // ours, the frame's, the stream's
  const long before = kept.use_count();
  const auto listener = subscribe();
  ASSERT_EQ(listener->group.size(), 1U);
  EXPECT_EQ(kept.use_count(), before);
  const UnitPtr unit = listener->group[0];
  EXPECT_EQ(unit.use_count(), 3);  // ours, the listener's, the cache's
}

TEST_F(LiveStreamTest, BeforeTheFirstPictureTheGroupIsEmpty) {
  const auto listener = subscribe();
  EXPECT_EQ(listener->groups, 1);
  EXPECT_TRUE(listener->group.empty());
  picture(false, milliseconds(0));
  EXPECT_TRUE(listener->units.empty());
  picture(true, milliseconds(40));
  picture(false, milliseconds(80));
  ASSERT_EQ(listener->units.size(), 2U);
  EXPECT_TRUE(listener->units[0]->key);
}

TEST_F(LiveStreamTest, OfAGroupBeyondTheCapOnlyTheKeyFrameIsKept) {
  picture(true, milliseconds(0), 1'000'000);
  int frames = 1;
  for (size_t bytes = 1'000'004; bytes + 1'000'004 <= LiveStream::kMaxCachedBytes; bytes += 1'000'004)
    picture(false, milliseconds(40 * frames++), 1'000'000);
  const auto before = subscribe();
  EXPECT_TRUE(before->whole);
  EXPECT_EQ(before->group.size(), static_cast<size_t>(frames));
  picture(false, milliseconds(40 * frames++), 1'000'000);
  picture(false, milliseconds(40 * frames++), 100);
  EXPECT_EQ(before->units.size(), 2U);
  const auto after = subscribe();
  EXPECT_FALSE(after->whole);
  ASSERT_EQ(after->group.size(), 1U);
  EXPECT_TRUE(after->group[0]->key);
  picture(false, milliseconds(40 * frames++));
  EXPECT_EQ(after->units.size(), 1U);
  EXPECT_EQ(subscribe()->group.size(), 1U);
  picture(true, milliseconds(40 * frames++));
  picture(false, milliseconds(40 * frames));
  const auto last = subscribe();
  EXPECT_TRUE(last->whole);
  EXPECT_EQ(last->group.size(), 2U);
}

TEST_F(LiveStreamTest, AnInterruptionEmptiesTheCacheAndIsTold) {
  picture(true, milliseconds(0));
  const auto listener = subscribe();
  stream->on_live_interrupted();
  EXPECT_EQ(listener->interruptions, 1);
  picture(false, milliseconds(40));
  EXPECT_TRUE(listener->units.empty());
  EXPECT_TRUE(subscribe()->group.empty());
  picture(true, milliseconds(80));
  EXPECT_EQ(listener->units.size(), 1U);
  EXPECT_EQ(subscribe()->group.size(), 1U);
}

TEST_F(LiveStreamTest, AFrameWithoutASliceIsNobodysUnit) {
  picture(true, milliseconds(0));
  const auto listener = subscribe();
  stream->on_live_frame(make_picture({bytes_of("09f0")}, false, video), at(milliseconds(40)));
  picture(false, milliseconds(80));
  EXPECT_EQ(listener->units.size(), 1U);
  const auto other = subscribe();
  EXPECT_EQ(other->group.size(), 2U);
  for (const UnitPtr& each : other->group) EXPECT_NE(each, nullptr);
}

TEST_F(LiveStreamTest, TimesOfPicturesGoForwardOnly) {
  const auto listener = subscribe();
  picture(true, milliseconds(100));
  picture(false, milliseconds(60));
  picture(false, milliseconds(60));
  picture(false, milliseconds(140));
  ASSERT_EQ(listener->units.size(), 4U);
  EXPECT_EQ(listener->units[1]->time, at(milliseconds(101)));
  EXPECT_EQ(listener->units[2]->time, at(milliseconds(102)));
  EXPECT_EQ(listener->units[3]->time, at(milliseconds(140)));
}

TEST_F(LiveStreamTest, WhoIsSubscribedIsNotTakenTwiceAndLeaves) {
  picture(true, milliseconds(0));
  auto listener = std::make_shared<Listener>();
  stream->subscribe(listener, loop);
  stream->subscribe(listener, loop);
  poll();
  EXPECT_EQ(listener->groups, 1);
  picture(false, milliseconds(40));
  EXPECT_EQ(listener->units.size(), 1U);
  const auto other = subscribe();
  stream->unsubscribe(listener);
  poll();
  picture(false, milliseconds(80));
  EXPECT_EQ(listener->units.size(), 1U);
  EXPECT_EQ(other->units.size(), 1U);
  EXPECT_EQ(listener.use_count(), 1);
}

TEST_F(LiveStreamTest, AListenerOfAnotherThreadIsToldThere) {
  picture(true, milliseconds(0));
  net::EventLoop its_loop("viewers");
  auto listener = std::make_shared<Listener>();
  stream->subscribe(listener, its_loop);
  poll();
  picture(false, milliseconds(40));
  stream->on_live_interrupted();
  EXPECT_EQ(listener->groups, 0);
  its_loop.context().poll();
  EXPECT_EQ(listener->groups, 1);
  EXPECT_EQ(listener->group.size(), 1U);
  EXPECT_EQ(listener->units.size(), 1U);
  EXPECT_EQ(listener->interruptions, 1);
}

TEST_F(LiveStreamTest, SoundContinuesWhereTheLastPacketEnded) {
  const auto listener = subscribe();
  const auto pcmu = sound_config(media::Codec::kPcmu, 8000);
  // 20 ms each, whose times tremble by 15 ms.
  for (int i = 0; i < 50; ++i) {
    sound(pcmu, milliseconds(20 * i + (i % 3 == 1 ? 15 : 0) - (i % 5 == 4 ? 15 : 0)), base::ByteVector(160));
  }
  ASSERT_EQ(listener->units.size(), 50U);
  for (size_t i = 1; i < 50; ++i)
    EXPECT_EQ(listener->units[i]->ticks - listener->units[i - 1]->ticks, 160) << i;
  EXPECT_EQ(listener->units[0]->ticks, int64_t{3600} * 8000);
  EXPECT_EQ(listener->units[0]->track, media::TrackKind::kAudio);
}

TEST_F(LiveStreamTest, AStepOfMoreThanFortyMillisecondsIsAHole) {
  const auto listener = subscribe();
  const auto pcmu = sound_config(media::Codec::kPcmu, 8000);
  sound(pcmu, milliseconds(0), base::ByteVector(160));
  sound(pcmu, milliseconds(60), base::ByteVector(160));   // 40 too late: still continuous
  sound(pcmu, milliseconds(121), base::ByteVector(160));  // 81 behind the end of the last one
  sound(pcmu, milliseconds(141), base::ByteVector(160));
  sound(pcmu, milliseconds(100), base::ByteVector(160));  // 61 too early
  ASSERT_EQ(listener->units.size(), 5U);
  const int64_t zero = int64_t{3600} * 8000;
  EXPECT_EQ(listener->units[1]->ticks, zero + 160);
  EXPECT_EQ(listener->units[2]->ticks, zero + 121 * 8);
  EXPECT_EQ(listener->units[3]->ticks, zero + 141 * 8);
  EXPECT_EQ(listener->units[4]->ticks, zero + 100 * 8);
}

TEST_F(LiveStreamTest, SamplesAreThoseOfTheCodec) {
  const auto listener = subscribe();
  const auto stereo = sound_config(media::Codec::kPcma, 8000, 2);
  sound(stereo, milliseconds(0), base::ByteVector(320));
  sound(stereo, milliseconds(20), base::ByteVector(320));
  ASSERT_EQ(listener->units.size(), 2U);
  EXPECT_EQ(listener->units[1]->ticks - listener->units[0]->ticks, 160);
  // RFC 6716 3.1: configuration 31 (20 ms) one frame, then two frames of 20 ms.
  const auto opus = sound_config(media::Codec::kOpus, 48000, 2);
  sound(opus, seconds(10), bytes_of("f8112233"));
  sound(opus, seconds(10) + milliseconds(20), bytes_of("f911223344"));
  sound(opus, seconds(10) + milliseconds(60), bytes_of("f8112233"));
  ASSERT_EQ(listener->units.size(), 5U);
  EXPECT_EQ(listener->units[3]->ticks - listener->units[2]->ticks, 960);
  EXPECT_EQ(listener->units[4]->ticks - listener->units[3]->ticks, 1920);
}

TEST_F(LiveStreamTest, SoundBeforeAnybodyWatchesIsNotKept) {
  sound(sound_config(media::Codec::kPcmu, 8000), milliseconds(0), base::ByteVector(160));
  const auto listener = subscribe();
  EXPECT_TRUE(listener->units.empty());
  EXPECT_TRUE(listener->group.empty());
}

}  // namespace
}  // namespace miharu::webrtc
