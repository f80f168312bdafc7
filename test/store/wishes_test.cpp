#include "store/wishes.h"

#include <gtest/gtest.h>

namespace miharu::store {
namespace {

const base::UtcTime kUntil = base::from_unix_ms(1'795'287'600'123);

TEST(Wishes, WhatIsWrittenIsRead) {
  const std::vector<Wish> wishes = {{"front", "s0123456789abcdef", kUntil}, {"yard-2", "a", base::from_unix_ms(0)}};
  EXPECT_EQ(format_wishes(wishes),
            R"({"cameras":{"front":{"session":"s0123456789abcdef","until":1795287600123},)"
            R"("yard-2":{"session":"a","until":0}}})");
  EXPECT_EQ(parse_wishes(format_wishes(wishes)).value(), wishes);
  EXPECT_EQ(format_wishes({}), "{}");
}

TEST(Wishes, NoneIsNoMistake) {
  for (const char* text : {"{}", " {} \n", R"({"cameras":{}})", R"({"later":1})"}) {
    const auto wishes = parse_wishes(text);
    ASSERT_TRUE(wishes) << text;
    EXPECT_TRUE(wishes->empty()) << text;
  }
}

TEST(Wishes, OneThatIsNoneCostsNoOther) {
  for (const char* bad :
       {R"("../x":{"session":"a","until":1})", R"("UPPER":{"session":"a","until":1})", R"("a":{"session":"a"})",
        R"("a":{"until":1})", R"("a":{"session":"","until":1})", R"("a":{"session":"a/b","until":1})",
        R"("a":{"session":"..","until":1})", R"("a":{"session":"a","until":"1"})", R"("a":{"session":"a","until":1.5})",
        R"("a":{"session":"a","until":-1})", R"("a":{"session":"a","until":99999999999999999999})",
        R"("a":{"session":"a","until":9223372036854775807})", R"("a":{"session":7,"until":1})", R"("a":[])",
        R"("a":null)", R"("a":{"session":"abcdefghijklmnopqrstuvwxyz0123456","until":1})"}) {
    const auto wishes =
        parse_wishes(std::string(R"({"cameras":{)") + bad + R"(,"front":{"session":"s","until":5,"more":[]}}})");
    ASSERT_TRUE(wishes) << bad;
    EXPECT_EQ(*wishes, (std::vector<Wish>{{"front", "s", base::from_unix_ms(5)}})) << bad;
  }
}

TEST(Wishes, WhatIsNoListIsRefused) {
  for (const char* text : {"", "null", "[]", "{", R"({"cameras":[]})", R"({"cameras":1})", "{}x", "\xff\xfe"})
    EXPECT_FALSE(parse_wishes(text)) << text;
  // Deeper than any list of ours.
  EXPECT_FALSE(parse_wishes(R"({"cameras":)" + std::string(100, '[')));
}

TEST(Wishes, AreBounded) {
  std::vector<Wish> wishes;
  for (size_t i = 0; i < kMaxWishes; ++i) wishes.push_back({"c" + std::to_string(i), "s", kUntil});
  EXPECT_EQ(parse_wishes(format_wishes(wishes)).value().size(), kMaxWishes);
  wishes.push_back({"one-more", "s", kUntil});
  EXPECT_EQ(parse_wishes(format_wishes(wishes)).error().code, base::Errc::kLimit);
  EXPECT_EQ(parse_wishes("{}" + std::string(kMaxWishesBytes, ' ')).error().code, base::Errc::kLimit);
}

TEST(Wishes, Keys) {
  EXPECT_EQ(wishes_key("r1"), "control/r1/wanted.json");
  EXPECT_EQ(live_folder("r1", "front", "s1"), "r1/live/front/s1/");
}

}  // namespace
}  // namespace miharu::store
