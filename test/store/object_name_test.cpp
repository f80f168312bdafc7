#include "store/object_name.h"

#include <gtest/gtest.h>

#include "store/synthetic.h"

namespace miharu::store {
namespace {

using base::Errc;
using test::make_object;

const base::UtcTime kStart = base::from_unix_ms(1795231259123);  // 2026-11-21T03:20:59.123Z

std::string name_with_table(base::ByteVector table, std::string_view ext = ".mp4") {
  return "20261121T032059.123Z_2fr_1a2b3c_" + base::to_base64url(table) + std::string(ext);
}
base::ByteVector bytes_of(std::initializer_list<int> values) {
  base::ByteVector out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

TEST(ObjectName, WritesTheDocumentedLayout) {
  ObjectName name = make_object(kStart, 76389960, 0, {87, RunReason::kRestart});  // 1hhaug, 2f
  name.init_bytes = 5;
  name.chunks = {{100, 10, 3, false}, {101, 20, 0, true}, {101, 200, 1, false}, {100, 1, 1, false}};
  const auto encoded = encode_name(name);
  ASSERT_TRUE(encoded) << encoded.error().to_string();
  const auto table = bytes_of({1, 0x14, 5,                    // version, H.264 and AAC, initialization part
                               3 << 3 | 3 << 1, 0xC8, 1, 10,  // difference +100 as zigzag 200
                               1 << 1 | 1, 20,                // one more, damaged, dependent
                               1 << 3, 0xC8, 1,               // the same
                               1 << 3 | 2 << 1, 1,            // one less
                               0xDE, 0xAD, 0xBE, 0xEF});
  EXPECT_EQ(*encoded,
            "20261121T032059.123Z_2fr_" + format_base36(76389960) + "_" + base::to_base64url(table) + ".mp4");
  const auto decoded = decode_name(*encoded);
  ASSERT_TRUE(decoded) << decoded.error().to_string();
  EXPECT_EQ(*decoded, name);
}

TEST(ObjectName, RoundTripsRandomObjects) {
  std::mt19937_64 random(1);
  size_t encoded_count = 0;
  for (int i = 0; i < 20000; ++i) {
    const ObjectName name = test::random_object(random);
    const auto encoded = encode_name(name);
    if (!encoded) {
      ASSERT_EQ(encoded.error().code, Errc::kLimit) << encoded.error().to_string();
      continue;
    }
    ++encoded_count;
    const auto decoded = decode_name(*encoded);
    ASSERT_TRUE(decoded) << *encoded << ": " << decoded.error().to_string();
    ASSERT_EQ(*decoded, name) << *encoded;
    ASSERT_EQ(encoded->find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"),
              std::string::npos);
  }
  EXPECT_GT(encoded_count, 19000U);
}

TEST(ObjectName, AChangedCharacterIsNeverReadAsTheSameObject) {
  const ObjectName name = make_object(kStart, 1234567, 8);
  const std::string good = *encode_name(name);
  for (size_t i = 0; i < good.size(); ++i) {
    for (int c = 0; c < 256; ++c) {
      std::string bad = good;
      bad[i] = static_cast<char>(c);
      if (bad == good) continue;
      const auto decoded = decode_name(bad);
      if (!decoded) continue;
      EXPECT_NE(*decoded, name) << bad;
      const auto again = encode_name(*decoded);
      ASSERT_TRUE(again) << bad;
      EXPECT_EQ(*again, bad);
    }
  }
}

TEST(ObjectName, ThirtySecondsAtGopFourFitInAboutSeventyFiveCharacters) {
  const std::string name = *encode_name(make_object(kStart, 1234567, 8));
  EXPECT_LE(name.size() - name.find('_', 29) - 1, 90U) << name;
  EXPECT_LE(name.size(), 143U) << name;  // eCryptfs
}

TEST(ObjectName, SortsByStart) {
  std::string previous;
  for (const int64_t step : {0, 1, 999, 1000, 59'999, 60'000, 1'740'000}) {
    const std::string name =
        *encode_name(make_object(kStart + base::milliseconds(step), static_cast<uint64_t>(99 - step % 7), 3));
    EXPECT_LT(previous, name);
    previous = name;
  }
}

TEST(ObjectName, RefusesMalformedNames) {
  const auto minimal = bytes_of({1, 4, 5, 3 << 1, 0xC8, 1, 10, 0, 0, 0, 0});
  ASSERT_TRUE(decode_name(name_with_table(minimal)))
      << decode_name(name_with_table(minimal)).error().to_string();
  const std::string good = name_with_table(minimal);
  const auto with = [&good](std::string_view what, std::string_view other) {
    std::string text = good;
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), other);
  };
  const struct {
    std::string name;
    Errc code;
    int64_t offset;  // -2: any
  } kCases[] = {
      {"", Errc::kMalformed, 0},
      {"20261121T032059.123Z_2fr_1a2b3c", Errc::kMalformed, 25},
      {std::string(241, 'a'), Errc::kLimit, 240},
      {with("_2fr", "_"), Errc::kMalformed, -2},
      {with("20261121T", "20261121t"), Errc::kMalformed, 8},
      {with("20261121T", "2026112T"), Errc::kMalformed, 0},
      {with("20261121", "20260229"), Errc::kMalformed, 0},
      {with("20261121", "20261301"), Errc::kMalformed, 0},
      {with("20261121", "19691231"), Errc::kMalformed, 0},
      {with("20261121", "22620101"), Errc::kMalformed, 0},
      {with("T03", "T24"), Errc::kMalformed, 9},
      {with("59.123", "60.123"), Errc::kMalformed, 9},
      {with("2fr", "2fx"), Errc::kMalformed, 23},
      {with("2fr", "02fr"), Errc::kMalformed, 21},
      {with("2fr", "r"), Errc::kMalformed, 21},
      {with("2fr", "2Fr"), Errc::kMalformed, 21},
      {with("1a2b3c", "3w5e11264sgsg"), Errc::kMalformed, 25},  // 2^64
      {with("1a2b3c", "3w5e11264sgsf"), Errc::kMalformed, 25},  // 2^64 - 1: no room for a chunk
      {with("1a2b3c", "-1"), Errc::kMalformed, 25},
      {with(".mp4", ".ts"), Errc::kMalformed, -2},
      {with(".mp4", ".mp4.new"), Errc::kMalformed, -2},
      {with(".mp4", ""), Errc::kMalformed, -2},
      {with(".mp4", "=.mp4"), Errc::kMalformed, -2},
      {name_with_table({}), Errc::kTruncated, 32},
      {name_with_table(bytes_of({1, 4, 5, 0, 0, 0, 0})), Errc::kTruncated, 36},
      {name_with_table(bytes_of({2, 4, 5, 6, 0xC8, 1, 10, 0, 0, 0, 0})), Errc::kUnsupported, 33},
      {name_with_table(bytes_of({1, 0, 5, 6, 0xC8, 1, 10, 0, 0, 0, 0})), Errc::kUnsupported, 34},  // no video
      {name_with_table(bytes_of({1, 0x54, 5, 6, 0xC8, 1, 10, 0, 0, 0, 0})), Errc::kUnsupported,
       34},  // audio 5
      {name_with_table(bytes_of({1, 4, 0, 6, 0xC8, 1, 10, 0, 0, 0, 0})), Errc::kMalformed,
       36},  // fMP4, no init
      {name_with_table(bytes_of({1, 5, 5, 6, 0xC8, 1, 10, 0, 0, 0, 0}), ".ts"), Errc::kMalformed,
       36},  // TS with init
      {name_with_table(bytes_of({1, 4, 5, 6, 0xC8, 1, 0, 0, 0, 0, 0})), Errc::kMalformed, -2},  // size 0
      {name_with_table(bytes_of({1, 4, 5, 6, 0xC8, 0x81, 0, 10, 0, 0, 0, 0})), Errc::kMalformed,
       -2},                                                                                // overlong
      {name_with_table(bytes_of({1, 4, 5, 6, 2, 10, 0, 0, 0, 0})), Errc::kMalformed, -2},  // small difference
      {name_with_table(bytes_of({1, 4, 5, 4, 10, 0, 0, 0, 0})), Errc::kMalformed, -2},     // 0 - 1 ms
      {name_with_table(bytes_of({1, 4, 5, 6, 0x82, 0xBA, 0xB7, 3, 10, 0, 0, 0, 0})), Errc::kMalformed,
       -2},  // an hour and 1 ms
      {name_with_table(bytes_of({1, 4, 5, 11 << 3 | 6, 0xC8, 1, 10, 0, 0, 0, 0})), Errc::kMalformed,
       -2},  // key > size
      {name_with_table(bytes_of({1, 4, 5, 6, 0xC8, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0, 0, 0})),
       Errc::kMalformed, -2},
      {name_with_table(bytes_of({1, 4, 5, 6, 0xC8, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 0, 0, 0})),
       Errc::kMalformed, -2},
      {name_with_table(bytes_of({1, 4, 5, 6, 0xC8, 1, 10, 8, 0, 0, 0, 0})), Errc::kTruncated,
       -2},  // half a chunk
  };
  for (const auto& test : kCases) {
    const auto decoded = decode_name(test.name);
    ASSERT_FALSE(decoded) << test.name;
    EXPECT_EQ(decoded.error().code, test.code) << test.name << ": " << decoded.error().to_string();
    EXPECT_GE(decoded.error().offset, 0) << test.name;
    EXPECT_LE(decoded.error().offset, static_cast<int64_t>(test.name.size())) << test.name;
    if (test.offset != -2) {
      EXPECT_EQ(decoded.error().offset, test.offset) << test.name << decoded.error().to_string();
    }
  }
}

TEST(ObjectName, RefusesToNameWhatCannotBeTold) {
  const ObjectName good = make_object(kStart, 7, 3);
  const auto code = [&good](auto&& change, size_t limit = kMaxNameLength) {
    ObjectName name = good;
    change(name);
    const auto encoded = encode_name(name, limit);
    return encoded ? std::string("none") : std::string(base::name_of(encoded.error().code));
  };
  EXPECT_EQ(code([](ObjectName&) {}), "none");
  EXPECT_EQ(code([](ObjectName& n) { n.start += base::nanoseconds(1); }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.start = kLatestStart; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.start = kEarliestStart - base::milliseconds(1); }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.run.reason = RunReason{'x'}; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.seq = ~uint64_t{0}; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks.clear(); }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.has_video = false; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.audio = media::Codec::kH264; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.init_bytes = 0; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.container = Container::kMpegTs; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks[1].size_bytes = 0; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks[1].key_bytes = n.chunks[1].size_bytes + 1; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks[1].duration_ms = 3'600'001; }), "invalid");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks.resize(40, n.chunks[0]); }), "limit");
  EXPECT_EQ(code([](ObjectName& n) { n.chunks.resize(70'000, n.chunks[0]); }, 1'000'000), "limit");
  EXPECT_EQ(code([](ObjectName&) {}, 60), "limit");
}

TEST(ObjectName, KeysAndPrefixes) {
  EXPECT_EQ(hour_prefix("front", kStart), "rec/front/2026/11/21/03/");
  EXPECT_EQ(hour_prefix("front", kEarliestStart), "rec/front/1970/01/01/00/");
  const ObjectName name = make_object(kStart, 7, 3);
  EXPECT_EQ(*object_key("front", name), "rec/front/2026/11/21/03/" + *encode_name(name));
  EXPECT_FALSE(object_key("../x", name));
  EXPECT_EQ(name.duration(), base::milliseconds(12000));
  EXPECT_EQ(name.size_bytes(), 1184U + 3 * 1'000'007U + 3U);
}

TEST(ObjectName, CameraNames) {
  for (const char* good : {"a", "0", "front-door-2", "abcdefghijklmnopqrstuvwxyz012345"})
    EXPECT_TRUE(check_camera_name(good)) << good;
  for (const char* bad :
       {"", "-a", "A", "a_b", "a/b", "..", "a.b", "abcdefghijklmnopqrstuvwxyz0123456", "\xC3\xA9"}) {
    EXPECT_FALSE(check_camera_name(bad)) << bad;
  }
}

}  // namespace
}  // namespace miharu::store
