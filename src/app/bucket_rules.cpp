#include "app/bucket_rules.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include <fmt/format.h>

#include "app/embedded.h"
#include "base/check.h"
#include "base/text.h"

namespace miharu::app {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 3> kRoles{"relay", "reader", "admin"};
// Was for all that lies in control/, of others too.
constexpr std::string_view kOldWishesRule = "miharu/wishes";
constexpr std::array kAllRoles{Role::kRelay, Role::kReader, Role::kAdmin};

using Fill = std::function<json::value(std::string_view text)>;

json::value filled(const json::value& value, const Fill& fill) {
  if (value.is_string()) return fill(value.get_string());
  if (value.is_array()) {
    json::array out;
    for (const json::value& each : value.get_array()) out.push_back(filled(each, fill));
    return out;
  }
  if (value.is_object()) {
    json::object out;
    for (const auto& [key, each] : value.get_object()) out[key] = filled(each, fill);
    return out;
  }
  return value;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
    text.replace(at, what.size(), with);
  return text;
}

Fill fill_in(const BucketRuleValues& values) {
  return [values](std::string_view text) -> json::value {
    std::string out(text);
    out = replaced(out, "${BucketArn}", "arn:aws:s3:::" + values.bucket);
    out = replaced(out, "${Prefix}", values.prefix);
    out = replaced(out, "${Relay}", values.relay);
    out = replaced(out, "${KeepDays}", std::to_string(values.keep_days));
    out = replaced(out, "${Origin}", values.origin);
    return json::string(out);
  };
}

// Texts with a parameter in them are put together by CloudFormation.
json::value substituted(std::string_view text) {
  if (text.find("${") == std::string_view::npos) return json::string(text);
  if (text == "${KeepDays}") return json::object{{"Ref", "KeepDays"}};
  if (text == "${BucketArn}") return json::object{{"Fn::GetAtt", json::array{"Bucket", "Arn"}}};
  return json::object{{"Fn::Sub", replaced(std::string(text), "${BucketArn}", "${Bucket.Arn}")}};
}

// Statement ids are letters and digits; those of two relays must differ.
std::string statement_id(std::string_view who, const json::value& sid) {
  std::string id = "Miharu";
  for (const char c : who) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    id += plain ? std::string(1, c) : fmt::format("X{:02x}X", static_cast<unsigned char>(c));
  }
  return id + "0" + std::string(sid.as_string());
}

// Conditions that a store does not know would make it refuse the policy as a whole.
bool needs_conditional_writes(const json::object& statement) {
  const json::value* condition = statement.if_contains("Condition");
  return condition != nullptr && condition->as_object().contains("Null");
}

bool is_about_prefix(const json::object& statement) {
  const json::value* condition = statement.if_contains("Condition");
  return condition != nullptr && condition->as_object().contains("StringLike");
}

unsigned number_of(const json::value& value) {
  if (value.is_string())
    return base::parse_number<unsigned>(std::string_view(value.get_string())).value_or(0);
  return static_cast<unsigned>(value.as_int64());
}

std::vector<std::string> texts_of(const json::value& value) {
  std::vector<std::string> out;
  for (const json::value& each : value.as_array()) out.emplace_back(each.as_string());
  return out;
}

std::string policy_name(Role role) {
  std::string name(name_of(role));
  name.front() = static_cast<char>(name.front() - 'a' + 'A');
  return name + "Policy";
}

bool needs_rules_by_camera(const BucketRuleValues& values) {
  return values.by_camera || std::ranges::any_of(values.camera_keep_days, [&values](const auto& each) {
           return each.second != values.keep_days;
         });
}

json::object policy_of(json::array statements) {
  return {{"Version", "2012-10-17"}, {"Statement", std::move(statements)}};
}

}  // namespace

std::string_view name_of(Role role) {
  return kRoles[static_cast<size_t>(role)];
}

base::Result<std::string> lifecycle_text(const BucketRules& rules, BucketRuleValues values,
                                         std::string_view existing,
                                         const std::vector<std::string>& in_bucket) {
  const std::string recordings = fmt::format("miharu/{}/recordings", values.relay);
  const auto ids = s3::lifecycle_ids(existing);
  if (!ids) return tl::unexpected(ids.error());
  std::set<std::string> kept;  // cameras
  for (const std::string_view id : *ids) {
    if (!id.starts_with(recordings + "/")) continue;
    std::string camera(id.substr(recordings.size() + 1));
    if (!values.camera_keep_days.contains(camera)) kept.insert(std::move(camera));
  }
  // One for all would be the shorter one for what was kept longer.
  values.by_camera = needs_rules_by_camera(values) || !kept.empty();
  if (values.by_camera) {
    for (const std::string& camera : in_bucket) {
      if (!kept.contains(camera)) values.camera_keep_days.try_emplace(camera, values.keep_days);
    }
  }
  return s3::lifecycle_xml(existing, rules.lifecycle(values), [&](std::string_view id) {
    // What is both there and wanted is replaced anyway.
    return id == kOldWishesRule || id == recordings ||
           (id.starts_with(recordings + "/") &&
            !kept.contains(std::string(id.substr(recordings.size() + 1))));
  });
}

BucketRules::BucketRules() : rules_(json::parse(bucket_rules_text()).as_object()) {}

json::array BucketRules::user_statements(Role role, const BucketRuleValues& values,
                                         const BucketRuleForm& form) const {
  json::array statements =
      filled(rules_.at("statements").as_object().at(name_of(role)), fill_in(values)).as_array();
  for (json::value& each : statements) {
    json::object& rule = each.as_object();
    // Without a prefix the bucket is ours as a whole; an empty one is no value to compare for every store.
    const bool whole = values.prefix.empty() && is_about_prefix(rule);
    if (whole || (needs_conditional_writes(rule) && !form.create_only)) rule.erase("Condition");
  }
  return statements;
}

json::object BucketRules::bucket_policy(const BucketRuleValues& values,
                                        const std::map<Role, std::string>& users, const BucketRuleForm& form,
                                        const json::value& existing) const {
  json::array statements;
  const auto add = [&](std::string_view who, json::array rules, const std::string* user) {
    for (json::value& each : rules) {
      json::object& rule = each.as_object();
      rule["Sid"] = statement_id(who, rule.at("Sid"));
      if (user != nullptr) rule["Principal"] = json::object{{"AWS", json::array{json::string(*user)}}};
      if (needs_conditional_writes(rule) && !form.create_only) continue;
      if (rule.contains("Condition") && rule.at("Condition").as_object().contains("Bool") && !form.tls)
        continue;
      statements.push_back(std::move(rule));
    }
  };
  for (const auto& [role, user] : users) {
    // No relay is called so: '/' is not part of a folder's name.
    add(role == Role::kRelay ? values.relay : fmt::format("/{}/{}", name_of(role), values.prefix),
        user_statements(role, values, form), &user);
  }
  add("/everybody/" + values.prefix,
      filled(rules_.at("statements").as_object().at("everybody"), fill_in(values)).as_array(), nullptr);
  json::object policy = policy_of({});
  json::array all;
  if (existing.is_object()) {
    policy = existing.get_object();
    if (const json::value* old = policy.if_contains("Statement"); old != nullptr && old->is_array()) {
      for (const json::value& each : old->get_array()) {
        const json::value* sid = each.is_object() ? each.get_object().if_contains("Sid") : nullptr;
        const bool ours = sid != nullptr && std::ranges::any_of(statements, [sid](const json::value& mine) {
                            return mine.as_object().at("Sid") == *sid;
                          });
        if (!ours) all.push_back(each);
      }
    }
  }
  for (json::value& each : statements) all.push_back(std::move(each));
  policy["Statement"] = std::move(all);
  return policy;
}

std::vector<s3::LifecycleRule> BucketRules::lifecycle(const BucketRuleValues& values) const {
  std::vector<s3::LifecycleRule> out;
  const json::value all = filled(rules_.at("lifecycle"), fill_in(values));
  const bool by_camera = needs_rules_by_camera(values);
  for (const json::value& each : all.as_array()) {
    const json::object& rule = each.as_object();
    s3::LifecycleRule made;
    made.id = rule.at("id").as_string();
    made.prefix = rule.at("prefix").as_string();
    const auto days = [&rule](const char* name) -> std::optional<unsigned> {
      const json::value* value = rule.if_contains(name);
      return value == nullptr ? std::nullopt : std::optional(number_of(*value));
    };
    made.expire_days = days("expire_days");
    made.noncurrent_days = days("noncurrent_days");
    made.abort_days = days("abort_days");
    made.delete_markers = rule.contains("delete_markers");
    if (!made.prefix.ends_with("/rec/") || !by_camera) {
      out.push_back(std::move(made));
      continue;
    }
    // The shortest of several rules wins, so one for all would overrule a camera's longer one.
    for (const auto& [camera, keep] : values.camera_keep_days) {
      s3::LifecycleRule own = made;
      own.id += "/" + camera;
      own.prefix += camera + "/";
      own.expire_days = keep;
      out.push_back(std::move(own));
    }
  }
  return out;
}

std::vector<s3::CorsRule> BucketRules::cors(const BucketRuleValues& values) const {
  std::vector<s3::CorsRule> out;
  const json::value all = filled(rules_.at("cors"), fill_in(values));
  for (const json::value& each : all.as_array()) {
    const json::object& rule = each.as_object();
    out.push_back({std::string(rule.at("id").as_string()), texts_of(rule.at("origins")),
                   texts_of(rule.at("methods")), texts_of(rule.at("headers")), texts_of(rule.at("expose")),
                   number_of(rule.at("max_age_seconds"))});
  }
  return out;
}

json::object BucketRules::s3_api(const BucketRuleValues& values, const BucketRuleForm& form) const {
  json::object out;
  for (const Role role : kAllRoles) out[policy_name(role)] = policy_of(user_statements(role, values, form));
  out["BucketPolicy"] = bucket_policy(values, {}, form, nullptr);
  json::array rules;
  for (const s3::LifecycleRule& rule : lifecycle(values)) {
    json::object made{
        {"ID", rule.id}, {"Status", "Enabled"}, {"Filter", json::object{{"Prefix", rule.prefix}}}};
    if (rule.expire_days) made["Expiration"] = json::object{{"Days", *rule.expire_days}};
    if (rule.delete_markers) made["Expiration"] = json::object{{"ExpiredObjectDeleteMarker", true}};
    if (rule.noncurrent_days)
      made["NoncurrentVersionExpiration"] = json::object{{"NoncurrentDays", *rule.noncurrent_days}};
    if (rule.abort_days)
      made["AbortIncompleteMultipartUpload"] = json::object{{"DaysAfterInitiation", *rule.abort_days}};
    rules.push_back(std::move(made));
  }
  out["LifecycleConfiguration"] = json::object{{"Rules", std::move(rules)}};
  json::array cors_rules;
  for (const s3::CorsRule& rule : cors(values)) {
    cors_rules.push_back({{"ID", rule.id},
                          {"AllowedOrigins", json::value_from(rule.origins)},
                          {"AllowedMethods", json::value_from(rule.methods)},
                          {"AllowedHeaders", json::value_from(rule.headers)},
                          {"ExposeHeaders", json::value_from(rule.expose)},
                          {"MaxAgeSeconds", rule.max_age_seconds}});
  }
  out["CORSConfiguration"] = json::object{{"CORSRules", std::move(cors_rules)}};
  return out;
}

json::object BucketRules::cloudformation() const {
  const json::object& statements = rules_.at("statements").as_object();
  json::object out;
  for (const Role role : kAllRoles) {
    json::array of_role = filled(statements.at(name_of(role)), substituted).as_array();
    for (json::value& each : of_role) {
      json::object& statement = each.as_object();
      if (!is_about_prefix(statement)) continue;
      json::value condition = statement.at("Condition");
      statement["Condition"] = json::object{
          {"Fn::If", json::array{"HasPrefix", std::move(condition), json::object{{"Ref", "AWS::NoValue"}}}}};
    }
    out[policy_name(role)] = policy_of(std::move(of_role));
  }
  out["BucketPolicy"] = policy_of(filled(statements.at("everybody"), substituted).as_array());
  json::array lifecycle;
  const json::value lifecycle_rules = filled(rules_.at("lifecycle"), substituted);
  for (const json::value& each : lifecycle_rules.as_array()) {
    const json::object& rule = each.as_object();
    json::object made{{"Id", rule.at("id")}, {"Status", "Enabled"}, {"Prefix", rule.at("prefix")}};
    if (const auto* days = rule.if_contains("expire_days")) made["ExpirationInDays"] = *days;
    if (const auto* days = rule.if_contains("noncurrent_days"))
      made["NoncurrentVersionExpiration"] = json::object{{"NoncurrentDays", *days}};
    if (const auto* days = rule.if_contains("abort_days"))
      made["AbortIncompleteMultipartUpload"] = json::object{{"DaysAfterInitiation", *days}};
    if (rule.contains("delete_markers")) made["ExpiredObjectDeleteMarker"] = true;
    lifecycle.push_back(std::move(made));
  }
  out["LifecycleConfiguration"] = json::object{{"Rules", std::move(lifecycle)}};
  json::array cors;
  const json::value cors_rules = filled(rules_.at("cors"), substituted);
  for (const json::value& each : cors_rules.as_array()) {
    const json::object& rule = each.as_object();
    cors.push_back({{"Id", rule.at("id")},
                    {"AllowedOrigins", rule.at("origins")},
                    {"AllowedMethods", rule.at("methods")},
                    {"AllowedHeaders", rule.at("headers")},
                    {"ExposedHeaders", rule.at("expose")},
                    {"MaxAge", rule.at("max_age_seconds")}});
  }
  out["CorsConfiguration"] = json::object{{"CorsRules", std::move(cors)}};
  return out;
}

}  // namespace miharu::app
