#include "base/text.h"

#include <gtest/gtest.h>

namespace miharu::base {
namespace {

TEST(Text, CaseIsAscii) {
  EXPECT_EQ(to_lower("Content-TYPE \xc3\x84"), "content-type \xc3\x84");
  EXPECT_TRUE(equals_ignoring_case("rtsp", "RTSP"));
  EXPECT_FALSE(equals_ignoring_case("rtsp", "rtsps"));
  EXPECT_FALSE(equals_ignoring_case("[", "{")) << "32 apart, but no letters";
  EXPECT_TRUE(starts_with_ignoring_case("Digest realm", "digest "));
  EXPECT_FALSE(starts_with_ignoring_case("Dig", "digest"));
}

TEST(Text, Trim) {
  for (const auto& [text, trimmed] :
       {std::pair{"", ""}, {" \t\r\n", ""}, {" a b ", "a b"}, {"a", "a"}, {"\ta\r\n", "a"}})
    EXPECT_EQ(trim(text), trimmed);
}

TEST(Text, TakeUntil) {
  std::string_view rest = "a::b";
  EXPECT_EQ(take_until(rest, ':'), "a");
  EXPECT_EQ(take_until(rest, ':'), "");
  EXPECT_EQ(take_until(rest, ':'), "b");
  EXPECT_EQ(rest, "");
  EXPECT_EQ(take_until(rest, ':'), "");
}

TEST(Text, WordsStandBetweenBlanksAndTabs) {
  std::string_view rest = "  m=video\t9  UDP ";
  EXPECT_EQ(take_word(rest), "m=video");
  EXPECT_EQ(take_word(rest), "9");
  EXPECT_EQ(take_word(rest), "UDP");
  EXPECT_EQ(take_word(rest), "");
  EXPECT_EQ(to_upper("Opus-48 z{"), "OPUS-48 Z{");
}

TEST(Text, ParseNumber) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<uint8_t>("255"), 255);
  EXPECT_EQ(parse_number<uint32_t>("ff", 16), 255U);
  EXPECT_EQ(parse_number<uint64_t>("18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", " 1", "1 ", "+1", "1.0", "0x1", "256", "-1"})
    EXPECT_FALSE(parse_number<uint8_t>(text)) << text;
}

TEST(Text, RedactUrls) {
  struct Case {
    const char* text;
    const char* redacted;
  };
  for (const Case& c :
       {Case{"rtsp://user:pass@10.0.0.1/stream", "rtsp://***@10.0.0.1/stream"},
        {"rtsp://10.0.0.1/a@b", "rtsp://10.0.0.1/a@b"},
        {"rtsp://u:p@ss@10.0.0.1:554/", "rtsp://***@10.0.0.1:554/"},
        {"open \"rtsp://u:p@h/1\", then http://v:q@h/2?x=1",
         "open \"rtsp://***@h/1\", then http://***@h/2?x=1"},
        {"no url: user@host", "no url: user@host"},
        {"rtsp://u:p@h", "rtsp://***@h"},
        {"rtsp://u:se/cret@h/1", "rtsp://***@h/1"},
        {"rtsp://u:12/3?4#5@h:554/1 rtsp://10.0.0.1/a@b", "rtsp://***@h:554/1 rtsp://10.0.0.1/a@b"},
        {"rtsp://[fe80::1]/x", "rtsp://[fe80::1]/x"},
        {"rtsp://", "rtsp://"},
        {"", ""}})
    EXPECT_EQ(redact_urls(c.text), c.redacted);
}

TEST(Text, PercentEncoding) {
  struct Case {
    const char* encoded;
    const char* decoded;
  };
  for (const Case& c : {Case{"a%20b", "a b"},
                        {"%41%5a", "AZ"},
                        {"%e3%81%82", "\xe3\x81\x82"},
                        {"%", "%"},
                        {"%4", "%4"},
                        {"%zz%41", "%zzA"},
                        {"a+b", "a+b"},
                        {"%2541", "%41"},
                        {"%-1", "%-1"},
                        {"%+1", "%+1"}})
    EXPECT_EQ(percent_decode(c.encoded), c.decoded);
  EXPECT_EQ(percent_decode("%00").size(), 1U);
  EXPECT_EQ(percent_encode("a-Z0.9_~"), "a-Z0.9_~");
  EXPECT_EQ(percent_encode("a b/\xff%"), "a%20b%2F%FF%25");
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  EXPECT_EQ(percent_decode(percent_encode(all)), all);
}

}  // namespace
}  // namespace miharu::base
