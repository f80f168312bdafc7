#include <gtest/gtest.h>

#include "net/conditional.h"

namespace miharu::net {
namespace {

using Kind = ByteRange::Kind;

std::string field(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

TEST(ParseRange, FollowsRfc9110) {
  const struct {
    const char* header;
    uint64_t size;
    Kind kind;
    uint64_t offset, length;
  } cases[] = {
      {"bytes=0-0", 10, Kind::kPart, 0, 1},
      {"bytes=0-", 10, Kind::kPart, 0, 10},
      {"bytes=3-5", 10, Kind::kPart, 3, 3},
      {"BYTES = 3-5", 10, Kind::kWhole, 0, 0},
      {"Bytes=3-5", 10, Kind::kPart, 3, 3},
      {"bytes=3-500", 10, Kind::kPart, 3, 7},
      {"bytes=9-18446744073709551615", 10, Kind::kPart, 9, 1},
      {"bytes=-3", 10, Kind::kPart, 7, 3},
      {"bytes=-30", 10, Kind::kPart, 0, 10},
      {"bytes=-0", 10, Kind::kUnsatisfiable, 0, 0},
      {"bytes=10-", 10, Kind::kUnsatisfiable, 0, 0},
      {"bytes=0-", 0, Kind::kUnsatisfiable, 0, 0},
      {"bytes=-1", 0, Kind::kUnsatisfiable, 0, 0},
      {"bytes=5-3", 10, Kind::kWhole, 0, 0},
      {"bytes=0-1,3-4", 10, Kind::kWhole, 0, 0},
      {"bytes=18446744073709551616-", 10, Kind::kWhole, 0, 0},
      {"bytes=-", 10, Kind::kWhole, 0, 0},
      {"bytes=", 10, Kind::kWhole, 0, 0},
      {"bytes=a-b", 10, Kind::kWhole, 0, 0},
      {"bytes=+1-2", 10, Kind::kWhole, 0, 0},
      {"bytes=1--2", 10, Kind::kWhole, 0, 0},
      {"items=0-1", 10, Kind::kWhole, 0, 0},
      {"", 10, Kind::kWhole, 0, 0},
  };
  for (const auto& c : cases) {
    const ByteRange range = parse_range(c.header, c.size);
    EXPECT_EQ(range.kind, c.kind) << c.header;
    EXPECT_EQ(range.offset, c.offset) << c.header;
    EXPECT_EQ(range.length, c.length) << c.header;
  }
}

TEST(EtagMatches, ComparesWeakly) {
  EXPECT_TRUE(etag_matches("\"a\"", "\"a\""));
  EXPECT_TRUE(etag_matches("W/\"a\"", "\"a\""));
  EXPECT_TRUE(etag_matches("\"x\" , \"a\"", "W/\"a\""));
  EXPECT_TRUE(etag_matches("*", "\"a\""));
  EXPECT_FALSE(etag_matches("*", ""));
  EXPECT_FALSE(etag_matches("", "\"a\""));
  EXPECT_FALSE(etag_matches("a", "\"a\""));
  EXPECT_FALSE(etag_matches("\"ab\"", "\"a\""));
}

TEST(Slice, CutsAcrossPieces) {
  const std::vector<FileBody> pieces{{nullptr, 100, 10}, {nullptr, 0, 0}, {nullptr, 7, 5}};
  const auto part = slice(pieces, 8, 4);
  ASSERT_EQ(part.size(), 2U);
  EXPECT_EQ(part[0].offset, 108U);
  EXPECT_EQ(part[0].length, 2U);
  EXPECT_EQ(part[1].offset, 7U);
  EXPECT_EQ(part[1].length, 2U);
  EXPECT_TRUE(slice(pieces, 3, 0).empty());
  EXPECT_EQ(slice(pieces, 10, 5).size(), 1U);
}

TEST(FileResponse, ChoosesTheStatus) {
  const struct {
    const char* method;
    HttpHeaders headers;
    unsigned status;
    const char* content_range;
    uint64_t length;
  } cases[] = {
      {"GET", {}, 200, "", 100},
      {"GET", {{"Range", "bytes=10-19"}}, 206, "bytes 10-19/100", 10},
      {"HEAD", {{"Range", "bytes=10-19"}}, 200, "", 100},
      {"GET", {{"Range", "bytes=100-"}}, 416, "bytes */100", 0},
      {"GET", {{"Range", "bytes=0-1,5-6"}}, 200, "", 100},
      {"GET", {{"If-None-Match", "\"v\""}, {"Range", "bytes=1-2"}}, 304, "", 0},
      {"GET", {{"If-None-Match", "\"w\""}, {"Range", "bytes=1-2"}}, 206, "bytes 1-2/100", 2},
      {"GET", {{"If-Range", "\"v\""}, {"Range", "bytes=1-2"}}, 206, "bytes 1-2/100", 2},
      {"GET", {{"If-Range", "\"w\""}, {"Range", "bytes=1-2"}}, 200, "", 100},
      {"GET", {{"If-Range", "W/\"v\""}, {"Range", "bytes=1-2"}}, 200, "", 100},
  };
  for (const auto& c : cases) {
    HttpRequest request;
    request.method = c.method;
    request.headers = c.headers;
    const HttpResponse response = file_response(request, nullptr, 0, 100, "video/mp4", "\"v\"", "max-age=1");
    EXPECT_EQ(response.status, c.status);
    EXPECT_EQ(field(response, "Content-Range"), c.content_range);
    uint64_t length = 0;
    if (const auto* pieces = std::get_if<std::vector<FileBody>>(&response.body)) {
      for (const auto& piece : *pieces) length += piece.length;
    }
    EXPECT_EQ(length, c.length);
    if (c.status != 416) {
      EXPECT_EQ(field(response, "ETag"), "\"v\"");
      EXPECT_EQ(field(response, "Cache-Control"), "max-age=1");
    }
  }
}

}  // namespace
}  // namespace miharu::net
