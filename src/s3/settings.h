// The texts of a bucket's settings as the S3 API has them. A bucket may be shared: what others have set is
// kept.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace miharu::s3 {

struct LifecycleRule {
  std::string id;
  std::string prefix;  // of whole keys
  std::optional<unsigned> expire_days{};
  std::optional<unsigned>
      noncurrent_days{};                 // of versions that were hidden by a delete marker or a newer one
  std::optional<unsigned> abort_days{};  // of uploads in parts that nobody ended
  bool delete_markers = false;           // those that hide nothing any more go
};

struct CorsRule {
  std::string id;
  std::vector<std::string> origins;
  std::vector<std::string> methods;
  std::vector<std::string> headers;  // that requests may have
  std::vector<std::string> expose;   // that pages may read of replies
  unsigned max_age_seconds = 0;
};

// `existing`: the bucket's setting so far, or empty. Its rules of the same id are replaced, and those go
// for whose id `is_obsolete` gives true (unless that is null). kMalformed when it is no such setting.
base::Result<std::string> lifecycle_xml(std::string_view existing, std::span<const LifecycleRule> rules,
                                        const std::function<bool(std::string_view id)>& is_obsolete = {});
// Of the rules there are so far. kMalformed as above.
base::Result<std::vector<std::string>> lifecycle_ids(std::string_view existing);
base::Result<std::string> cors_xml(std::string_view existing, std::span<const CorsRule> rules);

}  // namespace miharu::s3
