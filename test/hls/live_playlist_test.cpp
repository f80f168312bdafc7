#include "hls/live_playlist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hls/playlist_reader.h"

namespace miharu::hls {
namespace {

using base::milliseconds;
using base::seconds;
using record::RecentChunk;
using store::RunReason;
using test::read_playlist;
using testing::HasSubstr;
using testing::Not;

const base::UtcTime kStart = base::from_unix_ms(1795231259123);  // 2026-11-21T03:20:59.123Z
constexpr store::Run kRun{5, RunReason::kRestart};

// Four seconds in eight parts, or the first `parts` of them.
RecentChunk chunk(uint64_t seq, base::UtcTime start, size_t parts = 8, store::Run run = kRun) {
  RecentChunk made;
  made.run = run;
  made.seq = seq;
  made.start = start;
  made.finished = parts == 8;
  for (size_t i = 0; i < parts; ++i) {
    made.parts.push_back({seq, 5000 + i * 1000, 1000, 500'000, i == 0});
    made.chunk.size_bytes += 1000;
  }
  made.duration_ms = made.chunk.duration_ms = static_cast<uint32_t>(500 * parts);
  made.chunk.key_bytes = 600;
  return made;
}

std::vector<RecentChunk> many(size_t count, uint64_t first = 1000) {
  std::vector<RecentChunk> chunks;
  for (size_t i = 0; i < count; ++i) chunks.push_back(chunk(first + i, kStart + seconds(4 * i)));
  return chunks;
}

size_t count(const std::string& text, std::string_view piece) {
  size_t found = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1)) ++found;
  return found;
}

TEST(LivePlaylist, Golden) {
  const std::vector<RecentChunk> chunks = {chunk(100, kStart),
                                           chunk(101, kStart + seconds(4), 2, {6, RunReason::kCameraLost})};
  std::string parts;
  for (int i = 0; i < 8; ++i) {
    parts += "#EXT-X-PART:DURATION=0.500000,URI=\"../../media/front/5r/2s.mp4\",BYTERANGE=\"1000@" +
             std::to_string(i * 1000) + "\"" + (i == 0 ? ",INDEPENDENT=YES\n" : "\n");
  }
  EXPECT_EQ(live_playlist("front", chunks),
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:10\n"
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.250000\n"
            "#EXT-X-PART-INF:PART-TARGET=0.500000\n#EXT-X-MEDIA-SEQUENCE:100\n"
            "#EXT-X-DISCONTINUITY-SEQUENCE:5\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init/5r.mp4\"\n"
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:20:59.123Z\n" +
                parts +
                "#EXTINF:4.000,\n../../media/front/5r/2s.mp4\n"
                "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init/6c.mp4\"\n"
                "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:03.123Z\n"
                "#EXT-X-PART:DURATION=0.500000,URI=\"../../media/front/6c/2t.mp4\",BYTERANGE=\"1000@0\","
                "INDEPENDENT=YES\n"
                "#EXT-X-PART:DURATION=0.500000,URI=\"../../media/front/6c/2t.mp4\",BYTERANGE=\"1000@1000\"\n"
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../../media/front/6c/2t.mp4\",BYTERANGE-START=2000\n");
}

TEST(LivePlaylist, WindowBeginsWithAKeyFrameAndHasThreeSegments) {
  std::vector<RecentChunk> chunks = many(100);
  EXPECT_EQ(read_playlist(live_playlist("front", chunks)).segments.size(), 15U);
  EXPECT_EQ(read_playlist(live_playlist("front", chunks)).media_sequence, 1085U);
  EXPECT_EQ(read_playlist(live_playlist("front", chunks, {.window = seconds(1)})).segments.size(), 3U);
  chunks[85].chunk.key_bytes = chunks[84].chunk.key_bytes = 0;
  const auto list = read_playlist(live_playlist("front", chunks));
  EXPECT_EQ(list.media_sequence, 1083U);
  EXPECT_FALSE(list.independent);
}

// After a step of the clock a run goes on with the group of pictures of the one before.
TEST(LivePlaylist, ADependentRunIsLedByTheOneBefore) {
  std::vector<RecentChunk> chunks = many(3);
  for (size_t i = 0; i < 4; ++i)
    chunks.push_back(
        chunk(1003 + i, kStart - std::chrono::hours(2) + seconds(4 * i), 8, {6, RunReason::kClockStep}));
  chunks[3].chunk.key_bytes = 0;
  chunks[3].parts[0].independent = false;
  const std::string text = live_playlist("front", chunks, {.window = seconds(16)});
  const auto list = read_playlist(text);
  EXPECT_EQ(list.media_sequence, 1002U);
  EXPECT_EQ(list.discontinuity_sequence, 5U);
  EXPECT_FALSE(list.independent);
  ASSERT_EQ(list.segments.size(), 5U);
  EXPECT_TRUE(list.segments[1].discontinuity);
  EXPECT_EQ(count(text, "INDEPENDENT=YES"), 4U);
}

TEST(LivePlaylist, PartsOfTheLastThreeTargetDurations) {
  const std::string text = live_playlist("front", many(100));
  EXPECT_EQ(count(text, "#EXT-X-PART:"), 7U * 8U);
  EXPECT_THAT(text,
              HasSubstr("PRELOAD-HINT:TYPE=PART,URI=\"../../media/front/5r/uk.mp4\",BYTERANGE-START=0\n"))
      << "the next chunk";
}

TEST(LivePlaylist, NoPartIsLongerThanItsTarget) {
  std::vector<RecentChunk> chunks = many(4);
  for (auto& part : chunks.back().parts) part.duration_us = 1'000'000;  // a picture a second
  const std::string text = live_playlist("front", chunks);
  EXPECT_THAT(text, HasSubstr("PART-TARGET=1.000000\n"));
  EXPECT_THAT(text, HasSubstr("PART-HOLD-BACK=2.500000\n"));
}

TEST(LivePlaylist, MpegTsHasNoMap) {
  std::vector<RecentChunk> chunks = many(4);
  for (auto& each : chunks) each.container = store::Container::kMpegTs;
  const std::string text = live_playlist("front", chunks);
  EXPECT_THAT(text, Not(HasSubstr("EXT-X-MAP")));
  EXPECT_EQ(count(text, ".ts"), count(text, "../../media/"));
}

// A player counts discontinuities; the first one's number is the run's: both must agree whatever the list
// begins with.
TEST(LivePlaylist, DiscontinuitiesCountRunsThatRecordedNothing) {
  std::vector<RecentChunk> chunks = many(40);
  for (size_t i = 20; i < 40; ++i) chunks[i].run = {8, RunReason::kCameraLost};
  EXPECT_EQ(count(live_playlist("front", chunks, {.window = seconds(100)}), "#EXT-X-DISCONTINUITY\n"), 3U);
  EXPECT_THAT(live_playlist("front", chunks, {.window = seconds(100)}),
              HasSubstr("DISCONTINUITY-SEQUENCE:5\n"));
  const std::string later = live_playlist("front", chunks, {.window = seconds(40)});
  EXPECT_EQ(count(later, "#EXT-X-DISCONTINUITY\n"), 0U);
  EXPECT_THAT(later, HasSubstr("DISCONTINUITY-SEQUENCE:8\n"));
}

TEST(LivePlaylist, DeltaUpdateIsTheEndOfTheWholeList) {
  std::vector<RecentChunk> chunks = many(100);
  chunks.push_back(chunk(1100, kStart + seconds(400), 3));
  const LiveRequest hour{.window = std::chrono::hours(1)};
  const std::string whole = live_playlist("front", chunks, hour);
  EXPECT_THAT(whole, HasSubstr(",CAN-SKIP-UNTIL=60.000\n"));
  const std::string delta = live_playlist("front", chunks, {.window = hour.window, .skip = true});
  const std::string tag = "#EXT-X-SKIP:SKIPPED-SEGMENTS=";
  const size_t at = delta.find(tag);
  ASSERT_NE(at, std::string::npos);
  const size_t skipped = std::stoul(delta.substr(at + tag.size()));
  EXPECT_EQ(skipped, 86U) << "14 of 4 s and one of 1.5 s are less than 60 s from the end";
  EXPECT_EQ(read_playlist(whole).segments.size(), 100U);
  EXPECT_EQ(read_playlist(delta).segments.size() + skipped, 100U);
  const std::string rest = delta.substr(delta.find('\n', at) + 1);
  EXPECT_EQ(whole.substr(whole.size() - rest.size()), rest);
  EXPECT_EQ(live_playlist("front", many(10), {.skip = true}), live_playlist("front", many(10)))
      << "too short to leave anything out";
}

TEST(ReloadState, WaitsForThePartOrTheSegment) {
  std::vector<RecentChunk> chunks = many(3, 100);
  chunks.push_back(chunk(103, kStart + seconds(12), 3));
  struct Case {
    ReloadPoint point;
    Reload state;
  };
  for (const Case& c : {Case{{90, std::nullopt}, Reload::kReady},
                        {{102, std::nullopt}, Reload::kReady},
                        {{103, std::nullopt}, Reload::kWait},
                        {{103, 2}, Reload::kReady},
                        {{103, 3}, Reload::kWait},
                        {{102, 7}, Reload::kReady},
                        {{102, 8}, Reload::kReady},
                        {{104, 0}, Reload::kWait},
                        {{104, std::nullopt}, Reload::kWait},
                        {{105, 0}, Reload::kTooFar},
                        {{UINT64_MAX, 0}, Reload::kTooFar}}) {
    EXPECT_EQ(reload_state(chunks, c.point), c.state)
        << c.point.msn << " part " << c.point.part.value_or(999);
  }
  // Past the last part of the newest finished segment is the first part of the next one.
  chunks.pop_back();
  EXPECT_EQ(reload_state(chunks, {102, 8}), Reload::kWait);
  EXPECT_EQ(reload_state(chunks, {103, 0}), Reload::kWait);
  EXPECT_EQ(reload_state(chunks, {104, 0}), Reload::kWait);
  EXPECT_EQ(reload_state(chunks, {105, 0}), Reload::kTooFar);
  EXPECT_EQ(reload_state({}, {7, 0}), Reload::kWait);
}

}  // namespace
}  // namespace miharu::hls
