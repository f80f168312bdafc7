#include "api/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "api/responses.h"

namespace miharu::api {
namespace {

using testing::HasSubstr;
using testing::Not;

class FakeCameras final : public CameraList {
 public:
  std::vector<CameraStatus> cameras() const override {
    const std::lock_guard lock(mutex_);
    return cameras_;
  }
  bool has(std::string_view) const override { return true; }
  void set(std::vector<CameraStatus> cameras) {
    const std::lock_guard lock(mutex_);
    cameras_ = std::move(cameras);
  }
  std::optional<upload::UploadStatus> uploads() const override {
    const std::lock_guard lock(mutex_);
    return uploads_;
  }
  void set_uploads(upload::UploadStatus uploads) {
    const std::lock_guard lock(mutex_);
    uploads_ = std::move(uploads);
  }

 private:
  mutable std::mutex mutex_;
  std::vector<CameraStatus> cameras_;
  std::optional<upload::UploadStatus> uploads_;
};

// What a listener was sent; outlives its stream.
struct Inbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::string> texts;
  bool reads = true;
  bool ended = false;

  std::string take() {
    const std::lock_guard lock(mutex);
    std::string all;
    for (const std::string& text : texts) all += text;
    texts.clear();
    return all;
  }
  std::string wait_and_take() {
    {
      std::unique_lock lock(mutex);
      arrived.wait(lock, [this] { return !texts.empty(); });
    }
    return take();
  }
};

class FakeStream final : public net::HttpExchange::Stream {
 public:
  explicit FakeStream(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}
  ~FakeStream() override {
    const std::lock_guard lock(inbox_->mutex);
    inbox_->ended = true;
  }
  bool write(std::string text) override {
    const std::lock_guard lock(inbox_->mutex);
    if (!inbox_->reads) return false;
    inbox_->texts.push_back(std::move(text));
    inbox_->arrived.notify_all();
    return true;
  }

 private:
  std::shared_ptr<Inbox> inbox_;
};

CameraStatus camera(std::string name, bool recording) {
  CameraStatus status;
  status.name = std::move(name);
  if (recording) {
    status.stream.source.state = ingest::SourceStatus::State::kPlaying;
    status.recorder.state = record::RecorderStatus::State::kRecording;
  } else {
    status.stream.source.state = ingest::SourceStatus::State::kWaiting;
    status.stream.source.last_error = base::Error{base::Errc::kIo, "no route to \"host\""};
  }
  return status;
}

class FakeExchange final : public net::HttpExchange {
 public:
  explicit FakeExchange(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}
  void respond(net::HttpResponse response) override { refusal = std::move(response); }
  std::shared_ptr<Stream> stream(unsigned status, net::HttpHeaders headers) override {
    EXPECT_EQ(status, 200U);
    EXPECT_EQ(headers.front(), (net::HttpHeaders::value_type{"Content-Type", "text/event-stream"}));
    return std::make_shared<FakeStream>(inbox_);
  }
  std::optional<net::HttpResponse> refusal;

 private:
  std::shared_ptr<Inbox> inbox_;
};

class EventsTest : public testing::Test {
 protected:
  void SetUp() override { loop_.start(); }
  void TearDown() override {
    loop_.run_and_wait([this] { events_.stop(); });
    loop_.stop();
  }
  // Null when it was refused. On the loop.
  std::shared_ptr<Inbox> add_here(std::function<bool(const std::string&)> sees = [](const std::string&) {
    return true;
  }) {
    auto inbox = std::make_shared<Inbox>();
    FakeExchange exchange(inbox);
    events_.add(exchange, std::move(sees));
    EXPECT_FALSE(inbox->ended);
    if (!exchange.refusal) return inbox;
    EXPECT_EQ(exchange.refusal->status, 503U);
    EXPECT_EQ(test::field(*exchange.refusal, "Content-Type"), "application/problem+json");
    EXPECT_EQ(test::field(*exchange.refusal, "Retry-After"), "15");
    return nullptr;
  }
  template <class... Arguments>
  std::shared_ptr<Inbox> add(Arguments... arguments) {
    std::shared_ptr<Inbox> inbox;
    loop_.run_and_wait([&] { inbox = add_here(arguments...); });
    return inbox;
  }

  FakeCameras cameras_;
  net::EventLoop loop_{"events"};
  Events events_{loop_, cameras_};
};

TEST_F(EventsTest, ANewListenerIsToldOfEachCameraThatItSees) {
  cameras_.set({camera("front", true), camera("back", false), camera("secret", true)});
  const auto inbox = add([](const std::string& name) { return name != "secret"; });
  EXPECT_EQ(inbox->take(),
            "event: camera\ndata: {\"camera\":\"front\",\"state\":\"recording\",\"reason\":null}\n\n"
            "event: camera\ndata: {\"camera\":\"back\",\"state\":\"waiting\",\"reason\":\"no route to "
            "\\\"host\\\"\"}\n\n");
}

TEST_F(EventsTest, OnlyChangesAreTold) {
  cameras_.set({camera("front", true), camera("back", true)});
  const auto inbox = add();
  EXPECT_THAT(inbox->take(), HasSubstr("back"));
  cameras_.set({camera("front", true), camera("back", false)});
  const std::string change = inbox->wait_and_take();
  EXPECT_THAT(change, HasSubstr("\"camera\":\"back\",\"state\":\"waiting\""));
  EXPECT_THAT(change, Not(HasSubstr("front")));
  // Every new listener makes it look: those who know are not told again.
  const auto second = add();
  EXPECT_THAT(second->take(), HasSubstr("front"));
  EXPECT_EQ(inbox->take(), "");
  cameras_.set({camera("front", true), camera("back", true)});
  EXPECT_THAT(inbox->wait_and_take(), HasSubstr("\"camera\":\"back\",\"state\":\"recording\""));
  EXPECT_THAT(second->wait_and_take(), HasSubstr("\"camera\":\"back\",\"state\":\"recording\""));
}

TEST_F(EventsTest, UploadingIsTold) {
  cameras_.set({camera("front", true), camera("secret", true)});
  upload::UploadStatus uploads;
  uploads.state = upload::UploadStatus::State::kUploading;
  uploads.cameras["front"] = {1, 1'000, 0, base::from_unix_ms(1'795'230'000'500)};
  uploads.cameras["secret"] = {1, 1'000, 0, std::nullopt};
  cameras_.set_uploads(uploads);
  const auto inbox = add([](const std::string& name) { return name != "secret"; });
  const std::string first = inbox->take();
  EXPECT_THAT(first, HasSubstr("event: safe\ndata: {\"camera\":\"front\",\"safe_until_ms\":1795230000500,"
                               "\"pending_objects\":1}\n\n"));
  EXPECT_THAT(
      first,
      HasSubstr("event: uploads\ndata: {\"state\":\"uploading\",\"error\":null,\"warning\":null}\n\n"));
  EXPECT_THAT(first, Not(HasSubstr("secret")));
  uploads.state = upload::UploadStatus::State::kUnreachable;
  uploads.error = "no \"line\"";
  cameras_.set_uploads(uploads);
  EXPECT_EQ(
      inbox->wait_and_take(),
      "event: uploads\ndata: {\"state\":\"unreachable\",\"error\":\"no \\\"line\\\"\",\"warning\":null}\n\n");
  uploads.cameras["front"].safe_until.reset();
  cameras_.set_uploads(uploads);
  EXPECT_THAT(inbox->wait_and_take(), HasSubstr("\"safe_until_ms\":null"));
}

TEST_F(EventsTest, WhoIsGoneIsForgotten) {
  cameras_.set({camera("front", true)});
  const auto gone = add();
  const auto stays = add();
  stays->take();
  gone->reads = false;
  cameras_.set({camera("front", false)});
  EXPECT_THAT(stays->wait_and_take(), HasSubstr("waiting"));
  loop_.run_and_wait([&] { EXPECT_TRUE(gone->ended); });
  EXPECT_FALSE(stays->ended);
}

TEST_F(EventsTest, TooManyAreRefusedUntilOneGoes) {
  cameras_.set({camera("front", true)});
  std::vector<std::shared_ptr<Inbox>> inboxes;
  loop_.run_and_wait([&] {
    for (size_t i = 0; i < Events::kMaxListeners; ++i) inboxes.push_back(add_here());
    EXPECT_EQ(add_here(), nullptr);
    inboxes.front()->reads = false;
    cameras_.set({camera("front", false)});
  });
  for (size_t i = 1; i < inboxes.size(); ++i) {
    ASSERT_NE(inboxes[i], nullptr) << i;
    while (inboxes[i]->wait_and_take().find("waiting") == std::string::npos) {
    }
  }
  EXPECT_TRUE(inboxes.front()->ended);
  EXPECT_NE(add(), nullptr);
}

TEST_F(EventsTest, SilenceIsBrokenSoThatProxiesKeepTheConnection) {
  cameras_.set({camera("front", true)});
  const auto inbox = add();
  EXPECT_THAT(inbox->take(), HasSubstr("recording"));
  // Every listener that comes is a look; as many as fit in the time of a keep-alive.
  loop_.run_and_wait([&] {
    for (int i = 0; i < Events::kKeepAliveSeconds; ++i) ASSERT_NE(add_here(), nullptr);
  });
  EXPECT_EQ(inbox->take(), ": still here\n\n");
}

TEST_F(EventsTest, AfterTheStopNobodyIsTakenAnyMore) {
  cameras_.set({camera("front", true)});
  const auto inbox = add();
  loop_.run_and_wait([&] {
    events_.stop();
    EXPECT_TRUE(inbox->ended);
    // A request that is under way while the program ends.
    EXPECT_EQ(add_here(), nullptr);
  });
}

}  // namespace
}  // namespace miharu::api
