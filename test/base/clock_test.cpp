#include "base/clock.h"

#include <gtest/gtest.h>

namespace miharu::base {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

const UtcTime kNow = from_unix_ms(1'795'231'259'123);  // 2026-11-21T03:20:59.123Z

TEST(Clock, ParseTime) {
  struct Case {
    const char* text;
    UtcTime time;
  };
  const UtcTime second = from_unix_ms(1'795'231'259'000);
  for (const Case& c : {Case{"now", kNow},
                        {"-2h", kNow - hours(2)},
                        {"now-2h", kNow - hours(2)},
                        {"now+5m", kNow + minutes(5)},
                        {"+5m", kNow + minutes(5)},
                        {"-1d12h", kNow - hours(36)},
                        {"-500ms", kNow - milliseconds(500)},
                        {"-0s", kNow},
                        {"1795231259", second},
                        {"1795231259.5", second + milliseconds(500)},
                        {"1795231259.000000001", second + nanoseconds(1)},
                        {"1795231259.0000000019", second + nanoseconds(1)},
                        {"1795231259123", kNow},
                        {"0", UtcTime()},
                        {"2026-11-21T03:20:59.123Z", kNow},
                        {"2026-11-21T03:20:59Z", second},
                        {"2026-11-21t03:20:59z", second},
                        {"2026-11-21 03:20:59Z", second},
                        {"2026-11-21T12:20:59+09:00", second},
                        {"2026-11-20T22:50:59-04:30", second},
                        {"2024-02-29T00:00:00Z", from_unix_ms(1'709'164'800'000)},
                        {"1970-01-01T00:00:00Z", UtcTime()},
                        {"1969-12-31T23:59:59Z", UtcTime() - seconds(1)},
                        {"2016-12-31T23:59:60Z", from_unix_ms(1'483'228'800'000)}}) {
    const auto time = parse_time(c.text, kNow);
    ASSERT_TRUE(time) << c.text << ": " << time.error().text;
    EXPECT_EQ(*time, c.time) << c.text << " is " << format_rfc3339(*time);
  }
}

TEST(Clock, WhatIsNoTime) {
  for (const char* text : {"",
                           " ",
                           "today",
                           "now-",
                           "now2h",
                           "nowhere",
                           "-",
                           "-2",
                           "2h",
                           "-2x",
                           "-2h ",
                           "--2h",
                           "-h",
                           "- 2h",
                           "-2.5h",
                           "-99999999999999999999h",
                           "-101y",
                           "-40000d",
                           "1795231259.",
                           "1795231259.x",
                           "1795231259.1.2",
                           "17952x",
                           "1795231259123.5",
                           "1234567890123456",
                           "2026-11-21",
                           "2026-11-21T03:20:59",
                           "2026-11-21T04:00Z",
                           "2026-13-21T03:20:59Z",
                           "2026-02-29T03:20:59Z",
                           "2026-11-21T24:00:59Z",
                           "2026-11-21T04:60:59Z",
                           "2026-11-21T04:00:61Z",
                           "2026-11-21T03:20:59.Z",
                           "2026-11-21T03:20:59+9:00",
                           "2026-11-21T03:20:59+24:00",
                           "2026-11-21T03:20:59+0900",
                           "2026-11-21T03:20:59Zx",
                           "26-11-21T03:20:59Z",
                           "2026/11/21T03:20:59Z"}) {
    const auto time = parse_time(text, kNow);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().code, Errc::kInvalid) << text;
    EXPECT_NE(time.error().text.find(text), std::string::npos) << "tells what it could not read";
  }
}

TEST(Clock, TimesThatNanosecondsCannotHoldAreRefused) {
  for (const char* text :
       {"9999-12-31T23:59:59Z", "2262-01-01T00:00:00Z", "1677-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
        "99999999999", "9214646400", "999999999999999", "9214646400000", "2261-12-31T23:59:59-00:01"}) {
    const auto time = parse_time(text, kNow);
    ASSERT_FALSE(time) << text << " is " << format_rfc3339(*time);
    EXPECT_NE(time.error().text.find("2261"), std::string::npos) << time.error().text;
  }
  EXPECT_EQ(format_rfc3339(*parse_time("2261-12-31T23:59:59.999Z", kNow)), "2261-12-31T23:59:59.999Z");
  EXPECT_EQ(format_rfc3339(*parse_time("1678-01-01T00:00:00Z", kNow)), "1678-01-01T00:00:00.000Z");
}

TEST(Clock, Format) {
  EXPECT_EQ(format_rfc3339(kNow), "2026-11-21T03:20:59.123Z");
  EXPECT_EQ(format_rfc3339(UtcTime()), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_rfc3339(UtcTime() - nanoseconds(1)), "1969-12-31T23:59:59.999Z") << "rounded down";
  for (const UtcTime time : {kNow, UtcTime(), kNow + days(30'000), kNow - days(60'000)})
    EXPECT_EQ(*parse_time(format_rfc3339(time), kNow), time);
}

TEST(Clock, UnixMilliseconds) {
  EXPECT_EQ(to_unix_ms(UtcTime(nanoseconds(1'999'999))), 1);
  EXPECT_EQ(to_unix_ms(UtcTime(nanoseconds(-1))), -1) << "rounded down";
  EXPECT_EQ(to_unix_ms(from_unix_ms(-5)), -5);
}

TEST(Clock, ParseDuration) {
  struct Case {
    const char* text;
    nanoseconds length;
  };
  for (const Case& c : {Case{"30s", seconds(30)},
                        {"7d", days(7)},
                        {"1h30m", minutes(90)},
                        {"500ms", milliseconds(500)},
                        {"1d2h3m4s5ms", days(1) + hours(2) + minutes(3) + seconds(4) + milliseconds(5)},
                        {"0s", seconds(0)},
                        {"36600d", days(36600)}}) {
    const auto length = parse_duration(c.text);
    ASSERT_TRUE(length) << c.text;
    EXPECT_EQ(*length, c.length) << c.text;
  }
  for (const char* text : {"", "30", "s", "-30s", "+30s", "30 s", "1.5h", "30S", "30min", "30s5", "36601d",
                           "3200000000s", "9223372036854775807ms", "9223372036854775808s", "20000d20000d"}) {
    const auto length = parse_duration(text);
    ASSERT_FALSE(length) << text;
    EXPECT_EQ(length.error().code, Errc::kInvalid);
  }
}

TEST(Clock, TheSystemsClocksRun) {
  const SteadyTime before = system_clock().steady();
  EXPECT_GE(system_clock().steady(), before);
  EXPECT_GT(system_clock().utc(), from_unix_ms(1'700'000'000'000));
}

}  // namespace
}  // namespace miharu::base
