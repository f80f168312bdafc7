// Which generation of a session a PATCH means.
#include "api/whep.h"

#include <future>

#include <gtest/gtest.h>

#include "support/manual_clock.h"
#include "support/temp_dir.h"

namespace miharu::api {
namespace {

class Answer final : public net::HttpExchange {
 public:
  void respond(net::HttpResponse response) override { status.set_value(response.status); }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override { return nullptr; }
  std::promise<unsigned> status;
};

class NoCameras final : public CameraList {
 public:
  std::vector<CameraStatus> cameras() const override { return {}; }
  bool has(std::string_view) const override { return true; }
};

class FakeSessions final : public webrtc::SessionService {
 public:
  void create(const std::string&, const std::string&, const std::string&,
              Callback<webrtc::SessionAnswer> done) override {
    done(base::fail(base::Errc::kInternal, "not asked for"));
  }
  void patch(const std::string&, const std::string&, const std::optional<std::string>& tag,
             const std::string&, Callback<webrtc::SessionAnswer> done) override {
    etag = tag;
    done(webrtc::SessionAnswer{});
  }
  void end(const std::string&, const std::string&, std::function<void(base::Status)> done) override {
    done({});
  }
  void list(std::function<void(std::vector<webrtc::SessionInfo>)> done) override { done({}); }

  std::optional<std::string> etag;
};

class WhepTest : public testing::Test {
 protected:
  WhepTest() {
    AuthOptions options;
    options.mode = AuthMode::kOpen;
    options.database = folder_.path() / "miharu.db";
    options.token_key = folder_.path() / "token.key";
    options.password_cost = {1, 8192};
    auth_ = std::move(*Auth::open(options, clock_));
    router_ = std::make_unique<Router>(*auth_);
    whep_.set_sessions(&sessions_);
    whep_.add_routes(*router_);
  }

  // What the sessions are told of this If-Match.
  std::optional<std::string> tag_of(std::optional<std::string> if_match) {
    sessions_.etag = "never asked";
    net::HttpRequest request;
    request.method = "PATCH";
    request.path = "/whep/front/id";
    request.headers = {{"Host", "localhost"}, {"Content-Type", "application/trickle-ice-sdpfrag"}};
    if (if_match) request.headers.emplace_back("If-Match", *if_match);
    request.remote = "127.0.0.1";
    auto answer = std::make_shared<Answer>();
    router_->handle(std::move(request), answer);
    EXPECT_EQ(answer->status.get_future().get(), 204U);
    return sessions_.etag;
  }

 private:
  test::TempDir folder_;
  test::ManualClock clock_{base::from_unix_ms(1'795'230'000'000)};
  NoCameras cameras_;
  FakeSessions sessions_;
  std::unique_ptr<Auth> auth_;
  Whep whep_{{}, cameras_, clock_};
  std::unique_ptr<Router> router_;
};

TEST_F(WhepTest, AnyGenerationWillDo) {
  EXPECT_EQ(tag_of({}), std::nullopt);
  EXPECT_EQ(tag_of("*"), std::nullopt);
  EXPECT_EQ(tag_of(" * "), std::nullopt);
  EXPECT_EQ(tag_of("\"*\""), std::nullopt);
}

TEST_F(WhepTest, ACertainGeneration) {
  EXPECT_EQ(tag_of("\"a1b2\""), "a1b2");
  EXPECT_EQ(tag_of("a1b2"), "a1b2");
  EXPECT_EQ(tag_of("\"**\""), "**");
}

}  // namespace
}  // namespace miharu::api
