// delete: takes an interval of a camera off the disk and out of the bucket, and writes down who did.
#include <openssl/rand.h>
#include <pwd.h>
#include <unistd.h>

#include <csignal>
#include <iostream>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <boost/json.hpp>

#include "app/bucket_remover.h"
#include "app/cloud.h"
#include "app/commands.h"
#include "app/intervals.h"
#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "record/camera_writer.h"
#include "record/gap_log.h"
#include "record/numbering.h"
#include "record/recovery.h"
#include "store/catalog.h"
#include "upload/upload_log.h"

namespace miharu::app {
namespace {

// Live parts of a time are put while it passes, or soon after.
constexpr std::chrono::minutes kLiveDelay{10};

std::string user_name() {
  if (const char* user = std::getenv("SUDO_USER"); user != nullptr && *user != '\0') return user;
  const passwd* entry = ::getpwuid(::getuid());
  return entry != nullptr ? entry->pw_name : std::to_string(::getuid());
}

// What whole objects reach over.
struct Extent {
  std::optional<Interval> whole;
  void take(base::UtcTime from, base::UtcTime to) {
    whole = whole ? Interval{std::min(whole->from, from), std::max(whole->to, to)} : Interval{from, to};
  }
};

class Deletion {
 public:
  Deletion(const DeleteArguments& arguments, const Config& config, Interval interval)
      : arguments_(arguments), config_(config), camera_(arguments.what.camera), interval_(interval) {}

  int run() {
    if (auto found = find(); !found) return report_error(found.error());
    if (local_.empty() && versions_.empty()) {
      return report_error(
          {base::Errc::kNotFound,
           fmt::format("nothing of camera {} is there between {} and {}", camera_,
                       base::format_rfc3339(interval_.from), base::format_rfc3339(interval_.to))});
    }
    if (!extent_.whole) extent_.whole = interval_;  // live parts alone
    const std::string what =
        fmt::format("camera {}, {} to {} (objects are deleted whole): {}, {}", camera_,
                    base::format_rfc3339(extent_.whole->from), base::format_rfc3339(extent_.whole->to),
                    is_local() ? objects_of(local_.size(), local_bytes_) + " on this disk"
                               : "this disk was not looked at",
                    bucket_ ? fmt::format("{} in {} versions in the bucket",
                                          objects_of(bucket_objects_, bucket_bytes_), versions_.size())
                            : "no bucket was looked at");
    if (arguments_.bucket.dry_run) {
      tell(what + ": nothing was deleted (--dry-run)");
      return kDone;
    }
    if (!arguments_.yes && !confirmed(what))
      return report_error({base::Errc::kClosed, "nothing was deleted"});
    // First of all: nothing goes without a trace.
    if (auto done = write_down(); !done) return report_error(done.error());
    if (auto done = remove_local(); !done) return report_error(done.error());
    // Before the bucket, which may refuse: when asked again, nothing is here to be explained any more.
    const auto explained = explain_gap();
    if (auto done = remove_from_bucket(); !done) return report_error(done.error());
    if (!explained) return report_error(explained.error());
    tell(what + ": deleted for good");
    tell_cached();
    return kDone;
  }

 private:
  static std::string objects_of(size_t count, uint64_t bytes) {
    return fmt::format("{} objects ({})", count, megabytes(bytes));
  }
  [[nodiscard]] bool is_local() const { return arguments_.only != "bucket"; }
  // A recorder without a bucket has the one place only.
  [[nodiscard]] bool is_bucket() const {
    return arguments_.only != "local" &&
           (!arguments_.only.empty() || config_.cloud.enabled() || !arguments_.bucket.store.empty());
  }

  bool confirmed(const std::string& what) {
    std::cerr << what << "\nThis cannot be undone. Delete? (yes or no): " << std::flush;
    std::string answer;
    return std::getline(std::cin, answer) && base::trim(answer) == "yes";
  }

  base::Status find() {
    if (is_local()) {
      if (auto found = find_local(); !found) return found;
    }
    if (is_bucket()) {
      auto access = open_bucket(arguments_.bucket.store, config_, arguments_.bucket.profile);
      if (!access) return tl::unexpected(access.error());
      bucket_ = std::make_unique<s3::Client>(access->bucket, access->credentials, access->http);
      if (auto found = find_in_bucket(); !found) return found;
    }
    return {};
  }

  base::Status find_local() {
    const std::filesystem::path path =
        config_.store.path.empty() ? arguments_.bucket.data / "store" : config_.store.path;
    auto store = store::DirectoryStore::open(path, store::DirectoryStore::Open::kExisting);
    if (!store) return tl::unexpected(base::Error(store.error()).in("on this disk (or use --only bucket)"));
    store_ = std::move(*store);
    auto lock = base::File::open(store_->root() / "lock", O_RDWR | O_CREAT, 0640);
    if (!lock) return tl::unexpected(lock.error());
    if (::flock(lock->fd(), LOCK_EX | LOCK_NB) != 0) {
      return base::fail(base::Errc::kRefused,
                        "miharu is recording to this store: stop it for the moment that this takes, or use "
                        "--only bucket");
    }
    lock_ = std::move(*lock);
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(store_->root() / "tmp", error)) {
      const auto unfinished = record::parse_unfinished_file_name(entry.path().filename().string());
      if (unfinished && unfinished->camera == camera_) {
        return base::fail(
            base::Errc::kRefused,
            fmt::format("{} was not finished, so it is not known what is in it: run `miharu verify "
                        "--repair` first",
                        entry.path().string()));
      }
    }
    store::Catalog catalog(*store_, nullptr);
    const auto found = catalog.find(camera_, interval_.from, interval_.to);
    if (!found) return tl::unexpected(found.error());
    for (const store::CatalogEntryPtr& entry : found->entries) {
      local_.push_back(entry);
      local_bytes_ += entry->name.size_bytes();
      extent_.take(entry->name.start, entry->name.end());
    }
    return {};
  }

  // Every version of what overlaps the interval, whichever recorder wrote it.
  base::Status find_in_bucket() {
    const auto relays = possible_relays(*bucket_);
    if (!relays) return tl::unexpected(relays.error());
    for (const std::string& relay : *relays) {
      const std::string prefix = relay + "rec/" + camera_ + "/";
      const std::string first = relay + store::hour_prefix(camera_, interval_.from - store::kLongestObject);
      const std::string end = relay + store::hour_prefix(camera_, interval_.to + std::chrono::hours(1));
      size_t before = versions_.size();
      const auto listed = for_each_version(*bucket_, prefix, first, [&](const s3::ListedVersion& version) {
        if (version.key >= end) return false;
        const auto name = store::decode_name(store::file_name_of(version.key));
        if (!name || name->start >= interval_.to || name->end() <= interval_.from) return true;
        extent_.take(name->start, name->end());
        take(version);
        return true;
      });
      if (!listed) return listed;
      const auto note_cached = [&](const char* folder) {
        if (versions_.size() > before)
          cached_.push_back(fmt::format("'/media/{}{}/{}/*'", relay, folder, camera_));
        before = versions_.size();
      };
      note_cached("rec");
      if (relay.empty()) continue;
      const auto live = for_each_version(
          *bucket_, relay + "live/" + camera_ + "/", "", [&](const s3::ListedVersion& version) {
            const auto modified = base::parse_time(version.modified, interval_.to);
            if (is_live_object(version.key, relay) && modified && *modified >= interval_.from &&
                *modified <= interval_.to + kLiveDelay) {
              take(version);
            }
            return true;
          });
      if (!live) return live;
      note_cached("live");
    }
    return {};
  }

  void take(const s3::ListedVersion& version) {
    if (version.latest && !version.marker) ++bucket_objects_;
    bucket_bytes_ += version.size_bytes;
    versions_.push_back(version);
  }

  base::Status remove_local() {
    if (local_.empty()) return {};
    const auto disk = record::make_system_disk();
    record::Numbers given;
    for (const store::CatalogEntryPtr& entry : local_) given.take(entry->name);
    if (auto noted = record::raise_numbers(*disk, *store_, camera_, given); !noted) return noted;
    auto uploads = open_uploads();
    if (!uploads) return tl::unexpected(uploads.error());
    // Told first: what is gone from the disk and still in the log would be called lost.
    if (*uploads && bucket_) {
      if (auto done = (*uploads)->erase(camera_, extent_.whole->from, extent_.whole->to); !done) return done;
    }
    for (const store::CatalogEntryPtr& entry : local_) {
      if (*uploads && !bucket_) (*uploads)->deleted(camera_, entry->name, "deleted by " + user_name());
      if (auto removed = store_->remove(entry->key); !removed) return removed;
    }
    return {};
  }

  base::Result<std::unique_ptr<upload::UploadLog>> open_uploads() {
    if (!std::filesystem::exists(arguments_.bucket.data / "miharu.db"))
      return std::unique_ptr<upload::UploadLog>();
    return upload::UploadLog::open(arguments_.bucket.data / "miharu.db");
  }

  base::Status remove_from_bucket() {
    if (!bucket_) return {};
    BucketRemover remover(*bucket_, false);
    for (const s3::ListedVersion& version : versions_) {
      if (auto done = remover.add(version); !done) return done;
      show_progress(fmt::format("{} of {} versions", remover.versions(), versions_.size()));
    }
    show_progress("");
    if (auto done = remover.flush(); !done) return done;
    if (!is_local()) return {};
    auto uploads = open_uploads();
    if (!uploads) return tl::unexpected(uploads.error());
    if (!*uploads) return {};
    return (*uploads)->erase(camera_, extent_.whole->from, extent_.whole->to);
  }

  base::Status write_down() {
    const base::UtcTime now = base::system_clock().utc();
    const boost::json::object line{{"time", base::format_rfc3339(now)},
                                   {"what", "delete"},
                                   {"by", user_name()},
                                   {"reason", arguments_.reason},
                                   {"camera", camera_},
                                   {"from", base::format_rfc3339(extent_.whole->from)},
                                   {"to", base::format_rfc3339(extent_.whole->to)},
                                   {"local_objects", local_.size()},
                                   {"local_bytes", local_bytes_},
                                   {"bucket_objects", bucket_objects_},
                                   {"bucket_versions", versions_.size()},
                                   {"bucket_bytes", bucket_bytes_}};
    const std::string text = boost::json::serialize(line) + "\n";
    if (is_local()) {
      if (auto written = append(arguments_.bucket.data / "audit.log", text); !written) return written;
    }
    if (!bucket_) return {};
    std::array<std::byte, 4> random{};
    CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), int{random.size()}) == 1);
    s3::PutOptions options;
    options.content_type = "application/json";
    const auto put = bucket_->put(
        fmt::format("auth/audit/{}-{}.json", base::to_unix_ms(now), base::to_hex(random)), text, options);
    if (!put)
      return tl::unexpected(put.error().error().in("nothing was deleted: the audit line could not be put"));
    return {};
  }

  // For the timeline.
  base::Status explain_gap() {
    if (local_.empty() || !std::filesystem::exists(arguments_.bucket.data / "miharu.db")) return {};
    auto gaps = record::GapLog::open(arguments_.bucket.data / "miharu.db");
    if (!gaps) return tl::unexpected(gaps.error());
    const std::string why = arguments_.reason.empty() ? "" : ": " + arguments_.reason;
    return (*gaps)->add(camera_, {extent_.whole->from, extent_.whole->to, store::RunReason::kOperator,
                                  "deleted by " + user_name() + why});
  }

  static base::Status append(const std::filesystem::path& path, const std::string& text) {
    auto file = base::File::open(path, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (!file) return tl::unexpected(file.error());
    const auto written = ::write(file->fd(), text.data(), text.size());
    if (written != static_cast<ssize_t>(text.size()) || ::fsync(file->fd()) != 0)
      return base::fail_system("write " + path.string());
    return {};
  }

  void tell(const std::string& text) const {
    if (!arguments_.bucket.json) {
      fmt::print("{}\n", text);
      return;
    }
    fmt::print("{}\n",
               boost::json::serialize(boost::json::object{{"camera", camera_},
                                                          {"from", base::format_rfc3339(extent_.whole->from)},
                                                          {"to", base::format_rfc3339(extent_.whole->to)},
                                                          {"local_objects", local_.size()},
                                                          {"local_bytes", local_bytes_},
                                                          {"bucket_objects", bucket_objects_},
                                                          {"bucket_versions", versions_.size()},
                                                          {"bucket_bytes", bucket_bytes_},
                                                          {"dry_run", arguments_.bucket.dry_run}}));
  }

  // Edges of a CDN hold copies for as long as they were told to (MediaCaching of deploy/aws/template.yaml).
  void tell_cached() const {
    if (arguments_.bucket.json || cached_.empty()) return;
    fmt::print(
        "A CDN before the bucket may give out what it holds of it for up to a day. At once it ends by:\n"
        "  aws cloudfront create-invalidation --distribution-id ... --paths {}\n",
        fmt::join(cached_, " "));
  }

  const DeleteArguments& arguments_;
  const Config& config_;
  const std::string camera_;
  const Interval interval_;
  std::unique_ptr<store::DirectoryStore> store_;
  base::File lock_;
  std::unique_ptr<s3::Client> bucket_;
  std::vector<store::CatalogEntryPtr> local_;
  uint64_t local_bytes_ = 0;
  std::vector<s3::ListedVersion> versions_;
  uint64_t bucket_objects_ = 0;
  uint64_t bucket_bytes_ = 0;
  Extent extent_;
  std::vector<std::string> cached_;  // paths at the CDN, quoted
};

}  // namespace

int delete_command(const DeleteArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  const auto interval = parse_interval(arguments.what, "");
  if (!interval) return report_error(interval.error());
  const auto config = load_config_if_there(arguments.bucket.config, arguments.bucket.data);
  if (!config) return report_error(config.error());
  return Deletion(arguments, *config, *interval).run();
}

}  // namespace miharu::app
