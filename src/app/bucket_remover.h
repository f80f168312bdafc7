// Goes through the versions of a bucket's objects, and removes those that are to go.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "s3/client.h"

namespace miharu::app {

// Every version below `prefix` in the order of keys, from `start` (a key, or "") on, until `each` gives
// false. Of a store without versions: the objects, with version "". Blocking.
base::Status for_each_version(s3::Client& bucket, const std::string& prefix, const std::string& start,
                              const std::function<bool(const s3::ListedVersion&)>& each);

// Folders directly below `prefix`, without it: "front/".
base::Result<std::vector<std::string>> folders(s3::Client& bucket, const std::string& prefix);
// Those at the root that are recorders', each ending in '/'; "" is the root itself if it has a rec/.
base::Result<std::vector<std::string>> relays_of(s3::Client& bucket);

// Collects, and sends a thousand at a time.
class BucketRemover {
 public:
  // `dry_run`: only counts.
  BucketRemover(s3::Client& bucket, bool dry_run) : bucket_(bucket), dry_run_(dry_run) {}

  base::Status add(const s3::ListedVersion& version);
  base::Status flush();

  [[nodiscard]] uint64_t versions() const { return versions_; }
  [[nodiscard]] uint64_t objects() const { return objects_; }  // that were there to be read
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  s3::Client& bucket_;
  const bool dry_run_;
  std::vector<s3::ObjectVersion> waiting_;
  uint64_t versions_ = 0;
  uint64_t objects_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace miharu::app
