// The XML that stores answer with. What they say is not believed further than its form: keys are bounded and
// checked by whoever uses them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace miharu::s3 {

// Of an <Error>; empty where there is none.
struct ErrorText {
  std::string code;
  std::string message;
  std::string request_id;
  std::string region;
};
// Never fails: a body that is no such XML gives nothing.
ErrorText parse_error(std::string_view body);

struct ListedKey {
  std::string key;  // decoded
  uint64_t size_bytes = 0;
  std::string modified{};  // RFC 3339, as the store writes it
};
struct ListPage {
  std::vector<ListedKey> keys;
  std::vector<std::string> prefixes;
  std::string next;  // continuation token; empty on the last page
};
// Of ListObjectsV2. Keys are decoded when the answer says that they are encoded.
base::Result<ListPage> parse_list(std::string_view body);

struct ListedVersion {
  std::string key;  // decoded
  std::string version;
  bool latest = false;
  bool marker = false;  // says that the object was deleted, and has no bytes
  uint64_t size_bytes = 0;
  std::string modified;  // RFC 3339, as the store writes it
};
struct VersionPage {
  std::vector<ListedVersion> versions;  // by key, the newest of a key first
  std::string next_key;                 // where it goes on; both empty on the last page
  std::string next_version;
};
// Of ListObjectVersions.
base::Result<VersionPage> parse_versions(std::string_view body);

struct RemoveError {
  std::string key;
  std::string code;
  std::string message;
};
// What of a DeleteObjects did not go.
base::Result<std::vector<RemoveError>> parse_remove_errors(std::string_view body);

}  // namespace miharu::s3
