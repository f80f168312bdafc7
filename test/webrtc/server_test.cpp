// Live view as a whole: offers on the control thread, two media threads, and viewers over real sockets.
#include "webrtc/server.h"

#include <future>

#include "webrtc/test_viewer.h"

namespace miharu::webrtc {
namespace {

using base::milliseconds;
using base::seconds;

// The machine's, and may be put forward.
class JumpingClock final : public base::Clock {
 public:
  [[nodiscard]] base::UtcTime utc() const override { return base::system_clock().utc() + jumped_.load(); }
  [[nodiscard]] base::SteadyTime steady() const override {
    return base::system_clock().steady() + jumped_.load();
  }
  [[nodiscard]] bool synchronised() const override { return true; }
  void jump(base::nanoseconds by) { jumped_.store(jumped_.load() + by); }

 private:
  std::atomic<base::nanoseconds> jumped_{base::nanoseconds(0)};
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    for (auto* loop : {&control, &camera, &first, &second}) loop->start();
    options.loopback = true;
    server = std::make_unique<Server>(options, control, std::vector<net::EventLoop*>{&first, &second}, clock);
    const auto started = server->start();
    ASSERT_TRUE(started) << started.error().to_string();
    server->add_camera("yard", stream);
  }
  void TearDown() override {
    server->stop();
    for (auto* loop : {&first, &second, &camera, &control}) loop->stop();
  }

  // A group of so many pictures, made now.
  void show(int pictures) {
    camera.run_and_wait([&] {
      for (int i = 0; i < pictures; ++i) {
        const bool key = i == 0;
        stream->on_live_frame(make_picture({make_slice(key, true, key ? 5000 : 2500, ++seed)}, key, video),
                              next_time());
      }
    });
  }
  void show_more(int pictures) {
    camera.run_and_wait([&] {
      for (int i = 0; i < pictures; ++i)
        stream->on_live_frame(make_picture({make_slice(false, true, 2500, ++seed)}, false, video),
                              next_time());
    });
  }
  void play(const base::ByteVector& bytes) {
    camera.run_and_wait([&] {
      media::FrameBuilder builder;
      builder.append(bytes);
      stream->on_live_frame(builder.finish({sound}), clock.steady());
    });
  }
  base::SteadyTime next_time() {
    time = std::max(clock.steady() - milliseconds(20), time + milliseconds(1));
    return time;
  }

  base::Result<SessionAnswer> create(const std::string& offer, const std::string& name = "yard",
                                     const std::string& user = "someone") {
    std::promise<base::Result<SessionAnswer>> answer;
    control.post([&] {
      server->create(name, user, offer,
                     [&](base::Result<SessionAnswer> made) { answer.set_value(std::move(made)); });
    });
    return answer.get_future().get();
  }
  base::Result<SessionAnswer> patch(const std::string& of, const std::string& fragment,
                                    const std::optional<std::string>& if_match = std::nullopt) {
    std::promise<base::Result<SessionAnswer>> answer;
    control.post([&] {
      server->patch("yard", of, if_match, fragment,
                    [&](base::Result<SessionAnswer> made) { answer.set_value(std::move(made)); });
    });
    return answer.get_future().get();
  }
  base::Status end(const std::string& of) {
    std::promise<base::Status> ended;
    control.post(
        [&] { server->end("yard", of, [&](base::Status status) { ended.set_value(std::move(status)); }); });
    return ended.get_future().get();
  }
  std::vector<SessionInfo> list() {
    std::promise<std::vector<SessionInfo>> all;
    control.post(
        [&] { server->list([&](std::vector<SessionInfo> found) { all.set_value(std::move(found)); }); });
    return all.get_future().get();
  }
  LiveMetrics metrics() {
    std::promise<LiveMetrics> all;
    control.post([&] { server->metrics([&](LiveMetrics found) { all.set_value(std::move(found)); }); });
    return all.get_future().get();
  }
  // An offer, its answer, checks, handshake.
  void connect(TestViewer& viewer) {
    const auto answer = create(viewer.offer());
    ASSERT_TRUE(answer) << answer.error().to_string();
    id = answer->id;
    etag = answer->etag;
    viewer.take_answer(answer->sdp);
    ASSERT_TRUE(viewer.connect());
  }
  void expect_nothing_left() {
    // Twice: what one thread told the other is done then.
    (void)server->census();
    EXPECT_EQ(server->census(), ViewerCensus());
    EXPECT_EQ(server->known_sessions(), 0U);
    camera.run_and_wait([] {});
    EXPECT_EQ(stream.use_count(), 2) << "only the server's and ours";
    EXPECT_TRUE(list().empty());
  }

  ServerOptions options;
  JumpingClock clock;
  net::EventLoop control{"control"};
  net::EventLoop camera{"camera"};
  net::EventLoop first{"media-0"};
  net::EventLoop second{"media-1"};
  std::shared_ptr<LiveStream> stream = std::make_shared<LiveStream>(camera);
  std::unique_ptr<Server> server;
  media::TrackConfigPtr video = h264_config();
  media::TrackConfigPtr sound = [] {
    auto config = std::make_shared<media::TrackConfig>();
    config->codec = media::Codec::kPcmu;
    config->clock_rate = config->sample_rate = 8000;
    config->channels = 1;
    return config;
  }();
  unsigned seed = 0;
  base::SteadyTime time{};
  std::string id;
  std::string etag;
};

TEST_F(ServerTest, AnOfferBecomesPictureAndSound) {
  play(base::ByteVector(160));
  show(3);
  TestViewer viewer;
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 3; }));
  const auto packets = viewer.of_type(96);
  const UnitPtr key = make_unit(true, at({}), 5000, 1);
  ASSERT_GE(packets.size(), key->packets());
  for (size_t i = 0; i < key->packets(); ++i)
    EXPECT_EQ(base::to_hex(packets[i].payload), base::to_hex(key->payload(i)));
  for (size_t i = 1; i < packets.size(); ++i)
    EXPECT_EQ(packets[i].sequence, static_cast<uint16_t>(packets[i - 1].sequence + 1));
  // A sender report of each track comes before them.
  EXPECT_EQ(viewer.reports.size(), 2U);
  EXPECT_EQ(viewer.reports.at(0).ssrc, packets[0].ssrc);

  show_more(2);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 5; }));
  const base::ByteVector tone(160, std::byte{0x55});
  play(tone);
  ASSERT_TRUE(viewer.wait([&] { return !viewer.of_type(0).empty(); }));
  EXPECT_EQ(viewer.of_type(0).at(0).payload, tone);
  EXPECT_EQ(viewer.of_type(0).at(0).ssrc, viewer.reports.at(1).ssrc);

  const auto sessions = list();
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sessions[0].id, id);
  EXPECT_EQ(sessions[0].camera, "yard");
  EXPECT_EQ(sessions[0].user, "someone");
  EXPECT_EQ(sessions[0].state, "live");
  EXPECT_EQ(sessions[0].packets, viewer.of_type(96).size());
  EXPECT_GT(sessions[0].first_frame_ms, 0);
  EXPECT_EQ(server->census().sessions, 1U);
  EXPECT_EQ(server->census().cameras, 1U);

  ASSERT_TRUE(end(id));
  ASSERT_TRUE(viewer.wait([&] { return viewer.closed && !viewer.byes.empty(); }));
  EXPECT_EQ(viewer.closed->code, base::Errc::kClosed);
  EXPECT_EQ(viewer.byes.at(0), packets[0].ssrc);
  expect_nothing_left();
  EXPECT_EQ(end(id).error().code, base::Errc::kNotFound);
}

TEST_F(ServerTest, ACameraWhoseThreadEndsFirstLeavesNothingBehind) {
  auto loop = std::make_unique<net::EventLoop>("gate");
  loop->start();
  auto gate = std::make_shared<LiveStream>(*loop);
  server->add_camera("gate", gate);
  loop->run_and_wait([&] {
    gate->on_live_frame(make_picture({make_slice(true, true, 5000, ++seed)}, true, video), next_time());
  });
  TestViewer viewer;
  const auto answer = create(viewer.offer(), "gate");
  ASSERT_TRUE(answer) << answer.error().to_string();
  viewer.take_answer(answer->sdp);
  ASSERT_TRUE(viewer.connect());
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 1; }));

  loop->stop();
  server->stop();
  server->remove_camera("gate");
  const std::weak_ptr<LiveStream> left = std::exchange(gate, nullptr);
  loop.reset();
  EXPECT_TRUE(left.expired());
}

TEST_F(ServerTest, ReportsNacksAndKeyFrameRequestsAreHeard) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  const ReceivedRtp lost = viewer.of_type(96).at(2);
  viewer.blocks = {{lost.ssrc, 3, 17, 0, 0, 0, 0}};
  viewer.send_nack(lost.ssrc, lost.sequence);
  ASSERT_TRUE(viewer.wait([&] { return !viewer.of_type(97).empty(); }));
  const ReceivedRtp repaired = viewer.of_type(97).at(0);
  base::ByteReader repair(repaired.payload);
  EXPECT_EQ(repair.u16(), lost.sequence);
  EXPECT_EQ(base::to_hex(repair.rest()), base::to_hex(lost.payload));
  EXPECT_EQ(list().at(0).lost, 17U);
  EXPECT_EQ(list().at(0).retransmitted, 1U);

  clock.jump(seconds(3));
  viewer.send_pli(lost.ssrc);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 4; }));
  const auto packets = viewer.of_type(96);
  const size_t half = packets.size() / 2;
  EXPECT_EQ(base::to_hex(packets[half].payload), base::to_hex(packets[0].payload));
  EXPECT_GT(static_cast<int32_t>(packets[half].timestamp - packets[half - 1].timestamp), 0);
}

TEST_F(ServerTest, WhatIsCountedOutlivesTheViewer) {
  play(base::ByteVector(160));
  show(2);
  ViewerTotals while_here;
  {
    TestViewer viewer;
    connect(viewer);
    ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2 && viewer.reports.size() == 2; }));
    play(base::ByteVector(160));
    ASSERT_TRUE(viewer.wait([&] { return !viewer.of_type(0).empty(); }));
    const ReceivedRtp lost = viewer.of_type(96).at(2);
    // RFC 3550 6.4.1: what was 7 of 100 ms away when it went out, and lay there for 50 ms.
    const auto last_sr = static_cast<uint32_t>(viewer.reports.at(0).ntp >> 16);
    viewer.blocks = {{lost.ssrc, 64, 17, 0, 0, last_sr, 65536 / 20}};
    clock.jump(milliseconds(120));
    viewer.send_nack(lost.ssrc, lost.sequence);
    ASSERT_TRUE(viewer.wait([&] { return !viewer.of_type(97).empty(); }));
    EXPECT_GE(list().at(0).round_trip_ms, 70);
    EXPECT_EQ(list().at(0).loss, 0.25);
    // Fewer than before: they came late. One that would have been sent in the future tells nothing.
    viewer.blocks = {{lost.ssrc, 0, 3, 0, 0, last_sr + (100U << 16), 0}};
    viewer.send_pli(lost.ssrc);
    ASSERT_TRUE(viewer.wait([&] { return metrics().cameras["yard"].totals.key_frame_requests == 1; }));
    EXPECT_EQ(list().at(0).lost, 3U);

    const LiveMetrics now = metrics();
    EXPECT_EQ(now.cameras.at("yard").by_state, (std::map<std::string, size_t>{{"live", 1}}));
    while_here = now.cameras.at("yard").totals;
    EXPECT_EQ(while_here.sessions, 1U);
    EXPECT_EQ(while_here.packets, viewer.rtp.size());
    size_t bytes = 0;
    for (const ReceivedRtp& each : viewer.rtp) bytes += 12 + each.payload.size() + kMaxTagBytes;
    EXPECT_EQ(while_here.bytes, bytes);
    EXPECT_EQ(while_here.retransmitted, 1U);
    EXPECT_EQ(while_here.packets_asked_again, 1U);
    EXPECT_EQ(while_here.lost, 17U);
    EXPECT_EQ(while_here.dropped, 0U);
    const auto count = [](const auto& histogram, double from) {
      uint64_t all = 0;
      for (size_t i = 0; i < histogram.counts.size(); ++i) {
        if (i == histogram.bounds.size() || histogram.bounds[i] > from) all += histogram.counts[i];
      }
      return all;
    };
    EXPECT_EQ(count(while_here.round_trip, 0), 1U);
    EXPECT_EQ(count(while_here.round_trip, 0.05), 1U);
    EXPECT_GE(while_here.round_trip.sum, 0.07);
    EXPECT_EQ(count(while_here.first_frame, 0), 1U);
    EXPECT_GT(while_here.first_frame.sum, 0);
    ASSERT_TRUE(end(id));
  }
  expect_nothing_left();
  // Without viewers no picture is packetized; this one takes the place of what was.
  show(1);
  const LiveMetrics after = metrics();
  EXPECT_TRUE(after.cameras.at("yard").by_state.empty());
  const ViewerTotals& left = after.cameras.at("yard").totals;
  EXPECT_EQ(left.sessions, 1U);
  EXPECT_EQ(left.packets, while_here.packets);
  EXPECT_EQ(left.bytes, while_here.bytes);
  EXPECT_EQ(left.round_trip.counts, while_here.round_trip.counts);
  EXPECT_EQ(left.first_frame.counts, while_here.first_frame.counts);
  for (const auto& [kind, objects] : after.objects) EXPECT_EQ(objects, 0U) << kind;
}

TEST_F(ServerTest, WhatExistsIsCounted) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  std::map<std::string_view, size_t> objects;
  for (const auto& [kind, count] : metrics().objects) objects[kind] = count;
  // DTLS and a sender are the viewer's, too.
  EXPECT_EQ(objects, (std::map<std::string_view, size_t>{{"known_sessions", 1},
                                                         {"sessions", 1},
                                                         {"ufrags", 1},
                                                         {"paths", 2},
                                                         {"watched_cameras", 1},
                                                         {"feeds", 1},
                                                         {"dtls", 2},
                                                         {"srtp_senders", 1},
                                                         {"srtcp_receivers", 1},
                                                         {"units", 2}}));
}

TEST_F(ServerTest, WhoIsNotHeardOfForThirtySecondsIsGone) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  clock.jump(seconds(20));
  ASSERT_TRUE(viewer.check(false));
  clock.jump(seconds(20));
  // The answer of a request that a thread took after it looked at its clock.
  ASSERT_TRUE(viewer.check(false));
  EXPECT_EQ(server->census().sessions, 1U);
  clock.jump(seconds(30));
  ASSERT_TRUE(viewer.wait([&] { return server->census().sessions == 0; }));
  expect_nothing_left();
}

TEST_F(ServerTest, WhoNeverComesIsGoneAsWell) {
  show(1);
  TestViewer viewer;
  ASSERT_TRUE(create(viewer.offer()));
  EXPECT_EQ(server->census(), (ViewerCensus{1, 1, 0, 1}));
  clock.jump(seconds(31));
  ASSERT_TRUE(viewer.wait([&] { return server->census().sessions == 0; }));
  expect_nothing_left();
}

// The kernel gives a peer's datagrams to either thread; of sixteen peers it has never given all to the one
// that owns the session (2^-16).
TEST_F(ServerTest, DatagramsFindTheirSessionWhicheverThreadTheyComeTo) {
  show(2);
  constexpr size_t kSockets = 16;
  TestViewer viewer(kSockets);
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  for (size_t i = 0; i < kSockets; ++i) {
    ASSERT_TRUE(viewer.check(true, i)) << i;
    // Media goes there from now on; and what is no STUN finds its way from there, too.
    clock.jump(milliseconds(100));
    const auto lost = viewer.of_type(96).at(i % 3);
    const size_t repairs = viewer.of_type(97).size();
    const size_t media = viewer.media_came[i];
    viewer.send_nack(lost.ssrc, lost.sequence, i);
    ASSERT_TRUE(viewer.wait([&] { return viewer.of_type(97).size() > repairs; })) << i;
    EXPECT_GT(viewer.media_came[i], media) << i;
  }
  EXPECT_EQ(server->census().sessions, 1U);
  EXPECT_EQ(server->census().ufrags, 1U);
  ASSERT_TRUE(end(id));
  expect_nothing_left();
}

// Four products lost calls to it: a hello from an address that no check has shown to be the viewer's.
TEST_F(ServerTest, AHelloFromElsewhereIsIgnored) {
  show(2);
  TestViewer viewer(2);
  const auto answer = create(viewer.offer());
  ASSERT_TRUE(answer);
  viewer.take_answer(answer->sdp);
  viewer.shake_hands(1);
  // The same way, so it is read after the hello.
  ASSERT_TRUE(viewer.check(false, 1));
  EXPECT_EQ(viewer.dtls_came[1], 0U);

  TestViewer stranger;
  stranger.take_answer(answer->sdp);
  stranger.server_password = "notThePasswordOfThisSession";
  stranger.shake_hands();
  stranger.send_check(true);
  viewer.media_socket = 0;
  ASSERT_TRUE(viewer.connect());
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  // Reads what came until this answer, which came behind it.
  stranger.server_password = viewer.server_password;
  ASSERT_TRUE(stranger.check(false));
  EXPECT_EQ(stranger.dtls_came[0], 0U);
}

TEST_F(ServerTest, MediaGoesToTheNominatedPairOnly) {
  show(2);
  TestViewer viewer(2);
  const auto answer = create(viewer.offer());
  ASSERT_TRUE(answer);
  viewer.take_answer(answer->sdp);
  // Keys before a nomination: nothing flows.
  ASSERT_TRUE(viewer.check(false, 0));
  viewer.shake_hands(0);
  ASSERT_TRUE(viewer.wait([&] { return viewer.keys.has_value(); }));
  ASSERT_TRUE(viewer.check(false, 1));
  show_more(2);
  ASSERT_TRUE(viewer.check(false, 0));
  EXPECT_EQ(viewer.media_came[0] + viewer.media_came[1], 0U);
  EXPECT_EQ(list().at(0).state, "connecting");

  ASSERT_TRUE(viewer.check(true, 1));
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 4; }));
  EXPECT_EQ(viewer.media_came[0], 0U);
  const size_t before = viewer.media_came[1];
  ASSERT_TRUE(viewer.check(true, 0));
  show_more(3);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 7; }));
  EXPECT_GT(viewer.media_came[0], 0U);
  EXPECT_EQ(viewer.media_came[1], before);
}

TEST_F(ServerTest, IceRestartsWhileThePictureGoesOn) {
  show(2);
  TestViewer viewer(2);
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  const std::string old_ufrag = viewer.server_ufrag;
  const std::string old_password = viewer.server_password;
  viewer.ufrag = "again";
  viewer.password = "anotherPasswordOf24Chars";
  const std::string fragment =
      "a=ice-ufrag:again\r\na=ice-pwd:anotherPasswordOf24Chars\r\nm=video 9 UDP/TLS/RTP/SAVPF "
      "0\r\na=mid:0\r\n";
  EXPECT_EQ(patch(id, fragment, "stale").error().code, base::Errc::kExists);
  EXPECT_EQ(patch("nobody", fragment).error().code, base::Errc::kNotFound);
  const auto answer = patch(id, fragment, etag);
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_NE(answer->etag, etag);
  ASSERT_FALSE(answer->sdp.empty());
  viewer.take_answer(answer->sdp);
  EXPECT_NE(viewer.server_ufrag, old_ufrag);
  EXPECT_EQ(server->census().ufrags, 2U);
  show_more(1);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 3; }));
  EXPECT_EQ(viewer.media_came[1], 0U);
  ASSERT_TRUE(viewer.check(true, 1));
  EXPECT_EQ(server->census().ufrags, 1U);
  const size_t before = viewer.media_came[0];
  show_more(1);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 4; }));
  EXPECT_EQ(viewer.media_came[0], before);
  EXPECT_GT(viewer.media_came[1], 0U);
  ASSERT_TRUE(end(id));
  expect_nothing_left();
}

TEST_F(ServerTest, AnotherCertificateThanTheOneOfferedEndsTheSession) {
  show(2);
  TestViewer viewer(1, DtlsRole::kServer);
  const auto answer = create(viewer.offer());
  ASSERT_TRUE(answer);
  viewer.take_answer(answer->sdp);
  ASSERT_TRUE(viewer.check(true));
  viewer.shake_hands();
  ASSERT_TRUE(viewer.wait([&] { return server->census().sessions == 0; }));
  EXPECT_EQ(viewer.media_came[0], 0U);
  expect_nothing_left();
}

TEST_F(ServerTest, ACameraThatIsRemovedEndsItsSessions) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  server->remove_camera("yard");
  ASSERT_TRUE(viewer.wait([&] { return viewer.closed.has_value(); }));
  EXPECT_EQ(server->census(), ViewerCensus());
  camera.run_and_wait([] {});
  EXPECT_EQ(stream.use_count(), 1);
  EXPECT_EQ(create(viewer.offer()).error().code, base::Errc::kNotFound);
}

TEST_F(ServerTest, ACameraThatIsReplacedEndsItsSessionsAndTakesNewOnes) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  const auto before = std::exchange(stream, std::make_shared<LiveStream>(camera));
  server->add_camera("yard", stream);
  ASSERT_TRUE(viewer.wait([&] { return viewer.closed.has_value(); }));
  show(3);
  TestViewer another;
  connect(another);
  ASSERT_TRUE(another.wait([&] { return another.pictures() == 3; }));
  camera.run_and_wait([] {});
  EXPECT_EQ(before.use_count(), 1);
  ASSERT_TRUE(end(id));
  expect_nothing_left();
}

TEST_F(ServerTest, ViewersAreSpreadAndEachHasItsOwnStream) {
  show(2);
  std::vector<std::unique_ptr<TestViewer>> viewers;
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    viewers.push_back(std::make_unique<TestViewer>());
    connect(*viewers.back());
    ids.push_back(id);
  }
  show_more(2);
  std::map<uint32_t, int> ssrcs;
  std::map<unsigned, int> owners;
  for (const auto& viewer : viewers) {
    ASSERT_TRUE(viewer->wait([&] { return viewer->pictures() == 4; }));
    ++ssrcs[viewer->of_type(96).at(0).ssrc];
    ++owners[owner_of_ufrag(viewer->server_ufrag).value()];
  }
  EXPECT_EQ(ssrcs.size(), 6U);
  EXPECT_EQ(owners, (std::map<unsigned, int>{{0, 3}, {1, 3}}));
  EXPECT_EQ(server->census().cameras, 2U);
  // Six paths, each known to both threads.
  EXPECT_EQ(server->census().paths, 12U);
  for (const std::string& each : ids) ASSERT_TRUE(end(each));
  expect_nothing_left();
}

TEST_F(ServerTest, AnInterruptedCameraGoesOnWithItsNextKeyFrame) {
  show(2);
  TestViewer viewer;
  connect(viewer);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  camera.run_and_wait([&] { stream->on_live_interrupted(); });
  show_more(2);
  show(2);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 4; }));
  EXPECT_EQ(list().at(0).state, "live");
}

TEST_F(ServerTest, OffersThatCannotBeAnsweredSayWhy) {
  TestViewer viewer;
  EXPECT_EQ(create(viewer.offer(), "cellar").error().code, base::Errc::kNotFound);
  EXPECT_EQ(create(viewer.offer()).error().code, base::Errc::kTimeout);
  show(1);
  EXPECT_EQ(create("v=0\r\n").error().code, base::Errc::kTruncated);
  std::string vp8 = viewer.offer();
  vp8.replace(vp8.find("H264/90000"), 10, "VP8/90000");
  EXPECT_EQ(create(vp8).error().code, base::Errc::kUnsupported);
  EXPECT_EQ(server->census(), ViewerCensus());
}

class CrowdedServerTest : public ServerTest {
 protected:
  CrowdedServerTest() {
    options.max_sessions = 4;
    options.max_sessions_of_user = 3;
  }
};

TEST_F(CrowdedServerTest, AUserWhoHasAllThatHeMayKeepsNobodyOut) {
  show(1);
  const TestViewer viewer;
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(viewer.offer(), "yard", "greedy").value().id);
  const auto refused = create(viewer.offer(), "yard", "greedy");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Errc::kStalled);
  EXPECT_NE(refused.error().text.find("3 live views are open with these credentials"), std::string::npos)
      << refused.error().text;
  EXPECT_TRUE(create(viewer.offer(), "yard", "modest"));
  EXPECT_EQ(metrics().refused_of_user, 1U);
  EXPECT_EQ(metrics().refused_in_all, 0U);

  ASSERT_TRUE(end(ids.at(0)));
  EXPECT_TRUE(create(viewer.offer(), "yard", "greedy"));
}

TEST_F(CrowdedServerTest, BeyondTheLimitNobodyComesUntilOneHasLeft) {
  show(1);
  const TestViewer viewer;
  // Where nobody signs in, users have no names and share no limit of one user.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(create(viewer.offer(), "yard", ""));
  for (const char* user : {"", "someone"}) {
    const auto refused = create(viewer.offer(), "yard", user);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, base::Errc::kStalled);
    EXPECT_NE(refused.error().text.find("4 live views are open"), std::string::npos) << refused.error().text;
  }
  EXPECT_EQ(metrics().refused_in_all, 2U);
  EXPECT_EQ(server->census().sessions, 4U);
  // They never came: the places are free again when they are forgotten, without a request that ends them.
  clock.jump(seconds(31));
  TestViewer waiting;
  ASSERT_TRUE(waiting.wait([&] { return server->census().sessions == 0; }));
  EXPECT_EQ(server->known_sessions(), 0U);
  EXPECT_TRUE(create(viewer.offer(), "yard", ""));
}

}  // namespace
}  // namespace miharu::webrtc
