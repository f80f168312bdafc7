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
};
struct ListPage {
  std::vector<ListedKey> keys;
  std::vector<std::string> prefixes;
  std::string next;  // continuation token; empty on the last page
};
// Of ListObjectsV2. Keys are decoded when the answer says that they are encoded.
base::Result<ListPage> parse_list(std::string_view body);

}  // namespace miharu::s3
