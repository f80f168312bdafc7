// Makes a bucket what miharu wants of it, with the credentials of whoever administers the store.
#pragma once

#include <map>
#include <string>

#include "app/bucket_rules.h"
#include "app/step_report.h"
#include "s3/client.h"

namespace miharu::app {

struct MadeUser {
  std::string access_key;
  base::Secret secret_key;
  bool is_new = true;  // false: it was there before, and its secret is not known here
};

// Blocking. Each step tells the report what it did, and leaves what others have set in the bucket.
class BucketSetup {
 public:
  // All must outlive it.
  BucketSetup(s3::Client& admin, const BucketRules& rules, BucketRuleValues values, StepReport& report);

  // False: the bucket is not there and could not be made.
  bool make_bucket();
  void keep_versions();
  // Users of the relay and of readers, where the store has an administration that we know (versitygw);
  // empty elsewhere.
  std::map<Role, MadeUser> make_users();
  // What make_users calls the user; "" where it makes none. After make_bucket.
  [[nodiscard]] std::string access_key_of(Role role) const;
  // `users` as made; none where users have policies of their own. Gives the form that the store took.
  BucketRuleForm set_policy(const std::map<Role, MadeUser>& users);
  void set_cors();
  void set_lifecycle();
  // Nobody wants to watch yet.
  void write_wishes();

 private:
  struct Reply {
    bool good = false;
    bool unsupported = false;  // the store does not have this
    s3::Failure failure;
    std::string body;
  };
  Reply ask(std::string_view method, std::string_view what, std::string body = {});
  void settled(const Reply& reply, std::string_view step, const std::string& done,
               const std::string& without);

  s3::Client& admin_;
  const BucketRules& rules_;
  const BucketRuleValues values_;
  StepReport& report_;
  bool is_versitygw_ = false;
};

}  // namespace miharu::app
