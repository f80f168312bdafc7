// prune: deletes what is too old from a bucket whose store does not do so by itself.
#include <unistd.h>

#include <csignal>
#include <functional>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "app/bucket_remover.h"
#include "app/cloud.h"
#include "app/commands.h"
#include "store/object_name.h"
#include "store/wishes.h"

namespace miharu::app {
namespace {

// A wrong clock here would delete what is to be kept.
constexpr base::seconds kMostClockDifference{60};
// As the lifecycle rules of deploy/bucket.json have it.
constexpr std::chrono::hours kLiveLife{24};

struct KeepTimes {
  std::optional<base::nanoseconds> all;
  std::map<std::string, base::nanoseconds> cameras;
  [[nodiscard]] std::optional<base::nanoseconds> of(const std::string& camera) const {
    const auto own = cameras.find(camera);
    return own == cameras.end() ? all : std::optional(own->second);
  }
};

base::Result<KeepTimes> keep_times(const Config& config, const std::vector<std::string>& texts) {
  KeepTimes keep;
  keep.all = config.cloud.keep;
  for (const CameraConfig& camera : config.cameras) {
    if (camera.cloud_keep) keep.cameras[camera.name] = *camera.cloud_keep;
  }
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    const auto age = base::parse_duration(equals == std::string::npos ? text : text.substr(equals + 1));
    if (!age || *age <= base::nanoseconds::zero()) {
      return base::fail(base::Errc::kInvalid,
                        fmt::format("--keep {}: must be 30d for all cameras, or CAMERA=90d for one", text));
    }
    if (equals == std::string::npos) {
      keep.all = *age;
    } else {
      const std::string camera = text.substr(0, equals);
      if (auto good = store::check_camera_name(camera); !good)
        return tl::unexpected(base::Error(good.error()).in("--keep"));
      keep.cameras[camera] = *age;
    }
  }
  if (!keep.all && keep.cameras.empty()) {
    return base::fail(base::Errc::kInvalid,
                      "say how long to keep recordings: --keep 30d, or keep = \"30d\" in [cloud]");
  }
  return keep;
}

class Prune {
 public:
  Prune(s3::Client& bucket, KeepTimes keep, bool dry_run, bool json)
      : bucket_(bucket), keep_(std::move(keep)), dry_run_(dry_run), json_(json) {}

  base::Status run() {
    const auto relays = possible_relays(bucket_);
    if (!relays) return tl::unexpected(relays.error());
    const auto difference = bucket_.clock_difference();
    if (!difference || std::chrono::abs(*difference) > kMostClockDifference) {
      return base::fail(
          base::Errc::kRefused,
          "this machine's clock and the store's do not agree within 60 s: nothing is deleted by "
          "a clock that may be wrong");
    }
    for (const std::string& relay : *relays) {
      const auto cameras = cameras_of(bucket_, relay);
      if (!cameras) return tl::unexpected(cameras.error());
      for (const std::string& camera : *cameras) {
        if (auto done = recordings(relay, camera); !done) return done;
      }
      if (relay.empty()) continue;
      // Of a recorder whose recordings are all gone the wishes of viewers are left: nothing is live without.
      const std::string wishes = store::wishes_key(relay.substr(0, relay.size() - 1));
      bool is_recorder = !cameras->empty();
      if (!is_recorder) {
        const auto listed = for_each_version(bucket_, wishes, "", [&](const s3::ListedVersion& version) {
          is_recorder = is_recorder || version.key == wishes;
          return !is_recorder;
        });
        if (!listed) return listed;
      }
      if (!is_recorder) continue;
      const auto is_live = [&relay](std::string_view key) { return is_live_object(key, relay); };
      if (auto done = by_age(relay + "live/", "live", relay, is_live, false); !done) return done;
      const auto is_wishes = [&wishes](std::string_view key) { return key == wishes; };
      if (auto done = by_age(wishes, "control", relay, is_wishes, true); !done) return done;
    }
    summary();
    return {};
  }

 private:
  // Keys sort by time: what is younger than the first that stays is not even listed.
  base::Status recordings(const std::string& relay, const std::string& camera) {
    const auto keep = keep_.of(camera);
    if (!keep) return {};
    const base::UtcTime older_than = now_ - *keep;
    const std::string prefix = relay + "rec/" + camera + "/";
    const std::string end =
        relay +
        store::hour_prefix(camera, older_than + std::chrono::hours(1));  // first hour that stays whole
    BucketRemover remover(bucket_, dry_run_);
    base::UtcTime until{};
    base::Status status;
    const auto listed = for_each_version(bucket_, prefix, "", [&](const s3::ListedVersion& version) {
      if (version.key >= end) return false;
      const auto name = store::decode_name(store::file_name_of(version.key));
      if (!name) {
        if (version.latest) ++unreadable_;
        return true;
      }
      if (name->end() > older_than) return true;
      until = std::max(until, name->end());
      status = remover.add(version);
      progress(relay + camera, remover);
      return status.has_value();
    });
    if (!listed) return listed;
    if (!status) return status;
    return close(remover, "recordings", relay, camera, until);
  }

  // What nobody needs after a day: live parts, and old versions of what is overwritten. Others may have put
  // something beside it.
  base::Status by_age(const std::string& prefix, std::string_view kind, const std::string& relay,
                      const std::function<bool(std::string_view key)>& is_ours, bool only_old_versions) {
    BucketRemover remover(bucket_, dry_run_);
    base::Status status;
    const auto listed = for_each_version(bucket_, prefix, "", [&](const s3::ListedVersion& version) {
      const auto modified = base::parse_time(version.modified, now_);
      if (!is_ours(version.key) || !modified || now_ - *modified < kLiveLife ||
          (only_old_versions && version.latest))
        return true;
      status = remover.add(version);
      return status.has_value();
    });
    if (!listed) return listed;
    if (!status) return status;
    return close(remover, kind, relay, "", base::UtcTime{});
  }

  base::Status close(BucketRemover& remover, std::string_view kind, const std::string& relay,
                     const std::string& camera, base::UtcTime until) {
    if (auto done = remover.flush(); !done) return done;
    objects_ += remover.objects();
    versions_ += remover.versions();
    bytes_ += remover.bytes();
    if (remover.versions() == 0) return {};
    const std::string folder = relay.substr(0, relay.size() - (relay.empty() ? 0 : 1));
    if (json_) {
      boost::json::object line{{"type", kind},
                               {"relay", folder},
                               {"objects", remover.objects()},
                               {"versions", remover.versions()},
                               {"bytes", remover.bytes()}};
      if (!camera.empty()) {
        line["camera"] = camera;
        line["until"] = base::format_rfc3339(until);
      }
      fmt::print("{}\n", boost::json::serialize(line));
    } else if (!camera.empty()) {
      clear_progress();
      fmt::print("{}{}: {} objects, {:.1f} MB, up to {}\n", relay, camera, remover.objects(),
                 static_cast<double>(remover.bytes()) / 1e6, base::format_rfc3339(until));
    } else {
      fmt::print("{}{}: {} versions, {:.1f} MB\n", relay, kind, remover.versions(),
                 static_cast<double>(remover.bytes()) / 1e6);
    }
    return {};
  }

  void summary() const {
    if (json_) {
      fmt::print("{}\n", boost::json::serialize(boost::json::object{{"type", "summary"},
                                                                    {"objects", objects_},
                                                                    {"versions", versions_},
                                                                    {"bytes", bytes_},
                                                                    {"unreadable", unreadable_},
                                                                    {"dry_run", dry_run_}}));
      return;
    }
    fmt::print("{} objects in {} versions, {:.1f} MB{}\n", objects_, versions_,
               static_cast<double>(bytes_) / 1e6,
               dry_run_ ? ": nothing was deleted (--dry-run)" : " deleted");
    if (unreadable_ > 0) fmt::print(stderr, "miharu: {} names could not be read: left\n", unreadable_);
  }

  void progress(const std::string& camera, const BucketRemover& remover) const {
    if (remover.versions() % 500 == 0 && ::isatty(STDERR_FILENO))
      fmt::print(stderr, "\r\033[K{}: {} objects", camera, remover.objects());
  }
  static void clear_progress() {
    if (::isatty(STDERR_FILENO)) fmt::print(stderr, "\r\033[K");
  }

  s3::Client& bucket_;
  const KeepTimes keep_;
  const bool dry_run_;
  const bool json_;
  const base::UtcTime now_ = base::system_clock().utc();
  uint64_t objects_ = 0;
  uint64_t versions_ = 0;
  uint64_t bytes_ = 0;
  uint64_t unreadable_ = 0;
};

}  // namespace

int prune_command(const AdminArguments& where, const std::vector<std::string>& keep) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto config = load_config_if_there(where.config, where.data);
  if (!config) return report_error(config.error());
  auto times = keep_times(*config, keep);
  if (!times) return report_error(times.error());
  const auto access = open_bucket(where.store, *config, where.profile);
  if (!access) return report_error(access.error());
  s3::Client bucket(access->bucket, access->credentials, access->http);
  if (auto done = Prune(bucket, std::move(*times), where.dry_run, where.json).run(); !done)
    return report_error(done.error());
  return kDone;
}

}  // namespace miharu::app
