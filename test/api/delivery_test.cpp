// What playlists of a bucket tell about where media are, for whom and for how long.
#include "api/delivery.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/delivery_settings.h"
#include "api/objects.h"
#include "api/playlists.h"
#include "api/responses.h"
#include "api/signing_key.h"
#include "store/listed_keys.h"
#include "store/relays.h"
#include "store/synthetic.h"
#include "support/manual_clock.h"

namespace miharu::api {
namespace {

using base::seconds;
using std::chrono::hours;
using std::chrono::minutes;
using test::make_object;
using testing::HasSubstr;
using testing::StartsWith;

const base::UtcTime kHour =
    base::UtcTime(std::chrono::sys_days(std::chrono::year(2026) / 11 / 21)) + hours(3);
const base::UtcTime kNow = kHour + hours(20) + minutes(17);

Access everything() {
  Access access;
  access.kind = Access::Kind::kUser;
  access.cameras = {"*"};
  access.rights = kAllRights;
  access.expires = kNow + hours(11);
  return access;
}

class MemoryStore final : public store::ObjectStore {
 public:
  base::Result<store::Listing> list(std::string_view prefix, bool one_level) override {
    return test::list_keys(keys, prefix, one_level);
  }
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override {
    gets.emplace_back(offset, length);
    const auto found = keys.find(std::string(key));
    if (found == keys.end()) return base::fail(base::Errc::kNotFound, "there is no such object");
    base::ByteVector bytes(std::min(length, found->second - offset));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>((offset + i) % 251);
    return bytes;
  }
  base::Status put(std::string_view, base::ByteView) override { return {}; }
  base::Status replace(std::string_view, base::ByteView) override { return {}; }
  base::Status remove(std::string_view) override { return {}; }

  std::map<std::string, uint64_t> keys;
  std::vector<std::pair<uint64_t, uint64_t>> gets;
};

class DeliveryTest : public testing::Test {
 protected:
  DeliveryTest() {
    // Half a minute each, from 02:58 to 05:02, by two recorders in turn.
    for (int i = -4; i < 244; ++i) {
      auto name = make_object(kHour + i * seconds(30), static_cast<uint64_t>(1000 + i * 8), 8);
      for (store::Chunk& chunk : name.chunks) chunk.duration_ms = 3750;
      store.keys[(i < 120 ? "r1/" : "r2/") + *store::object_key("front", name)] = name.size_bytes();
    }
  }
  std::string list(const MediaDelivery& delivery, const Access& access, std::string query,
                   base::nanoseconds by_chunk = hours(2)) {
    Playlists playlists(relays, clock, {by_chunk, &delivery});
    answer = playlists.interval(test::request(std::move(query)), access, "front", Playlists::List::kChunks);
    return test::body_of(answer);
  }
  static std::string between(base::UtcTime from, base::UtcTime to) {
    return "from=" + std::to_string(base::to_unix_ms(from)) + "&to=" + std::to_string(base::to_unix_ms(to));
  }
  std::vector<std::string> cookies() const {
    std::vector<std::string> all;
    for (const auto& [name, value] : answer.headers) {
      if (name == "Set-Cookie") all.push_back(value);
    }
    return all;
  }

  MemoryStore store;
  test::ManualClock clock{kNow};
  store::Relays relays{store, clock};
  net::HttpResponse answer;
};

std::vector<std::string> addresses(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    if (const std::string line = text.substr(at, end - at); !line.empty() && line[0] != '#')
      out.push_back(line);
    at = end + 1;
  }
  return out;
}

std::unique_ptr<MediaDelivery> presigned() {
  return presigned_delivery(*s3::make_bucket("s3://footage/home", "https://s3.example", "eu-1"),
                            {"reader", base::Secret("secret"), {}});
}

std::unique_ptr<MediaDelivery> cdn() {
  return cdn_delivery(*s3::CloudFrontSigner::make("K1", test::pem_key()), "https://cameras.example");
}

TEST_F(DeliveryTest, ThroughTheServerAddressesAreRelative) {
  const MediaDelivery delivery;
  const auto lines = addresses(list(delivery, everything(), between(kHour, kHour + minutes(1))));
  ASSERT_EQ(lines.size(), 16U);
  EXPECT_THAT(lines[0], StartsWith("../../media/r1/rec/front/2026/11/21/03/"));
  EXPECT_TRUE(cookies().empty());
}

TEST_F(DeliveryTest, BeyondTwoHoursThereIsOneEntryPerObject) {
  const MediaDelivery delivery;
  EXPECT_EQ(addresses(list(delivery, everything(), between(kHour, kHour + hours(2)))).size(), 240 * 8U);
  EXPECT_EQ(addresses(list(delivery, everything(), between(kHour, kHour + hours(2) + seconds(10)))).size(),
            241U);
}

TEST_F(DeliveryTest, PresignedAddressesHoldNoLongerThanTheCredentials) {
  const auto delivery = presigned();
  Access access = everything();
  const std::string text = list(*delivery, access, between(kHour, kHour + minutes(1)));
  const auto lines = addresses(text);
  ASSERT_EQ(lines.size(), 16U);
  EXPECT_THAT(lines[0], StartsWith("https://s3.example/footage/home/r1/rec/front/2026/11/21/03/"));
  // Signed at the full hour, so that every server signs the same; until the session ends, 11 h 17 min later.
  EXPECT_THAT(lines[0], HasSubstr("X-Amz-Date=20261121T230000Z"));
  EXPECT_THAT(lines[0], HasSubstr("X-Amz-Expires=" + std::to_string((11 * 60 + 17) * 60) + "&"));
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 2U) << "one address an object";
  EXPECT_THAT(text, HasSubstr("#EXT-X-MAP:URI=\"https://s3.example/"));
  clock.advance(minutes(20));
  EXPECT_EQ(list(*delivery, access, between(kHour, kHour + minutes(1))), text);
  access.expires = kNow + hours(100);
  EXPECT_THAT(list(*delivery, access, between(kHour, kHour + minutes(1))), HasSubstr("X-Amz-Expires=43200&"));
}

TEST_F(DeliveryTest, PresignedListsOfMoreThanADayAreRefused) {
  EXPECT_THAT(list(*presigned(), everything(), between(kHour - hours(22), kHour + hours(3))),
              HasSubstr("24 hours"));
  EXPECT_EQ(answer.status, 400U);
}

TEST_F(DeliveryTest, ACachedListIsNotForOtherCredentials) {
  const auto delivery = presigned();
  Playlists playlists(relays, clock, {hours(2), delivery.get()});
  const auto ask = [&](const Access& access) {
    const auto request = test::request(between(kHour, kHour + minutes(1)), {{"Accept-Encoding", "gzip"}});
    return test::body_of(playlists.interval(request, access, "front", Playlists::List::kChunks));
  };
  Access shorter = everything();
  shorter.expires = kNow + hours(1);
  const std::string first = ask(everything());
  EXPECT_NE(ask(shorter), first);
  EXPECT_EQ(ask(everything()), first);
  EXPECT_EQ(playlists.counts().built, 2U);
  EXPECT_EQ(playlists.counts().from_cache, 1U);
}

TEST_F(DeliveryTest, TheCdnsCookiesAreForTheCameraAlone) {
  const auto delivery = cdn();
  const auto lines =
      addresses(list(*delivery, everything(), between(kHour + minutes(59), kHour + minutes(61))));
  EXPECT_THAT(lines[0], StartsWith("../../media/r1/rec/front/"));
  EXPECT_EQ(lines[0].find('?'), std::string::npos);
  const auto all = cookies();
  ASSERT_EQ(all.size(), 6U) << "three for each of two recorders";
  EXPECT_THAT(all[0], StartsWith("CloudFront-Policy="));
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_THAT(all[i], HasSubstr(i < 3 ? "; Path=/media/r1/rec/front/; " : "; Path=/media/r2/rec/front/; "));
    EXPECT_THAT(all[i],
                HasSubstr("; Max-Age=" + std::to_string(11 * 3600) + "; HttpOnly; SameSite=Strict; Secure"));
  }
  // From the cache as well, and with 304.
  Playlists playlists(relays, clock, {hours(2), delivery.get()});
  auto request = test::request(between(kHour, kHour + minutes(1)), {{"Accept-Encoding", "gzip"}});
  for (int i = 0; i < 3; ++i) {
    answer = playlists.interval(request, everything(), "front", Playlists::List::kChunks);
    EXPECT_EQ(cookies().size(), 3U);
    if (i == 1) request.headers.emplace_back("If-None-Match", test::field(answer, "ETag"));
  }
  EXPECT_EQ(answer.status, 304U);
}

std::string policy_in(const std::string& address) {
  const size_t at = address.find("Policy=") + 7;
  std::string text = address.substr(at, address.find('&', at) - at);
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '=' : c == '~' ? '/' : c;
  const auto bytes = base::from_base64(text);
  return bytes ? std::string(base::as_text(*bytes)) : std::string();
}

TEST_F(DeliveryTest, ATokenInThePathGetsOneSignatureForTheCamera) {
  Access access = everything();
  access.path_prefix = "/t/m1.x.y";
  const auto lines = addresses(list(*cdn(), access, between(kHour, kHour + minutes(5))));
  EXPECT_TRUE(cookies().empty());
  std::set<std::string> policies;
  for (const std::string& line : lines) {
    EXPECT_THAT(line, StartsWith("/media/r1/rec/front/2026/11/21/03/"));
    policies.insert(policy_in(line));
  }
  EXPECT_THAT(policies, testing::ElementsAre(HasSubstr("\"https://cameras.example/media/r1/rec/front/*\"")));
}

TEST_F(DeliveryTest, ATokenOfAnIntervalOpensNothingElse) {
  Access access = everything();
  access.kind = Access::Kind::kToken;
  access.interval = Interval{kHour - minutes(1), kHour + hours(1) + seconds(10)};
  const auto lines = addresses(list(*cdn(), access, between(kHour - hours(1), kHour + hours(3))));
  ASSERT_FALSE(lines.empty());
  EXPECT_TRUE(cookies().empty());
  std::set<std::string> policies;
  for (const std::string& line : lines) {
    const std::string key = line.substr(1, line.find('?') - 1);
    const std::string policy = policy_in(line);
    policies.insert(policy);
    if (key.find("/21/03/") != std::string::npos) {
      EXPECT_THAT(policy, HasSubstr("\"https://cameras.example/media/r1/rec/front/2026/11/21/03/*\""));
    } else {
      EXPECT_THAT(policy, HasSubstr("\"https://cameras.example/" + key + "\""));
    }
  }
  // Two objects before the hour, the hour, one behind it.
  EXPECT_EQ(policies.size(), 4U);
}

TEST_F(DeliveryTest, OfAnObjectTheFirstPieceIsFetchedBeforeTheAnswerAndNotAgain) {
  const auto name = make_object(kHour, 1, 8);
  const std::string key = "r1/" + *store::object_key("front", name);
  const uint64_t size = 3 << 20;
  auto large = name;
  large.chunks.assign(1, {4000, static_cast<uint32_t>(size - name.init_bytes), 100, false});
  const std::string large_key = "r1/" + *store::object_key("front", large);
  store.keys[large_key] = size;
  const RunBlocking run = [](const std::function<void()>& work) { work(); };
  auto request = test::request("", {{"Range", "bytes=1000-"}});
  const auto media = object_response(store, run, request, everything(), large_key);
  ASSERT_EQ(media.status, 206U);
  EXPECT_EQ(store.gets, (std::vector<std::pair<uint64_t, uint64_t>>{{1000, 1 << 20}}));
  const auto& body = std::get<net::PulledBody>(media.body);
  std::string got;
  while (got.size() < body.length) {
    body.pull(body.offset + got.size(), std::min<uint64_t>(1 << 20, body.length - got.size()),
              [&got](base::Result<std::string> piece) { got += *piece; });
  }
  EXPECT_EQ(store.gets.size(), 3U) << "three pieces, three requests";
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(static_cast<unsigned char>(got[i]), (1000 + i) % 251) << i;

  store.gets.clear();
  EXPECT_EQ(object_response(store, run, test::request(""), everything(), key + "x").status, 404U);
  EXPECT_TRUE(store.gets.empty());
  request.headers = {{"If-None-Match", test::field(media, "ETag")}};
  EXPECT_EQ(object_response(store, run, request, everything(), large_key).status, 304U);
  EXPECT_TRUE(store.gets.empty()) << "the name tells";
  store.keys.erase(large_key);
  EXPECT_EQ(object_response(store, run, test::request(""), everything(), large_key).status, 404U);
}

TEST(DeliverySettings, WhatIsMissingIsSaid) {
  std::map<std::string, std::string> set;
  const Variables variable = [&set](std::string_view name) -> std::optional<std::string> {
    const auto found = set.find(std::string(name));
    return found == set.end() ? std::nullopt : std::optional(found->second);
  };
  const s3::Bucket bucket = *s3::make_bucket("s3://footage", "https://s3.example", "");
  const auto make = [&](std::string_view way, const std::string& session = {}) {
    return make_delivery(variable, way, "proxied", bucket, {"key", base::Secret("secret"), session});
  };
  EXPECT_TRUE((*make(""))->origin().empty());
  EXPECT_EQ((*make("presigned"))->origin(), "https://s3.example");
  EXPECT_THAT(make("presigned", "role").error().text, HasSubstr("MIHARU_PRESIGN_ACCESS_KEY_ID"));
  EXPECT_THAT(make("cdn").error().text, HasSubstr("MIHARU_CDN_KEY_ID"));
  EXPECT_THAT(make("pigeon").error().text, HasSubstr("proxied, presigned or cdn"));
  set = {
      {"MIHARU_DELIVERY", "cdn"}, {"MIHARU_CDN_KEY_ID", "K1"}, {"MIHARU_CDN_KEY", test::pem_key().reveal()}};
  EXPECT_TRUE((*make(""))->is_behind_cdn());
  EXPECT_FALSE((*make("proxied"))->is_behind_cdn());
  set["MIHARU_CDN_SITE"] = "https://a\"b";
  EXPECT_THAT(make("").error().text, HasSubstr("MIHARU_CDN_SITE"));
  set = {{"MIHARU_PRESIGN_ACCESS_KEY_ID", "only"}};
  EXPECT_FALSE(make("presigned"));
  set["MIHARU_PRESIGN_SECRET_ACCESS_KEY"] = "both";
  EXPECT_TRUE(make("presigned", "role"));
}

}  // namespace
}  // namespace miharu::api
