// decode_name: no crash, and what it accepts is written again byte for byte.
#include "base/bytes.h"
#include "base/check.h"
#include "store/object_name.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto check = [](std::string_view name) {
    const auto decoded = store::decode_name(name);
    if (!decoded) return;
    const auto encoded = store::encode_name(*decoded);
    CHECK(encoded && *encoded == name);
    CHECK(decoded->end() >= decoded->start);
  };
  check(text);
  // Raw tables in a good name: base64 need not be guessed.
  const std::string table = base::to_base64url(base::as_bytes(text));
  check("20261121T032059.123Z_2fr_1a2b3c_" + table + ".mp4");
  check("20261121T032059.123Z_2fr_1a2b3c_" + table + ".ts");
  return 0;
}
