// Tokens as they come from outside, and their claims, which are parsed only behind a good signature.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/auth/auth.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const api::TokenKey key(api::TokenKey::Bytes{1, 2, 3});
  (void)key.verify(text, base::from_unix_ms(0));
  if (const auto claims = api::claims_from_json(text)) {
    const auto again = api::claims_from_json(api::to_json(*claims));
    if (!again || again->id != claims->id || again->rights != claims->rights) std::abort();
  }
  net::HttpRequest request;
  request.headers = {{"Cookie", std::string(text)}, {"Origin", std::string(text)}, {"Host", "h"}};
  (void)api::cookie_of(request, api::Auth::kCookie);
  (void)api::is_same_origin(request);
  return 0;
}
