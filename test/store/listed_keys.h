// A listing as S3 makes it, of keys in a map.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "store/object_store.h"

namespace miharu::test {

inline store::Listing list_keys(const std::map<std::string, uint64_t>& sizes, std::string_view prefix,
                                bool one_level) {
  store::Listing out;
  for (const auto& [key, size] : sizes) {
    if (!key.starts_with(prefix)) continue;
    const size_t slash = one_level ? key.find('/', prefix.size()) : std::string::npos;
    if (slash == std::string::npos) {
      out.objects.push_back({key, size});
    } else if (const std::string below = key.substr(0, slash + 1);
               out.prefixes.empty() || out.prefixes.back() != below) {
      out.prefixes.push_back(below);
    }
  }
  return out;
}

}  // namespace miharu::test
