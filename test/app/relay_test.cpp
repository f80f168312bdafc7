// The running system over real sockets, with cameras that are pictures made here.
#include "app/relay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "net/raw_client.h"
#include "record/verify.h"
#include "support/temp_dir.h"

namespace miharu::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

CameraConfig demo(const std::string& name, const std::string& options = "") {
  CameraConfig camera;
  camera.name = name;
  camera.url = "demo:?size=384x240&fps=10&gop=1s" + options;
  return camera;
}

class RelayTest : public ::testing::Test {
 protected:
  Config config(std::vector<CameraConfig> cameras) {
    Config made;
    made.server.listen = {"127.0.0.1", 0};
    made.store.path = folder_.path() / "store";
    made.store.free = {};
    made.cameras = std::move(cameras);
    return made;
  }
  std::unique_ptr<Relay> start(std::vector<CameraConfig> cameras) {
    auto relay = std::make_unique<Relay>(config(std::move(cameras)), folder_.path() / "data");
    const auto started = relay->start();
    EXPECT_TRUE(started.has_value()) << started.error().to_string();
    if (!relay->first_password().empty()) password_ = relay->first_password();
    return relay;
  }
  static uint16_t port_of(const Relay& relay) {
    const std::string address = relay.address();
    return base::parse_number<uint16_t>(
               std::string_view(address).substr(17, address.size() - 18))  // http://127.0.0.1:PORT/
        .value_or(0);
  }
  net::ClientResponse ask(const Relay& relay, const std::string& path, const std::string& fields = "") {
    net::RawClient client(port_of(relay));
    client.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + cookie_ + fields + "\r\n");
    return client.response();
  }
  unsigned sign_in(const Relay& relay) {
    const std::string body =
        boost::json::serialize(boost::json::object{{"user", "admin"}, {"password", password_}});
    net::RawClient client(port_of(relay));
    client.send(
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        "application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    const auto response = client.response();
    const std::string set = response.field("Set-Cookie");
    cookie_ = "Cookie: " + set.substr(0, set.find(';')) + "\r\n";
    return response.status;
  }
  // Asks until `done` is content with the answer.
  template <class Done>
  net::ClientResponse ask_until(const Relay& relay, const std::string& path, Done done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    net::ClientResponse response;
    do {
      response = ask(relay, path);
    } while (!done(response) && std::chrono::steady_clock::now() < deadline);
    return response;
  }
  static std::vector<std::string> names(const Relay& relay) {
    std::vector<std::string> all;
    for (const auto& camera : relay.cameras()) all.push_back(camera.name);
    return all;
  }

  test::TempDir folder_;
  std::string password_;
  std::string cookie_;
};

TEST_F(RelayTest, RecordsServesReloadsAndStops) {
  auto relay = start({demo("front")});
  EXPECT_FALSE(password_.empty());
  EXPECT_EQ(ask(*relay, "/healthz").status, 200U);
  EXPECT_EQ(ask(*relay, "/").status, 200U);
  for (const char* path :
       {"/metrics", "/api/v1/cameras", "/api/v1/events", "/hls/front/vod.m3u8?from=-1h",
        "/hls/front/live.m3u8", "/media/front/1r/1", "/api/v1/cameras/front/timeline?from=-1h"})
    EXPECT_EQ(ask(*relay, path).status, 401U) << path;

  ASSERT_EQ(sign_in(*relay), 204U);
  net::RawClient events(port_of(*relay));
  events.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n" + cookie_ + "\r\n");
  EXPECT_TRUE(events.read_until("\"state\":\"recording\""));
  EXPECT_EQ(ask_until(*relay, "/readyz", [](const auto& r) { return r.status == 200; }).status, 200U);
  EXPECT_THAT(ask(*relay, "/metrics").body,
              HasSubstr("miharu_camera_state{camera=\"front\",state=\"recording\"} 1"));

  const auto playlist = ask_until(*relay, "/hls/front/vod.m3u8?from=-1m",
                                  [](const auto& r) { return r.body.find("#EXTINF") != std::string::npos; });
  ASSERT_THAT(playlist.body, HasSubstr("#EXTINF"));
  std::string_view rest = playlist.body;
  std::string segment;
  while (!rest.empty() && segment.empty()) {
    const std::string_view line = base::trim(base::take_until(rest, '\n'));
    if (!line.empty() && !line.starts_with('#')) segment = line;
  }
  ASSERT_TRUE(segment.starts_with("../../media/")) << segment;
  const auto media = ask(*relay, segment.substr(5));
  EXPECT_EQ(media.status, 200U);
  EXPECT_GT(media.body.size(), 100U);
  EXPECT_EQ(ask(*relay, "/hls/front/live.m3u8").status / 100 % 4, 1U)
      << "200, or 503 before a chunk is finished";
  EXPECT_THAT(ask(*relay, "/api/v1/cameras/front/timeline?from=-1h").body, HasSubstr("\"growing\":true"));

  // A camera that is new comes first, as the file says; the other goes on undisturbed.
  const uint64_t connects = relay->cameras()[0].stream.source.connects;
  const uint64_t frames = relay->cameras()[0].recorder.frames;
  ASSERT_TRUE(relay->reload(config({demo("back"), demo("front")})));
  EXPECT_THAT(names(*relay), ElementsAre("back", "front"));
  EXPECT_EQ(relay->cameras()[1].stream.source.connects, connects);
  EXPECT_GE(relay->cameras()[1].recorder.frames, frames);
  EXPECT_TRUE(events.read_until("\"camera\":\"back\""));
  auto bad = demo("bad");
  bad.url = "gopher://camera";
  EXPECT_FALSE(relay->reload(config({demo("back"), bad}))) << "nothing is taken over";
  EXPECT_THAT(names(*relay), ElementsAre("back", "front"));
  ASSERT_TRUE(relay->reload(config({demo("back")})));
  EXPECT_THAT(names(*relay), ElementsAre("back"));
  EXPECT_FALSE(relay->has("front"));
  ASSERT_TRUE(relay->reload(config({demo("back", "&audio=0")})));
  EXPECT_THAT(names(*relay), ElementsAre("back"));

  relay->stop();
  relay->stop();
  relay.reset();
  auto store = store::DirectoryStore::open(folder_.path() / "store", store::DirectoryStore::Open::kExisting);
  ASSERT_TRUE(store);
  const auto report = record::verify_store(**store, {}, {});
  ASSERT_TRUE(report);
  EXPECT_GE(report->objects, 1U);
  for (const auto& finding : report->findings) ADD_FAILURE() << finding.key << ": " << finding.text;
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path() / "store" / "tmp"));
}

TEST_F(RelayTest, AStartOverFindsItsUsersAndItsStore) {
  start({})->stop();
  auto relay = start({});
  EXPECT_TRUE(relay->first_password().empty());
  EXPECT_EQ(sign_in(*relay), 204U);
  password_ = "wrong";
  EXPECT_EQ(sign_in(*relay), 401U);

  Relay second(config({}), folder_.path() / "data2");
  const auto both = second.start();
  ASSERT_FALSE(both);
  EXPECT_EQ(both.error().code, base::Errc::kExists) << both.error().text;
  relay->stop();
  relay.reset();

  std::filesystem::rename(folder_.path() / "store", folder_.path() / "elsewhere");
  Relay unmounted(config({}), folder_.path() / "data");
  const auto missing = unmounted.start();
  ASSERT_FALSE(missing) << "a store that is not mounted is no empty store";
  EXPECT_EQ(missing.error().code, base::Errc::kNotFound) << missing.error().text;
}

TEST_F(RelayTest, WhatCannotStartSaysWhy) {
  Config open = config({});
  open.auth.mode = AuthMode::kNone;
  open.server.listen.address = "0.0.0.0";
  Relay everybody(open, folder_.path() / "a");
  const auto refused = everybody.start();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("loopback"));

  auto camera = demo("front");
  camera.url = "http://camera/mjpeg";
  Config wrong = config({camera});
  wrong.store.path = folder_.path() / "store2";
  Relay with_camera(wrong, folder_.path() / "b");
  const auto unknown = with_camera.start();
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().text, HasSubstr("front"));
}

TEST_F(RelayTest, ItCanBeDestroyedWithoutBeingStarted) {
  Relay relay(config({demo("front")}), folder_.path() / "data");
  relay.stop();
}

}  // namespace
}  // namespace miharu::app
