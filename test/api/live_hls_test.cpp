#include "api/live_hls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/playback.h"
#include "api/responses.h"
#include "support/recording.h"

namespace miharu::api {
namespace {

using base::milliseconds;
using base::seconds;
using test::body_of;
using test::field;
using test::request;
using testing::HasSubstr;
using testing::Not;

class Answer final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse response) override {
    if (!response_) response_ = std::move(response);
  }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override { return nullptr; }
  [[nodiscard]] bool given() const { return response_.has_value(); }
  [[nodiscard]] const net::HttpResponse& get() const { return *response_; }

 private:
  std::optional<net::HttpResponse> response_;
};

// The control loop is run by hand: what changed() posts waits for poll().
class LiveHlsTest : public ::testing::Test {
 protected:
  LiveHlsTest() {
    recorded_.index.set_on_change([this](const std::string& camera) { waiters_.changed(camera); });
  }
  std::shared_ptr<Answer> ask(const std::string& query, net::HttpHeaders headers = {}) {
    auto answer = std::make_shared<Answer>();
    live_.playlist(request(query, std::move(headers)), "front", answer);
    return answer;
  }
  void record(base::nanoseconds length) {
    recorded_.camera().record(length);
    poll();
  }
  void poll() {
    loop_.context().restart();
    loop_.context().poll();
  }
  std::string next(uint64_t ahead, const std::string& part = {}) {
    const auto chunks = recorded_.index.recent("front");
    return "_HLS_msn=" + std::to_string(chunks.back().seq + ahead) +
           (part.empty() ? "" : "&_HLS_part=" + part);
  }

  test::RecordedStore recorded_;
  store::Catalog catalog_{*recorded_.store, &recorded_.index, recorded_.clock};
  net::EventLoop loop_{"control"};
  ChangeWaiters waiters_{loop_};
  LiveHls live_{catalog_, recorded_.index, waiters_, recorded_.clock};
};

TEST_F(LiveHlsTest, NothingYet) {
  EXPECT_EQ(ask("")->get().status, 503U);
  recorded_.camera().begin_run();
  record(milliseconds(1500));
  EXPECT_EQ(ask("")->get().status, 503U) << "no segment is finished";
  record(seconds(2));
  const auto answer = ask("")->get();
  ASSERT_EQ(answer.status, 200U);
  EXPECT_EQ(field(answer, "Content-Type"), "application/vnd.apple.mpegurl");
  EXPECT_EQ(field(answer, "Cache-Control"), "no-store");
  EXPECT_THAT(body_of(answer), Not(HasSubstr("#EXT-X-ENDLIST")));
}

TEST_F(LiveHlsTest, AnOldPictureIsNotTakenForThePresentOne) {
  recorded_.run(seconds(20));
  const std::string behind = next(0, "0");
  recorded_.clock.advance(seconds(20));
  EXPECT_EQ(ask("")->get().status, 200U);
  recorded_.clock.advance(seconds(20));
  EXPECT_EQ(ask("")->get().status, 503U);
  EXPECT_EQ(ask(behind)->get().status, 200U) << "who watches already keeps the list";
}

TEST_F(LiveHlsTest, ABlockingReloadIsAnsweredByItsPartAndOneTextServesAll) {
  recorded_.camera().begin_run();
  record(milliseconds(4800));
  const size_t parts = recorded_.index.recent("front").back().parts.size();
  const std::string query = next(0, std::to_string(parts));
  std::vector<std::shared_ptr<Answer>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(ask(query, {{"Accept-Encoding", "gzip"}}));
  const auto segment = ask(next(0));
  EXPECT_EQ(waiters_.waiting(), 4U);
  record(milliseconds(80));
  EXPECT_FALSE(waiting[0]->given());
  record(milliseconds(500));
  for (const auto& each : waiting) ASSERT_TRUE(each->given());
  EXPECT_FALSE(segment->given());
  const auto shared = std::get<std::shared_ptr<const std::string>>(waiting[0]->get().body);
  EXPECT_EQ(std::get<std::shared_ptr<const std::string>>(waiting[2]->get().body), shared);
  record(seconds(2));
  ASSERT_TRUE(segment->given());
  EXPECT_EQ(segment->get().status, 200U);
  EXPECT_EQ(waiters_.waiting(), 0U);
}

TEST_F(LiveHlsTest, WhatDoesNotComeIsA503) {
  recorded_.camera().begin_run();
  record(milliseconds(4200));
  const auto answer = ask(next(1, "0"));
  EXPECT_FALSE(answer->given());
  waiters_.stop();
  ASSERT_TRUE(answer->given());
  EXPECT_EQ(answer->get().status, 503U);
  EXPECT_EQ(field(answer->get(), "Retry-After"), "1");
}

TEST_F(LiveHlsTest, WrongQuestionsAreToldWhatIsWrong) {
  recorded_.camera().begin_run();
  record(seconds(5));
  struct Case {
    std::string query;
    const char* told;
  };
  for (const Case& c : {Case{"_HLS_part=1", "_HLS_msn"},
                        {"_HLS_msn=x", "_HLS_msn"},
                        {"_HLS_msn=1&_HLS_part=-1", "_HLS_part"},
                        {"_HLS_msn=18446744073709551615", "ahead"},
                        {next(3), "ahead"},
                        {"dvr=2h", "1h"},
                        {"dvr=5", "dvr"},
                        {"dvr=0s", "1h"}}) {
    const auto answer = ask(c.query);
    ASSERT_TRUE(answer->given()) << c.query;
    EXPECT_EQ(answer->get().status, 400U) << c.query;
    EXPECT_THAT(body_of(answer->get()), HasSubstr(c.told)) << c.query;
  }
}

// What was recorded before the restart comes from the catalog: the numbers and the discontinuity run on.
TEST_F(LiveHlsTest, TheListGoesOnOverARestart) {
  recorded_.run(seconds(20));
  const std::string before = body_of(ask("")->get());
  record::RecordingIndex index;
  store::Catalog catalog(*recorded_.store, &index, recorded_.clock);
  LiveHls restarted(catalog, index, waiters_, recorded_.clock);
  const auto look = [&](const std::string& query) {
    auto answer = std::make_shared<Answer>();
    restarted.playlist(request(query), "front", answer);
    return answer;
  };
  const auto segments_of = [](const std::string& text) {
    std::vector<std::string> lines;
    for (size_t at = text.find("\n../../"); at != std::string::npos; at = text.find("\n../../", at + 1))
      lines.push_back(text.substr(at, text.find('\n', at + 1) - at));
    return lines;
  };
  const auto first = look("");
  ASSERT_EQ(first->get().status, 200U);
  EXPECT_EQ(segments_of(body_of(first->get())), segments_of(before));

  test::HandRecorder camera("front", *recorded_.store, index, recorded_.clock, recorded_.options);
  camera.begin_run(store::RunReason::kRestart);
  camera.record(seconds(5));
  auto expected = segments_of(before);
  const std::string after = body_of(look("")->get());
  auto lines = segments_of(after);
  ASSERT_GT(lines.size(), expected.size());
  lines.resize(expected.size());
  EXPECT_EQ(lines, expected);
  EXPECT_THAT(after, HasSubstr("#EXT-X-DISCONTINUITY\n"));
  const auto sequence = [](const std::string& text) {
    return text.substr(text.find("#EXT-X-MEDIA-SEQUENCE:"), 40);
  };
  EXPECT_EQ(sequence(after), sequence(before));
}

TEST_F(LiveHlsTest, AnHourOfPast) {
  recorded_.camera().begin_run();
  for (int i = 0; i < 40; ++i) record(seconds(10));
  const auto count = [](const std::string& text) {
    size_t found = 0;
    for (size_t at = text.find("#EXTINF"); at != std::string::npos; at = text.find("#EXTINF", at + 1))
      ++found;
    return found;
  };
  EXPECT_NEAR(static_cast<double>(count(body_of(ask("")->get()))), 30, 1);
  EXPECT_NEAR(static_cast<double>(count(body_of(ask("dvr=5m")->get()))), 150, 1);
  EXPECT_NEAR(static_cast<double>(count(body_of(ask("dvr=1h")->get()))), 199, 1);
  EXPECT_THAT(body_of(ask("dvr=1h&_HLS_skip=YES")->get()), HasSubstr("#EXT-X-SKIP:SKIPPED-SEGMENTS="));
  record(seconds(10));
  EXPECT_NEAR(static_cast<double>(count(body_of(ask("dvr=1h")->get()))), 204, 1);
}

TEST_F(LiveHlsTest, AHintedPartIsWaitedFor) {
  recorded_.camera().begin_run();
  record(milliseconds(4800));
  const auto newest = recorded_.index.recent("front").back();
  ASSERT_FALSE(newest.finished);
  int there = 0;
  const auto ask_from = [&](uint64_t seq, uint64_t offset) {
    live_.when_written(request("", {{"Range", "bytes=" + std::to_string(offset) + "-"}}), "front", newest.run,
                       seq, [&] { ++there; });
  };
  ask_from(newest.seq, 0);
  ask_from(newest.seq - 1, 0);
  ask_from(newest.seq + 7, 0);
  EXPECT_EQ(there, 3) << "there, or not to come";
  ask_from(newest.seq, newest.chunk.size_bytes);
  ask_from(newest.seq + 1, 0);
  EXPECT_EQ(there, 3);
  record(milliseconds(600));
  EXPECT_EQ(there, 4);
  record(seconds(2));
  EXPECT_EQ(there, 5);
}

}  // namespace
}  // namespace miharu::api
