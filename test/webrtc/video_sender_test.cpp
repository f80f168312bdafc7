// A viewer's pictures in simulated time: a camera with 30 frames a second and 4 Mbit/s, a key frame each
// four seconds.
#include "webrtc/video_sender.h"

#include <random>

#include "webrtc/media_receiver.h"

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;
using base::SteadyTime;
using State = VideoSender::State;

constexpr uint32_t kSsrc = 0x01020304;
constexpr uint32_t kRtxSsrc = 0x05060708;
constexpr uint32_t kOffset = 0xFFFFF000;
constexpr nanoseconds kInterval = nanoseconds(seconds(1)) / 30;
constexpr nanoseconds kDelay = milliseconds(20);  // from the picture to its arrival

// What is between sender and viewer, where a test has one.
struct Line {
  double bits_per_second = 20e6;
  milliseconds round_trip{20};
  milliseconds queue{200};
  bool answers_probes = true;

  SteadyTime free{};
  size_t dropped = 0;
  std::map<uint16_t, SteadyTime> missing;  // and when they are asked for next
  std::map<SteadyTime, uint32_t> probes;   // when their answers come

  // When it arrives; nothing when the queue is full.
  std::optional<SteadyTime> carry(SteadyTime now, size_t bytes) {
    free = std::max(free, now);
    if (free - now > queue) {
      ++dropped;
      return std::nullopt;
    }
    free += nanoseconds(static_cast<int64_t>(static_cast<double>(bytes) * 8e9 / bits_per_second));
    return free + round_trip / 2;
  }
};

struct Camera {
  unsigned gop_frames = 120;
  size_t key_bytes = 125'000;
  size_t other_bytes = 15'750;
};

// A picture as the viewer got it: the packets of one stamp.
struct Shown {
  uint32_t stamp = 0;
  SteadyTime time;  // of its last packet
  SteadyTime begun;
  size_t bytes = 0;
  bool key = false;
  bool marked = false;
  size_t packets = 0;
};

class VideoSenderTest : public testing::Test {
 protected:
  void SetUp() override { make(true); }

  void make(bool rtx) {
    RtpStreamOptions options;
    options.ssrc = kSsrc;
    options.payload_type = 96;
    if (rtx) options.rtx = {kRtxSsrc, 97};
    options.timestamp_offset = kOffset;
    options.first_sequence = 100;
    receiver.emplace();
    srtp.emplace(SrtpProfile::kAeadAes128Gcm, test_master());
    stream.emplace(options, *srtp);
    sender.emplace(ring, *stream);
  }

  // Another camera and another viewer.
  void make_anew() {
    packets.clear();
    repairs.clear();
    shown.clear();
    sent_bytes.clear();
    probe_sent.clear();
    ring = UnitRing();
    frame = frame_of_group = 0;
    began = now;
    watches = false;
    make(true);
  }

  // Until `end`: pictures come, slices go. `step` is called each millisecond.
  void run_until(
      SteadyTime end, const std::function<void()>& step = [] {}) {
    while (now < end && !HasFatalFailure()) {
      now += milliseconds(1);
      sink.now = now;
      while (camera_runs && next_picture() + kDelay <= now) arrive();
      if (now >= next_slice) {
        next_slice = now + VideoSender::kSlice;
        if (sender->wants_slices()) sender->on_slice(now, *batch);
      }
      step();
      batch->flush();
      read();
      if (line) {
        answer();
      } else if (const auto id = sender->take_probe()) {
        sender->on_probe(*id, milliseconds(1));  // nothing waits anywhere
      }
    }
  }
  void run(nanoseconds time) { run_until(now + time); }
  [[nodiscard]] SteadyTime next_picture() const { return began + kInterval * static_cast<int64_t>(frame); }
  void arrive() {
    const bool key = frame_of_group == 0;
    const size_t bytes = key ? camera.key_bytes : camera.other_bytes;
    ring.push(make_unit(key, next_picture(), bytes, frame), now);
    if (key) last_key = now;
    ++frame;
    frame_of_group = (frame_of_group + 1) % camera.gop_frames;
    if (watches) sender->on_unit(now, *batch);
  }
  void start(std::optional<nanoseconds> round_trip = std::nullopt) {
    watches = true;
    sink.now = now;
    probe_sent[VideoSender::kIdleProbe] = now;
    if (line) line->probes.emplace(now + line->round_trip, VideoSender::kIdleProbe);
    sender->start(now, round_trip, *batch);
    batch->flush();
    read();
    if (line) probe();
  }
  // What comes back over the line: answers to probes, and what is missing, asked for each round trip.
  void answer() {
    probe();
    while (!line->probes.empty() && line->probes.begin()->first <= now) {
      const uint32_t id = line->probes.begin()->second;
      line->probes.erase(line->probes.begin());
      sender->on_probe(id, now - probe_sent[id]);
    }
    for (auto& [sequence, when] : line->missing) {
      if (when > now) continue;
      when = now + std::max(line->round_trip, milliseconds(50));
      sender->on_nack(now, sequence, 0, *batch);
    }
    batch->flush();
    read();
  }
  void probe() {
    const auto id = sender->take_probe();
    if (!id) return;
    probe_sent[*id] = now;
    const auto arrival = line->carry(now, 100);
    if (arrival && line->answers_probes) line->probes.emplace(*arrival + line->round_trip / 2, *id);
  }
  void carry(const ReceivedRtp& packet, size_t bytes) {
    const auto arrival = line->carry(now, bytes);
    if (packet.ssrc == kRtxSsrc) {
      if (arrival) line->missing.erase(base::ByteReader(packet.payload).u16());
    } else if (!arrival) {
      line->missing[packet.sequence] = line->free + line->round_trip;
    }
  }
  // A camera that has run for a while; the viewer comes `phase` after a key frame arrived.
  void start_at_phase(nanoseconds phase, std::optional<nanoseconds> round_trip = std::nullopt) {
    run_until(began + group() + kDelay + phase);
    start(round_trip);
  }
  [[nodiscard]] nanoseconds group() const { return kInterval * static_cast<int64_t>(camera.gop_frames); }
  // Until the next key frame has arrived and a bit more.
  void run_over_next_key(nanoseconds more = milliseconds(100)) {
    const SteadyTime before = last_key;
    while (last_key == before) run(milliseconds(1));
    run(more);
  }

  void read() {
    for (const auto& datagram : sink.datagrams) {
      auto packet = receiver->take(datagram.bytes, datagram.time);
      ASSERT_TRUE(packet) << "libsrtp2: " << receiver->status();
      sent_bytes[datagram.time] += packet->payload.size();
      if (line) carry(*packet, datagram.bytes.size() + 28);
      if (packet->ssrc == kRtxSsrc) {
        repairs.push_back(std::move(*packet));
        continue;
      }
      const unsigned type = std::to_integer<unsigned>(packet->payload[0]) & 0x1f;
      if (!packets.empty()) {
        ASSERT_EQ(packet->sequence, static_cast<uint16_t>(packets.back().sequence + 1));
      }
      if (shown.empty() || shown.back().stamp != packet->timestamp) {
        ASSERT_TRUE(shown.empty() || shown.back().marked || interrupted) << "a picture without an end";
        ASSERT_TRUE(shown.empty() || static_cast<int32_t>(packet->timestamp - shown.back().stamp) > 0)
            << "time goes back";
        shown.push_back({packet->timestamp, packet->time, packet->time, 0, type == 24, false, 0});
      }
      Shown& picture = shown.back();
      ASSERT_FALSE(picture.marked) << "two pictures of one stamp";
      picture.marked = packet->marker;
      picture.time = packet->time;
      picture.bytes += packet->payload.size();
      ++picture.packets;
      // Never ahead of what is live: a tick for each picture that would have had the same stamp otherwise.
      const auto live =
          kOffset + static_cast<uint32_t>(to_ticks(ring.live_time(packet->time), kVideoClockRate));
      ASSERT_LE(static_cast<int32_t>(packet->timestamp - live), static_cast<int32_t>(shown.size()));
      packets.push_back(std::move(*packet));
    }
    sink.datagrams.clear();
  }
  [[nodiscard]] uint32_t stamp_of(SteadyTime picture) const {
    return kOffset + static_cast<uint32_t>(to_ticks(picture, kVideoClockRate));
  }
  // Whether a shown picture has its own time.
  [[nodiscard]] bool is_original(const Shown& picture) const {
    for (unsigned i = 0; i < frame; ++i) {
      if (picture.stamp == stamp_of(began + kInterval * static_cast<int64_t>(i))) return true;
    }
    return false;
  }
  [[nodiscard]] nanoseconds longest_gap(SteadyTime until) const {
    nanoseconds longest{};
    for (size_t i = 1; i < shown.size(); ++i)
      longest = std::max<nanoseconds>(longest, shown[i].time - shown[i - 1].time);
    if (!shown.empty()) longest = std::max<nanoseconds>(longest, until - shown.back().time);
    return longest;
  }
  [[nodiscard]] size_t keys_shown() const {
    return static_cast<size_t>(
        std::count_if(shown.begin(), shown.end(), [](const Shown& p) { return p.key; }));
  }
  void lossy_for(nanoseconds time, uint8_t fraction = 40) {
    const SteadyTime end = now + time;
    while (now < end) {
      sender->on_report(now, fraction, std::nullopt);
      run(milliseconds(250));
    }
    sender->on_report(now, fraction, std::nullopt);
  }

  Camera camera;
  SteadyTime began = at({});
  SteadyTime now = began;
  SteadyTime next_slice{};
  SteadyTime last_key{};
  unsigned frame = 0;
  unsigned frame_of_group = 0;
  bool camera_runs = true;
  bool watches = false;
  bool interrupted = false;  // then a picture may have no end
  std::optional<Line> line;
  std::map<uint32_t, SteadyTime> probe_sent;
  UnitRing ring;
  RecordingSink sink;
  std::unique_ptr<PacketBatch> batch = std::make_unique<PacketBatch>(sink);
  std::optional<SrtpSender> srtp;
  std::optional<RtpStream> stream;
  std::optional<VideoSender> sender;
  std::optional<MediaReceiver> receiver;
  std::vector<ReceivedRtp> packets;
  std::vector<ReceivedRtp> repairs;
  std::vector<Shown> shown;
  std::map<SteadyTime, size_t> sent_bytes;
};

TEST_F(VideoSenderTest, NothingIsSentBeforeTheStart) {
  run(seconds(1));
  sender->on_nack(now, 100, 0xffff, *batch);
  sender->on_key_frame_request(now, *batch);
  sender->on_group(now, *batch);
  sender->on_interrupted();
  run(seconds(5));
  EXPECT_TRUE(packets.empty());
  EXPECT_FALSE(sender->wants_slices());
}

TEST_F(VideoSenderTest, StartsInTheMiddleOfAGroupAndCatchesUp) {
  start_at_phase(seconds(1));
  EXPECT_EQ(sender->state(), State::kCatchUp);
  EXPECT_FALSE(sender->key_sent());
  while (sender->state() == State::kCatchUp && now < last_key + seconds(3)) run(milliseconds(1));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_TRUE(sender->key_sent());
  // All of the second since the key frame, and in time.
  EXPECT_GT(shown.size(), 30U);
  EXPECT_TRUE(shown[0].key);
  EXPECT_LT(now - (last_key + seconds(1)), milliseconds(500));
  const size_t caught_up = shown.size();
  run_over_next_key(seconds(1));
  EXPECT_EQ(keys_shown(), 2U);
  for (size_t i = caught_up + 2; i < shown.size(); ++i) EXPECT_TRUE(is_original(shown[i])) << i;
  // No picture is left out.
  EXPECT_EQ(shown.size(), frame - 120);
  EXPECT_EQ(sender->counters().packets, packets.size());
  EXPECT_EQ(sender->counters().starts, 1U);
  EXPECT_EQ(sender->counters().units_skipped, 0U);
}

// Old stamps would be shown as a long fast-forward.
TEST_F(VideoSenderTest, CachedPicturesAreStampedAsIfTheyWereLive) {
  start_at_phase(seconds(2));
  const SteadyTime begin = now;
  run(milliseconds(100));
  ASSERT_GT(shown.size(), 3U);
  for (const Shown& picture : shown) {
    const uint32_t live = stamp_of(picture.begun - kDelay);
    EXPECT_LE(std::abs(static_cast<int32_t>(picture.stamp - live)), 45 * 90) << "45 ms";
    EXPECT_GT(static_cast<int32_t>(picture.stamp - stamp_of(begin - milliseconds(60))), 0);
  }
}

TEST_F(VideoSenderTest, TheKeyFrameGoesAtFortyMegabitsASecond) {
  start_at_phase(seconds(1));
  run(milliseconds(60));
  ASSERT_TRUE(shown.at(0).key);
  // 125 kB at 40 Mbit/s: 25 ms.
  EXPECT_GE(shown[0].time - shown[0].begun, milliseconds(18));
  EXPECT_LE(shown[0].time - shown[0].begun, milliseconds(35));
  run(seconds(10));
  // In no slice of 10 ms more than it is worth; also not when a live key frame comes.
  for (auto each = sent_bytes.begin(); each != sent_bytes.end(); ++each) {
    size_t bytes = 0;
    for (auto in = each; in != sent_bytes.end() && in->first - each->first < milliseconds(9); ++in)
      bytes += in->second;
    EXPECT_LE(bytes, 50'000U + 2 * 15'750U + kMaxPayloadBytes);
  }
}

TEST_F(VideoSenderTest, PicturesGoAtFourTimesTheRateOrTenTimesWhenNear) {
  for (const bool near : {false, true}) {
    for (auto* each : {&packets, &repairs}) each->clear();
    shown.clear();
    sent_bytes.clear();
    ring = UnitRing();
    frame = frame_of_group = 0;
    began = now;
    watches = false;
    make(true);
    start_at_phase(seconds(2), near ? milliseconds(3) : milliseconds(30));
    while (shown.size() < 5) run(milliseconds(1));
    const SteadyTime from = now;
    size_t bytes = 0;
    while (now < from + milliseconds(near ? 50 : 200)) {
      ASSERT_EQ(sender->state(), State::kCatchUp);
      run(milliseconds(1));
      if (sent_bytes.contains(now)) bytes += sent_bytes[now];
    }
    const double rate = static_cast<double>(bytes) * 8 / (near ? 0.05 : 0.2);
    EXPECT_NEAR(rate / ring.bits_per_second(), near ? 10 : 4, near ? 1.5 : 0.5);
  }
}

// A timer that comes late does not make up for it with a flood.
TEST_F(VideoSenderTest, ALateTimerIsNotMadeUpForWithAFlood) {
  camera.key_bytes = 1'000'000;
  start_at_phase(milliseconds(5));
  EXPECT_TRUE(sender->wants_slices());
  now += milliseconds(500);
  sink.now = now;
  sender->on_slice(now, *batch);
  batch->flush();
  read();
  EXPECT_LE(sent_bytes[now], 150'000U);
  EXPECT_GE(sent_bytes[now], 140'000U);
}

TEST_F(VideoSenderTest, NearTheEndOfTheGroupTheKeyFrameAloneStandsStill) {
  start_at_phase(milliseconds(3700));
  run(milliseconds(200));
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_TRUE(shown[0].key);
  EXPECT_TRUE(shown[0].marked);
  EXPECT_TRUE(sender->key_sent());
  EXPECT_NE(sender->state(), State::kLive);
  run_over_next_key();
  EXPECT_EQ(sender->state(), State::kLive);
  ASSERT_GT(shown.size(), 2U);
  EXPECT_TRUE(shown[1].key);
  EXPECT_TRUE(is_original(shown[1]));
  run(seconds(1));
  EXPECT_LE(longest_gap(now), milliseconds(400));
}

TEST_F(VideoSenderTest, AKeyFrameThatComesDuringTheStillPictureIsShownNext) {
  camera.key_bytes = 600'000;  // 120 ms
  start_at_phase(milliseconds(3950));
  EXPECT_TRUE(sender->wants_slices());
  run_over_next_key(seconds(1));
  ASSERT_GT(shown.size(), 20U);
  EXPECT_TRUE(shown[0].key);
  EXPECT_TRUE(shown[1].key);
  EXPECT_FALSE(shown[2].key);
  EXPECT_EQ(sender->state(), State::kLive);
  // All behind the second one, in order.
  EXPECT_EQ(shown.size(), 1 + frame - 240);
}

// The group is longer than the ring: what follows the key frame leads nowhere.
TEST_F(VideoSenderTest, OfAGroupThatIsNotWholeOnlyTheKeyFrameIsSent) {
  run(seconds(1));
  ring.miss();
  start();
  run(seconds(1));
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_TRUE(shown[0].key);
  run_over_next_key();
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_TRUE(shown.at(1).key);
}

// What a thread gets that begins to watch such a camera: the key frame, and then pictures that refer to ones
// that it has not got.
TEST_F(VideoSenderTest, OfAKeyFrameWithoutItsFollowersNoLaterOneIsSent) {
  run(kDelay + milliseconds(1));
  ASSERT_EQ(ring.end(), 1U);
  ring.miss();
  start();
  run(seconds(1));
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_TRUE(shown[0].key);
  run_over_next_key(seconds(1));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_TRUE(shown.at(1).key);
  EXPECT_EQ(shown.size(), 1 + frame - 120);
}

// A camera that makes its groups longer when nothing moves.
TEST_F(VideoSenderTest, AKeyFrameThatIsLongDueIsNotWaitedFor) {
  run(seconds(4));
  camera.gop_frames = 3000;
  run_over_next_key();
  for (const milliseconds late : {milliseconds(4400), milliseconds(7000)}) {
    packets.clear();
    shown.clear();
    make(true);
    run_until(last_key + late);
    start();
    run(seconds(4));
    EXPECT_EQ(sender->state(), State::kLive);
    EXPECT_GT(shown.size(), static_cast<size_t>(late / kInterval));
    watches = false;
  }
}

TEST_F(VideoSenderTest, WithoutAKeyFrameItWaitsForOne) {
  frame_of_group = 60;
  run(milliseconds(500));
  start();
  run(seconds(1));
  EXPECT_EQ(sender->state(), State::kWaiting);
  EXPECT_TRUE(packets.empty());
  run(seconds(1));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_TRUE(shown.at(0).key);
  for (const Shown& picture : shown) EXPECT_TRUE(is_original(picture));
}

TEST_F(VideoSenderTest, AGroupThatCameAfterTheStartBeginsIt) {
  camera_runs = false;
  start();
  EXPECT_EQ(sender->state(), State::kWaiting);
  for (unsigned i = 0; i < 30; ++i)
    ring.push(make_unit(i == 0, now - seconds(1) + kInterval * i, 10'000, i), now);
  sender->on_group(now, *batch);
  EXPECT_EQ(sender->state(), State::kCatchUp);
  batch->flush();
  read();
  frame = 30;
  began = now - seconds(1);
  run(milliseconds(500));
  EXPECT_EQ(shown.size(), 30U);
  EXPECT_TRUE(shown[0].key);
  EXPECT_EQ(sender->state(), State::kLive);
  sender->on_group(now, *batch);
  EXPECT_EQ(sender->counters().starts, 2U);  // the one that found nothing, and this one
}

// The line's pace is below what the camera sends: the ring goes on without the viewer.
TEST_F(VideoSenderTest, AViewerWhoIsFarBehindGetsKeyFramesOnly) {
  camera.gop_frames = 3000;
  camera.other_bytes = 250'000;  // 60 Mbit/s
  run(milliseconds(50));
  start();
  for (int i = 0; i < 1500 && sender->state() != State::kKeysOnly; ++i) run(milliseconds(10));
  EXPECT_EQ(sender->state(), State::kKeysOnly);
  EXPECT_FALSE(sender->wants_slices());
}

TEST_F(VideoSenderTest, AfterAnInterruptionItGoesOnWithTheFirstKeyFrame) {
  start_at_phase(milliseconds(500));
  run(seconds(1));
  ASSERT_EQ(sender->state(), State::kLive);
  camera_runs = false;
  ring.interrupt();
  interrupted = true;
  sender->on_interrupted();
  EXPECT_EQ(sender->state(), State::kWaiting);
  run(seconds(5));
  const size_t before = shown.size();
  frame_of_group = 110;
  began = now - kInterval * static_cast<int64_t>(frame);
  camera_runs = true;
  run(milliseconds(200));
  EXPECT_EQ(shown.size(), before);
  run(seconds(1));
  ASSERT_GT(shown.size(), before);
  EXPECT_TRUE(shown[before].key);
  EXPECT_EQ(sender->state(), State::kLive);
}

TEST_F(VideoSenderTest, AnInterruptionInTheMiddleOfAPictureEndsTheBurst) {
  camera.key_bytes = 600'000;
  start_at_phase(seconds(1));
  ASSERT_FALSE(shown.at(0).marked);
  camera_runs = false;
  ring.interrupt();
  interrupted = true;
  sender->on_interrupted();
  EXPECT_EQ(sender->state(), State::kWaiting);
  EXPECT_FALSE(sender->wants_slices());
  const size_t before = packets.size();
  run(seconds(1));
  EXPECT_EQ(packets.size(), before);
  began = now - kInterval * static_cast<int64_t>(frame);
  frame_of_group = 0;
  camera_runs = true;
  run(seconds(1));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_TRUE(shown.at(1).key);
}

TEST_F(VideoSenderTest, TheSmallerStreamGoesOnWithNumbersAndTimes) {
  start_at_phase(milliseconds(500));
  run(seconds(1));
  ASSERT_EQ(sender->state(), State::kLive);
  const uint16_t of_main = packets.back().sequence;
  // Of the same moments: a key frame half a second ago, and what followed.
  UnitRing small(UnitRing::kSubNumbers);
  for (int i = 15; i >= 0; --i) small.push(make_unit(i == 15, now - kDelay - kInterval * i, 900, 1000U), now);
  const size_t before = shown.size();
  watches = false;
  interrupted = true;
  sender->play(now, small, *batch);
  batch->flush();
  read();
  run(milliseconds(300));
  ASSERT_EQ(shown.size(), before + 16);
  EXPECT_TRUE(shown[before].key);
  for (size_t i = before; i < shown.size(); ++i) EXPECT_LT(shown[i].bytes, 2000U);
  EXPECT_EQ(sender->state(), State::kLive);

  // What of the other stream is asked for again is gone; never something else under its number.
  sender->on_nack(now, of_main, 0, *batch);
  sender->on_nack(now, packets.back().sequence, 0, *batch);
  batch->flush();
  read();
  ASSERT_EQ(repairs.size(), 1U);
  EXPECT_EQ(base::ByteReader(repairs[0].payload).u16(), packets.back().sequence);
  EXPECT_EQ(sender->counters().retransmissions_refused, 1U);
  // However often: it says nothing of this stream on that line.
  for (uint16_t i = 0; i < 100; ++i)
    sender->on_nack(now, static_cast<uint16_t>(of_main - 17 * i), 0xffff, *batch);
  EXPECT_EQ(sender->state(), State::kLive);

  sender->play(now, ring, *batch);
  watches = true;
  const size_t again = shown.size();
  run(seconds(5));
  EXPECT_TRUE(shown.at(again).key);
  EXPECT_GT(shown.at(again).bytes, 100'000U);
  EXPECT_EQ(sender->state(), State::kLive);
}

TEST_F(VideoSenderTest, TheSmallerStreamMayComeInTheMiddleOfAPicture) {
  camera.key_bytes = 600'000;
  start_at_phase(seconds(1));
  ASSERT_FALSE(shown.at(0).marked);
  UnitRing small(UnitRing::kSubNumbers);
  watches = false;
  interrupted = true;
  sender->play(now, small, *batch);
  EXPECT_EQ(sender->state(), State::kWaiting);
  EXPECT_FALSE(sender->wants_slices());
  small.push(make_unit(true, now - kDelay, 900), now);
  sender->on_unit(now, *batch);
  batch->flush();
  read();
  EXPECT_EQ(sender->state(), State::kLive);
  ASSERT_EQ(shown.size(), 2U);
  EXPECT_TRUE(shown[1].key);
  EXPECT_TRUE(shown[1].marked);
}

TEST_F(VideoSenderTest, KeyFrameRequestsAreIgnoredDuringTheStart) {
  start_at_phase(seconds(2));
  while (sender->state() == State::kCatchUp) {
    sender->on_key_frame_request(now, *batch);
    run(milliseconds(5));
  }
  EXPECT_EQ(keys_shown(), 1U);
  EXPECT_EQ(sender->counters().starts, 1U);
}

TEST_F(VideoSenderTest, AKeyFrameRequestHasAtMostOneAnswerInTwoSeconds) {
  start_at_phase(milliseconds(100));
  const SteadyTime begin = now;
  run(milliseconds(800));
  ASSERT_EQ(sender->state(), State::kLive);
  std::vector<SteadyTime> answers;
  uint64_t starts = 1;
  run_until(begin + seconds(9), [&] {
    sender->on_key_frame_request(now, *batch);
    if (sender->counters().starts == starts) return;
    starts = sender->counters().starts;
    answers.push_back(now);
  });
  ASSERT_GE(answers.size(), 3U);
  SteadyTime last = begin;
  for (const SteadyTime each : answers) {
    EXPECT_GE(each - last, VideoSender::kKeyInterval);
    last = each;
  }
}

TEST_F(VideoSenderTest, AnAnswerToAKeyFrameRequestIsACachedKeyFrameWithNewStamps) {
  start_at_phase(milliseconds(100));
  run(milliseconds(2200));
  ASSERT_EQ(sender->state(), State::kLive);
  const size_t before = shown.size();
  sender->on_key_frame_request(now, *batch);
  EXPECT_EQ(sender->state(), State::kCatchUp);
  run(milliseconds(40));
  ASSERT_GT(shown.size(), before);
  EXPECT_TRUE(shown[before].key);
}

// Its still picture may have been lost: without another one it would see nothing until the next key frame,
// which may be a minute away.
TEST_F(VideoSenderTest, AViewerOfAStillPictureMayAskForItAgain) {
  run(seconds(1));
  ring.miss();
  camera.gop_frames = 3000;
  start();
  run(seconds(1));
  sender->on_key_frame_request(now, *batch);
  run(milliseconds(500));
  EXPECT_EQ(shown.size(), 1U);
  run(milliseconds(600));
  sender->on_key_frame_request(now, *batch);
  run(milliseconds(500));
  ASSERT_EQ(shown.size(), 2U);
  EXPECT_TRUE(shown[1].key);
}

TEST_F(VideoSenderTest, NacksAreRepairedOnceInARoundTrip) {
  start_at_phase(milliseconds(100), milliseconds(40));
  run(seconds(1));
  const uint16_t last = packets.back().sequence;
  sender->on_nack(now, static_cast<uint16_t>(last - 8), 0b1000'0001, *batch);
  run(milliseconds(1));
  ASSERT_EQ(repairs.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    const auto original = static_cast<uint16_t>(last - std::array{8, 7, 0}[i]);
    base::ByteReader in(repairs[i].payload);
    EXPECT_EQ(in.u16(), original);
    const ReceivedRtp& was = packets[packets.size() - 1 - std::array<size_t, 3>{8, 7, 0}[i]];
    EXPECT_EQ(was.sequence, original);
    EXPECT_EQ(base::to_hex(in.rest()), base::to_hex(was.payload));
    EXPECT_EQ(repairs[i].timestamp, was.timestamp);
  }
  EXPECT_EQ(sender->counters().retransmitted, 3U);
  run(milliseconds(30));
  sender->on_nack(now, static_cast<uint16_t>(last - 8), 0, *batch);
  run(milliseconds(1));
  EXPECT_EQ(repairs.size(), 3U);
  run(milliseconds(20));
  sender->on_nack(now, static_cast<uint16_t>(last - 8), 0, *batch);
  run(milliseconds(1));
  EXPECT_EQ(repairs.size(), 4U);
  EXPECT_EQ(sender->counters().retransmissions_refused, 0U);
}

TEST_F(VideoSenderTest, WhatIsNotToBeHadIsCounted) {
  start_at_phase(milliseconds(100));
  run(milliseconds(500));
  sender->on_nack(now, static_cast<uint16_t>(packets.back().sequence + 1), 0b11, *batch);
  EXPECT_EQ(sender->counters().retransmissions_refused, 3U);
  EXPECT_EQ(sender->counters().retransmitted, 0U);
}

TEST_F(VideoSenderTest, RepairsHaveACapAndAFloodOfThemMeansKeyFramesOnly) {
  start_at_phase(milliseconds(100));
  run(seconds(2));
  ASSERT_EQ(sender->state(), State::kLive);
  const SteadyTime begin = now;
  auto sequence = static_cast<uint16_t>(packets.back().sequence - 400);
  size_t wanted = 0;
  run_until(begin + seconds(1), [&] {
    for (int i = 0; i < 3; ++i) {
      sender->on_nack(now, sequence, 0xffff, *batch);
      sequence = static_cast<uint16_t>(sequence + 17);
      if (static_cast<uint16_t>(packets.back().sequence - sequence) > 0x7000)
        sequence = static_cast<uint16_t>(packets.back().sequence - 400);
      wanted += 17;
    }
  });
  size_t bytes = 0;
  for (const ReceivedRtp& each : repairs) bytes += each.payload.size();
  const double allowed =
      VideoSender::kRepairBurstBytes + ring.bits_per_second() * VideoSender::kRepairShare / 8 * 1.1;
  EXPECT_LE(static_cast<double>(bytes), allowed);
  EXPECT_GE(static_cast<double>(bytes), allowed / 3);
  EXPECT_LT(repairs.size(), wanted / 2);
  EXPECT_GT(sender->counters().retransmissions_refused, 0U);
  EXPECT_EQ(sender->state(), State::kKeysOnly);
}

TEST_F(VideoSenderTest, ALossyLineGetsKeyFramesOnlyForTenSeconds) {
  start_at_phase(milliseconds(100));
  run(seconds(1));
  lossy_for(milliseconds(1750));
  EXPECT_EQ(sender->state(), State::kLive);
  lossy_for(milliseconds(250));
  ASSERT_EQ(sender->state(), State::kKeysOnly);
  const SteadyTime since = now;
  sender->on_report(now, 0, std::nullopt);
  const size_t before = shown.size();
  const uint64_t skipped = sender->counters().units_skipped;
  run_until(since + milliseconds(9900));
  EXPECT_EQ(sender->state(), State::kKeysOnly);
  // A unit that was under way may end; then there are two or three key frames in ten seconds.
  EXPECT_LE(shown.size() - before, 4U);
  for (size_t i = before + 1; i < shown.size(); ++i) {
    EXPECT_TRUE(shown[i].key);
    EXPECT_TRUE(shown[i].marked);
  }
  EXPECT_GT(sender->counters().units_skipped - skipped, 250U);
  while (sender->state() == State::kKeysOnly && now < since + seconds(20)) run(milliseconds(1));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_GE(now - since, VideoSender::kRest);
  EXPECT_LE(now - since, VideoSender::kRest + seconds(4) + milliseconds(50));
  run(milliseconds(500));
  EXPECT_FALSE(shown.back().key);
  // The loss of then does not count any more.
  sender->on_report(now, 40, std::nullopt);
  EXPECT_EQ(sender->state(), State::kLive);
}

TEST_F(VideoSenderTest, ShortOrSmallLossesChangeNothing) {
  start_at_phase(milliseconds(100));
  run(seconds(1));
  for (int i = 0; i < 5; ++i) {
    lossy_for(milliseconds(1500));
    sender->on_report(now, 25, std::nullopt);
  }
  lossy_for(seconds(5), 25);
  EXPECT_EQ(sender->state(), State::kLive);
}

TEST_F(VideoSenderTest, ALossyViewerMayAskForAKeyFrame) {
  start_at_phase(milliseconds(100));
  run(seconds(1));
  lossy_for(seconds(2));
  ASSERT_EQ(sender->state(), State::kKeysOnly);
  run(milliseconds(50));
  const size_t before = shown.size();
  sender->on_key_frame_request(now, *batch);
  run(milliseconds(100));
  ASSERT_EQ(shown.size(), before + 1);
  EXPECT_TRUE(shown.back().key);
  EXPECT_TRUE(shown.back().marked);
  EXPECT_EQ(sender->state(), State::kKeysOnly);
  sender->on_key_frame_request(now, *batch);
  run(milliseconds(100));
  EXPECT_EQ(shown.size(), before + 1);
}

// All that is left of the group before it would come late.
TEST_F(VideoSenderTest, AKeyFrameThatComesDuringTheCatchUpIsShownNext) {
  camera.other_bytes = 60'000;  // 14 Mbit/s: a picture is many slices at four times that
  start_at_phase(milliseconds(3000), milliseconds(40));
  while (sender->state() == State::kCatchUp && last_key + seconds(3) + milliseconds(800) > now)
    run(milliseconds(1));
  ASSERT_EQ(sender->state(), State::kCatchUp);
  const size_t pictures_of_group = 120;
  run_over_next_key(seconds(1));
  EXPECT_EQ(keys_shown(), 2U);
  const auto second = std::find_if(shown.begin() + 1, shown.end(), [](const Shown& p) { return p.key; });
  EXPECT_LT(second - shown.begin(), static_cast<ptrdiff_t>(pictures_of_group));
  EXPECT_LE(second->begun - last_key, milliseconds(30));
  EXPECT_EQ(sender->state(), State::kLive);
  EXPECT_EQ(static_cast<size_t>(shown.end() - second), frame - 240);
}

struct LineCase {
  const char* what;
  double bits_per_second;
  milliseconds round_trip;
  size_t key_bytes;
  bool answers;
  nanoseconds phase;
  nanoseconds live;     // after the start
  double most_dropped;  // of all packets
};

TEST_F(VideoSenderTest, OverALineThatIsNarrowItStartsWithoutFillingTheQueue) {
  const LineCase cases[] = {
      {"20 Mbit/s", 20e6, milliseconds(20), 125'000, true, seconds(1), milliseconds(550), 0},
      {"20 Mbit/s, later", 20e6, milliseconds(20), 125'000, true, milliseconds(2500), milliseconds(1000), 0},
      {"12 Mbit/s", 12e6, milliseconds(40), 125'000, true, seconds(1), milliseconds(800), 0},
      {"8 Mbit/s", 8e6, milliseconds(40), 125'000, true, seconds(1), milliseconds(1700), 0},
      {"8 Mbit/s, late in the group: a still", 8e6, milliseconds(40), 125'000, true, milliseconds(2600),
       milliseconds(1600), 0},
      {"large key frames", 10e6, milliseconds(40), 360'000, true, seconds(1), milliseconds(3200), 0.01},
      {"nobody answers", 8e6, milliseconds(40), 125'000, false, seconds(1), milliseconds(3300), 0.2},
  };
  for (const LineCase& c : cases) {
    SCOPED_TRACE(c.what);
    make_anew();
    camera.key_bytes = c.key_bytes;
    line.emplace();
    line->bits_per_second = c.bits_per_second;
    line->round_trip = c.round_trip;
    line->answers_probes = c.answers;
    start_at_phase(c.phase, c.round_trip);
    const SteadyTime joined = now;
    while (sender->state() != State::kLive && now < joined + seconds(5)) run(milliseconds(1));
    EXPECT_LE(now - joined, c.live);
    run(seconds(6));
    EXPECT_EQ(sender->state(), State::kLive);
    EXPECT_TRUE(line->missing.empty()) << line->missing.size();
    EXPECT_LE(static_cast<double>(line->dropped), c.most_dropped * static_cast<double>(packets.size()))
        << line->dropped << " of " << packets.size();
    EXPECT_LE(line->free - now, milliseconds(100)) << "the queue";
  }
}

TEST_F(VideoSenderTest, FromEveryPhaseItReachesLiveWithoutGaps) {
  std::mt19937 random(20261121);
  int stills = 0;
  for (int join = 0; join < 100; ++join) {
    const nanoseconds phase = milliseconds(random() % 4000);
    const bool near = random() % 2 == 0;
    SCOPED_TRACE(testing::Message() << "join " << join << " at " << phase.count() / 1'000'000 << " ms"
                                    << (near ? ", near" : ""));
    make_anew();
    // The bytes differ by a third, as pictures do.
    camera.key_bytes = 80'000 + random() % 90'000;
    camera.other_bytes = 11'000 + random() % 9'000;
    start_at_phase(phase, near ? milliseconds(2) : milliseconds(50));
    const SteadyTime joined = now;
    const SteadyTime next_key = began + 2 * group() + kDelay;
    while (sender->state() != State::kLive && now < joined + seconds(10)) run(milliseconds(1));
    const SteadyTime live = now;
    run(seconds(2));
    ASSERT_FALSE(HasFatalFailure());
    ASSERT_EQ(sender->state(), State::kLive);
    // The first picture within 50 ms whatever the phase.
    EXPECT_LE(shown.at(0).time - joined, milliseconds(50));
    const bool stood_still = shown.at(1).key;
    if (stood_still) {
      ++stills;
      EXPECT_GT(phase, near ? milliseconds(2800) : milliseconds(1800));
      EXPECT_LE(live - next_key, milliseconds(60));
      shown.erase(shown.begin());
    } else {
      EXPECT_LE(live - joined, near ? milliseconds(600) : milliseconds(1600));
      EXPECT_LE(live, next_key + milliseconds(100));
    }
    EXPECT_LE(longest_gap(now), milliseconds(200));
  }
  EXPECT_GT(stills, 10);
  EXPECT_LT(stills, 60);
}

}  // namespace
}  // namespace miharu::webrtc
