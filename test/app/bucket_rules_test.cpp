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
  EXPECT_THAT(files, Not(HasSubstr("if-none-match")));
  EXPECT_THAT(files, Not(HasSubstr("if-match")));
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
