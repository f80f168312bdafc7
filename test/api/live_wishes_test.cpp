#include "api/live_wishes.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "api/responses.h"
#include "api/signing_key.h"
#include "support/manual_clock.h"

namespace miharu::api {
namespace {

using base::Errc;
using base::seconds;
using testing::AllOf;
using testing::HasSubstr;

const base::UtcTime kNow = base::from_unix_ms(1'795'287'600'000);
constexpr const char* kKey = "control/r1/wanted.json";

// Objects in memory, with versions. Thread-safe.
class VersionedStore final : public store::ObjectStore {
 public:
  base::Result<store::Listing> list(std::string_view prefix, bool one_level) override {
    const std::lock_guard lock(mutex_);
    store::Listing listing;
    ++lists;
    for (const auto& [key, text] : objects) {
      if (!key.starts_with(prefix)) continue;
      const size_t slash = key.find('/', prefix.size());
      if (!one_level || slash == std::string::npos) {
        listing.objects.push_back({key, text.size()});
      } else if (const std::string folder = key.substr(0, slash + 1);
                 listing.prefixes.empty() || listing.prefixes.back() != folder) {
        listing.prefixes.push_back(folder);
      }
    }
    return listing;
  }
  base::Result<base::ByteVector> get(std::string_view key, uint64_t, uint64_t) override {
    const std::lock_guard lock(mutex_);
    const auto found = objects.find(std::string(key));
    if (found == objects.end()) return base::fail(Errc::kNotFound, "no such key");
    const auto bytes = base::as_bytes(found->second);
    return base::ByteVector(bytes.begin(), bytes.end());
  }
  base::Status put(std::string_view, base::ByteView) override { return refused(); }
  base::Status replace(std::string_view, base::ByteView) override { return refused(); }
  base::Status remove(std::string_view) override { return refused(); }
  base::Result<store::VersionedText> get_versioned(std::string_view key, uint64_t) override {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(key, kKey);
    const auto found = objects.find(std::string(key));
    if (found == objects.end()) return store::VersionedText{{}, {}, now};
    return store::VersionedText{found->second, std::to_string(version), now};
  }
  base::Status replace_version(std::string_view key, std::string_view text, const std::string& of) override {
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(key, kKey);
    if (!may_write) return base::fail(Errc::kRefused, "the store answered 403");
    const bool there = objects.contains(std::string(key));
    if (of != (there ? std::to_string(version) : "")) return base::fail(Errc::kExists, "changed");
    objects[std::string(key)] = text;
    ++version;
    return {};
  }
  std::vector<store::Wish> wishes() {
    const std::lock_guard lock(mutex_);
    return store::parse_wishes(objects[kKey]).value();
  }

  std::map<std::string, std::string> objects;
  base::UtcTime now = kNow;
  int version = 1;
  int lists = 0;
  bool may_write = true;

 private:
  static base::Status refused() { return base::fail(Errc::kRefused, "not of this test"); }
  std::mutex mutex_;
};

std::string object_key(const std::string& root, const std::string& camera, base::UtcTime start) {
  store::ObjectName name;
  name.start = start;
  name.run = {1, store::RunReason::kRestart};
  name.seq = 7;
  name.init_bytes = 5;
  name.chunks = {{4000, 1000, 100, false}};
  return root + store::hour_prefix(camera, start) + store::encode_name(name).value();
}

class LiveWishesTest : public testing::Test {
 protected:
  LiveWishesTest() {
    store_.objects[object_key("r1/", "front", kNow - seconds(40))] = "x";
    store_.objects[object_key("r0/", "front", kNow - std::chrono::hours(30))] = "x";
    store_.objects[kKey] = "{}";
  }
  void at(base::nanoseconds time) { store_.now = kNow + time; }
  std::string wish(LiveWishes& by) {
    const auto answer = by.wish("front");
    EXPECT_TRUE(answer) << answer.error().text;
    return answer ? answer->folder : "";
  }

  VersionedStore store_;
  test::ManualClock clock_{kNow + std::chrono::hours(5)};  // of the server, which is wrong
  store::Relays footage_{store_, clock_};
  MediaDelivery delivery_;
  Access access_;
  LiveWishes wishes_{store_, footage_, clock_, delivery_};
};

TEST_F(LiveWishesTest, TheRecorderWithTheNewestIsAsked) {
  const auto answer = wishes_.wish("front");
  ASSERT_TRUE(answer) << answer.error().text;
  const auto there = store_.wishes();
  ASSERT_EQ(there.size(), 1U);
  EXPECT_EQ(there[0].camera, "front");
  EXPECT_EQ(there[0].until, kNow + LiveWishes::kHolds);
  EXPECT_EQ(answer->folder, "r1/live/front/" + there[0].session + "/");
  EXPECT_EQ(answer->recorded_until, kNow - seconds(36));
}

TEST_F(LiveWishesTest, AWishThatIsRepeatedGoesOn) {
  const std::string folder = wish(wishes_);
  const int version = store_.version;
  at(seconds(5));
  EXPECT_EQ(wish(wishes_), folder);
  EXPECT_EQ(store_.version, version);  // fresh enough
  at(seconds(10));
  LiveWishes other(store_, footage_, clock_, delivery_);
  EXPECT_EQ(wish(other), folder);
  EXPECT_EQ(store_.wishes()[0].until, kNow + seconds(32));
  // It ended: the recorder may have ended the playlist.
  at(seconds(33));
  EXPECT_NE(wish(wishes_), folder);
  EXPECT_EQ(store_.wishes().size(), 1U);
}

TEST_F(LiveWishesTest, OthersWishesStayAndOldOnesGo) {
  store_.objects[kKey] = store::format_wishes({{"yard", "s1", kNow + seconds(20)},
                                               {"hall", "s2", kNow - seconds(100)},
                                               {"front", "s3", kNow - seconds(1)}});
  wish(wishes_);
  const auto there = store_.wishes();
  ASSERT_EQ(there.size(), 2U);
  EXPECT_EQ(there[0], (store::Wish{"yard", "s1", kNow + seconds(20)}));
  EXPECT_EQ(there[1].camera, "front");
  EXPECT_NE(there[1].session, "s3");
}

TEST_F(LiveWishesTest, NoWishesYetOrWhatIsNone) {
  store_.objects.erase(kKey);
  wish(wishes_);
  EXPECT_EQ(store_.wishes().size(), 1U);
  store_.objects[kKey] = "not JSON";
  wish(wishes_);
  EXPECT_EQ(store_.wishes().size(), 1U);
  // A wish that would hold for ever, as nobody of ours writes it.
  store_.objects[kKey] = store::format_wishes({{"front", "s3", kNow + std::chrono::hours(100)}});
  wish(wishes_);
  EXPECT_EQ(store_.wishes()[0].until, kNow + LiveWishes::kHolds);
}

TEST_F(LiveWishesTest, SeveralAtOnceAgree) {
  std::vector<std::thread> threads;
  std::vector<std::string> folders(4);
  for (size_t i = 0; i < folders.size(); ++i) {
    threads.emplace_back([&, i] {
      LiveWishes mine(store_, footage_, clock_, delivery_);
      for (int k = 0; k < 20; ++k) folders[i] = wish(mine);
    });
  }
  for (std::thread& each : threads) each.join();
  for (const std::string& each : folders) EXPECT_EQ(each, folders[0]);
}

TEST_F(LiveWishesTest, ListingsAreSpared) {
  wish(wishes_);
  const int lists = store_.lists;
  for (int i = 0; i < 10; ++i) wish(wishes_);
  EXPECT_EQ(store_.lists, lists);
}

TEST_F(LiveWishesTest, AnswersSayWhatToDo) {
  EXPECT_EQ(wishes_.wish("other").error().code, Errc::kNotFound);
  EXPECT_EQ(wishes_.respond("other", access_).status, 404U);
  const net::HttpResponse good = wishes_.respond("front", access_);
  EXPECT_EQ(good.status, 200U);
  EXPECT_THAT(std::get<std::string>(good.body), HasSubstr("\"playlist\":\"media/r1/live/front/s"));
  EXPECT_THAT(std::get<std::string>(good.body), HasSubstr("\"again_ms\":10000"));
  store_.may_write = false;
  at(seconds(30));
  const net::HttpResponse refused = wishes_.respond("front", access_);
  EXPECT_EQ(refused.status, 503U);
  EXPECT_THAT(std::get<std::string>(refused.body), HasSubstr("s3:PutObject of control/*/wanted.json"));
  store_.objects.erase(kKey);
  EXPECT_THAT(std::get<std::string>(wishes_.respond("front", access_).body),
              HasSubstr("there is no control/r1/wanted.json yet"));
}

TEST_F(LiveWishesTest, TheCdnGivesWhatLiesInTheFolderOfTheSession) {
  const auto cdn =
      cdn_delivery(*s3::CloudFrontSigner::make("K1", test::pem_key()), "https://cameras.example");
  LiveWishes behind(store_, footage_, clock_, *cdn);
  const auto cookies = [](const net::HttpResponse& response) {
    std::vector<std::string> all;
    for (const auto& [name, value] : response.headers) {
      if (name == "Set-Cookie") all.push_back(value);
    }
    return all;
  };
  const base::UtcTime now = clock_.utc();
  access_.expires = now + std::chrono::hours(2);
  const auto of_user = cookies(behind.respond("front", access_));
  ASSERT_EQ(of_user.size(), 3U);
  EXPECT_THAT(of_user[0], HasSubstr("; Max-Age=7200; "));
  // Of an interval: no longer than that.
  access_.interval = Interval{now - seconds(60), now + seconds(90)};
  const auto of_interval = cookies(behind.respond("front", access_));
  ASSERT_EQ(of_interval.size(), 3U);
  const std::string session = store_.wishes()[0].session;
  for (const std::string& each : of_interval)
    EXPECT_THAT(each, HasSubstr("; Path=/media/r1/live/front/" + session + "/; Max-Age=90; "));
  const std::string ends = std::to_string(base::to_unix_ms(now + seconds(90)) / 1000);
  std::string policy = of_interval[0].substr(0, of_interval[0].find(';')).substr(18);
  for (char& c : policy) c = c == '-' ? '+' : c == '_' ? '=' : c == '~' ? '/' : c;
  EXPECT_THAT(std::string(base::as_text(*base::from_base64(policy))),
              AllOf(HasSubstr("/media/r1/live/front/" + session + "/*\""), HasSubstr(ends)));
}

TEST_F(LiveWishesTest, BehindACdnATokenInThePathWishesNothing) {
  const auto cdn =
      cdn_delivery(*s3::CloudFrontSigner::make("K1", test::pem_key()), "https://cameras.example");
  LiveWishes behind(store_, footage_, clock_, *cdn);
  access_.path_prefix = "/t/m1.x.y";
  const net::HttpResponse refused = behind.respond("front", access_);
  EXPECT_EQ(refused.status, 501U);
  EXPECT_THAT(test::body_of(refused), HasSubstr("the page"));
  EXPECT_EQ(store_.objects.at(kKey), "{}");
  EXPECT_EQ(wishes_.respond("front", access_).status, 200U);
}

TEST_F(LiveWishesTest, AStoreOfARecorderItselfHasNone) {
  store_.objects.clear();
  store_.objects[object_key("", "front", kNow - seconds(40))] = "x";
  EXPECT_EQ(wishes_.respond("front", access_).status, 501U);
}

TEST_F(LiveWishesTest, Files) {
  store_.objects["r1/live/front/s1/live.m3u8"] = "#EXTM3U\n";
  store_.objects["r1/live/front/s1/1r_a_0.mp4"] = "bytes";
  const auto header = [](const net::HttpResponse& response, const std::string& name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return std::string();
  };
  const net::HttpResponse list = wishes_.file("r1", "front", "s1", "live.m3u8");
  EXPECT_EQ(list.status, 200U);
  EXPECT_EQ(header(list, "Cache-Control"), "no-cache");
  EXPECT_EQ(header(list, "Content-Type"), "application/vnd.apple.mpegurl");
  const net::HttpResponse piece = wishes_.file("r1", "front", "s1", "1r_a_0.mp4");
  EXPECT_EQ(std::get<std::string>(piece.body), "bytes");
  EXPECT_EQ(header(piece, "Content-Type"), "video/mp4");
  EXPECT_EQ(wishes_.file("r1", "front", "s1", "2r_a_0.mp4").status, 404U);
  EXPECT_EQ(wishes_.file("r1", "front", "S1", "1r_a_0.mp4").status, 404U);
  EXPECT_EQ(wishes_.file("r1", "front", "s1", "secret.txt").status, 404U);
}

}  // namespace
}  // namespace miharu::api
