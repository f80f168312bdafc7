#include "app/bucket_remover.h"

#include <fmt/format.h>

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

base::Result<std::vector<std::string>> relays_of(s3::Client& bucket) {
  auto found = folders(bucket, "");
  if (!found) return found;
  std::vector<std::string> relays;
  for (std::string& each : *found) {
    if (each == "app/" || each == "auth/" || each == "control/") continue;
    relays.push_back(each == "rec/" ? std::string() : std::move(each));
  }
  return relays;
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
