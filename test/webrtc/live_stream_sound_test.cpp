#include <gtest/gtest.h>

#include <vector>

#include "media/opus.h"
#include "webrtc/live_stream.h"

namespace miharu::webrtc {
namespace {

class Listener final : public UnitListener {
 public:
  void on_group(const std::vector<UnitPtr>&, bool) override {}
  void on_unit(const UnitPtr& unit) override { units.push_back(unit); }
  void on_interrupted() override {}

  std::vector<UnitPtr> units;
};

media::TrackConfigPtr track(media::Codec codec, uint32_t rate) {
  media::TrackConfig config;
  config.codec = codec;
  config.clock_rate = config.sample_rate = rate;
  config.channels = 1;
  return std::make_shared<const media::TrackConfig>(std::move(config));
}

// What a viewer of a camera gets when one frame of sound with these bytes comes.
std::vector<UnitPtr> units_of(const media::TrackConfigPtr& config, const base::ByteVector& bytes) {
  net::EventLoop loop("camera");
  LiveStream stream(loop);
  const auto listener = std::make_shared<Listener>();
  stream.subscribe(listener, loop);
  loop.context().poll();
  media::FrameBuilder builder;
  builder.append(bytes);
  stream.on_live_frame(builder.finish({config, 0, 0, {}, true, false}),
                       base::SteadyTime(std::chrono::seconds(5)));
  return listener->units;
}

TEST(LiveStreamSound, G711AndOpusPassAsTheyAre) {
  const base::ByteVector pcm(160, std::byte{0x55});
  const auto g711 = units_of(track(media::Codec::kPcmu, 8000), pcm);
  ASSERT_EQ(g711.size(), 1U);
  EXPECT_EQ(g711[0]->track, media::TrackKind::kAudio);
  EXPECT_EQ(base::ByteVector(g711[0]->bytes.begin(), g711[0]->bytes.end()), pcm);

  const base::ByteVector packet(40, std::byte{0xf8});
  EXPECT_EQ(units_of(media::opus::make_track_config(1), packet).size(), 1U);
}

// The answer says Opus.
TEST(LiveStreamSound, AacIsNeverSentAsOpus) {
  EXPECT_TRUE(units_of(track(media::Codec::kAac, 16000), base::ByteVector(200, std::byte{0x21})).empty());
}

}  // namespace
}  // namespace miharu::webrtc
