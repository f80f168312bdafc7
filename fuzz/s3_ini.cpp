// The files that hold credentials.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text.h"
#include "s3/credentials.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const auto file = s3::parse_ini({reinterpret_cast<const char*>(data), size});
  if (!file) return 0;
  for (const auto& [section, values] : *file) {
    for (const auto& [name, value] : values) {
      // What goes into a header must not end it.
      if (name != base::to_lower(name) || value.find('\n') != std::string::npos || base::trim(value) != value)
        std::abort();
    }
  }
  return 0;
}
