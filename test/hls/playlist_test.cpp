#include "hls/playlist.h"

#include <random>

#include <gtest/gtest.h>

#include "hls/playlist_reader.h"
#include "store/synthetic.h"

namespace miharu::hls {
namespace {

using base::milliseconds;
using base::seconds;
using std::chrono::hours;
using store::CatalogEntry;
using store::CatalogEntryPtr;
using store::ObjectName;
using store::RunReason;
using test::make_object;
using test::read_playlist;
using Entries = std::vector<CatalogEntryPtr>;

const base::UtcTime kStart = base::from_unix_ms(1795231259123);  // 2026-11-21T03:20:59.123Z

CatalogEntryPtr finished(const ObjectName& name) {
  return std::make_shared<const CatalogEntry>(CatalogEntry{*store::object_key("front", name), name, false});
}
CatalogEntryPtr growing(const ObjectName& name) {
  return std::make_shared<const CatalogEntry>(CatalogEntry{{}, name, true});
}
VodRequest request(base::UtcTime from, base::UtcTime to, bool by_object = false) {
  return {.from = from, .to = to, .now = kStart + hours(1), .by_object = by_object};
}
std::string vod(const Entries& entries, const VodRequest& asked) {
  return vod_playlist("front", entries, asked);
}

TEST(VodPlaylist, OneRunFinishedAndGrowing) {
  const auto first = finished(make_object(kStart, 100, 2));
  const auto second = finished(make_object(kStart + seconds(8), 102, 1));
  const auto third = growing(make_object(kStart + seconds(12), 103, 1));
  VodRequest asked = request(kStart + milliseconds(5250), kStart + hours(2));
  EXPECT_EQ(vod({first, second, third}, asked),
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:101\n"
            "#EXT-X-DISCONTINUITY-SEQUENCE:5\n#EXT-X-INDEPENDENT-SEGMENTS\n"
            "#EXT-X-START:TIME-OFFSET=1.250,PRECISE=YES\n"
            "#EXT-X-MAP:URI=\"../../media/" +
                second->key +
                "\",BYTERANGE=\"1184@0\"\n"
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:03.123Z\n"
                "#EXTINF:4.000,\n#EXT-X-BYTERANGE:1000101@1001284\n../../media/" +
                first->key +
                "\n"
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:07.123Z\n"
                "#EXTINF:4.000,\n#EXT-X-BYTERANGE:1000102@1184\n../../media/" +
                second->key +
                "\n"
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:11.123Z\n"
                "#EXTINF:4.000,\n../../media/front/5r/2v.mp4\n");
  asked.to = kStart + seconds(8);  // half open
  const auto ended = read_playlist(vod({first, second, third}, asked));
  EXPECT_TRUE(ended.ended && ended.vod);
  ASSERT_EQ(ended.segments.size(), 1U);
  EXPECT_EQ(ended.segments[0].map, "URI=\"../../media/" + first->key + "\",BYTERANGE=\"1184@0\"");
}

TEST(VodPlaylist, ARunThatOnlyGrowsHasItsMapFromTheLastingAddress) {
  const auto list =
      read_playlist(vod({growing(make_object(kStart, 100, 3))}, request(kStart, kStart + hours(2))));
  ASSERT_EQ(list.segments.size(), 3U);
  EXPECT_EQ(list.segments[0].map, "URI=\"init/5r.mp4\"");
  EXPECT_EQ(list.segments[2].uri, "../../media/front/5r/2u.mp4");
  EXPECT_FALSE(list.segments[2].range);
  EXPECT_EQ(list.start, "TIME-OFFSET=0.000,PRECISE=YES");  // else a player begins near the end
}

TEST(VodPlaylist, DiscontinuityAtRunsAndGapsOnly) {
  const store::Run next{6, RunReason::kCameraLost};
  const auto list = read_playlist(
      vod({finished(make_object(kStart, 100, 2)), finished(make_object(kStart + seconds(8), 102, 2)),
           finished(make_object(kStart + seconds(24), 106, 2)),        // one object is missing
           finished(make_object(kStart + seconds(32), 108, 2, next)),  // new run, no gap in time
           finished(make_object(kStart + seconds(300), 110, 2, next))},
          request(kStart, kStart + seconds(600))));
  ASSERT_EQ(list.segments.size(), 10U);
  std::string breaks;
  std::string dates;
  for (const auto& segment : list.segments) {
    breaks += segment.discontinuity ? '1' : '0';
    dates += segment.date ? '1' : '0';
    EXPECT_FALSE(segment.map.empty());
  }
  EXPECT_EQ(breaks, "0000101010");
  EXPECT_EQ(dates, "1010101010");
  EXPECT_EQ(list.segments[4].map, list.segments[0].map);
  EXPECT_NE(list.segments[6].map, list.segments[0].map);
  EXPECT_EQ(*list.segments[8].date, kStart + seconds(300));
  EXPECT_EQ(list.start, "");
}

TEST(VodPlaylist, BeginsWithAnIndependentChunkWhereThereIsOne) {
  ObjectName first = make_object(kStart, 100, 3);
  ObjectName second = make_object(kStart + seconds(12), 103, 3);
  first.chunks[2].key_bytes = second.chunks[0].key_bytes = second.chunks[1].key_bytes = 0;
  const auto asked = request(kStart + seconds(17), kStart + seconds(18));
  auto list = read_playlist(vod({finished(first), finished(second)}, asked));
  ASSERT_EQ(list.segments.size(), 4U);
  EXPECT_EQ(list.media_sequence, 101U);
  EXPECT_EQ(list.start, "TIME-OFFSET=13.000,PRECISE=YES");
  EXPECT_FALSE(list.independent);
  // What came before is not there: begin with the next one, or where it was asked if there is none.
  first.seq = 90;
  list = read_playlist(vod({finished(first), finished(second)}, asked));
  EXPECT_EQ(list.media_sequence, 104U);
  EXPECT_EQ(list.segments.size(), 1U);
  list = read_playlist(
      vod({finished(first), finished(second)}, request(kStart + seconds(13), kStart + seconds(22))));
  EXPECT_EQ(list.media_sequence, 105U);
  EXPECT_EQ(list.segments.size(), 1U);
  EXPECT_EQ(list.start, "");
}

// The clock was set two hours back, or forward, in the middle of a group of pictures.
class AfterAStep : public ::testing::TestWithParam<hours> {
 protected:
  AfterAStep() {
    second.chunks[0].key_bytes = 0;
    second.chunks[0].duration_ms = 2500;
  }
  Entries entries() { return {finished(first), finished(second)}; }

  base::UtcTime after = kStart + seconds(12) + GetParam();
  ObjectName first = make_object(kStart, 100, 3);
  ObjectName second = make_object(after, 103, 3, {6, RunReason::kClockStep});
};
INSTANTIATE_TEST_SUITE_P(VodPlaylist, AfterAStep, ::testing::Values(-hours(2), hours(2), hours(0)));

TEST_P(AfterAStep, AnIntervalBeginsWithTheKeyFrameOfTheRunBefore) {
  const auto asked = request(after + seconds(1), after + seconds(2));
  auto list = read_playlist(vod(entries(), asked));
  ASSERT_EQ(list.segments.size(), 2U);
  EXPECT_EQ(list.media_sequence, 102U);
  EXPECT_EQ(list.discontinuity_sequence, 5U);
  EXPECT_EQ(*list.segments[0].date, kStart + seconds(8));
  EXPECT_EQ(*list.segments[1].date, after);
  EXPECT_FALSE(list.segments[0].discontinuity);
  EXPECT_TRUE(list.segments[1].discontinuity);
  EXPECT_NE(list.segments[0].map, list.segments[1].map);
  EXPECT_EQ(list.start, "TIME-OFFSET=5.000,PRECISE=YES") << "by durations";
  // Also in the middle of a list.
  const auto third = finished(make_object(after + milliseconds(10'500), 110, 3, {7, RunReason::kRestart}));
  list = read_playlist(vod({finished(first), finished(second), third}, request(after, after + seconds(60))));
  ASSERT_EQ(list.segments.size(), 7U);
  EXPECT_EQ(list.media_sequence, 102U);
  EXPECT_EQ(list.start, "TIME-OFFSET=4.000,PRECISE=YES");
}

TEST_P(AfterAStep, AnObjectIsLedByTheOneBefore) {
  const auto list = read_playlist(vod(entries(), request(after + seconds(1), after + seconds(2), true)));
  ASSERT_EQ(list.segments.size(), 2U);
  EXPECT_EQ(list.start, "TIME-OFFSET=13.000,PRECISE=YES");
}

TEST_P(AfterAStep, WhatMayNotBeFetchedIsNotListed) {
  auto asked = request(after + seconds(1), after + seconds(10));
  asked.now = asked.to + hours(1);
  asked.permitted = {after + seconds(1), after + seconds(20)};
  auto list = read_playlist(vod(entries(), asked));
  ASSERT_EQ(list.segments.size(), 2U);
  EXPECT_EQ(list.media_sequence, 104U) << "the next key frame";
  EXPECT_EQ(list.start, "");
  asked.to = after + seconds(2);
  list = read_playlist(vod(entries(), asked));
  EXPECT_EQ(list.media_sequence, 103U) << "there is none";
  EXPECT_EQ(list.start, "TIME-OFFSET=1.000,PRECISE=YES");
  asked.permitted = {std::min(after, kStart) + seconds(1), std::max(after, kStart) + seconds(20)};
  EXPECT_EQ(read_playlist(vod(entries(), asked)).media_sequence, 102U) << "of an object that overlaps";
}

TEST_P(AfterAStep, ARunThatFollowsAHoleIsNotItsContinuation) {
  second.seq = 104;
  auto list = read_playlist(vod(entries(), request(after + seconds(1), after + seconds(10))));
  EXPECT_EQ(list.media_sequence, 105U);
  // Deleted: the rest plays on its own.
  list = read_playlist(vod({finished(second)}, request(after, after + seconds(60))));
  EXPECT_EQ(list.media_sequence, 105U);
  EXPECT_EQ(list.segments.size(), 2U);
  EXPECT_TRUE(list.independent);
}

TEST_P(AfterAStep, TheKeyFrameBeforeLastsUntilTheNext) {
  const auto list = read_playlist(iframe_playlist("front", entries(), request(after, after + seconds(60))));
  ASSERT_EQ(list.segments.size(), 3U);
  EXPECT_EQ(list.segments[0].duration_ms, 6500);
  EXPECT_FALSE(list.segments[0].discontinuity);
  EXPECT_TRUE(list.segments[1].discontinuity);
  EXPECT_FALSE(list.segments[2].discontinuity);
}

TEST(VodPlaylist, ByObject) {
  const Entries entries = {finished(make_object(kStart, 100, 8)),
                           finished(make_object(kStart + seconds(32), 108, 8)),
                           growing(make_object(kStart + seconds(64), 116, 2))};
  auto list = read_playlist(vod(entries, request(kStart + seconds(40), kStart + hours(2), true)));
  ASSERT_EQ(list.segments.size(), 1U);  // what grows would become another entry
  EXPECT_EQ(list.segments[0].duration_ms, 32000);
  EXPECT_EQ(list.segments[0].offset, 1184U);
  EXPECT_EQ(list.segments[0].size_bytes, entries[1]->name.size_bytes() - 1184);
  EXPECT_EQ(list.target_seconds, 32);
  EXPECT_EQ(list.media_sequence, 0U);
  EXPECT_EQ(list.start, "TIME-OFFSET=8.000,PRECISE=YES");
  list = read_playlist(vod(entries, request(kStart, kStart + seconds(100), true)));
  EXPECT_EQ(list.segments.size(), 4U);
  EXPECT_EQ(list.segments[3].uri, "../../media/front/5r/39.mp4");
}

TEST(VodPlaylist, NothingRecorded) {
  EXPECT_EQ(
      vod({}, request(kStart, kStart + seconds(1))),
      "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n");
  EXPECT_TRUE(read_playlist(vod({finished(make_object(kStart, 100, 2))},
                                request(kStart + seconds(8), kStart + seconds(9))))
                  .segments.empty());
}

TEST(VodPlaylist, MpegTsHasNoMap) {
  ObjectName name = make_object(kStart, 100, 2);
  name.container = store::Container::kMpegTs;
  name.init_bytes = 0;
  const auto list = read_playlist(vod({finished(name)}, request(kStart, kStart + seconds(8))));
  EXPECT_EQ(list.version, 4);
  EXPECT_EQ(list.segments.at(0).map, "");
  EXPECT_EQ(list.segments.at(1).offset, name.chunks[0].size_bytes);
}

TEST(VodPlaylist, TargetDurationIsNeverExceeded) {
  ObjectName name = make_object(kStart, 100, 2);
  name.chunks[1].duration_ms = 10499;
  EXPECT_EQ(read_playlist(vod({finished(name)}, request(kStart, kStart + seconds(20)))).target_seconds, 10);
  name.chunks[1].duration_ms = 10500;
  EXPECT_EQ(read_playlist(vod({finished(name)}, request(kStart, kStart + seconds(20)))).target_seconds, 11);
}

// A day or so with gaps, runs and dependent chunks: asked piece by piece, every chunk comes exactly once and
// in order.
TEST(VodPlaylist, EveryChunkOnceAndInOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const auto up_to = [&random](uint64_t most) {
      return std::uniform_int_distribution<uint64_t>(0, most)(random);
    };
    Entries entries;
    base::UtcTime at = kStart;
    uint64_t seq = 17'952'312'591;
    store::Run run{7, RunReason::kRestart};
    size_t chunks = 0;
    for (int i = 0; i < 200; ++i) {
      if (up_to(9) == 0) {
        run = {run.number + 1, RunReason::kCameraLost};
        at += milliseconds(up_to(100'000));
      }
      ObjectName name = make_object(at, seq, 1 + up_to(8), run);
      for (auto& chunk : name.chunks) {
        chunk.duration_ms = static_cast<uint32_t>(1 + up_to(10'000));
        chunk.size_bytes = static_cast<uint32_t>(90'000 + up_to(2'000'000));
        if (up_to(9) == 0) chunk.key_bytes = 0;
      }
      if (i == 0) name.chunks[0].key_bytes = 90'000;
      at = name.end();
      seq += name.chunks.size();
      chunks += name.chunks.size();
      entries.push_back(finished(name));
    }
    const auto list = read_playlist(vod(entries, {.from = kStart, .to = at, .now = at}));
    ASSERT_EQ(list.segments.size(), chunks);
    size_t i = 0;
    for (const auto& entry : entries) {
      uint64_t offset = entry->name.init_bytes;
      base::UtcTime start = entry->name.start;
      for (const auto& chunk : entry->name.chunks) {
        const auto& segment = list.segments[i++];
        ASSERT_EQ(segment.uri, "../../media/" + entry->key);
        ASSERT_EQ(segment.offset, offset);
        ASSERT_EQ(segment.size_bytes, chunk.size_bytes);
        ASSERT_EQ(segment.duration_ms, chunk.duration_ms);
        if (segment.date) {
          ASSERT_EQ(*segment.date, start);
        }
        offset += chunk.size_bytes;
        start += milliseconds(chunk.duration_ms);
      }
    }
    // Any interval is a contiguous part of the whole that covers it and begins with a key frame or where it
    // was asked.
    for (int k = 0; k < 50; ++k) {
      const base::UtcTime from =
          kStart + milliseconds(up_to(static_cast<uint64_t>((at - kStart) / milliseconds(1))));
      const base::UtcTime to = from + milliseconds(1 + up_to(600'000));
      const auto part = read_playlist(vod(entries, {.from = from, .to = to, .now = at + hours(1)}));
      if (part.segments.empty()) continue;
      const size_t first = part.media_sequence - 17'952'312'591;
      for (size_t j = 0; j < part.segments.size(); ++j) {
        ASSERT_EQ(part.segments[j].uri, list.segments.at(first + j).uri);
        ASSERT_EQ(part.segments[j].offset, list.segments[first + j].offset);
      }
      ASSERT_TRUE(part.segments[0].date);
      ASSERT_LT(*part.segments[0].date, to);
    }
  }
}

TEST(IframePlaylist, KeyFramesLastUntilTheNext) {
  ObjectName name = make_object(kStart, 100, 4);
  name.chunks[1].key_bytes = 0;
  const auto entry = finished(name);
  const auto text = iframe_playlist("front", {entry, growing(make_object(kStart + seconds(16), 104, 1))},
                                    request(kStart, kStart + seconds(60)));
  const auto list = read_playlist(text);
  EXPECT_TRUE(list.iframes_only && list.ended);
  ASSERT_EQ(list.segments.size(), 4U);
  EXPECT_EQ(list.segments[0].duration_ms, 8000);
  EXPECT_EQ(list.segments[0].size_bytes, 90'000U);
  EXPECT_EQ(list.segments[0].offset, 1184U);
  EXPECT_EQ(list.segments[1].offset, 1184U + name.chunks[0].size_bytes + name.chunks[1].size_bytes);
  EXPECT_EQ(list.segments[3].uri, "../../media/front/5r/2w.mp4");
  EXPECT_EQ(list.segments[3].offset, 0U);
  for (const auto& segment : list.segments) EXPECT_FALSE(segment.discontinuity);
  EXPECT_TRUE(read_playlist(iframe_playlist("front", {}, request(kStart, kStart))).segments.empty());
}

TEST(MultivariantPlaylist, Golden) {
  ObjectName name = make_object(kStart, 100, 2);
  name.chunks[1].size_bytes = 500'000;
  const Bandwidth bandwidth = bandwidth_of({finished(name)});
  EXPECT_EQ(bandwidth.peak, 2'000'200U);
  EXPECT_EQ(bandwidth.average, 1'500'100U);
  EXPECT_EQ(bandwidth.iframe_peak, 180'000U);
  EXPECT_EQ(multivariant_playlist({{.uri = "vod.m3u8?from=1&to=2",
                                    .codecs = "avc1.64001f,mp4a\".40.2",
                                    .bandwidth = bandwidth,
                                    .width = 1280,
                                    .height = 720,
                                    .iframe_uri = "iframes.m3u8",
                                    .iframe_codecs = "avc1.64001f"},
                                   {.uri = "../front-sub/vod.m3u8", .codecs = "", .bandwidth = {}}}),
            "#EXTM3U\n#EXT-X-VERSION:7\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=2000200,AVERAGE-BANDWIDTH=1500100,CODECS=\"avc1.64001f,mp4a.40.2\","
            "RESOLUTION=1280x720\nvod.m3u8?from=1&to=2\n"
            "#EXT-X-STREAM-INF:BANDWIDTH=1\n../front-sub/vod.m3u8\n"
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=180000,CODECS=\"avc1.64001f\",RESOLUTION=1280x720,URI="
            "\"iframes.m3u8\"\n");
}

}  // namespace
}  // namespace miharu::hls
