// deploy/bucket.json in the two forms that are wanted of it: the S3 API's, filled in, and CloudFormation's.
#pragma once

#include <map>

#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

#include "s3/settings.h"

namespace miharu::app {

struct BucketRuleValues {
  std::string bucket;
  std::string prefix;  // of all keys: "" or ends in '/'
  std::string relay;
  unsigned keep_days = 30;
  std::map<std::string, unsigned> camera_keep_days{};  // of all cameras that are known
  // Each camera has a rule of its own, as where one's days differ; else one rule is for all.
  bool by_camera = false;
  std::string origin = "*";  // of the page that reads the bucket directly
};

// What the store can do of the rules.
struct BucketRuleForm {
  bool create_only = true;  // knows the conditions s3:if-none-match and s3:if-match
  bool tls = true;          // sees for itself whether a request came over TLS
};

enum class Role : uint8_t { kRelay, kReader, kAdmin };
std::string_view name_of(Role role);  // "relay", "reader", "admin"

class BucketRules {
 public:
  // Of the file that is part of the program.
  BucketRules();

  // Statements as AWS attaches them to a user: without a principal.
  [[nodiscard]] boost::json::array user_statements(Role role, const BucketRuleValues& values,
                                                   const BucketRuleForm& form = {}) const;
  // The bucket's policy where users are named by access keys in it (`users`), or, with none, where users
  // have policies of their own. `existing` is the policy so far or null: statements that are not ours are
  // kept, those of other relays among them.
  [[nodiscard]] boost::json::object bucket_policy(const BucketRuleValues& values,
                                                  const std::map<Role, std::string>& users,
                                                  const BucketRuleForm& form,
                                                  const boost::json::value& existing) const;
  [[nodiscard]] std::vector<s3::LifecycleRule> lifecycle(const BucketRuleValues& values) const;
  [[nodiscard]] std::vector<s3::CorsRule> cors(const BucketRuleValues& values) const;

  // As the S3 API (and `aws s3api ... file://`) has it: {"RelayPolicy", "ReaderPolicy", "AdminPolicy",
  // "BucketPolicy", "LifecycleConfiguration", "CORSConfiguration"}.
  [[nodiscard]] boost::json::object s3_api(const BucketRuleValues& values,
                                           const BucketRuleForm& form = {}) const;
  // What deploy/aws/template.yaml has of it: {"RelayPolicy", "ReaderPolicy", "AdminPolicy", "BucketPolicy",
  // "LifecycleConfiguration", "CorsConfiguration"}.
  [[nodiscard]] boost::json::object cloudformation() const;

 private:
  boost::json::object rules_;
};

// The bucket's lifecycle setting with that of `values` in it; `existing` is the one so far, or empty. A
// camera that is known no more keeps its rule; where rules are by camera and it has none though it is in the
// bucket (`in_bucket`, names), it gets one of `values.keep_days`. kMalformed as s3::lifecycle_xml.
base::Result<std::string> lifecycle_text(const BucketRules& rules, BucketRuleValues values,
                                         std::string_view existing,
                                         const std::vector<std::string>& in_bucket);

}  // namespace miharu::app
