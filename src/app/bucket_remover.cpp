#include "app/bucket_remover.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/cloud.h"
#include "base/text.h"
#include "store/object_name.h"
#include "store/relays.h"
#include "store/wishes.h"

namespace miharu::app {
namespace {

bool has_no_versions(const s3::Failure& failure) {
  return failure.status == 501 || failure.code == "NotImplemented";
}

base::Status for_each_object(s3::Client& bucket, const std::string& prefix, const std::string& start,
                             const std::function<bool(const s3::ListedVersion&)>& each) {
  s3::ListOptions options;
  options.prefix = prefix;
  options.start_after = start;
  for (;;) {
    auto page = bucket.list(options);
    if (!page) return tl::unexpected(page.error().error());
    for (s3::ListedKey& key : page->keys) {
      if (!each({std::move(key.key), {}, true, false, key.size_bytes, std::move(key.modified)})) return {};
    }
    if (page->next.empty()) return {};
    options.next = std::move(page->next);
  }
}

// init_<run>.mp4, or <run>_<seq>_<n>.mp4 and .ts
bool is_live_piece(std::string_view file) {
  const bool ts = file.ends_with(".ts");
  if (!ts && !file.ends_with(".mp4")) return false;
  file.remove_suffix(ts ? 3 : 4);
  const std::string_view first = base::take_until(file, '_');
  if (first == "init") return !ts && store::parse_run(file).has_value();
  const std::string_view seq = base::take_until(file, '_');
  return store::parse_run(first) && store::parse_base36(seq) && base::parse_number<unsigned>(file);
}

}  // namespace

base::Status for_each_version(s3::Client& bucket, const std::string& prefix, const std::string& start,
                              const std::function<bool(const s3::ListedVersion&)>& each) {
  s3::ListVersionsOptions options;
  options.prefix = prefix;
  options.key = start;
  for (;;) {
    auto page = bucket.list_versions(options);
    if (!page && has_no_versions(page.error())) return for_each_object(bucket, prefix, start, each);
    if (!page) return tl::unexpected(page.error().error());
    for (const s3::ListedVersion& version : page->versions) {
      // versitygw 1.8.0 begins a page with the last of the page before.
      if (version.key == options.key && version.version == options.version) continue;
      if (!each(version)) return {};
    }
    if (page->next_key.empty()) return {};
    options.key = std::move(page->next_key);
    options.version = std::move(page->next_version);
  }
}

base::Result<std::vector<std::string>> folders(s3::Client& bucket, const std::string& prefix) {
  std::vector<std::string> found;
  s3::ListOptions options;
  options.prefix = prefix;
  options.one_level = true;
  for (;;) {
    auto page = bucket.list(options);
    if (!page) return tl::unexpected(page.error().error());
    for (const std::string& each : page->prefixes) found.push_back(each.substr(prefix.size()));
    if (page->next.empty()) return found;
    options.next = std::move(page->next);
  }
}

base::Result<std::vector<std::string>> possible_relays(s3::Client& bucket) {
  auto found = folders(bucket, "");
  if (!found) return found;
  std::vector<std::string> relays;
  for (std::string& each : *found) {
    if (each == "rec/") {
      relays.emplace_back();
      continue;
    }
    const std::string_view name = std::string_view(each).substr(0, each.size() - 1);
    if (!store::is_of_other_use(name) && store::check_camera_name(name)) relays.push_back(std::move(each));
  }
  return relays;
}

base::Result<std::vector<std::string>> cameras_of(s3::Client& bucket, const std::string& relay) {
  auto found = folders(bucket, relay + "rec/");
  if (!found) return found;
  std::vector<std::string> cameras;
  for (std::string& each : *found) {
    each.pop_back();
    if (store::check_camera_name(each)) cameras.push_back(std::move(each));
  }
  return cameras;
}

bool is_live_object(std::string_view key, std::string_view relay) {
  if (!key.starts_with(relay)) return false;
  std::string_view rest = key.substr(relay.size());
  if (base::take_until(rest, '/') != "live") return false;
  const std::string_view camera = base::take_until(rest, '/');
  const std::string_view session = base::take_until(rest, '/');
  if (!store::check_camera_name(camera) || !store::is_session(session)) return false;
  if (camera == "test" && std::ranges::find(kCloudTestFiles, rest) != kCloudTestFiles.end()) return true;
  return rest == store::kLivePlaylist || is_live_piece(rest);
}

base::Status BucketRemover::add(const s3::ListedVersion& version) {
  versions_ += 1;
  bytes_ += version.size_bytes;
  if (version.latest && !version.marker) objects_ += 1;
  if (dry_run_) return {};
  waiting_.push_back({version.key, version.version});
  return waiting_.size() < s3::RequestMaker::kMostRemoved ? base::Status() : flush();
}

base::Status BucketRemover::flush() {
  if (waiting_.empty()) return {};
  const auto errors = bucket_.remove_many(waiting_);
  if (!errors) return tl::unexpected(errors.error().error());
  if (!errors->empty()) {
    const s3::RemoveError& first = errors->front();
    return base::fail(first.code == "AccessDenied" ? base::Errc::kForbidden : base::Errc::kRefused,
                      fmt::format("{} of {} objects could not be deleted, {} among them: {} {}",
                                  errors->size(), waiting_.size(), first.key, first.code, first.message));
  }
  waiting_.clear();
  return {};
}

}  // namespace miharu::app
