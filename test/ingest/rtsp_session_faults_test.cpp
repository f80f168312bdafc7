// What cameras do wrong in a session, and how each ends or goes on: rtsp_session_test.cpp has the ordinary
// course.
#include "ingest/rtsp/session.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace miharu::ingest::rtsp {
namespace {

using media::TrackKind;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kVideo =
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    "a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z00AKZpkA8ARPyzUBAQFAAADA+gAAOpgBA==,aO48gA==\r\n"
    "a=control:trackID=0\r\n";
constexpr const char* kAudio = "m=audio 0 RTP/AVP 8\r\na=control:trackID=1\r\n";
constexpr const char* kOk = "RTSP/1.0 200 OK\r\nCSeq: @\r\nSession: ab12\r\n\r\n";

std::string described(const std::string& media) {
  const std::string sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\na=control:*\r\n" + media;
  return fmt::format(
      "RTSP/1.0 200 OK\r\nCSeq: @\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
      sdp.size(), sdp);
}
std::string set_up(const std::string& transport) {
  return fmt::format("RTSP/1.0 200 OK\r\nCSeq: @\r\nSession: ab12;timeout=20\r\nTransport: {}\r\n\r\n",
                     transport);
}
std::string status(const std::string& line, const std::string& headers = {}) {
  return fmt::format("RTSP/1.0 {}\r\nCSeq: @\r\n{}\r\n", line, headers);
}

// A camera that answers each method in the same way ("@" stands for the CSeq), and the session with it.
class Scene final : public SessionListener {
 public:
  explicit Scene(std::map<std::string, std::string> other = {}, bool udp = false, std::string user = {}) {
    answers = {{"OPTIONS", status("200 OK", "Public: DESCRIBE, GET_PARAMETER\r\n")},
               {"DESCRIBE", described(std::string(kVideo) + kAudio)},
               {"SETUP", set_up(udp ? "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001"
                                    : "RTP/AVP/TCP;unicast")},
               {"PLAY", kOk},
               {"GET_PARAMETER", kOk}};
    for (auto& [method, answer] : other) answers[method] = answer;
    options_.url = *parse_url("rtsp://cam/stream");
    options_.udp = udp;
    authenticator_.emplace(std::move(user), "secret");
  }
  void run() {
    session.emplace(options_, *authenticator_, *this);
    session->start(now);
    read();
  }
  void feed(std::string_view bytes) {
    waiting_ += bytes;
    read();
  }
  void wait(base::milliseconds time) {
    now += time;
    session->tick(now);
    read();
  }

  void on_send(base::ByteView bytes) override {
    const std::string text(base::as_text(bytes));
    sent.push_back(text);
    const auto answer = answers.find(text.substr(0, text.find(' ')));
    if (answer == answers.end()) return;
    std::string reply = answer->second;
    const size_t cseq = text.find("CSeq: ") + 6;
    if (const size_t at = reply.find('@'); at != std::string::npos)
      reply.replace(at, 1, text.substr(cseq, text.find('\r', cseq) - cseq));
    waiting_ += reply;
  }
  base::Result<uint16_t> on_select(TrackKind kind, const media::SdpMedia&, const media::SdpChoice&) override {
    if (refuses && refuses(kind)) return tl::unexpected(*refuses(kind));
    return 5000;
  }
  void on_setup(TrackKind, const Transport&) override { log += "setup;"; }
  void on_left_out(TrackKind) override { log += "left out;"; }
  void on_playing() override { log += "playing;"; }
  void on_media(TrackKind kind, bool rtcp, base::ByteView packet) override {
    log += fmt::format("{}{}{};", kind == TrackKind::kVideo ? "v" : "a", rtcp ? "c" : "", packet.size());
  }
  void on_oddity(std::string_view quirk_id) override { ++oddities[std::string(quirk_id)]; }

  [[nodiscard]] size_t count(std::string_view method) const {
    return static_cast<size_t>(
        std::count_if(sent.begin(), sent.end(), [&](const auto& text) { return text.starts_with(method); }));
  }

  std::map<std::string, std::string> answers;
  std::function<std::optional<base::Error>(TrackKind)> refuses;
  std::optional<Session> session;
  std::vector<std::string> sent;
  std::map<std::string, int> oddities;
  std::string log;
  base::SteadyTime now{std::chrono::hours(1)};

 private:
  void read() {
    while (!waiting_.empty() && !session->end()) {
      const auto space = session->space();
      const size_t count = std::min(space.size(), waiting_.size());
      std::memcpy(space.data(), waiting_.data(), count);
      waiting_.erase(0, count);
      session->receive(count, now);
    }
  }

  SessionOptions options_;
  std::optional<Authenticator> authenticator_;
  std::string waiting_;
};

std::string frame(uint8_t channel, size_t bytes = 20) {
  std::string out{'$', static_cast<char>(channel), static_cast<char>(bytes >> 8), static_cast<char>(bytes)};
  out += std::string("\x80\x60", 2) + std::string(bytes - 2, '\1');
  return out;
}

TEST(RtspSessionFaults, EndsThatSayWhatToDo) {
  struct Case {
    const char* name;
    std::map<std::string, std::string> answers;
    SessionEnd::Kind kind;
    base::Errc code;
    const char* text;
  };
  using Kind = SessionEnd::Kind;
  for (const Case& c : {
           Case{"this user may not",
                {{"DESCRIBE", status("403 Forbidden")}},
                Kind::kUnauthorized,
                base::Errc::kForbidden,
                "does not let this user watch (403 Forbidden)"},
           Case{"a status without a case of its own",
                {{"DESCRIBE", status("500")}},
                Kind::kFailed,
                base::Errc::kRefused,
                "refused DESCRIBE (500)"},
           Case{"PLAY refused",
                {{"PLAY", status("455 Not Valid")}},
                Kind::kFailed,
                base::Errc::kRefused,
                "refused PLAY (455 Not Valid)"},
           Case{"video refused",
                {{"SETUP", status("400 Bad")}},
                Kind::kFailed,
                base::Errc::kRefused,
                "refused SETUP (400 Bad)"},
           Case{"a challenge of another kind",
                {{"OPTIONS", status("401 x", "WWW-Authenticate: Negotiate abc\r\n")}},
                Kind::kUnauthorized,
                base::Errc::kUnsupported,
                "camera cam:554: "},
           Case{"it ends the session",
                {{"PLAY", std::string(kOk) + "TEARDOWN * RTSP/1.0\r\nCSeq: 5\r\n\r\n"}},
                Kind::kClosed,
                base::Errc::kClosed,
                "ended the session"},
       }) {
    SCOPED_TRACE(c.name);
    Scene scene(c.answers, false, "user");
    scene.run();
    ASSERT_TRUE(scene.session->end());
    EXPECT_EQ(scene.session->end()->kind, c.kind);
    EXPECT_EQ(scene.session->end()->error.code, c.code);
    EXPECT_THAT(scene.session->end()->error.text, HasSubstr(c.text));
    EXPECT_THAT(scene.session->end()->error.text, Not(HasSubstr("secret")));
    EXPECT_FALSE(scene.session->deadline()) << "a session that has ended waits for nothing";
    const size_t before = scene.sent.size();
    scene.wait(base::seconds(100));
    EXPECT_EQ(scene.sent.size(), before);
  }
}

TEST(RtspSessionFaults, UdpThatIsAnsweredWithSomethingElse) {
  for (const char* transport : {"RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP;multicast;port=5000-5001",
                                "RTP/AVP;unicast;client_port=7000-7001"}) {
    Scene scene({{"SETUP", set_up(transport)}}, true);
    scene.run();
    ASSERT_TRUE(scene.session->end()) << transport;
    EXPECT_EQ(scene.session->end()->kind, SessionEnd::Kind::kTransportRefused);
    EXPECT_THAT(scene.session->end()->error.text, HasSubstr("media over UDP"));
  }
  Scene good({}, true);
  good.run();
  EXPECT_EQ(good.log, "setup;setup;playing;");
  EXPECT_THAT(good.sent[2], HasSubstr("Transport: RTP/AVP;unicast;client_port=5000-5001\r\n"));
}

TEST(RtspSessionFaults, ATransportThatCannotBeReadIsTheOneThatWasAskedFor) {
  Scene scene({{"SETUP", status("200 OK", "Session: ab12\r\n")}});
  scene.run();
  EXPECT_EQ(scene.log, "setup;setup;playing;");
  EXPECT_EQ(scene.oddities["T1"], 2);
  scene.feed(frame(0) + frame(2));
  EXPECT_THAT(scene.log, HasSubstr("v20;a20;"));
}

TEST(RtspSessionFaults, MediaThatCannotBeReceivedIsLeftOutOrEndsTheSession) {
  Scene unsupported;
  unsupported.refuses = [](TrackKind kind) -> std::optional<base::Error> {
    if (kind == TrackKind::kVideo) return std::nullopt;
    return base::Error{base::Errc::kUnsupported, "no such sound", -1};
  };
  unsupported.run();
  EXPECT_EQ(unsupported.log, "setup;playing;");
  EXPECT_EQ(unsupported.session->offer().tracks[1].reason, "no such sound");
  EXPECT_FALSE(unsupported.session->offer().tracks[1].usable);

  for (const TrackKind broken : {TrackKind::kVideo, TrackKind::kAudio}) {
    Scene no_port;
    no_port.refuses = [broken](TrackKind kind) -> std::optional<base::Error> {
      if (kind != broken) return std::nullopt;
      return base::Error{base::Errc::kIo, "no port is free", -1};
    };
    no_port.run();
    ASSERT_TRUE(no_port.session->end());
    EXPECT_EQ(no_port.session->end()->error.code, base::Errc::kIo);
    EXPECT_EQ(no_port.count("SETUP"), 0U);
  }
}

TEST(RtspSessionFaults, SoundTowardsTheCameraIsNotRecorded) {
  Scene scene(
      {{"DESCRIBE", described(std::string(kVideo) +
                              "m=audio 0 RTP/AVP 0\r\na=control:trackID=7\r\na=sendonly\r\n" + kAudio)}});
  scene.run();
  const auto& tracks = scene.session->offer().tracks;
  ASSERT_EQ(tracks.size(), 3U);
  EXPECT_EQ(tracks[1].reason, "sound towards the camera");
  EXPECT_FALSE(tracks[1].selected);
  EXPECT_TRUE(tracks[2].selected);
  EXPECT_EQ(scene.log, "setup;setup;playing;");
}

TEST(RtspSessionFaults, AChallengeBesideASuccessIsUsedLater) {
  Scene scene({{"OPTIONS", status("200 OK", "WWW-Authenticate: Digest realm=\"r\", nonce=\"n7\"\r\n")}},
              false, "user");
  scene.run();
  EXPECT_EQ(scene.oddities["A7"], 1);
  EXPECT_THAT(scene.sent[1], HasSubstr("nonce=\"n7\""));
  EXPECT_TRUE(scene.session->playing());
}

TEST(RtspSessionFaults, BasicOverAnOpenConnectionIsOdd) {
  Scene scene({{"OPTIONS", status("401 x", "WWW-Authenticate: Basic realm=\"r\"\r\n")}}, false, "user");
  scene.run();
  EXPECT_EQ(scene.oddities["A1"], 1);
  EXPECT_THAT(scene.sent[1], HasSubstr("Authorization: Basic dXNlcjpzZWNyZXQ="));
  ASSERT_TRUE(scene.session->end()) << "it refuses whatever is tried";
  EXPECT_EQ(scene.sent.size(), 2U);
}

TEST(RtspSessionFaults, JunkBetweenFramesIsSkippedAndTold) {
  Scene scene;
  scene.run();
  scene.feed(frame(0) + "junk!" + frame(0) + frame(0) + frame(2));
  EXPECT_EQ(scene.oddities["T3"], 1);
  EXPECT_THAT(scene.log, HasSubstr("v20;a20;"));
  scene.feed("\r\n\r\n" + frame(0));
  EXPECT_GE(scene.oddities["R7"], 1);
  EXPECT_FALSE(scene.session->end());
}

TEST(RtspSessionFaults, NothingButJunkEndsASessionThatPlays) {
  Scene scene;
  scene.run();
  scene.feed(std::string(500, '\x01'));
  ASSERT_TRUE(scene.session->deadline());
  EXPECT_EQ(*scene.session->deadline(), scene.now + base::seconds(3));
  scene.wait(base::milliseconds(2'999));
  EXPECT_FALSE(scene.session->end());
  scene.wait(base::milliseconds(1));
  ASSERT_TRUE(scene.session->end());
  EXPECT_EQ(scene.session->end()->error.code, base::Errc::kMalformed);
}

TEST(RtspSessionFaults, KeepAliveThatIsNotAnsweredIsNoEnd) {
  Scene scene;
  scene.run();
  scene.answers.erase("GET_PARAMETER");
  scene.wait(base::seconds(10));
  EXPECT_EQ(scene.count("GET_PARAMETER"), 1U);
  ASSERT_TRUE(scene.session->deadline());
  scene.wait(base::milliseconds(9'999));
  EXPECT_EQ(scene.count("GET_PARAMETER"), 1U);
  scene.wait(base::milliseconds(1));
  EXPECT_EQ(scene.oddities["R11"], 1);
  EXPECT_FALSE(scene.session->end());
  EXPECT_EQ(scene.count("GET_PARAMETER"), 2U) << "it is asked again";
}

TEST(RtspSessionFaults, ASessionThatTheCameraForgotIsClosed) {
  Scene scene({{"GET_PARAMETER", status("454 Session Not Found")}});
  scene.run();
  scene.wait(base::seconds(10));
  ASSERT_TRUE(scene.session->end());
  EXPECT_EQ(scene.session->end()->kind, SessionEnd::Kind::kClosed);
  scene.session->teardown();
  EXPECT_EQ(scene.count("TEARDOWN"), 0U) << "there is nothing to tear down";
}

TEST(RtspSessionFaults, ABodyThatDoesNotEndHasADeadline) {
  const std::string cut = "RTSP/1.0 200 OK\r\nCSeq: @\r\nContent-Length: 9000\r\n\r\nv=0\r\n";
  Scene scene(std::map<std::string, std::string>{{"DESCRIBE", cut}});
  scene.run();
  ASSERT_TRUE(scene.session->deadline());
  EXPECT_EQ(*scene.session->deadline(), scene.now + base::seconds(5));
  scene.wait(base::seconds(5));
  ASSERT_TRUE(scene.session->end());
  EXPECT_EQ(scene.oddities["R4"], 1);
}

TEST(RtspSessionFaults, RepliesThatNobodyAskedForAreIgnored) {
  Scene scene;
  scene.run();
  const size_t before = scene.sent.size();
  scene.feed("RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n");
  EXPECT_EQ(scene.oddities["R9"], 1);
  scene.feed("RTSP/1.0 100 Continue\r\nCSeq: 3\r\n\r\n");
  EXPECT_EQ(scene.oddities["R9"], 1);
  EXPECT_EQ(scene.sent.size(), before);
  EXPECT_TRUE(scene.session->playing());
}

TEST(RtspSessionFaults, ReceiverReportsGoToTheChannelOfTheirTrack) {
  Scene scene;
  scene.run();
  const std::string report(8, 'r');
  scene.session->send_rtcp(TrackKind::kAudio, base::as_bytes(report));
  EXPECT_EQ(scene.sent.back(), std::string("$\3\0\10", 4) + report);
  const size_t before = scene.sent.size();
  const std::string huge(0x10000, 'r');
  scene.session->send_rtcp(TrackKind::kAudio, base::as_bytes(huge));
  EXPECT_EQ(scene.sent.size(), before) << "does not fit the frame's length field";
}

}  // namespace
}  // namespace miharu::ingest::rtsp
