#include "api/playback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/objects.h"
#include "api/playlists.h"
#include "api/responses.h"
#include "support/recording.h"

namespace miharu::api {
namespace {

using base::nanoseconds;
using base::seconds;
using test::body_of;
using test::field;
using test::request;
using testing::HasSubstr;
using testing::Not;

const base::UtcTime kStart = test::kRecordingStart;

Access user() {
  Access access;
  access.kind = Access::Kind::kUser;
  access.cameras = {"*"};
  access.rights = kAllRights;
  return access;
}

Access token(Rights rights, nanoseconds from, nanoseconds to) {
  Access access = user();
  access.kind = Access::Kind::kToken;
  access.cameras = {"front"};
  access.rights = rights;
  access.interval = Interval{kStart + from, kStart + to};
  return access;
}

std::string between(nanoseconds from, nanoseconds to) {
  return "from=" + base::format_rfc3339(kStart + from) + "&to=" + base::format_rfc3339(kStart + to);
}

class PlaybackTest : public ::testing::TestWithParam<store::Container> {
 protected:
  net::HttpResponse vod(nanoseconds from, nanoseconds to, const Access& access = user(),
                        net::HttpHeaders headers = {}) {
    return playlists_.interval(request(between(from, to), std::move(headers)), access, "front",
                               Playlists::List::kChunks);
  }
  net::HttpResponse chunk(const record::RecentChunk& chunk, const Access& access = user(),
                          net::HttpHeaders headers = {}) {
    return playback_.chunk(request("", std::move(headers)), access, {"front", chunk.run, chunk.seq});
  }
  net::HttpResponse object(const net::HttpRequest& request, const Access& access, const std::string& key) {
    return object_response(*recorded_.store, request, access, key);
  }
  bool fmp4() { return GetParam() == store::Container::kFmp4; }

  test::RecordedStore recorded_{GetParam()};
  store::Catalog catalog_{*recorded_.store, &recorded_.index, recorded_.clock};
  Playlists playlists_{catalog_, recorded_.clock};
  Playback playback_{*recorded_.store, catalog_, recorded_.index, recorded_.clock};
};

TEST_P(PlaybackTest, AnIntervalIsAPlaylist) {
  recorded_.run(seconds(20));
  recorded_.clock.advance(seconds(100));
  const auto response = vod(seconds(2), seconds(9));
  EXPECT_EQ(response.status, 200U);
  EXPECT_EQ(field(response, "Content-Type"), "application/vnd.apple.mpegurl");
  const std::string text = body_of(response);
  EXPECT_THAT(text, HasSubstr("#EXTM3U"));
  EXPECT_THAT(text, HasSubstr("#EXT-X-ENDLIST"));
  EXPECT_THAT(text, HasSubstr("../../media/rec/front/"));
  const auto keys = playlists_.interval(request(between(seconds(2), seconds(9))), user(), "front",
                                        Playlists::List::kKeyFrames);
  EXPECT_THAT(body_of(keys), HasSubstr("#EXT-X-I-FRAMES-ONLY"));
}

TEST_P(PlaybackTest, WrongQuestionsAreToldWhatIsWrong) {
  struct Case {
    const char* query;
    const char* told;
  };
  for (const Case& c : {Case{"", "from="},
                        {"to=now", "from="},
                        {"from=yesterday", "from: "},
                        {"from=-1h&to=later", "to: "},
                        {"from=-1h&to=-2h", "later than"},
                        {"from=-1h&to=-1h", "later than"},
                        {"from=-8d", "seven days"},
                        {"from=99999999999", "from: "},
                        {"from=9999-01-01T00:00:00Z", "from: "}}) {
    const auto response = playlists_.interval(request(c.query), user(), "front", Playlists::List::kChunks);
    EXPECT_EQ(response.status, 400U) << c.query;
    EXPECT_THAT(body_of(response), HasSubstr(c.told)) << c.query;
  }
}

TEST_P(PlaybackTest, PlaylistsAreCompressedTaggedAndKept) {
  recorded_.run(seconds(20));
  recorded_.clock.advance(seconds(100));
  const auto plain = vod(seconds(0), seconds(20));
  EXPECT_EQ(field(plain, "Content-Encoding"), "");
  const net::HttpHeaders gzip{{"Accept-Encoding", "gzip, br"}};
  const auto first = vod(seconds(0), seconds(20), user(), gzip);
  EXPECT_EQ(field(first, "Content-Encoding"), "gzip");
  EXPECT_EQ(body_of(first), body_of(plain));
  const auto tag = field(first, "ETag");
  const auto same =
      vod(seconds(0), seconds(20), user(), {{"Accept-Encoding", "gzip"}, {"If-None-Match", tag}});
  EXPECT_EQ(same.status, 304U);
  EXPECT_EQ(body_of(same), "");

  // Kept for some seconds, though the store changed; then made anew.
  ASSERT_TRUE(recorded_.store->remove(recorded_.entries().front()->key));
  EXPECT_EQ(body_of(vod(seconds(0), seconds(20), user(), gzip)), body_of(plain));
  recorded_.clock.advance(Playlists::kCacheFor);
  const auto later = vod(seconds(0), seconds(20), user(), gzip);
  EXPECT_NE(body_of(later), body_of(plain));
  EXPECT_NE(field(later, "ETag"), tag);
}

TEST_P(PlaybackTest, WhatStillGrowsIsNotKept) {
  const net::HttpHeaders gzip{{"Accept-Encoding", "gzip"}};
  recorded_.camera().begin_run();
  recorded_.camera().record(seconds(10));
  const auto before = vod(seconds(0), seconds(100), user(), gzip);
  EXPECT_THAT(body_of(before), Not(HasSubstr("#EXT-X-ENDLIST")));
  recorded_.camera().record(seconds(10));
  EXPECT_NE(body_of(vod(seconds(0), seconds(100), user(), gzip)), body_of(before));
}

TEST_P(PlaybackTest, CredentialsForAnIntervalSeeNoMore) {
  recorded_.run(seconds(60));
  recorded_.clock.advance(seconds(100));
  const auto all = body_of(vod(seconds(0), seconds(60)));
  const Access guest = token(kAllRights, seconds(20), seconds(30));
  const net::HttpHeaders gzip{{"Accept-Encoding", "gzip"}};
  const auto part = body_of(vod(seconds(0), seconds(60), guest, gzip));
  EXPECT_LT(part.size(), all.size());
  EXPECT_EQ(body_of(vod(seconds(0), seconds(60), user(), gzip)), all) << "not what was made for the guest";
  EXPECT_EQ(body_of(vod(seconds(0), seconds(60), guest, gzip)), part) << "nor the other way round";
  EXPECT_EQ(vod(seconds(40), seconds(60), guest).status, 403U);

  for (const auto& entry : recorded_.entries()) {
    const bool overlaps =
        entry->name.end() > kStart + seconds(20) && entry->name.start < kStart + seconds(30);
    EXPECT_EQ(object(request(""), guest, entry->key).status, overlaps ? 200U : 403U) << entry->key;
  }
}

TEST_P(PlaybackTest, AfterAStepOfTheClockAnIntervalBeginsWithTheKeyFrameOfTheRunBefore) {
  recorded_.run(base::milliseconds(12'400));
  recorded_.clock.step(std::chrono::hours(-2));
  recorded_.camera().continue_run();
  recorded_.camera().record(seconds(30));
  recorded_.camera().end_run();
  recorded_.clock.advance(std::chrono::hours(5));
  const nanoseconds after = base::milliseconds(12'400) - std::chrono::hours(2);
  const auto entries = recorded_.entries();
  const auto step = std::ranges::find_if(
      entries, [](const auto& entry) { return entry->name.run.reason == store::RunReason::kClockStep; });
  ASSERT_GT(step - entries.begin(), 0);
  ASSERT_EQ((*step)->name.chunks[0].key_bytes, 0U);
  const std::string& before = (*std::prev(step))->key;

  const auto list = body_of(vod(after + base::milliseconds(100), after + seconds(1)));
  EXPECT_THAT(list, HasSubstr(before));
  EXPECT_THAT(list, HasSubstr("#EXT-X-DISCONTINUITY\n"));
  EXPECT_LT(list.find(before), list.find((*step)->key));
  // A guest of the two hours before does not see what was recorded later, though that is needed.
  const Access guest = token(kAllRights, after, after + seconds(60));
  const auto part = body_of(vod(after, after + seconds(60), guest));
  EXPECT_THAT(part, Not(HasSubstr(before)));
  EXPECT_THAT(part, HasSubstr("#EXT-X-INDEPENDENT-SEGMENTS\n")) << "from its next key frame on";
  EXPECT_EQ(object(request(""), guest, before).status, 403U);
  // Retention takes what it leans on.
  ASSERT_TRUE(recorded_.store->remove(before));
  const auto rest = body_of(vod(after, after + seconds(60)));
  EXPECT_THAT(rest, HasSubstr("#EXT-X-INDEPENDENT-SEGMENTS\n"));
}

TEST_P(PlaybackTest, ObjectsAndTheirRanges) {
  recorded_.run(seconds(10));
  const auto entry = recorded_.entries().front();
  const auto whole = object(request(""), user(), entry->key);
  ASSERT_EQ(whole.status, 200U);
  EXPECT_EQ(field(whole, "Content-Type"), fmp4() ? "video/mp4" : "video/mp2t");
  EXPECT_THAT(field(whole, "Cache-Control"), HasSubstr("immutable"));
  const std::string bytes = body_of(whole);
  EXPECT_EQ(base::crc32c(0, base::as_bytes(bytes)), entry->name.crc);
  const auto range = object(request("", {{"Range", "bytes=100-299"}}), user(), entry->key);
  EXPECT_EQ(range.status, 206U);
  EXPECT_EQ(body_of(range), bytes.substr(100, 200));
  for (const char* key : {"rec/front/nothing", "rec/front/2026/11/21/03/x.mp4", "miharu-store.json", ""})
    EXPECT_EQ(object(request(""), user(), key).status, 404U) << key;
}

TEST_P(PlaybackTest, ChunksHaveOneAddressWhileTheyGrowAndAfter) {
  recorded_.camera().begin_run();
  recorded_.camera().record(base::milliseconds(3500));
  const auto chunks = recorded_.index.recent("front");
  ASSERT_EQ(chunks.size(), 2U);
  const auto growing = chunk(chunks[1]);
  EXPECT_EQ(growing.status, 200U);
  EXPECT_EQ(field(growing, "Cache-Control"), "no-store");
  const auto finished = chunk(chunks[0]);
  EXPECT_EQ(finished.status, 200U);
  EXPECT_THAT(field(finished, "Cache-Control"), HasSubstr("immutable"));
  EXPECT_EQ(field(finished, "Content-Type"), fmp4() ? "video/mp4" : "video/mp2t");
  const std::string bytes = body_of(finished);
  EXPECT_EQ(bytes.size(), chunks[0].chunk.size_bytes);

  // The same from the index once the object ended, and from the catalog when the index forgot it.
  recorded_.camera().end_run();
  EXPECT_EQ(body_of(chunk(chunks[0])), bytes);
  EXPECT_EQ(field(chunk(chunks[0]), "Content-Type"), fmp4() ? "video/mp4" : "video/mp2t");
  record::RecordingIndex empty;
  Playback later(*recorded_.store, catalog_, empty, recorded_.clock);
  const auto old = later.chunk(request(""), user(), {"front", chunks[0].run, chunks[0].seq});
  EXPECT_EQ(old.status, 200U);
  EXPECT_EQ(body_of(old), bytes);
  EXPECT_EQ(field(old, "ETag"), field(finished, "ETag"));
}

TEST_P(PlaybackTest, ChunksAreHeldToTheCredentials) {
  recorded_.camera().begin_run();
  recorded_.camera().record(seconds(30));
  const auto chunks = recorded_.index.recent("front");
  const auto status = [&](const Access& access, size_t i) { return chunk(chunks[i], access).status; };
  const auto live = static_cast<Rights>(Right::kLive);
  EXPECT_EQ(status(token(live, seconds(0), seconds(60)), 0), 200U);
  EXPECT_EQ(status(token(static_cast<Rights>(Right::kPlayback), seconds(0), seconds(60)), 0), 200U);
  EXPECT_EQ(status(token(static_cast<Rights>(Right::kSnapshot), seconds(0), seconds(60)), 0), 403U);
  EXPECT_EQ(status(token(live, seconds(10), seconds(12)), 0), 403U) << "by the chunk's own time";
  EXPECT_EQ(status(token(live, seconds(10), seconds(12)), 5), 200U);
  EXPECT_EQ(status(token(live, seconds(10), seconds(12)), 6), 403U);
}

TEST_P(PlaybackTest, AddressesThatNameNothing) {
  recorded_.run(seconds(10));
  for (const auto& [run, seq] : {std::pair{"1r", "zzzzzz"}, {"77r", "1"}, {"1c", "1.mp4"}}) {
    const auto address = parse_chunk_address("front", run, seq);
    ASSERT_TRUE(address) << run << "/" << seq;
    EXPECT_EQ(playback_.chunk(request(""), user(), *address).status, 404U) << run << "/" << seq;
  }
  for (const auto& [run, seq] :
       {std::pair{"", "1"}, {"1r", ""}, {"1R", "1"}, {"1r", "../x"}, {"1r", "-1"}, {"1r", ".mp4"}})
    EXPECT_FALSE(parse_chunk_address("front", run, seq)) << run << "/" << seq;
  EXPECT_EQ(playback_.init(request(""), user(), "front", "99r.mp4").status, 404U);
  EXPECT_EQ(playback_.init(request(""), user(), "front", "1r.ts").status, 404U);
}

TEST_P(PlaybackTest, TheInitializationPart) {
  if (!fmp4()) return;
  recorded_.run(seconds(10));
  const auto entry = recorded_.entries().front();
  record::RecordingIndex empty;
  Playback later(*recorded_.store, catalog_, empty, recorded_.clock);
  const auto fresh = playback_.init(request(""), user(), "front", "1r.mp4");
  const auto old = later.init(request(""), user(), "front", "1r.mp4");
  EXPECT_EQ(fresh.status, 200U);
  EXPECT_EQ(body_of(fresh).size(), entry->name.init_bytes);
  EXPECT_EQ(body_of(old), body_of(fresh));
  EXPECT_EQ(body_of(fresh).substr(4, 4), "ftyp");
}

INSTANTIATE_TEST_SUITE_P(Containers, PlaybackTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

}  // namespace
}  // namespace miharu::api
