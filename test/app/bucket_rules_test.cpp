#include "app/bucket_rules.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace miharu::app {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::Not;

BucketRuleValues values(const std::string& relay = "r1") {
  BucketRuleValues out;
  out.bucket = "footage";
  out.prefix = "home/";
  out.relay = relay;
  out.keep_days = 14;
  return out;
}

// (action, resource) pairs of statements that allow.
std::set<std::pair<std::string, std::string>> allowed(const json::array& statements) {
  std::set<std::pair<std::string, std::string>> out;
  for (const json::value& each : statements) {
    if (each.at("Effect").as_string() != "Allow") continue;
    for (const json::value& action : each.at("Action").as_array()) {
      for (const json::value& resource : each.at("Resource").as_array())
        out.emplace(action.as_string(), resource.as_string());
    }
  }
  return out;
}

TEST(BucketRules, TheRelayMayCreateBelowItsFolderAndReadItsWishes) {
  const BucketRules rules;
  const json::array statements = rules.user_statements(Role::kRelay, values());
  EXPECT_EQ(allowed(statements), (std::set<std::pair<std::string, std::string>>{
                                     {"s3:PutObject", "arn:aws:s3:::footage/home/r1/*"},
                                     {"s3:PutObject", "arn:aws:s3:::footage/home/r1/live/*.m3u8"},
                                     {"s3:GetObject", "arn:aws:s3:::footage/home/control/r1/wanted.json"}}));
  // What it may overwrite is the live playlist alone.
  for (const json::value& each : statements) {
    if (each.at("Resource").at(0).as_string() != "arn:aws:s3:::footage/home/r1/*") continue;
    EXPECT_EQ(json::serialize(each.at("Condition")), R"({"Null":{"s3:if-none-match":"false"}})");
  }
}

TEST(BucketRules, ListingIsHeldToThePrefixWhereThereIsOne) {
  const BucketRules rules;
  BucketRuleValues all = values();
  EXPECT_THAT(json::serialize(rules.user_statements(Role::kReader, all)),
              HasSubstr(R"({"StringLike":{"s3:prefix":["home/*"]}})"));
  all.prefix.clear();
  EXPECT_THAT(json::serialize(rules.user_statements(Role::kReader, all)), Not(HasSubstr("s3:prefix")));
  EXPECT_THAT(json::serialize(rules.cloudformation()), HasSubstr(R"({"Fn::If":["HasPrefix",{"StringLike")"));
}

TEST(BucketRules, APolicyKeepsWhatOthersHaveSet) {
  const BucketRules rules;
  const BucketRuleForm form{.create_only = true, .tls = true};
  const json::value foreign = json::parse(
      R"({"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Allow"},{"Effect":"Deny"}]})");
  const auto first = rules.bucket_policy(values("r1"), {{Role::kRelay, "relay-1"}, {Role::kReader, "reader"}},
                                         form, foreign);
  const auto second =
      rules.bucket_policy(values("r-1"), {{Role::kRelay, "relay-2"}, {Role::kReader, "reader"}}, form, first);
  const std::string text = json::serialize(second);
  EXPECT_THAT(text, HasSubstr("\"Theirs\""));
  EXPECT_THAT(text, HasSubstr("\"relay-1\""));
  EXPECT_THAT(text, HasSubstr("\"relay-2\""));
  // 2 foreign, 3 of each relay, 3 of readers and 2 for everybody once.
  EXPECT_EQ(second.at("Statement").as_array().size(), 2U + 3 + 3 + 3 + 2);
  // Set again, nothing changes.
  const auto again = rules.bucket_policy(
      values("r-1"), {{Role::kRelay, "relay-2"}, {Role::kReader, "reader"}}, form, second);
  EXPECT_EQ(json::value(again), json::value(second));
}

TEST(BucketRules, WhatAStoreDoesNotKnowIsLeftOut) {
  const BucketRules rules;
  const auto policy = rules.bucket_policy(values(), {{Role::kRelay, "relay"}, {Role::kReader, "reader"}},
                                          {.create_only = false, .tls = false}, nullptr);
  const std::string text = json::serialize(policy);
  EXPECT_THAT(text, Not(HasSubstr("if-none-match")));
  EXPECT_THAT(text, Not(HasSubstr("SecureTransport")));
  EXPECT_THAT(text, HasSubstr("s3:prefix"));
  // The same in the files for its users.
  const std::string files = json::serialize(rules.s3_api(values(), {.create_only = false, .tls = false}));
  EXPECT_THAT(files, Not(HasSubstr("s3:if-none-match")));
  EXPECT_THAT(files, Not(HasSubstr("s3:if-match")));
  EXPECT_THAT(files, HasSubstr("arn:aws:s3:::footage/home/r1/*"));
  EXPECT_THAT(files, HasSubstr("s3:prefix"));
}

TEST(BucketRules, ACamerasOwnKeepingHasARuleOfItsOwn) {
  const BucketRules rules;
  std::map<std::string, unsigned> expiry;
  for (const auto& rule : rules.lifecycle(values())) {
    if (rule.expire_days) expiry[rule.prefix] = *rule.expire_days;
  }
  EXPECT_EQ(expiry, (std::map<std::string, unsigned>{{"home/r1/rec/", 14}, {"home/r1/live/", 1}}));
  BucketRuleValues differ = values();
  differ.camera_keep_days = {{"front", 90}, {"yard", 14}};
  expiry.clear();
  for (const auto& rule : rules.lifecycle(differ)) {
    if (rule.expire_days) expiry[rule.prefix] = *rule.expire_days;
  }
  // A rule for all would be the shorter one for the front.
  EXPECT_EQ(expiry, (std::map<std::string, unsigned>{
                        {"home/r1/rec/front/", 90}, {"home/r1/rec/yard/", 14}, {"home/r1/live/", 1}}));
}

// Days by the prefixes below rec/ in a bucket's setting; "?" for a rule of ours that is about all of
// control/.
std::map<std::string, std::string> recordings_in(const std::string& xml) {
  std::map<std::string, std::string> days;
  const auto between = [](const std::string& text, const std::string& from, const std::string& to) {
    const size_t start = text.find(from);
    return start == std::string::npos
               ? std::string()
               : text.substr(start + from.size(), text.find(to, start) - start - from.size());
  };
  for (size_t at = 0; (at = xml.find("<Rule>", at)) != std::string::npos; ++at) {
    const std::string rule = xml.substr(at, xml.find("</Rule>", at) - at);
    const std::string prefix = between(rule, "<Prefix>", "</Prefix>");
    if (prefix.find("/rec/") != std::string::npos) days[prefix] = between(rule, "<Days>", "</Days>");
    if (prefix == "home/control/") days[prefix] = "?";
  }
  return days;
}

TEST(BucketRules, ACameraThatIsRemovedKeepsItsRule) {
  using Days = std::map<std::string, std::string>;
  const BucketRules rules;
  BucketRuleValues both = values();
  both.camera_keep_days = {{"front", 90}, {"yard", 14}};
  const std::string first = lifecycle_text(rules, both, "", {}).value();
  EXPECT_EQ(recordings_in(first), (Days{{"home/r1/rec/front/", "90"}, {"home/r1/rec/yard/", "14"}}));
  // The front is called door from now on; something of a camera before that never had a rule is there too.
  BucketRuleValues renamed = values();
  renamed.camera_keep_days = {{"door", 20}, {"yard", 14}};
  const std::string second = lifecycle_text(rules, renamed, first, {"front", "oldest", "yard"}).value();
  EXPECT_EQ(recordings_in(second), (Days{{"home/r1/rec/front/", "90"},
                                         {"home/r1/rec/door/", "20"},
                                         {"home/r1/rec/oldest/", "14"},
                                         {"home/r1/rec/yard/", "14"}}));
  // Though none differs any more: one rule for all would end the front's footage early.
  BucketRuleValues same = values();
  same.camera_keep_days = {{"yard", 14}};
  EXPECT_EQ(recordings_in(lifecycle_text(rules, same, first, {}).value()),
            (Days{{"home/r1/rec/front/", "90"}, {"home/r1/rec/yard/", "14"}}));
  same.camera_keep_days = {{"front", 14}, {"yard", 14}};
  const std::string one = lifecycle_text(rules, same, first, {}).value();
  EXPECT_EQ(recordings_in(one), (Days{{"home/r1/rec/", "14"}}));
  // And back, whose rule for all does not stay beside the others. Those of another recorder do.
  const std::string other = lifecycle_text(rules, values("r10"), one, {}).value();
  EXPECT_EQ(recordings_in(lifecycle_text(rules, both, other, {}).value()),
            (Days{{"home/r1/rec/front/", "90"}, {"home/r1/rec/yard/", "14"}, {"home/r10/rec/", "14"}}));
}

TEST(BucketRules, WishesOfThisRecorderAloneExpire) {
  const BucketRules rules;
  for (const auto& rule : rules.lifecycle(values())) EXPECT_NE(rule.prefix, "home/control/") << rule.id;
  const std::string before =
      "<LifecycleConfiguration><Rule><ID>miharu/wishes</ID><Filter><Prefix>home/control/</Prefix></Filter></"
      "Rule>"
      "</LifecycleConfiguration>";
  EXPECT_EQ(recordings_in(before).count("home/control/"), 1U);
  const std::string text = lifecycle_text(rules, values(), before, {}).value();
  EXPECT_EQ(recordings_in(text).count("home/control/"), 0U);
  EXPECT_THAT(text, HasSubstr("<Prefix>home/control/r1/wanted.json</Prefix>"));
}

TEST(BucketRules, CloudFormationPutsItsParametersIn) {
  const std::string text = json::serialize(BucketRules().cloudformation());
  EXPECT_THAT(text, HasSubstr(R"({"Fn::Sub":"${Bucket.Arn}/${Prefix}${Relay}/*"})"));
  EXPECT_THAT(text, HasSubstr(R"("ExpirationInDays":{"Ref":"KeepDays"})"));
  EXPECT_THAT(text, HasSubstr(R"({"Fn::GetAtt":["Bucket","Arn"]})"));
  EXPECT_THAT(text, HasSubstr(R"("ExposedHeaders")"));
  EXPECT_THAT(text, Not(HasSubstr("BucketArn")));
  const std::string s3 = json::serialize(BucketRules().s3_api(values()));
  EXPECT_THAT(s3, HasSubstr(R"("ExposeHeaders")"));
  EXPECT_THAT(s3, HasSubstr(R"("Expiration":{"Days":14})"));
  EXPECT_THAT(s3, Not(HasSubstr("${")));
}

}  // namespace
}  // namespace miharu::app
