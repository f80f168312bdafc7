#include "upload/uploader.h"

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <SQLiteCpp/SQLiteCpp.h>

#include "net/http_server.h"
#include "support/recording.h"
#include "support/scripted_server.h"

namespace miharu::upload {
namespace {

using State = UploadStatus::State;
using Copy = record::SecondCopy::State;
using testing::HasSubstr;

s3::Bucket bucket_at(uint16_t port) {
  return s3::make_bucket("s3://footage/home", "http://127.0.0.1:" + std::to_string(port), "").value();
}

// The machine's clock, set wrong by as much as a test says. Thread-safe.
class ShiftedClock final : public base::Clock {
 public:
  base::UtcTime utc() const override { return base::system_clock().utc() + base::seconds(shift.load()); }
  base::SteadyTime steady() const override { return base::system_clock().steady(); }
  bool synchronised() const override { return vouched; }
  std::atomic<int64_t> shift{0};
  std::atomic<bool> vouched{false};
};

// Answers as a store does: what real ones make of the requests is for the integration tests.
class FakeStore {
 public:
  struct Put {
    std::string key;
    bool expects = false;
  };
  // Nothing: the PUT is served. 0: served, but the connection ends without an answer (as far as a handler can
  // do that). 1: never answered.
  using Refuse = std::function<std::optional<unsigned>(size_t number, const std::string& key)>;

  explicit FakeStore(Refuse refuse = [](size_t, const std::string&) { return std::nullopt; })
      : refuse_(std::move(refuse)) {
    loop_.start();
    net::HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits.body_bytes = 64 << 20;
    server_ = std::make_unique<net::HttpServer>(
        loop_, options,
        [this](const net::HttpRequest& request, const std::shared_ptr<net::HttpExchange>& exchange) {
          net::HttpResponse response = answer(request);
          if (response.status == 1) return unanswered_.push_back(exchange);
          exchange->respond(std::move(response));
        });
    EXPECT_TRUE(server_->start());
  }
  ~FakeStore() { server_->stop(); }

  [[nodiscard]] s3::Bucket bucket() const { return bucket_at(server_->port()); }
  // Until so many objects are there; false when that takes too long.
  bool wait_for(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return objects_.size() >= count; });
  }
  bool wait_for_puts(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return puts_.size() >= count; });
  }
  std::map<std::string, std::string> objects() {
    const std::lock_guard lock(mutex_);
    return objects_;
  }
  std::vector<Put> puts() {
    const std::lock_guard lock(mutex_);
    return puts_;
  }
  void set_refuse(Refuse refuse) {
    const std::lock_guard lock(mutex_);
    refuse_ = std::move(refuse);
  }

 private:
  static net::HttpResponse error(unsigned status, const std::string& code) {
    return {status, {{"Content-Type", "application/xml"}}, "<Error><Code>" + code + "</Code></Error>"};
  }
  net::HttpResponse answer(const net::HttpRequest& request) {
    const std::lock_guard lock(mutex_);
    if (request.method == "GET") return error(404, "NoSuchKey");
    EXPECT_EQ(request.header("if-none-match"), "*");
    EXPECT_EQ(request.header("x-amz-content-sha256"), s3::sha256_hex(base::as_bytes(request.body)));
    const std::string key = request.path.substr(std::string("/footage/home/r1/").size());
    puts_.push_back({key, !request.header("expect").empty()});
    changed_.notify_all();
    const auto refused = refuse_(puts_.size() - 1, key);
    if (refused && *refused == 200) return {200, {{"Content-Type", "text/html"}}, "Welcome to our hotel"};
    if (refused && *refused != 0)
      return error(*refused, *refused == 503 ? "SlowDown" : *refused == 400 ? "BadDigest" : "AccessDenied");
    if (objects_.contains(key)) return error(412, "PreconditionFailed");
    objects_[key] = request.body;
    changed_.notify_all();
    if (refused) return error(500, "InternalError");
    return {200, {{"ETag", "\"5d41402abc4b2a76b9719d911017c592\""}}, {}};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Refuse refuse_;
  std::map<std::string, std::string> objects_;
  std::vector<Put> puts_;
  std::vector<std::shared_ptr<net::HttpExchange>> unanswered_;  // on the loop's thread
  net::EventLoop loop_{"fake-store"};
  std::unique_ptr<net::HttpServer> server_;
};

class UploaderTest : public testing::Test {
 protected:
  // Objects of six seconds.
  void record(int objects, const std::string& camera = "front") {
    recorded_.run(objects * base::seconds(6), store::RunReason::kRestart, camera);
  }
  static UploaderOptions options_for(FakeStore& server, size_t connections = 2) {
    return options_for(server.bucket(), connections);
  }
  static UploaderOptions options_for(s3::Bucket bucket, size_t connections) {
    UploaderOptions options;
    options.bucket = std::move(bucket);
    options.credentials = {"key", base::Secret("secret"), ""};
    options.relay = "r1";
    options.connections = connections;
    options.longest_pause = std::chrono::milliseconds(20);
    options.trouble_pause = std::chrono::milliseconds(20);
    return options;
  }
  void start(FakeStore& server, size_t connections = 2) { start(options_for(server, connections)); }
  void start(UploaderOptions options) {
    uploader_ = std::make_unique<Uploader>(std::move(options),
                                           UploaderEnvironment{*recorded_.store, *log_, clock_, accept_});
    uploader_->start();
  }
  // Every object waits, and was asked for, until `names_stand_` is set.
  void start_held_back(FakeStore& server) {
    accept_ = [this](const std::string&, uint64_t, const std::function<void(bool)>& done) {
      names_asked_ = true;
      done(names_stand_);
    };
    start(server);
    while (!names_asked_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // What the log says, once it says that nothing waits.
  UploadStatus drained() {
    for (int i = 0; i < 3000; ++i) {
      UploadStatus status = uploader_->status();
      if (!status.cameras.empty() && status.state == State::kUploading &&
          std::ranges::all_of(status.cameras,
                              [](const auto& each) { return each.second.pending_objects == 0; }))
        return status;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "does not drain: " << uploader_->status().error;
    return uploader_->status();
  }
  UploadStatus wait_for(State state) {
    for (int i = 0; i < 3000 && uploader_->status().state != state; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(name_of(uploader_->status().state), name_of(state));
    return uploader_->status();
  }
  Copy copy(size_t object) {
    uploader_.reset();
    return log_->state_of("front", recorded_.entries()[object]->name);
  }
  void expect_all(FakeStore& server, const std::string& camera = "front") {
    const auto objects = server.objects();
    for (const auto& entry : recorded_.entries(camera)) {
      const auto bytes = recorded_.store->get(entry->key, 0, UINT64_MAX);
      const auto there = objects.find(entry->key);
      ASSERT_NE(there, objects.end()) << entry->key;
      EXPECT_TRUE(there->second == base::as_text(*bytes)) << entry->key;
    }
  }

  test::RecordedStore recorded_;
  ShiftedClock clock_;
  std::unique_ptr<UploadLog> log_ = std::move(*UploadLog::open(recorded_.folder.path() / "miharu.db"));
  std::function<void(const std::string&, uint64_t, std::function<void(bool)>)> accept_;
  std::atomic<bool> names_stand_{false}, names_asked_{false};
  std::unique_ptr<Uploader> uploader_;
};

TEST_F(UploaderTest, TheNewestOfAllCamerasGoesFirst) {
  record(3);
  record(2, "yard");
  FakeStore server;
  start(server, 1);
  ASSERT_TRUE(server.wait_for(5));
  const UploadStatus status = drained();
  expect_all(server);
  expect_all(server, "yard");
  EXPECT_EQ(status.objects, 5U);
  EXPECT_TRUE(status.failures.empty());
  EXPECT_EQ(status.cameras.at("front").safe_until, recorded_.entries()[2]->name.end());
  // Those of the camera that the log was told of first may have begun before the other's were found.
  std::map<std::string, std::vector<std::string>> order;
  for (const auto& put : server.puts()) order[put.key.substr(4, 4)].push_back(put.key);
  for (const auto& [camera, keys] : order)
    EXPECT_TRUE(std::ranges::is_sorted(keys, std::greater{})) << camera;
}

TEST_F(UploaderTest, WhatIsRecordedMeanwhileFollows) {
  record(1);
  FakeStore server;
  start(server);
  drained();
  record(1);
  const auto entries = recorded_.entries();
  uploader_->added("front", entries.back()->name);
  ASSERT_TRUE(server.wait_for(2));
  drained();
  expect_all(server);
  // Found on the disk: it may have been there before the log was. Told by the recorder: not.
  EXPECT_TRUE(server.puts()[0].expects);
  EXPECT_FALSE(server.puts()[1].expects);
}

TEST_F(UploaderTest, AStoreThatIsBusyCostsNothingButTime) {
  record(12);
  FakeStore server([](size_t number, const std::string&) {
    return number % 3 == 0 ? std::optional<unsigned>(503) : std::nullopt;
  });
  start(server);
  ASSERT_TRUE(server.wait_for(12));
  const UploadStatus status = drained();
  expect_all(server);
  EXPECT_EQ(status.objects, 12U);
  EXPECT_EQ(status.failures.at("busy"), server.puts().size() - 12);
}

TEST_F(UploaderTest, WhatArrivedWithoutAnAnswerIsOurs) {
  record(3);
  // Stored each time, and denied the first time.
  FakeStore server([seen = std::set<std::string>()](size_t, const std::string& key) mutable {
    return seen.insert(key).second ? std::optional<unsigned>(0) : std::nullopt;
  });
  start(server);
  const UploadStatus status = drained();
  EXPECT_EQ(status.objects, 3U);
  EXPECT_EQ(server.puts().size(), 6U);
  expect_all(server);
  for (const auto& put : server.puts()) EXPECT_TRUE(put.expects);
  EXPECT_EQ(copy(0), Copy::kVerified);
}

TEST_F(UploaderTest, WhatWasRefusedBeforeIsNotOurs) {
  record(1);
  // Somebody else puts something of that name after the first attempt.
  FakeStore server(
      [](size_t number, const std::string&) { return std::optional<unsigned>(number == 0 ? 403 : 412); });
  start(server);
  drained();
  EXPECT_EQ(copy(0), Copy::kUnverified);
}

TEST_F(UploaderTest, AnAttemptWithoutABodyDoesNotMakeItOurs) {
  record(1);
  const auto told = [](test::Peer& peer) {
    peer.head();
    peer.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
  };
  int puts = 0;
  const auto put = [&puts](test::Peer& peer) { puts += peer.head().starts_with("PUT "); };
  test::Scripted server({[&](test::Peer& peer) {
                           told(peer);  // the clock is compared
                           put(peer);   // and sent again by the client itself
                         },
                         put, put,
                         [&](test::Peer& peer) {
                           put(peer);
                           peer.say("HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n");
                         }});
  UploaderOptions options = options_for(bucket_at(server.port()), 1);
  options.http.continue_wait = std::chrono::seconds(60);
  clock_.vouched = true;  // this store tells no time
  start(std::move(options));
  drained();
  EXPECT_EQ(copy(0), Copy::kUnverified);
  EXPECT_EQ(puts, 4);
}

TEST_F(UploaderTest, AnObjectWithoutAnAnswerWaitsWhileOthersGoOn) {
  record(2);
  const auto entries = recorded_.entries();
  std::vector<std::string> order;
  const auto serve = [&order](test::Peer& peer, bool answers) {
    const std::string head = peer.head();
    if (head.empty()) return false;
    if (head.starts_with("PUT ")) {
      order.push_back(head.substr(13, head.find(' ', 4) - 13));  // behind "PUT /footage/"
      // It goes out whole, as over a line that is cut right then.
      const size_t at = head.find("Content-Length: ") + 16;
      if (head.find("Expect: ") != std::string::npos) peer.say("HTTP/1.1 100 Continue\r\n\r\n");
      peer.bytes(std::stoul(head.substr(at, head.find('\r', at) - at)));
      if (!answers) return false;
      peer.say("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 0\r\n\r\n");
    } else {
      peer.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    return true;
  };
  test::Scripted server({[&](test::Peer& peer) {
                           serve(peer, true);  // the clock is compared
                           serve(peer, false);
                         },
                         [&](test::Peer& peer) {
                           while (serve(peer, true)) continue;
                         }});
  UploaderOptions options = options_for(bucket_at(server.port()), 1);
  clock_.vouched = true;  // this store tells no time
  const base::SteadyTime began = clock_.steady();
  start(std::move(options));
  EXPECT_EQ(drained().objects, 2U);
  EXPECT_GE(clock_.steady() - began, Uploader::kUnanswered);
  uploader_.reset();
  EXPECT_THAT(order, testing::ElementsAre("home/r1/" + entries[1]->key, "home/r1/" + entries[0]->key,
                                          "home/r1/" + entries[1]->key));
}

TEST_F(UploaderTest, WhatTheProcessBeforeTriedWaitsAtTheStart) {
  record(2);
  const auto entries = recorded_.entries();
  for (const auto& entry : entries) ASSERT_TRUE(log_->add("front", entry->name));
  ASSERT_TRUE(log_->attempt("front", entries[1]->name.seq));
  FakeStore server;
  const base::SteadyTime began = clock_.steady();
  start(server, 1);
  ASSERT_TRUE(server.wait_for(1));
  EXPECT_EQ(server.puts()[0].key, entries[0]->key);
  ASSERT_TRUE(server.wait_for(2));
  EXPECT_GE(clock_.steady() - began, Uploader::kUnanswered);
  drained();
}

TEST_F(UploaderTest, UnderAWrongClockNothingIsUploaded) {
  record(2);
  clock_.shift = 3600;
  FakeStore server;
  start(server);
  EXPECT_THAT(wait_for(State::kClock).error,
              testing::ContainsRegex("clock is [+]360[01] s from the store's"));
  EXPECT_TRUE(server.puts().empty());
  clock_.shift = 0;
  ASSERT_TRUE(server.wait_for(2));
  drained();
  // Set wrong again: noticed before the next object goes.
  clock_.shift = -7200;
  record(1);
  uploader_->added("front", recorded_.entries().back()->name);
  wait_for(State::kClock);
  EXPECT_EQ(server.objects().size(), 2U);
  clock_.shift = 1;
  ASSERT_TRUE(server.wait_for(3));
}

TEST_F(UploaderTest, NamesThatDoNotStandAreWaitedFor) {
  record(1);
  record(1);
  const uint64_t held = recorded_.entries()[1]->name.run.number;
  std::atomic<bool> stands{false};
  accept_ = [&](const std::string& camera, uint64_t run, const std::function<void(bool)>& done) {
    EXPECT_EQ(camera, "front");
    done(run != held || stands);
  };
  FakeStore server;
  start(server, 1);
  ASSERT_TRUE(server.wait_for(1));
  stands = true;
  ASSERT_TRUE(server.wait_for(2));
  // The newest, but the last.
  EXPECT_EQ(server.puts()[1].key, recorded_.entries()[1]->key);
}

TEST_F(UploaderTest, ARefusalForGoodIsToldAndTriedAgain) {
  record(2);
  FakeStore server([](size_t, const std::string&) { return std::optional<unsigned>(403); });
  start(server);
  EXPECT_THAT(wait_for(State::kTrouble).error, HasSubstr("the policy that lets it put objects"));
  EXPECT_GE(uploader_->status().failures.at("forbidden"), 1U);
  server.set_refuse([](size_t, const std::string&) { return std::nullopt; });
  ASSERT_TRUE(server.wait_for(2));
  EXPECT_EQ(drained().error, "");
}

TEST_F(UploaderTest, WhoAnswersOkAndIsNoStoreHasSavedNothing) {
  record(2);
  FakeStore server([](size_t, const std::string&) { return std::optional<unsigned>(200); });
  start(server, 1);
  EXPECT_THAT(wait_for(State::kTrouble).error, HasSubstr("is no S3 server"));
  EXPECT_EQ(uploader_->status().objects, 0U);
  server.set_refuse([](size_t, const std::string&) { return std::nullopt; });
  ASSERT_TRUE(server.wait_for(2));
  EXPECT_EQ(drained().objects, 2U);
}

TEST_F(UploaderTest, AnObjectThatIsRefusedHoldsUpNoOther) {
  record(3);
  const std::string bad = recorded_.entries()[2]->key;
  FakeStore server([&](size_t, const std::string& key) {
    return key == bad ? std::optional<unsigned>(400) : std::nullopt;
  });
  start(server, 1);
  ASSERT_TRUE(server.wait_for(2));
  for (int i = 0; i < 3000 && uploader_->status().cameras["front"].pending_objects > 1; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const UploadStatus status = uploader_->status();
  EXPECT_EQ(status.cameras.at("front").pending_objects, 1U);
  EXPECT_EQ(status.cameras.at("front").safe_until, recorded_.entries()[2]->name.start);
  EXPECT_EQ(status.failures.at("checksum"), 1U);
}

TEST_F(UploaderTest, AnObjectThatIsRefusedIsTriedAgainSoonAndThenLessOften) {
  record(2);
  const std::string bad = recorded_.entries()[1]->key;
  std::atomic<int> refusals{0};
  FakeStore server([&](size_t, const std::string& key) {
    return key == bad && refusals < 4 && ++refusals != 0 ? std::optional<unsigned>(400) : std::nullopt;
  });
  UploaderOptions options = options_for(server, 1);
  options.object_pause = std::chrono::milliseconds(20);
  const base::SteadyTime began = clock_.steady();
  start(std::move(options));
  EXPECT_EQ(drained().failures.at("checksum"), 4U);
  EXPECT_GE(clock_.steady() - began, std::chrono::milliseconds(20 + 40 + 80 + 160));
  EXPECT_EQ(server.puts().size(), 6U);
  expect_all(server);
}

// By hand: nobody tells the log.
TEST_F(UploaderTest, AnObjectThatIsDeletedWhileItWaitsIsToldAsLost) {
  record(3);
  const auto entries = recorded_.entries();
  FakeStore server;
  start_held_back(server);
  ASSERT_TRUE(recorded_.store->remove(entries[0]->key));
  names_stand_ = true;
  const UploadStatus status = drained();
  uploader_.reset();
  EXPECT_EQ(status.objects, 2U);
  EXPECT_EQ(status.cameras.at("front").lost_objects, 1U);
  EXPECT_EQ(status.cameras.at("front").safe_until, entries[2]->name.end());
  const auto spans = log_->find("front", entries[0]->name.start, entries[0]->name.end());
  ASSERT_EQ(spans->size(), 1U);
  EXPECT_THAT(spans->at(0).reason, HasSubstr("gone from the disk"));
}

TEST_F(UploaderTest, ADiskThatIsNotMountedHasLostNothing) {
  record(3);
  FakeStore server;
  start_held_back(server);
  const auto disk = recorded_.store->root();
  const auto away = disk.parent_path() / "away";
  std::filesystem::rename(disk, away);
  std::filesystem::create_directory(disk);
  names_stand_ = true;
  std::string error;
  for (int i = 0; i < 3000 && error.find("is the disk mounted?") == std::string::npos; ++i) {
    error = uploader_->status().error;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(error, HasSubstr("is the disk mounted?"));
  std::filesystem::remove(disk);
  std::filesystem::rename(away, disk);
  EXPECT_EQ(drained().cameras.at("front").lost_objects, 0U);
  uploader_.reset();
  expect_all(server);
}

TEST_F(UploaderTest, OtherSettingsAreTakenOver) {
  record(3);
  FakeStore wrong([](size_t, const std::string&) { return std::optional<unsigned>(403); });
  UploaderOptions options = options_for(wrong);
  // Nobody waits for this: the change itself wakes who was refused.
  options.trouble_pause = std::chrono::hours(1);
  start(options);
  wait_for(State::kTrouble);
  EXPECT_GE(uploader_->status().failing, std::chrono::seconds(0));
  EXPECT_NE(stuck_reason(uploader_->status()), "");
  FakeStore right;
  options.bucket = right.bucket();
  uploader_->change(options);
  ASSERT_TRUE(right.wait_for(3));
  EXPECT_EQ(stuck_reason(drained()), "");
  expect_all(right);
  // Under way meanwhile: it ends as it began, and the next object goes to where it is to go now.
  FakeStore third;
  options.bucket = third.bucket();
  uploader_->change(options);
  record(1);
  uploader_->added("front", recorded_.entries().back()->name);
  ASSERT_TRUE(third.wait_for(1));
  EXPECT_EQ(right.objects().size(), 3U);
}

TEST_F(UploaderTest, AChangeInTheMiddleOfAnObjectLosesNothing) {
  record(8);
  FakeStore server;
  UploaderOptions options = options_for(server);
  options.bits_per_second = 4'000'000;
  start(options);
  for (size_t i = 1; i < 8; ++i) {
    ASSERT_TRUE(server.wait_for_puts(i));
    uploader_->change(options);
  }
  drained();
  expect_all(server);
  EXPECT_EQ(server.puts().size(), 8U);
}

TEST_F(UploaderTest, ABandwidthBelowTheCamerasIsTold) {
  record(1);
  record(1, "yard");
  FakeStore server;
  // Each camera makes 0.6 Mbit/s of picture and 0.1 of sound.
  UploaderOptions options = options_for(server);
  start(options);
  drained();
  EXPECT_EQ(uploader_->status().warning, "");
  options.bits_per_second = 1'000'000;
  uploader_->change(options);
  uploader_->added("front", recorded_.entries()[0]->name);
  uploader_->added("yard", recorded_.entries("yard")[0]->name);
  for (int i = 0; i < 3000 && uploader_->status().warning.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_THAT(
      uploader_->status().warning,
      testing::ContainsRegex("the cameras make 1[.][0-9] Mbit/s and .cloud. bandwidth lets 1[.]0 Mbit/s"));
  options.bits_per_second = 0;
  uploader_->change(options);
  uploader_->added("front", recorded_.entries()[0]->name);
  for (int i = 0; i < 3000 && !uploader_->status().warning.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(uploader_->status().warning, "");
}

TEST_F(UploaderTest, OnlyWhoWaitsForTheLinkIsWokenByItsReturn) {
  record(1);
  std::atomic<bool> holds{false};
  std::atomic<int> begun{0};
  accept_ = [&](const std::string&, uint64_t, const std::function<void(bool)>& done) {
    ++begun;
    if (!holds) done(true);
  };
  // One connection hears nothing at first, and then that it may not.
  FakeStore server([](size_t number, const std::string&) {
    return number == 0   ? std::optional<unsigned>(1)
           : number == 1 ? std::optional<unsigned>(403)
                         : std::nullopt;
  });
  UploaderOptions options = options_for(server);
  options.http.stall = std::chrono::milliseconds(200);
  options.trouble_pause = std::chrono::hours(1);
  start(std::move(options));
  wait_for(State::kTrouble);
  // The other one gets through.
  record(1);
  uploader_->added("front", recorded_.entries()[1]->name);
  drained();
  holds = true;
  begun = 0;
  record(1);
  record(1);
  for (const size_t each : {2U, 3U}) uploader_->added("front", recorded_.entries()[each]->name);
  uploader_->line().loop.run_and_wait([] {});
  EXPECT_EQ(begun, 1) << "of two connections one has reason to wait for an hour";
}

TEST_F(UploaderTest, NothingIsSafeBehindWhatTheLogCouldNotBeTold) {
  record(1);
  const std::string bad = recorded_.entries()[0]->key;
  FakeStore server([&](size_t, const std::string& key) {
    return key == bad ? std::optional<unsigned>(400) : std::nullopt;
  });
  UploaderOptions options = options_for(server);
  options.object_pause = std::chrono::hours(1);  // one that is left alone holds up nothing of this
  start(std::move(options));
  wait_for(State::kTrouble);
  record(1);
  record(1);
  const auto entries = recorded_.entries();
  SQLite::Database database((recorded_.folder.path() / "miharu.db").string(), SQLite::OPEN_READWRITE);
  database.exec("CREATE TRIGGER full BEFORE INSERT ON uploads WHEN NEW.seq = " +
                std::to_string(entries[1]->name.seq) + " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END");
  for (const size_t each : {1U, 2U}) uploader_->added("front", entries[each]->name);
  ASSERT_TRUE(server.wait_for(1));
  ASSERT_TRUE(log_->erase("front", entries[0]->name.start, entries[0]->name.end()));
  for (int i = 0; i < 3000 && uploader_->status().cameras["front"].pending_objects > 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(uploader_->status().cameras["front"].safe_until, entries[1]->name.start);
  ASSERT_TRUE(recorded_.store->remove(entries[0]->key));
  database.exec("DROP TRIGGER full");
  ASSERT_TRUE(server.wait_for(2));
  EXPECT_EQ(drained().cameras.at("front").safe_until, entries[2]->name.end());
}

TEST_F(UploaderTest, StopsInTheMiddleAndGoesOnAfterTheNextStart) {
  record(6);
  FakeStore server;
  start(server, 1);
  ASSERT_TRUE(server.wait_for_puts(2));
  uploader_->stop();
  uploader_.reset();
  log_.reset();
  log_ = std::move(*UploadLog::open(recorded_.folder.path() / "miharu.db"));
  start(server);
  drained();
  expect_all(server);
  EXPECT_EQ(server.objects().size(), 6U);
}

}  // namespace
}  // namespace miharu::upload
