// cloud init: a bucket for this recorder, its keys, and what has to be done by hand.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <iostream>

#include <fmt/format.h>

#include "api/auth/tokens.h"
#include "app/bucket_setup.h"
#include "app/cloud.h"
#include "app/commands.h"
#include "app/config_values.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/credentials.h"

namespace miharu::app {
namespace {

namespace json = boost::json;

constexpr std::chrono::hours kDay{24};
constexpr size_t kMostUserName = 64;  // of IAM

// Questions on the terminal, each with a default. With `yes` the default is taken.
class Questions {
 public:
  explicit Questions(bool yes) : yes_(yes) {}

  // Asked again until `check` has nothing against the answer.
  base::Result<std::string> ask(const std::string& what, const std::string& standard,
                                const std::function<base::Status(std::string_view)>& check) {
    for (;;) {
      std::string answer = standard;
      if (!yes_) {
        std::cerr << what << (standard.empty() ? "" : " [" + standard + "]") << ": " << std::flush;
        std::string line;
        if (!std::getline(std::cin, line))
          return base::fail(base::Errc::kInvalid,
                            what + ": no answer; use --yes and the options of `miharu cloud init --help`");
        if (const auto trimmed = base::trim(line); !trimmed.empty()) answer = trimmed;
      }
      const base::Status good = check(answer);
      if (good) return answer;
      if (yes_) return tl::unexpected(base::Error(good.error()).in(what));
      std::cerr << good.error().text << "\n";
    }
  }

  base::Result<bool> confirm(const std::string& what) {
    if (yes_) return true;
    const auto answer = ask(what + " (yes or no)", "yes", [](std::string_view text) -> base::Status {
      if (text == "yes" || text == "y" || text == "no" || text == "n") return {};
      return base::fail(base::Errc::kInvalid, "please answer yes or no");
    });
    if (!answer) return tl::unexpected(answer.error());
    return answer->starts_with('y');
  }

 private:
  bool yes_;
};

base::Status check_days(std::string_view text) {
  const auto age = base::parse_duration(text);
  if (age && *age >= kDay && *age % kDay == base::nanoseconds::zero()) return {};
  return base::fail(base::Errc::kInvalid, "must be whole days, as 30d");
}

unsigned days_of(base::nanoseconds age) {
  return static_cast<unsigned>((age + kDay - base::nanoseconds(1)) / kDay);
}

std::map<std::string, unsigned> camera_days(const Config& config, unsigned keep_days) {
  std::map<std::string, unsigned> days;
  for (const CameraConfig& camera : config.cameras)
    days[camera.name] = camera.cloud_keep ? days_of(*camera.cloud_keep) : keep_days;
  return days;
}

base::Status accept_anything(std::string_view text) {
  static_cast<void>(text);
  return {};
}

// What people give for the endpoint of AWS.
base::Status check_endpoint(std::string_view text) {
  return text.empty() || text == "aws" ? base::Status() : check_http_url(text);
}

class CloudInit {
 public:
  CloudInit(const CloudInitArguments& arguments, Config config)
      : arguments_(arguments),
        config_(std::move(config)),
        questions_(arguments.yes),
        report_(arguments.json) {}

  int run() {
    if (auto asked = ask(); !asked) return report_error(asked.error());
    if (auto written = write_policies({}); !written) return report_error(written.error());
    report_.tell(Verdict::kGood, "policies",
                 fmt::format("{}: policies, lifecycle and CORS, for whoever sets them by hand",
                             arguments_.out.string()));
    if (auto key = api::TokenKey::load_or_create(file("serve.key")); !key) return report_error(key.error());
    report_.tell(
        Verdict::kGood, "serve-key",
        file("serve.key").string() + ": the signing key of `serve` or the function, never of a recorder");
    if (arguments_.print_only) {
      report_.tell(Verdict::kNote, "bucket", "not touched, as --print-only asks");
    } else if (auto applied = apply(); !applied) {
      return report_error(applied.error());
    }
    if (auto told = tell_config(); !told) return report_error(told.error());
    tell_next();
    return report_.wrong() ? kFoundWrong : kDone;
  }

 private:
  [[nodiscard]] std::filesystem::path file(std::string_view name) const { return arguments_.out / name; }
  [[nodiscard]] bool is_aws() const { return cloud_.endpoint.empty(); }

  base::Status ask() {
    const auto take = [&](std::string& out, const std::string& given, const std::string& what,
                          const std::string& standard, const auto& check) -> base::Status {
      if (!given.empty()) {
        if (auto good = check(given); !good) return tl::unexpected(base::Error(good.error()).in(what));
        out = given;
        return {};
      }
      auto answer = questions_.ask(what, standard, check);
      if (answer) out = std::move(*answer);
      return answer ? base::Status() : tl::unexpected(answer.error());
    };
    cloud_ = config_.cloud;
    const auto bucket_url = [](std::string_view text) {
      return s3::make_bucket(text, "", "").map([](auto&&) {});
    };
    if (auto good =
            take(cloud_.url, arguments_.url, "bucket, as s3://BUCKET/PREFIX", config_.cloud.url, bucket_url);
        !good)
      return good;
    std::string endpoint = config_.cloud.endpoint;
    for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
      const char* value = std::getenv(name);
      if (endpoint.empty() && value != nullptr) endpoint = value;
    }
    if (auto good = take(cloud_.endpoint, arguments_.endpoint, "address of the store (aws, or https://...)",
                         endpoint.empty() ? "aws" : endpoint, check_endpoint);
        !good)
      return good;
    if (cloud_.endpoint == "aws") cloud_.endpoint.clear();
    const s3::CredentialSources sources{{}, arguments_.profile, s3::process_variables()};
    const std::string region = config_.cloud.region.empty() ? s3::load_region(sources) : config_.cloud.region;
    if (auto good = take(cloud_.region, arguments_.region, "region", region.empty() ? "us-east-1" : region,
                         accept_anything);
        !good)
      return good;
    std::string relay = config_.cloud.relay;
    if (relay.empty() && std::filesystem::exists(arguments_.data / "relay-id")) {
      auto known = relay_id(config_.cloud, arguments_.data);
      if (!known) return tl::unexpected(known.error());
      relay = std::move(*known);
    }
    if (auto good = take(cloud_.relay, arguments_.relay, "name of this recorder, its folder in the bucket",
                         relay.empty() ? new_relay_id() : relay, check_relay_name);
        !good)
      return good;
    std::string keep;
    const std::string standard_keep =
        config_.cloud.keep ? fmt::format("{}d", days_of(*config_.cloud.keep)) : std::string("30d");
    if (auto good =
            take(keep, arguments_.keep, "how long recordings are kept there", standard_keep, check_days);
        !good)
      return good;
    std::string origin;
    if (auto good = take(origin, arguments_.origin, "address of the page that may read the bucket (* is any)",
                         "*", accept_anything);
        !good)
      return good;
    cloud_.keep = base::parse_duration(keep).value();
    auto bucket = s3::make_bucket(cloud_.url, cloud_.endpoint, cloud_.region, cloud_.addressing);
    if (!bucket) return tl::unexpected(bucket.error());
    values_.bucket = bucket->name;
    values_.prefix = bucket->prefix;
    values_.relay = cloud_.relay;
    values_.keep_days = days_of(*cloud_.keep);
    values_.origin = origin;
    values_.camera_keep_days = camera_days(config_, values_.keep_days);
    return {};
  }

  base::Status write_text(const std::filesystem::path& path, const std::string& text, unsigned mode) {
    return base::write_file(path, base::as_bytes(text), mode);
  }

  // For whoever gives rights by hand, and for `aws ... file://`.
  base::Status write_policies(const BucketRuleForm& form) {
    std::error_code error;
    std::filesystem::create_directories(arguments_.out, error);
    std::filesystem::permissions(arguments_.out, std::filesystem::perms::owner_all, error);
    if (error) return base::fail(base::Errc::kIo, arguments_.out.string() + ": " + error.message());
    const std::map<std::string_view, std::string_view> names{
        {"RelayPolicy", "policy-relay.json"},         {"ReaderPolicy", "policy-reader.json"},
        {"AdminPolicy", "policy-admin.json"},         {"BucketPolicy", "policy-bucket.json"},
        {"LifecycleConfiguration", "lifecycle.json"}, {"CORSConfiguration", "cors.json"}};
    for (const auto& [key, value] : rules_.s3_api(values_, form)) {
      if (auto written = write_text(file(names.at(key)), json::serialize(value) + "\n", 0600); !written)
        return written;
    }
    return {};
  }

  [[nodiscard]] std::filesystem::path key_file(Role role) const {
    return file(fmt::format("{}.credentials", name_of(role)));
  }

  // A secret is told once: over another one's it would be lost.
  base::Status check_key_file(Role role, const std::string& access_key) const {
    const std::filesystem::path path = key_file(role);
    if (access_key.empty() || !std::filesystem::exists(path)) return {};
    const auto known = s3::load_credentials({path, {}, {}});
    if (!known) return tl::unexpected(known.error());
    if (known->access_key == access_key) return {};
    return base::fail(base::Errc::kRefused,
                      fmt::format("{} has the key {}, and {} would be written over it: give each recorder a "
                                  "folder of its own with --out",
                                  path.string(), known->access_key, access_key));
  }

  base::Status apply() {
    // The relay's own credentials would not be allowed to.
    auto access = make_admin_access(cloud_, arguments_.profile);
    if (!access) {
      report_.tell(Verdict::kNote, "bucket",
                   "not touched, without the credentials of its administrator: " + access.error().text);
      return {};
    }
    const auto agreed = questions_.confirm(
        fmt::format("set {} up with the key {}", access->bucket.url(), access->credentials.access_key));
    if (!agreed) return tl::unexpected(agreed.error());
    if (!*agreed) return {};
    s3::Client admin(access->bucket, access->credentials, access->http);
    BucketSetup setup(admin, rules_, values_, report_);
    if (!setup.make_bucket()) return {};
    for (const Role role : {Role::kRelay, Role::kReader}) {
      if (auto free = check_key_file(role, setup.access_key_of(role)); !free) return free;
    }
    setup.keep_versions();
    const std::map<Role, MadeUser> users = setup.make_users();
    for (const auto& [role, user] : users) {
      if (!user.is_new) continue;
      const auto path = key_file(role);
      if (auto written = write_text(path,
                                    fmt::format("aws_access_key_id = {}\naws_secret_access_key = {}\n",
                                                user.access_key, user.secret_key.reveal()),
                                    0600);
          !written)
        return written;
      has_keys_ = true;
    }
    const BucketRuleForm form = setup.set_policy(users);
    // What the store refused in the bucket's policy it would refuse in those of its users.
    if (auto written = write_policies(form); !written) return written;
    setup.set_cors();
    setup.set_lifecycle();
    setup.write_wishes();
    applied_ = true;
    return {};
  }

  [[nodiscard]] std::string section() const {
    std::string text = fmt::format("[cloud]\nurl = \"{}\"\n", cloud_.url);
    if (!is_aws()) text += fmt::format("endpoint = \"{}\"\n", cloud_.endpoint);
    text += fmt::format("region = \"{}\"\nrelay = \"{}\"\nkeep = \"{}d\"\n", cloud_.region, cloud_.relay,
                        values_.keep_days);
    text += fmt::format("credentials_file = \"{}\"\n",
                        std::filesystem::absolute(file("relay.credentials")).lexically_normal().string());
    return text;
  }

  base::Status tell_config() {
    const std::filesystem::path toml = arguments_.config.empty() ? "miharu.toml" : arguments_.config;
    if (config_.cloud.enabled()) {
      report_.tell(Verdict::kNote, "config",
                   fmt::format("{} has a [cloud] already; it should say:\n{}", toml.string(), section()));
      return {};
    }
    const auto agreed = arguments_.print_only ? base::Result<bool>(false)
                                              : questions_.confirm("write [cloud] to " + toml.string());
    if (!agreed) return tl::unexpected(agreed.error());
    if (!*agreed) {
      report_.tell(Verdict::kNote, "config", fmt::format("put this into {}:\n{}", toml.string(), section()));
      return {};
    }
    std::string text;
    unsigned mode = 0640;
    if (std::filesystem::exists(toml)) {
      const auto old = base::read_file(toml, kMaxConfigBytes);
      if (!old) return tl::unexpected(old.error());
      text = std::string(base::as_text(*old)) + "\n";
      mode = static_cast<unsigned>(std::filesystem::status(toml).permissions()) & 0777;
    }
    if (auto written = write_text(toml, text + section(), mode); !written) return written;
    report_.tell(Verdict::kGood, "config", toml.string() + " has a [cloud] now");
    return {};
  }

  void tell_next() {
    if (report_.json()) return;
    const std::string out = arguments_.out.string();
    fmt::print("\nWhat is next:\n");
    int number = 0;
    const auto next = [&number](const std::string& text) { fmt::print("{}. {}\n", ++number, text); };
    if (!applied_)
      next(fmt::format(
          "Make the bucket {} if it is not there, and set in it what {}/ has: policy-bucket.json, "
          "lifecycle.json, cors.json; put an object {}control/{}/wanted.json that holds {{}}.",
          values_.bucket, out, values_.prefix, values_.relay));
    if (is_aws()) {
      next("Make the two users and their keys (or use deploy/aws/template.yaml, which does all of it):");
      for (const std::string_view who : {"relay", "reader"}) {
        const std::string user = user_of_aws(who);
        fmt::print(
            "     aws iam create-user --user-name {}\n"
            "     aws iam put-user-policy --user-name {} --policy-name miharu --policy-document "
            "file://{}/policy-{}.json\n"
            "     aws iam create-access-key --user-name {}\n",
            user, user, out, who, user);
      }
      tell_key_files(next);
    } else if (!has_keys_ && !users_were_there()) {
      next(fmt::format(
          "Make two keys in the store's own administration: one for the recorder with the rights of "
          "{}/policy-relay.json, one for readers with those of policy-reader.json. A store that knows "
          "no such policies: a key that may only write, and one that may only read.{}",
          out,
          applied_ ? "" : " One that does not know the condition s3:if-none-match: the files without it."));
      tell_key_files(next);
    }
    next(fmt::format(
        "Only {0}/relay.credentials belongs on the recorder: move the rest of {0}/ to where `serve` "
        "runs, and keep the administrator's key off both.",
        out));
    next("Try it out: miharu cloud test");
    next(
        fmt::format("Let somebody in: {}miharu user add NAME --store {} (with the administrator's key in "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
                    store_variables(), cloud_.url));
    next(fmt::format(
        "Watch from anywhere: {}MIHARU_TOKEN_KEY_FILE=serve.key miharu serve --store {} (with the "
        "reader's key in those)",
        store_variables(), cloud_.url));
    fmt::print(
        "\nRun this again after cameras were added, or cloud_keep was changed: where cameras are kept "
        "differently, one without a rule never expires. What there is of a camera that was removed expires "
        "by the rule that it had, or after {} days.\n",
        values_.keep_days);
  }

  template <class Next>
  void tell_key_files(const Next& next) const {
    next(
        fmt::format("Write the recorder's key to {0}/relay.credentials (chmod 600), as\n"
                    "     aws_access_key_id = ...\n     aws_secret_access_key = ...\n"
                    "   and the readers' to {0}/reader.credentials likewise.",
                    arguments_.out.string()));
  }

  // As deploy/aws/template.yaml calls them, and no longer than a name in IAM may be.
  [[nodiscard]] std::string user_of_aws(std::string_view who) const {
    const std::string end = who == "relay" ? "-relay-" + values_.relay : fmt::format("-{}", who);
    return values_.bucket.substr(0, kMostUserName - end.size()) + end;
  }

  // Of commands that do not read miharu.toml.
  [[nodiscard]] std::string store_variables() const {
    return (is_aws() ? "" : "AWS_ENDPOINT_URL=" + cloud_.endpoint + " ") + "AWS_REGION=" + cloud_.region +
           " ";
  }

  [[nodiscard]] bool users_were_there() const { return std::filesystem::exists(file("relay.credentials")); }

  const CloudInitArguments& arguments_;
  Config config_;
  Questions questions_;
  StepReport report_;
  BucketRules rules_;
  Config::Cloud cloud_;
  BucketRuleValues values_;
  bool applied_ = false;
  bool has_keys_ = false;
};

}  // namespace

int cloud_init_command(const CloudInitArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  // What is not there yet is written.
  const bool is_new = !arguments.config.empty() && !std::filesystem::exists(arguments.config);
  ConfigSources only_added;
  only_added.cameras_file = arguments.data / "cameras.toml";
  const auto config =
      is_new ? load_config(only_added) : load_config_if_there(arguments.config, arguments.data);
  if (!config) {
    fmt::print(stderr, "miharu: {}\n", config.error().text);
    return kCalledWrongly;
  }
  return CloudInit(arguments, *config).run();
}

int cloud_policy_command(const CloudInitArguments& arguments, const std::string& form) {
  const BucketRules rules;
  if (form == "cloudformation") {
    fmt::print("{}\n", json::serialize(rules.cloudformation()));
    return kDone;
  }
  const auto config = load_config_if_there(arguments.config, arguments.data);
  if (!config) {
    fmt::print(stderr, "miharu: {}\n", config.error().text);
    return kCalledWrongly;
  }
  const std::string url = arguments.url.empty() ? config->cloud.url : arguments.url;
  const auto bucket = s3::make_bucket(url, "", "");
  if (!bucket) return report_error(base::Error(bucket.error()).in("--url"));
  BucketRuleValues values;
  values.bucket = bucket->name;
  values.prefix = bucket->prefix;
  values.relay = arguments.relay.empty() ? config->cloud.relay : arguments.relay;
  if (auto good = check_relay_name(values.relay); !good)
    return report_error(base::Error(good.error()).in("--relay"));
  if (!arguments.keep.empty()) {
    if (auto good = check_days(arguments.keep); !good)
      return report_error(base::Error(good.error()).in("--keep"));
    values.keep_days = days_of(base::parse_duration(arguments.keep).value());
  } else if (config->cloud.keep) {
    values.keep_days = days_of(*config->cloud.keep);
  }
  values.camera_keep_days = camera_days(*config, values.keep_days);
  if (!arguments.origin.empty()) values.origin = arguments.origin;
  fmt::print("{}\n", json::serialize(rules.s3_api(values)));
  return kDone;
}

}  // namespace miharu::app
