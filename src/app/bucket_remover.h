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
// Folders at the root that could be recorders' by their names, each ending in '/'; "" is the root itself if
// it has a rec/. In a bucket with other things some are nobody's.
base::Result<std::vector<std::string>> possible_relays(s3::Client& bucket);
// Of `relay`, as possible_relays gives it: the cameras in its rec/. Who has none is no recorder.
base::Result<std::vector<std::string>> cameras_of(s3::Client& bucket, const std::string& relay);

// Whether `key`, of what lies in live/ of `relay`, is one that a recorder or `miharu cloud test` makes.
bool is_live_object(std::string_view key, std::string_view relay);

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
