// The receiver of a track with a clock by hand: what a camera does in a day takes seconds.
#include "ingest/rtsp/track_receiver.h"

#include <random>

#include <gtest/gtest.h>

#include "media/sdp.h"

namespace miharu::ingest::rtsp {
namespace {

using base::SteadyTime;
using std::chrono::milliseconds;

constexpr std::string_view kSdp =
    "v=0\r\n"
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 sprop-parameter-sets=Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgBA==,aO48gA==\r\n"
    "m=audio 0 RTP/AVP 0\r\n";

struct Listener final : TrackListener {
  void on_track_frame(media::FramePtr frame) override { frames.push_back(std::move(frame)); }
  void on_track_report(const SenderReport&) override {}
  void on_track_oddity(std::string_view quirk_id) override { ++oddities[std::string(quirk_id)]; }
  void on_track_time_jump(const base::Error&) override { ++jumps; }

  std::vector<media::FramePtr> frames;
  std::map<std::string, int> oddities;
  int jumps = 0;
};

// A camera whose units are told apart by a number in their bytes.
class Sender {
 public:
  Sender(media::TrackKind kind, bool udp) : kind_(kind) {
    const auto sdp = media::parse_sdp(kSdp);
    const auto& media = sdp->media[kind == media::TrackKind::kVideo ? 0 : 1];
    receiver = std::move(*TrackReceiver::make(kind, media, *media::choose_format(media), udp, listener));
  }

  // One unit a packet, each tenth a key frame.
  base::ByteVector next() {
    base::ByteVector out;
    base::ByteWriter writer(out);
    const bool video = kind_ == media::TrackKind::kVideo;
    writer.u8(0x80);
    writer.u8(video ? 0xe0 : 0);
    writer.u16(sequence++);
    writer.u32(timestamp);
    writer.u32(ssrc);
    if (video) writer.u16(number % 10 == 0 ? 0x65b8 : 0x41e0);
    writer.u32(0x55555555);
    // Seven bits a byte, so that no number is a start code.
    for (const uint32_t shift : {21U, 14U, 7U, 0U}) writer.u8((number >> shift & 0x7f) | 0x80);
    ++number;
    return out;
  }
  void send(const base::ByteVector& packet) { receiver->on_rtp(packet, now); }
  static uint32_t number_of(const media::Frame& frame) {
    uint32_t out = 0;
    for (const std::byte byte : frame.data().last(4))
      out = out << 7 | (std::to_integer<uint32_t>(byte) & 0x7f);
    return out;
  }

  Listener listener;
  std::unique_ptr<TrackReceiver> receiver;
  uint32_t number = 0;
  uint16_t sequence = 65'000;
  uint32_t timestamp = 0xfff00000;
  uint32_t ssrc = 1;
  SteadyTime now{};

 private:
  media::TrackKind kind_;
};

TEST(TrackReceiver, ADay) {
  // 24 h at 2 pictures a second: the timestamp wraps twice, the sequence more often. A clock that is 300 ppm
  // off, packets up to 200 ms late, a new ssrc and sequence each hour, half a minute of silence each three
  // hours.
  for (const bool udp : {false, true}) {
    Sender sender(media::TrackKind::kVideo, udp);
    std::minstd_rand random(7);
    constexpr uint32_t kHour = 3600 * 2;
    constexpr uint32_t kPictures = 24 * kHour;
    const SteadyTime start = sender.now;
    uint32_t recorded = 0;
    int64_t last_dts = 0;
    bool whole = true;
    bool steady = true;
    SteadyTime silence{};
    for (uint32_t i = 0; i < kPictures; ++i) {
      if (i > 0 && i % kHour == 0) {
        sender.ssrc += 17;
        sender.sequence = static_cast<uint16_t>(random());
      }
      if (i > 0 && i % (3 * kHour) == 0) {
        silence += std::chrono::seconds(30);
        sender.timestamp += 30 * 90'000;
      }
      const SteadyTime due = start + silence.time_since_epoch() + i * milliseconds(500);
      sender.now = std::max(sender.now, due + milliseconds(random() % 200));
      sender.send(sender.next());
      sender.timestamp += 45'013;
      for (const auto& frame : sender.listener.frames) {
        whole = whole && Sender::number_of(*frame) == recorded && !frame->damaged &&
                frame->key == (recorded % 10 == 0);
        steady = steady && (recorded == 0 || frame->dts - last_dts == 45'013 || recorded % (3 * kHour) == 0);
        last_dts = frame->dts;
        ++recorded;
      }
      sender.listener.frames.clear();
    }
    sender.receiver->flush();
    // Only the last one waits for the packet behind it.
    EXPECT_GE(recorded + sender.listener.frames.size(), kPictures - 1) << udp;
    EXPECT_TRUE(whole);
    EXPECT_TRUE(steady);
    EXPECT_EQ(sender.listener.jumps, 0);
    EXPECT_EQ(sender.receiver->lost(), 0U);
    EXPECT_EQ(sender.listener.oddities["P2"], 23);
  }
}

TEST(TrackReceiver, NewSsrcLosesNothing) {
  for (const bool udp : {false, true}) {
    Sender sender(media::TrackKind::kVideo, udp);
    std::vector<base::ByteVector> packets;
    for (int i = 0; i < 40; ++i) {
      if (i % 10 == 0) {
        ++sender.ssrc;
        sender.sequence = static_cast<uint16_t>(sender.sequence + 30'000);
      }
      packets.push_back(sender.next());
      sender.timestamp += 9000;
    }
    // Over UDP the first two of an ssrc change places.
    if (udp) std::swap(packets[20], packets[21]);
    for (const auto& packet : packets) {
      sender.send(packet);
      sender.now += milliseconds(100);
    }
    sender.receiver->flush();
    ASSERT_EQ(sender.listener.frames.size(), 40U);
    for (uint32_t i = 0; i < 40; ++i) {
      EXPECT_EQ(Sender::number_of(*sender.listener.frames[i]), i);
      EXPECT_FALSE(sender.listener.frames[i]->damaged);
    }
  }
}

TEST(TrackReceiver, StraysOfAnotherSsrcAreDropped) {
  Sender sender(media::TrackKind::kVideo, false);
  for (int i = 0; i < 20; ++i) {
    sender.send(sender.next());
    sender.timestamp += 9000;
    sender.now += milliseconds(100);
    auto stray = sender.next();
    --sender.number;
    --sender.sequence;
    stray[11] = std::byte{99};
    sender.send(stray);
  }
  sender.receiver->flush();
  EXPECT_EQ(sender.listener.frames.size(), 20U);
  EXPECT_EQ(sender.listener.oddities["P2"], 0);
}

TEST(TrackReceiver, ALostUnitIsFlagged) {
  Sender sender(media::TrackKind::kVideo, true);
  for (int i = 0; i < 30; ++i) {
    const auto packet = sender.next();
    if (i != 15) sender.send(packet);
    sender.timestamp += 9000;
    sender.now += milliseconds(100);
    sender.receiver->advance(sender.now);
  }
  sender.receiver->flush();
  ASSERT_EQ(sender.listener.frames.size(), 29U);
  for (const auto& frame : sender.listener.frames) EXPECT_EQ(frame->damaged, Sender::number_of(*frame) == 16);
  EXPECT_EQ(sender.receiver->lost(), 1U);
}

TEST(TrackReceiver, SoundGoesOnWhereItsClockJumps) {
  Sender sender(media::TrackKind::kAudio, false);
  std::minstd_rand random(3);
  for (int i = 0; i < 500; ++i) {
    sender.send(sender.next());
    sender.timestamp += 320;
    sender.now += milliseconds(40);
    if (i % 50 == 49) sender.timestamp = static_cast<uint32_t>(random() << 1);
  }
  ASSERT_EQ(sender.listener.frames.size(), 500U);
  const int64_t first = sender.listener.frames.front()->pts;
  for (int i = 0; i < 500; ++i) {
    EXPECT_NEAR(static_cast<double>(sender.listener.frames[static_cast<size_t>(i)]->pts - first), i * 320.0,
                10)
        << i;
  }
  EXPECT_EQ(sender.listener.jumps, 0);
  EXPECT_EQ(sender.listener.oddities["P5"], 9);
}

TEST(TrackReceiver, ThePictureStartsAgainWhereItsClockJumps) {
  Sender sender(media::TrackKind::kVideo, false);
  for (int i = 0; i < 40; ++i) {
    if (i == 20) sender.timestamp += 90'000 * 100;
    sender.send(sender.next());
    sender.timestamp += 9000;
    sender.now += milliseconds(100);
  }
  sender.receiver->flush();
  EXPECT_EQ(sender.listener.jumps, 1);
  EXPECT_EQ(sender.listener.frames.size(), 40U);
}

}  // namespace
}  // namespace miharu::ingest::rtsp
