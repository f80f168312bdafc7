#include "upload/live_publisher.h"

#include <atomic>
#include <condition_variable>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/http_server.h"
#include "record/memory_recording.h"
#include "support/recording.h"

namespace miharu::upload {
namespace {

using testing::HasSubstr;
using testing::Not;

// Shows the time of the recording; the store's is another one. Thread-safe.
class RecordingClock final : public base::Clock {
 public:
  base::UtcTime utc() const override { return test::kRecordingStart + base::milliseconds(ms.load()); }
  base::SteadyTime steady() const override {
    return base::system_clock().steady() + base::milliseconds(steady_ms.load());
  }
  bool synchronised() const override { return true; }
  std::atomic<int64_t> ms{0};
  std::atomic<int64_t> steady_ms{0};  // beyond what has gone by
};

// The smaller stream of "front": of another size, kept in memory while it is wanted. Thread-safe.
class FakeSub {
 public:
  explicit FakeSub(const RecordingClock& clock)
      : clock_(clock), recording_("front", store::Container::kFmp4, clock, index) {
    recording_.on_run_start({store::RunReason::kRestart, "", video_, nullptr});
  }
  bool keep(bool wanted) {
    const std::lock_guard lock(mutex_);
    ++asked;
    kept = wanted;
    if (wanted) {
      recording_.start();
    } else {
      recording_.stop();
    }
    return there;
  }
  // Up to now.
  void feed(base::nanoseconds length, bool key_frames = true) {
    const std::lock_guard lock(mutex_);
    const base::UtcTime now = clock_.utc();
    for (base::UtcTime at = now - length; at < now; at += base::milliseconds(40), ++pictures_) {
      const bool key = key_frames && pictures_ % 25 == 0;
      recording_.on_placed({test::make_frame(video_, pictures_ * 3600, key, 300, {}), at, at});
    }
  }

  record::RecordingIndex index{record::MemoryRecording::kKeep};
  bool there = true;
  std::atomic<bool> kept{false};
  std::atomic<int> asked{0};

 private:
  const RecordingClock& clock_;
  std::mutex mutex_;
  media::TrackConfigPtr video_ = test::video_config(0x15);
  record::MemoryRecording recording_;
  int64_t pictures_ = 0;
};

// One bucket: the wishes, and what is put. Conditions are heeded.
class FakeBucket {
 public:
  FakeBucket() {
    loop_.start();
    net::HttpServerOptions options;
    options.listen = "127.0.0.1:0";
    options.limits.body_bytes = 64 << 20;
    server_ = std::make_unique<net::HttpServer>(
        loop_, options,
        [this](const net::HttpRequest& request, const std::shared_ptr<net::HttpExchange>& exchange) {
          if (request.method != "PUT" || delay_ms == 0) return exchange->respond(answer(request));
          if (!request.path.ends_with("/live.m3u8")) ++under_way;
          auto timer = std::make_shared<boost::asio::steady_timer>(
              loop_.context(), std::chrono::milliseconds(delay_ms.load()));
          timer->async_wait([this, timer, request, exchange](const boost::system::error_code&) {
            if (!request.path.ends_with("/live.m3u8")) --under_way;
            exchange->respond(answer(request));
          });
        });
    EXPECT_TRUE(server_->start());
  }
  ~FakeBucket() { server_->stop(); }

  [[nodiscard]] s3::Bucket bucket() const {
    return s3::make_bucket("s3://footage/home", "http://127.0.0.1:" + std::to_string(server_->port()), "")
        .value();
  }
  void wish(const std::vector<store::Wish>& wishes) { set_wishes(store::format_wishes(wishes)); }
  void set_wishes(const std::optional<std::string>& text) {
    const std::lock_guard lock(mutex_);
    wishes_ = text;
    etag_ += 1;
  }
  std::map<std::string, std::string> objects() {
    const std::lock_guard lock(mutex_);
    return objects_;
  }
  std::string get(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = objects_.find(key);
    return found == objects_.end() ? "" : found->second;
  }
  size_t puts() {
    const std::lock_guard lock(mutex_);
    return puts_;
  }
  // `holds` is asked with the mutex held, after each request.
  bool wait(const std::function<bool()>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), holds);
  }
  // Until the playlist says so.
  bool wait_for(const std::string& playlist, const std::string& text) {
    return wait([&] { return objects_[playlist].find(text) != std::string::npos; });
  }

  std::atomic<unsigned> refuse{0};  // the status that pieces get
  std::atomic<int> delay_ms{0};     // of a PUT
  std::atomic<int> under_way{0};    // pieces whose PUT is held up
  std::atomic<size_t> looks{0};
  std::atomic<size_t> unchanged{0};

 private:
  static net::HttpResponse error(unsigned status, const std::string& code) {
    return {status, {{"Content-Type", "application/xml"}}, "<Error><Code>" + code + "</Code></Error>"};
  }
  net::HttpResponse answer(const net::HttpRequest& request) {
    const std::lock_guard lock(mutex_);
    net::HttpResponse response = decide(request);
    changed_.notify_all();
    return response;
  }
  net::HttpResponse decide(const net::HttpRequest& request) {
    if (request.method == "GET") {
      EXPECT_EQ(request.path, "/footage/home/control/r1/wanted.json");
      ++looks;
      if (!wishes_) return error(404, "NoSuchKey");
      const std::string etag = "\"" + std::to_string(etag_) + "\"";
      if (request.header("if-none-match") == etag) {
        ++unchanged;
        return {304, {{"ETag", etag}}, {}};
      }
      return {200, {{"ETag", etag}}, *wishes_};
    }
    EXPECT_EQ(request.method, "PUT");
    EXPECT_EQ(request.header("x-amz-content-sha256"), s3::sha256_hex(base::as_bytes(request.body)));
    const std::string key = request.path.substr(std::string("/footage/home/").size());
    ++puts_;
    const bool playlist = key.ends_with("/live.m3u8");
    // Playlists alone may be overwritten.
    EXPECT_EQ(request.header("if-none-match"), playlist ? "" : "*") << key;
    EXPECT_EQ(request.header("cache-control"), playlist ? "no-cache" : "private, max-age=86400, immutable");
    if (refuse != 0 && key.find("/init_") == std::string::npos && !playlist)
      return error(refuse, refuse == 503 ? "SlowDown" : "AccessDenied");
    if (!playlist && objects_.contains(key)) return error(412, "PreconditionFailed");
    objects_[key] = request.body;
    return {200, {}, {}};
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> wishes_ = "{}";
  int etag_ = 0;
  std::map<std::string, std::string> objects_;
  size_t puts_ = 0;
  net::EventLoop loop_{"fake-bucket"};
  std::unique_ptr<net::HttpServer> server_;
};

base::UtcTime from_now(base::nanoseconds time) {
  return std::chrono::floor<base::milliseconds>(base::system_clock().utc() + time);
}

class LivePublisherTest : public testing::Test {
 protected:
  LivePublisherTest() { loop_.start(); }
  ~LivePublisherTest() override {
    publisher_.reset();
    loop_.stop();
  }
  // Nothing is asked of a smaller stream where there is none.
  void start() { start_with(nullptr, {}); }
  void start_with_sub(bool send = true) {
    start_with(
        &sub_.index, [this](const std::string&, bool wanted) { return sub_.keep(wanted); }, send);
  }
  void start_with(const record::Recordings* subs, std::function<bool(const std::string&, bool)> keep_sub,
                  bool send_sub = true) {
    LiveOptions options;
    options.sub = send_sub;
    options.bucket = store_.bucket();
    options.credentials = {"key", base::Secret("secret"), ""};
    options.relay = "r1";
    options.at_rest = std::chrono::milliseconds(60);
    options.awake = std::chrono::milliseconds(20);
    options.start = start_;
    publisher_ = std::make_unique<LivePublisher>(
        std::move(options), LiveEnvironment{loop_, pacer_, gate_, recorded_.index, clock_,
                                            [](const std::string& camera) { return camera == "front"; }, subs,
                                            std::move(keep_sub)});
    publisher_->start();
  }
  void record(base::nanoseconds time) {
    recorded_.camera().record(time);
    clock_.ms += std::chrono::duration_cast<base::milliseconds>(time).count();
    publisher_->changed("front");
  }
  void record_both(base::nanoseconds time, bool key_frames = true) {
    recorded_.camera().record(time);
    clock_.ms += std::chrono::duration_cast<base::milliseconds>(time).count();
    sub_.feed(time, key_frames);
    publisher_->changed("front");
  }
  bool wait_until_kept(bool kept = true) {
    for (int i = 0; i < 3000 && sub_.kept != kept; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return sub_.kept == kept;
  }
  // Of both streams, as the playlist names them: "main", "sub" and "break", one after the other.
  std::string course() {
    const std::string list = store_.get(kList);
    std::string all;
    std::string_view from;
    size_t end = 0;
    for (size_t at = 0; at < list.size(); at = end + 1) {
      end = list.find('\n', at);
      const std::string_view line = std::string_view(list).substr(at, end - at);
      if (line.starts_with("#EXT-X-MAP"))
        from = line.find("init_1r") == std::string_view::npos ? "sub" : "main";
      if (line == "#EXT-X-DISCONTINUITY") all += "break ";
      if (line.starts_with('#') || all.ends_with(std::string(from) + " ")) continue;
      all += std::string(from) + " ";
    }
    return all;
  }
  bool wait_for_course(const std::string& wanted) {
    for (int i = 0; i < 3000 && course() != wanted; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(course(), wanted);
    return course() == wanted;
  }
  void begin() { recorded_.camera().begin_run(); }
  // Names of a playlist, pieces without the initialization part.
  static std::vector<std::string> names(const std::string& playlist) {
    std::vector<std::string> all;
    for (size_t at = 0; at < playlist.size();) {
      const size_t end = playlist.find('\n', at);
      if (playlist[at] != '#') all.push_back(playlist.substr(at, end - at));
      at = end + 1;
    }
    return all;
  }
  bool gate_is_open() {
    bool open = false;
    loop_.run_and_wait([&] { open = gate_.is_open(); });
    return open;
  }
  void wait_for_open_gate() {
    for (int i = 0; i < 3000 && !gate_is_open(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(gate_is_open());
  }
  bool gate_is_narrow() {
    bool narrow = false;
    loop_.run_and_wait([&] { narrow = gate_.is_narrow(); });
    return narrow;
  }

  static constexpr const char* kList = "r1/live/front/s1/live.m3u8";

  test::RecordedStore recorded_;
  RecordingClock clock_;
  std::chrono::milliseconds start_{0};
  FakeSub sub_{clock_};
  FakeBucket store_;
  net::EventLoop loop_{"upload"};
  net::Pacer pacer_{0};
  net::SendGate gate_;
  std::unique_ptr<LivePublisher> publisher_;
};

TEST_F(LivePublisherTest, AtRestNothingIsPut) {
  begin();
  start();
  record(base::seconds(3));
  ASSERT_TRUE(store_.wait([&] { return store_.unchanged >= 5; }));
  EXPECT_EQ(store_.looks - store_.unchanged, 1U);
  EXPECT_EQ(store_.puts(), 0U);
  const LiveStatus status = publisher_->status();
  EXPECT_GE(status.unchanged, 4U);
  EXPECT_EQ(status.sessions, 0U);
  EXPECT_TRUE(gate_is_open());
}

TEST_F(LivePublisherTest, AWishBringsTheLatestPicturesUntilItEnds) {
  begin();
  start();
  record(base::milliseconds(3'520));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "EXTINF"));
  record(base::seconds(3));
  ASSERT_TRUE(store_.wait([&] { return true; }));
  ASSERT_TRUE(store_.wait_for(kList, "03:00:05"));
  // It began with the key frame of the chunk that grew, and the bytes are those of the recording.
  const std::string playlist = store_.get(kList);
  const auto pieces = names(playlist);
  const auto chunks = recorded_.index.recent("front");
  const std::string first = "1r_" + store::format_base36(chunks[1].seq) + "_0.mp4";
  EXPECT_EQ(pieces.front(), first);
  EXPECT_THAT(playlist, HasSubstr("#EXT-X-MAP:URI=\"init_1r.mp4\"\n"));
  EXPECT_THAT(playlist, HasSubstr("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:00:02.000Z\n"));
  const auto init = recorded_.index.init("front", chunks[1].run);
  EXPECT_EQ(store_.get("r1/live/front/s1/init_1r.mp4").size(), init->length);
  std::string bytes;
  for (const std::string& name : pieces) bytes += store_.get("r1/live/front/s1/" + name);
  const auto place = recorded_.index.chunk("front", chunks[1].run, chunks[1].seq);
  base::ByteVector file(bytes.size());
  ASSERT_TRUE(place->file->read_at(place->offset, file));
  EXPECT_TRUE(bytes == base::as_text(file));
  EXPECT_THAT(playlist, Not(HasSubstr("ENDLIST")));
  EXPECT_THAT(publisher_->status().since_piece, testing::ElementsAre(testing::Key("front")));
  EXPECT_EQ(publisher_->status().begun, 1U);

  // Nobody wishes any more.
  store_.wish({{"front", "s1", from_now(base::milliseconds(1))}});
  ASSERT_TRUE(store_.wait_for(kList, "#EXT-X-ENDLIST"));
  const size_t puts = store_.puts();
  record(base::seconds(4));
  const size_t looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 3; }));
  EXPECT_EQ(store_.puts(), puts);
  EXPECT_EQ(publisher_->status().sessions, 0U);
  EXPECT_TRUE(publisher_->status().since_piece.empty());
  EXPECT_EQ(publisher_->status().totals.pieces, pieces.size());
  wait_for_open_gate();
  EXPECT_FALSE(gate_is_narrow());
}

// By the store's clock: ours may show anything.
TEST_F(LivePublisherTest, WishesThatAreNoneAreNotHeard) {
  begin();
  start();
  record(base::seconds(3));
  store_.wish({{"front", "s1", from_now(-base::seconds(3))},
               {"other", "s1", from_now(base::seconds(60))},
               {"yard", "s1", from_now(std::chrono::hours(1))}});
  store_.wait([&] { return store_.unchanged >= 3; });
  store_.wish({{"front", "s1", from_now(std::chrono::hours(1))}});
  size_t looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 3; }));
  store_.set_wishes("not JSON");
  looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 3; }));
  store_.set_wishes(std::nullopt);
  looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 3; }));
  EXPECT_EQ(store_.puts(), 0U);
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  EXPECT_TRUE(store_.wait_for(kList, "EXTINF"));
}

TEST_F(LivePublisherTest, AnotherSessionIsAnotherFolder) {
  begin();
  start();
  record(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "EXTINF"));
  store_.wish({{"front", "s2", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "#EXT-X-ENDLIST"));
  ASSERT_TRUE(store_.wait_for("r1/live/front/s2/live.m3u8", "EXTINF"));
  EXPECT_EQ(publisher_->status().sessions, 1U);
}

// After a restart within a session: a piece has one number, later ones have higher ones, and what is there
// already is no mistake.
TEST_F(LivePublisherTest, GoesOnInItsSessionAfterARestart) {
  begin();
  start();
  record(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "EXTINF"));
  std::map<uint64_t, std::string> piece_of;
  const auto note = [&](const std::string& list) {
    uint64_t number = std::stoull(list.substr(list.find("MEDIA-SEQUENCE:") + 15));
    for (const std::string& name : names(list)) {
      const auto known = piece_of.emplace(number++, name).first;
      EXPECT_EQ(known->second, name) << list;
    }
  };
  note(store_.get(kList));
  const uint64_t highest = piece_of.rbegin()->first;
  publisher_.reset();
  start();
  for (int i = 0; i < 3; ++i) record(base::seconds(3));
  for (int i = 0; i < 3000 && piece_of.rbegin()->first <= highest; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    note(store_.get(kList));
  }
  EXPECT_GT(piece_of.rbegin()->first, highest);
  EXPECT_TRUE(publisher_->status().totals.failures.empty());
}

TEST_F(LivePublisherTest, ACameraThatIsAwayIsTold) {
  begin();
  start();
  record(base::seconds(3));
  clock_.ms += 20'000;
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "#EXTM3U"));
  EXPECT_THAT(store_.get(kList), Not(HasSubstr("EXTINF")));
  wait_for_open_gate();
  // And comes back.
  recorded_.camera().end_run();
  recorded_.clock.advance(base::seconds(20));
  recorded_.camera().begin_run(store::RunReason::kCameraLost);
  record(base::seconds(3));
  ASSERT_TRUE(store_.wait_for(kList, "EXTINF"));
  EXPECT_THAT(store_.get(kList), HasSubstr("init_2c.mp4"));
  EXPECT_THAT(store_.get(kList), Not(HasSubstr("init_1r.mp4")));
}

TEST_F(LivePublisherTest, WhatIsTooMuchForTheLineIsLeftOut) {
  begin();
  start();
  record(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "EXTINF"));
  store_.refuse = 503;
  for (int i = 0; i < 10; ++i) record(base::seconds(1));
  for (int i = 0; i < 3000 && publisher_->status().totals.skips == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  store_.refuse = 0;
  for (int i = 0; i < 4; ++i) record(base::seconds(1));
  ASSERT_TRUE(store_.wait_for(kList, "03:00:16"));
  EXPECT_THAT(store_.get(kList), HasSubstr("#EXT-X-DISCONTINUITY\n"));
  EXPECT_GE(publisher_->status().totals.failures.at("busy"), 1U);
  EXPECT_EQ(publisher_->status().sessions, 1U);
}

// Others wait where pieces are long on their way, and only there.
TEST_F(LivePublisherTest, OnALineWithRoomNothingElseWaits) {
  begin();
  start();
  record(base::seconds(3));
  store_.delay_ms = 400;
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "03:00:02.000"));
  EXPECT_TRUE(gate_is_narrow());
  record(base::seconds(1));
  ASSERT_TRUE(store_.wait_for(kList, "03:00:02.960"));
  EXPECT_TRUE(gate_is_narrow());
  store_.delay_ms = 0;
  for (int i = 0; i < 20 && gate_is_narrow(); ++i) {
    const uint64_t pieces = publisher_->status().totals.pieces;
    record(base::seconds(1));
    for (int k = 0; k < 3000 && publisher_->status().totals.pieces == pieces; ++k)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_FALSE(gate_is_narrow());
  EXPECT_TRUE(gate_is_open());
  EXPECT_EQ(publisher_->status().sessions, 1U);
  // Until they are again.
  store_.delay_ms = 900;
  for (int i = 0; i < 20 && !gate_is_narrow(); ++i) {
    record(base::seconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
  }
  EXPECT_TRUE(gate_is_narrow());
}

// Where one piece follows the other without a pause, and leaves others nothing. Not at the start, where many
// are late.
TEST_F(LivePublisherTest, WhereLiveTakesTheWholeLineItIsShared) {
  start_ = std::chrono::milliseconds(3000);
  begin();
  start();
  record(base::seconds(3));
  store_.delay_ms = 1200;
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  const auto began = clock_.steady();
  bool shared = false;
  uint64_t recorded_at = 0;
  for (int i = 0; i < 2000 && !shared; ++i) {
    // Always another one that waits.
    if (const uint64_t pieces = publisher_->status().totals.pieces; pieces >= recorded_at) {
      recorded_at = pieces + 1;
      record(base::seconds(2));
    }
    loop_.run_and_wait([&] { shared = store_.under_way > 0 && gate_.is_open(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_TRUE(shared);
  EXPECT_GT(clock_.steady() - began, start_);
  EXPECT_TRUE(gate_is_narrow());
}

// What the recording forgot before it was sent is left out, and what comes then does not go on where the
// playlist ended.
TEST_F(LivePublisherTest, WhatWasForgottenIsADiscontinuity) {
  begin();
  start();
  record(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for(kList, "03:00:02.000"));
  store_.delay_ms = 1500;
  const uint64_t pieces = publisher_->status().totals.pieces;
  record(base::milliseconds(2'500));
  // One is on its way, and another one waits.
  for (int i = 0; i < 3000 && store_.under_way == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  recorded_.camera().end_run();
  recorded_.index.forget("front");
  for (int i = 0; i < 3000 && publisher_->status().totals.pieces == pieces; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  loop_.run_and_wait([] {});
  EXPECT_EQ(publisher_->status().totals.pieces, pieces + 1);
  begin();
  record(base::seconds(2));
  ASSERT_TRUE(store_.wait_for(kList, "init_2r.mp4"));
  EXPECT_THAT(store_.get(kList), HasSubstr("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init_2r.mp4\"\n"));
}

TEST_F(LivePublisherTest, TheSmallerStreamIsSentWhileSomebodyWatches) {
  begin();
  start_with_sub();
  record_both(base::seconds(3));
  EXPECT_EQ(sub_.asked, 0);
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_until_kept());
  // It has to come first: nothing of the other is sent meanwhile, nor that the camera is away.
  record(base::seconds(1));
  const size_t looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 2; }));
  EXPECT_EQ(store_.puts(), 0U);
  record_both(base::milliseconds(1'600));
  ASSERT_TRUE(wait_for_course("sub "));
  // The bytes are those of the smaller stream.
  const auto chunks = sub_.index.recent("front");
  const auto place = sub_.index.init("front", chunks[0].run);
  base::ByteVector init(place->length);
  ASSERT_TRUE(place->file->read_at(place->offset, init));
  EXPECT_TRUE(store_.get("r1/live/front/s1/init_" + store::format_run(chunks[0].run) + ".mp4") ==
              base::as_text(init));
  // Runs of it have numbers that are no discontinuity sequence.
  EXPECT_THAT(store_.get(kList), HasSubstr("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
  for (const auto& [key, bytes] : store_.objects()) EXPECT_LT(bytes.size(), 25U * 1000) << key;
  store_.wish({{"front", "s1", from_now(base::milliseconds(1))}});
  ASSERT_TRUE(store_.wait_for(kList, "#EXT-X-ENDLIST"));
  ASSERT_TRUE(wait_until_kept(false));
  EXPECT_EQ(sub_.asked, 2);
  EXPECT_TRUE(sub_.index.recent("front").empty());
}

TEST_F(LivePublisherTest, TheMainStreamIsSentWhereThatIsWanted) {
  begin();
  start_with_sub(false);
  record_both(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_for_course("main "));
  EXPECT_EQ(sub_.asked, 0);
}

TEST_F(LivePublisherTest, ACameraWithoutASmallerStreamIsSentAtOnce) {
  begin();
  sub_.there = false;
  start_with_sub();
  record_both(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_for_course("main "));
}

// Refused, or without a key frame; and when it comes after all it is sent.
TEST_F(LivePublisherTest, ASmallerStreamThatDoesNotComeIsReplacedUntilItDoes) {
  begin();
  start_with_sub();
  record_both(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_until_kept());
  record_both(base::seconds(1), false);
  clock_.steady_ms += std::chrono::milliseconds(LiveSession::kSubPatience).count();
  record_both(base::seconds(1), false);
  ASSERT_TRUE(wait_for_course("main "));
  record_both(base::milliseconds(1'600));
  ASSERT_TRUE(wait_for_course("main break sub "));
  EXPECT_EQ(publisher_->status().sessions, 1U);
}

TEST_F(LivePublisherTest, ASmallerStreamThatDidNotComeIsNotWaitedForAgain) {
  begin();
  start_with_sub();
  record_both(base::seconds(3), false);
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_until_kept());
  clock_.steady_ms += std::chrono::milliseconds(LiveSession::kSubPatience).count();
  record_both(base::seconds(1), false);
  ASSERT_TRUE(wait_for_course("main "));
  store_.wish({{"front", "s2", from_now(base::seconds(60))}});
  ASSERT_TRUE(store_.wait_for("r1/live/front/s2/live.m3u8", "EXTINF"));
  EXPECT_THAT(store_.get("r1/live/front/s2/live.m3u8"), HasSubstr("init_1r.mp4"));
  EXPECT_TRUE(sub_.kept);
}

TEST_F(LivePublisherTest, ASmallerStreamThatDiesIsReplacedForAWhile) {
  begin();
  start_with_sub();
  record_both(base::seconds(3));
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  ASSERT_TRUE(wait_until_kept());
  record_both(base::milliseconds(1'600));
  ASSERT_TRUE(wait_for_course("sub "));
  for (int i = 0; i < 5; ++i) record(base::seconds(1));
  ASSERT_TRUE(wait_for_course("sub break main "));
  // Not at once when it is there again: each change is seen.
  record_both(base::seconds(2));
  ASSERT_TRUE(store_.wait_for(kList, "03:00:10.0"));
  EXPECT_EQ(course(), "sub break main ");
  clock_.steady_ms += std::chrono::milliseconds(LiveSession::kSubRest).count();
  record_both(base::seconds(1));
  record_both(base::seconds(1));
  ASSERT_TRUE(wait_for_course("sub break main break sub "));
}

// A key that may not: others are not held up for it.
TEST_F(LivePublisherTest, ARefusalHoldsUpNothingElse) {
  begin();
  start();
  record(base::seconds(3));
  store_.refuse = 403;
  store_.wish({{"front", "s1", from_now(base::seconds(60))}});
  for (int i = 0; i < 3000 && publisher_->status().totals.failures.empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const size_t looks = store_.looks;
  ASSERT_TRUE(store_.wait([&] { return store_.looks >= looks + 2; }));
  wait_for_open_gate();
  EXPECT_LE(store_.puts(), 3U);
}

}  // namespace
}  // namespace miharu::upload
