// cloud test: whether this relay can upload, and that its key can do nothing else.
#include <openssl/rand.h>

#include <csignal>
#include <tuple>

#include <fmt/format.h>

#include "app/cloud.h"
#include "app/commands.h"
#include "app/step_report.h"

namespace miharu::app {
namespace {

// Uploading waits until the clocks agree so far.
constexpr std::chrono::seconds kMostClockDifference{60};
// The second upload is as large as half a minute of a camera.
constexpr size_t kRateBytes = 8 << 20;

class CloudTest {
 public:
  CloudTest(const CloudAccess& access, bool json)
      : client_(access.bucket, access.credentials, access.http), relay_(access.relay), report_(json) {}

  int run() {
    // Below live/, where everything expires after a day: the relay may delete nothing.
    const std::string folder = fmt::format("live/test/{}/", base::to_unix_ms(base::system_clock().utc()));
    const std::string below = relay_ + "/" + folder;
    first_ = below + std::string(kCloudTestFiles[0]);
    if (!upload()) return kFoundWrong;
    clock();
    checksum(below + std::string(kCloudTestFiles[1]));
    overwrite();
    refusals(folder);
    wanted();
    rate(below + std::string(kCloudTestFiles[2]));
    return report_.wrong() ? kFoundWrong : kDone;
  }

 private:
  void tell(Verdict verdict, std::string_view step, const std::string& text) {
    report_.tell(verdict, step, text);
  }

  bool upload() {
    const auto done = client_.put(first_, "miharu cloud test\n");
    if (!done) {
      tell(Verdict::kWrong, "put", fmt::format("{}: {}", client_.bucket().url(), done.error().error().text));
      return false;
    }
    tell(Verdict::kGood, "put",
         fmt::format("an object was put below {}/{}/", client_.bucket().url(), relay_));
    return true;
  }

  void clock() {
    const auto difference = client_.clock_difference();
    if (!difference)
      return tell(Verdict::kNote, "clock",
                  "the store does not tell its time: a wrong clock would not be noticed");
    const double seconds = std::chrono::duration<double>(*difference).count();
    const std::string text = fmt::format("the store's clock is {:+.1f} s from this machine's", seconds);
    if (std::chrono::abs(*difference) <= kMostClockDifference) return tell(Verdict::kGood, "clock", text);
    tell(Verdict::kWrong, "clock",
         text + "; nothing is uploaded until they agree within 60 s: set the clock, and let NTP keep it");
  }

  // A store that takes other bytes than were signed would make "uploaded" mean nothing.
  void checksum(const std::string& key) {
    const std::string hash = s3::sha256_hex(base::as_bytes("other bytes"));
    const auto done = client_.ask([&](base::UtcTime time) {
      auto request = client_.requests().put(key, net::FileBody{}, hash, {}, time);
      request.body = std::string("these bytes");
      return request;
    });
    if (done)
      return tell(Verdict::kWrong, "checksum",
                  "the store took bytes that do not have the signed SHA-256: use another store, this one "
                  "notices no damage");
    if (done.error().fault == s3::Fault::kChecksum)
      return tell(Verdict::kGood, "checksum", "bytes that changed on their way are refused");
    tell(Verdict::kNote, "checksum",
         "changed bytes were refused, in words that miharu does not know: " + done.error().error().text);
  }

  void overwrite() {
    const auto again = client_.put(first_, "another text\n");
    if (again || again.error().fault != s3::Fault::kExists) {
      tell(Verdict::kWrong, "overwrite",
           "the store does not heed If-None-Match: two attempts would make two versions; use another store");
      return;
    }
    s3::PutOptions plain;
    plain.create_only = false;
    const auto forced = client_.put(first_, "another text\n", plain);
    if (!forced) return tell(Verdict::kGood, "overwrite", "what is there cannot be overwritten");
    tell(Verdict::kNote, "overwrite",
         "miharu overwrites nothing, but whoever stole its key could. AWS can forbid it (condition "
         "s3:if-none-match in the policy); "
         "on a store that cannot, switch versioning on");
  }

  void refused(std::string_view step, const s3::Outcome<void>& outcome, const std::string& what,
               const std::string& to_do) {
    if (outcome)
      return tell(Verdict::kWrong, step,
                  fmt::format("the relay's key may {}, so whoever steals it may: {}", what, to_do));
    const s3::Fault fault = outcome.error().fault;
    if (fault == s3::Fault::kForbidden)
      return tell(Verdict::kGood, step, fmt::format("the relay's key may not {}", what));
    tell(Verdict::kWrong, step,
         fmt::format("whether the relay's key may {} could not be found out: {}", what,
                     outcome.error().error().text));
  }

  void refusals(const std::string& folder) {
    const auto nothing = [](auto&&) {};
    refused("get", client_.get(first_).map(nothing), "read recordings",
            "take s3:GetObject from its policy (but for control/)");
    refused("list", client_.list({.prefix = relay_ + "/", .max_keys = 1}).map(nothing), "list the bucket",
            "take s3:ListBucket from its policy");
    refused("delete", client_.remove(first_), "delete recordings", "take s3:DeleteObject from its policy");
    const std::string allow = fmt::format("allow s3:PutObject below {}/ alone", relay_);
    for (const auto& [step, key, what] :
         {std::tuple{"elsewhere", "not-" + relay_ + "/" + folder + "first.bin",
                     "write to another relay's folder"},
          std::tuple{"app", std::string("app/miharu-cloud-test.txt"), "write the page in app/"}}) {
      const auto done = client_.put(key, "miharu cloud test\n");
      // Whoever may do this may as a rule also undo it.
      if (done) (void)client_.remove(key);
      refused(step, done, what, allow);
    }
  }

  // Without the right to list, a missing key is 403 on AWS: both mean that nobody wants anything.
  void wanted() {
    const auto got = client_.get(fmt::format("control/{}/wanted.json", relay_));
    if (got || got.error().fault == s3::Fault::kNoKey)
      return tell(Verdict::kGood, "wanted", "the wishes of viewers can be read");
    if (got.error().fault == s3::Fault::kForbidden)
      return tell(Verdict::kNote, "wanted",
                  fmt::format("nobody's wishes can be read yet: for live view through the bucket allow "
                              "s3:GetObject of control/{}/wanted.json",
                              relay_));
    tell(Verdict::kWrong, "wanted", got.error().error().text);
  }

  void rate(const std::string& key) {
    std::string noise(kRateBytes, '\0');
    RAND_bytes(reinterpret_cast<unsigned char*>(noise.data()), static_cast<int>(noise.size()));
    const auto began = std::chrono::steady_clock::now();
    const auto done = client_.put(key, std::move(noise));
    if (!done) return tell(Verdict::kWrong, "rate", done.error().error().text);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    tell(Verdict::kGood, "rate",
         fmt::format("{:.1f} Mbit/s of upload over one connection; all cameras together must need less",
                     static_cast<double>(kRateBytes) * 8e-6 / seconds));
  }

  s3::Client client_;
  std::string relay_;
  StepReport report_;
  std::string first_;
};

}  // namespace

int cloud_test_command(const CloudArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  ConfigSources sources;
  sources.file = arguments.config.empty() ? std::filesystem::path("miharu.toml") : arguments.config;
  const auto config = load_config(sources);
  if (!config) {
    fmt::print(stderr, "miharu: {}\n", config.error().text);
    return kCalledWrongly;
  }
  if (!config->cloud.enabled()) {
    return report_error({base::Errc::kInvalid,
                         fmt::format("{} names no bucket: write url = \"s3://BUCKET/PREFIX\" into [cloud]",
                                     sources.file.string())});
  }
  const auto access = make_cloud_access(config->cloud, arguments.data);
  if (!access) return report_error(access.error());
  return CloudTest(*access, arguments.json).run();
}

}  // namespace miharu::app
