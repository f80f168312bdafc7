#include "hls/rolling_playlist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace miharu::hls {
namespace {

using base::milliseconds;
using base::seconds;
using testing::HasSubstr;
using testing::Not;

const base::UtcTime kStart = base::from_unix_ms(1795231259123);  // 2026-11-21T03:20:59.123Z

RollingSegment segment(size_t number, bool key, milliseconds duration = seconds(1)) {
  RollingSegment made;
  made.name = std::to_string(number) + ".mp4";
  made.init = "init_2r.mp4";
  made.start = kStart + seconds(number);
  made.duration = duration;
  made.key = key;
  return made;
}

TEST(RollingPlaylist, Golden) {
  RollingPlaylist list;
  list.media_sequence = 100;
  list.discontinuity_sequence = 7;
  list.add(segment(0, true));
  list.add(segment(1, false, milliseconds(1480)));
  RollingSegment next = segment(4, true);
  next.init = "init_3c.mp4";
  next.discontinuity = true;
  list.add(next);
  list.ended = true;
  EXPECT_EQ(list.text(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:100\n"
            "#EXT-X-DISCONTINUITY-SEQUENCE:7\n#EXT-X-START:TIME-OFFSET=-3.475\n"
            "#EXT-X-MAP:URI=\"init_2r.mp4\"\n"
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:20:59.123Z\n#EXTINF:1.000,\n0.mp4\n"
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:00.123Z\n#EXTINF:1.480,\n1.mp4\n"
            "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init_3c.mp4\"\n"
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T03:21:03.123Z\n#EXTINF:1.000,\n4.mp4\n"
            "#EXT-X-ENDLIST\n");
}

TEST(RollingPlaylist, IsValidWithoutASegment) {
  EXPECT_EQ(RollingPlaylist().text(),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"
            "#EXT-X-DISCONTINUITY-SEQUENCE:0\n");
}

TEST(RollingPlaylist, RollsFromKeyFrameToKeyFrame) {
  RollingPlaylist list;
  list.media_sequence = 1000;
  for (size_t i = 0; i < 40; ++i) {
    RollingSegment next = segment(i, i % 4 == 0);
    next.discontinuity = i == 8;
    list.add(next);
    EXPECT_TRUE(list.segments.front().key);
    EXPECT_EQ(list.media_sequence + list.segments.size(), 1000 + i + 1);
    EXPECT_EQ(list.discontinuity_sequence, list.media_sequence > 1008 ? 1U : 0U);
    if (i > 16) {
      EXPECT_GE(list.segments.size(), 12U);
      EXPECT_LE(list.segments.size(), 16U);
    }
  }
}

// However far apart key frames are.
TEST(RollingPlaylist, IsBounded) {
  RollingPlaylist list;
  for (size_t i = 0; i < 1000; ++i) list.add(segment(i, i == 0));
  EXPECT_EQ(list.segments.size(), RollingPlaylist::kMostSegments);
  EXPECT_EQ(list.media_sequence, 1000 - RollingPlaylist::kMostSegments);
  EXPECT_THAT(list.text(), Not(HasSubstr("EXT-X-START")));
}

TEST(RollingPlaylist, BeginsWithAKeyFrameThatLeavesAReserve) {
  RollingPlaylist list;
  for (size_t i = 0; i < 8; ++i) list.add(segment(i, i % 4 == 0));
  EXPECT_THAT(list.text(), HasSubstr("TIME-OFFSET=-3.995\n"));
  list.add(segment(8, true));
  EXPECT_THAT(list.text(), HasSubstr("TIME-OFFSET=-4.995\n"));
  list.add(segment(9, false));
  EXPECT_THAT(list.text(), HasSubstr("TIME-OFFSET=-1.995\n"));
}

// RFC 8216 section 4.3.3.1: rounded durations are not longer.
TEST(RollingPlaylist, TargetDuration) {
  RollingPlaylist list;
  list.add(segment(0, true, milliseconds(1499)));
  EXPECT_THAT(list.text(), HasSubstr("TARGETDURATION:1\n"));
  list.add(segment(1, true, milliseconds(2500)));
  EXPECT_THAT(list.text(), HasSubstr("TARGETDURATION:3\n"));
}

TEST(RollingPlaylist, MpegTsHasNoInitializationPart) {
  RollingPlaylist list;
  RollingSegment ts = segment(0, true);
  ts.init.clear();
  list.add(ts);
  EXPECT_THAT(list.text(), Not(HasSubstr("EXT-X-MAP")));
}

}  // namespace
}  // namespace miharu::hls
