#include "app/bucket_setup.h"

#include <openssl/rand.h>

#include <array>

#include <fmt/format.h>

#include "app/bucket_remover.h"
#include "base/check.h"
#include "base/text.h"

namespace miharu::app {
namespace {

namespace json = boost::json;

std::string random_secret() {
  std::array<std::byte, 24> random{};
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), int{random.size()}) == 1);
  return base::to_hex(random);
}

// "footage/home/" and "relay-1" -> "footage-home-relay-1"
std::string user_name(const BucketRuleValues& values, std::string_view who) {
  std::string name = values.bucket + "-" + values.prefix;
  for (char& c : name) {
    if (c == '/') c = '-';
  }
  return name + std::string(who);
}

bool is_unsupported(const s3::Failure& failure) {
  return failure.status == 501 || failure.status == 405 || failure.code == "NotImplemented";
}

}  // namespace

BucketSetup::BucketSetup(s3::Client& admin, const BucketRules& rules, BucketRuleValues values,
                         StepReport& report)
    : admin_(admin), rules_(rules), values_(std::move(values)), report_(report) {}

BucketSetup::Reply BucketSetup::ask(std::string_view method, std::string_view what, std::string body) {
  auto got =
      admin_.ask([&](base::UtcTime time) { return admin_.requests().of_bucket(method, what, body, time); });
  if (!got) return {false, is_unsupported(got.error()), got.error(), {}};
  if (base::to_lower(got->header("server")).find("versitygw") != std::string::npos) is_versitygw_ = true;
  return {true, false, {}, std::move(got->body)};
}

void BucketSetup::settled(const Reply& reply, std::string_view step, const std::string& done,
                          const std::string& without) {
  if (reply.good) return report_.tell(Verdict::kGood, step, done);
  if (reply.unsupported) return report_.tell(Verdict::kNote, step, without);
  report_.tell(Verdict::kWrong, step, reply.failure.error().text);
}

bool BucketSetup::make_bucket() {
  // A listing, because a HEAD is answered without words.
  const auto listed = admin_.list({.prefix = values_.relay + "/", .max_keys = 1});
  if (listed) {
    (void)ask("GET", "versioning");
    report_.tell(Verdict::kGood, "bucket", fmt::format("{} is there", admin_.bucket().url()));
    return true;
  }
  if (listed.error().fault != s3::Fault::kNoBucket) {
    report_.tell(Verdict::kWrong, "bucket", listed.error().error().text);
    return false;
  }
  const std::string& region = admin_.bucket().region;
  std::string where;
  if (region != "us-east-1") {
    where = fmt::format(
        "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{}"
        "</LocationConstraint></CreateBucketConfiguration>",
        region);
  }
  const Reply made = ask("PUT", "", where);
  settled(made, "bucket", fmt::format("the bucket {} was made", values_.bucket),
          "this store makes no buckets for programs: make it in its web page");
  return made.good;
}

void BucketSetup::keep_versions() {
  settled(ask("PUT", "versioning",
              "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled"
              "</Status></VersioningConfiguration>"),
          "versions", "what is overwritten or deleted can be had back",
          "this store keeps no versions: what somebody with the admin key deletes is gone at once");
}

std::string BucketSetup::access_key_of(Role role) const {
  if (!is_versitygw_) return {};
  return user_name(values_, role == Role::kRelay ? std::string_view(values_.relay) : name_of(role));
}

std::map<Role, MadeUser> BucketSetup::make_users() {
  std::map<Role, MadeUser> users;
  if (!is_versitygw_) return users;
  for (const Role role : {Role::kRelay, Role::kReader}) {
    MadeUser user{access_key_of(role), base::Secret(random_secret()), true};
    // Its form: auth.Account of versitygw, as its own `admin create-user` sends it.
    const std::string body =
        fmt::format("<Account><Access>{}</Access><Secret>{}</Secret><Role>user</Role></Account>",
                    user.access_key, user.secret_key.reveal());
    const auto done = admin_.ask(
        [&](base::UtcTime time) { return admin_.requests().of_server("PATCH", "/create-user", body, time); });
    if (!done && done.error().status == 409) {
      user.is_new = false;
      user.secret_key = {};
      report_.tell(Verdict::kNote, name_of(role),
                   fmt::format("the user {} was there already: its key stays what it is", user.access_key));
    } else if (!done) {
      report_.tell(
          Verdict::kWrong, name_of(role),
          fmt::format("the user {} could not be made: {}", user.access_key, done.error().error().text));
      continue;
    } else {
      report_.tell(Verdict::kGood, name_of(role), fmt::format("the user {} was made", user.access_key));
    }
    users.emplace(role, std::move(user));
  }
  return users;
}

BucketRuleForm BucketSetup::set_policy(const std::map<Role, MadeUser>& users) {
  const Reply old = ask("GET", "policy");
  json::value existing;
  if (old.good) {
    boost::system::error_code error;
    existing = json::parse(old.body, error);
    if (error || !existing.is_object()) {
      report_.tell(Verdict::kWrong, "policy", "the bucket's policy is not understood: it was left as it is");
      return {};
    }
  } else if (old.failure.code != "NoSuchBucketPolicy") {
    settled(old, "policy", "",
            "this store has no bucket policies: give the keys their rights in its web page");
    return {};
  }
  std::map<Role, std::string> names;
  for (const auto& [role, user] : users) names.emplace(role, user.access_key);
  // Behind a reverse proxy that ends TLS, a store would lock everybody out.
  BucketRuleForm form{.create_only = true, .tls = admin_.bucket().origin.host.ends_with(".amazonaws.com")};
  const auto put = [&] {
    const json::object policy = rules_.bucket_policy(values_, names, form, existing);
    // Of what users have as policies of their own, nothing may be left to say here.
    if (policy.at("Statement").as_array().empty()) return Reply{true, false, {}, {}};
    return ask("PUT", "policy", json::serialize(policy));
  };
  Reply done = put();
  if (!done.good && done.failure.status == 400) {
    form.create_only = false;
    done = put();
    if (done.good) {
      report_.tell(
          Verdict::kNote, "policy",
          "set, but this store cannot forbid overwriting (it does not know the condition s3:if-none-match): "
          "miharu overwrites nothing, and versions keep what whoever stole the relay's key would overwrite");
      return form;
    }
  }
  settled(done, "policy", "set: who may do what",
          "this store has no bucket policies: give the keys their rights in its web page");
  return {};
}

void BucketSetup::set_cors() {
  const Reply old = ask("GET", "cors");
  const auto text = s3::cors_xml(old.good ? old.body : std::string(), rules_.cors(values_));
  if (!text) return report_.tell(Verdict::kWrong, "cors", text.error().text);
  settled(ask("PUT", "cors", *text), "cors", "pages may read the bucket where they are allowed to",
          "this store has no CORS settings (some let any page read)");
}

void BucketSetup::set_lifecycle() {
  const Reply old = ask("GET", "lifecycle");
  const auto cameras = cameras_of(admin_, values_.relay + "/");
  if (!cameras) return report_.tell(Verdict::kWrong, "lifecycle", cameras.error().text);
  const auto text = lifecycle_text(rules_, values_, old.good ? old.body : std::string(), *cameras);
  if (!text) return report_.tell(Verdict::kWrong, "lifecycle", text.error().text);
  settled(
      ask("PUT", "lifecycle", *text), "lifecycle",
      fmt::format("recordings expire after {} days, of a camera with a cloud_keep after its own; those of "
                  "a camera that is removed or renamed by the rule that it had",
                  values_.keep_days),
      fmt::format("this store deletes nothing by itself: run `miharu prune --keep {}d` every day",
                  values_.keep_days));
}

void BucketSetup::write_wishes() {
  s3::PutOptions options;
  options.content_type = "application/json";
  const auto done = admin_.put(fmt::format("control/{}/wanted.json", values_.relay), "{}\n", options);
  if (done) return report_.tell(Verdict::kGood, "wanted", "viewers can ask this recorder for live pictures");
  if (done.error().fault == s3::Fault::kExists)
    return report_.tell(Verdict::kGood, "wanted", "viewers could ask this recorder before, and still can");
  report_.tell(Verdict::kWrong, "wanted", done.error().error().text);
}

}  // namespace miharu::app
