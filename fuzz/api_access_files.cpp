// Lists of users and tokens, as they are read from a store: whoever may write there may write anything.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/auth/access_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // What was read is written so that it is read as the same again.
  if (const auto users = api::users_from_json(text)) {
    const auto again = api::users_from_json(api::users_to_json(*users));
    if (!again || again->size() != users->size()) std::abort();
    for (size_t i = 0; i < users->size(); ++i) {
      const api::StoredUser &a = (*users)[i], &b = (*again)[i];
      if (a.name != b.name || a.hash != b.hash || a.role != b.role || a.created != b.created ||
          a.changed != b.changed)
        std::abort();
    }
  }
  if (const auto tokens = api::tokens_from_json(text)) {
    const auto again = api::tokens_from_json(api::tokens_to_json(*tokens));
    if (!again || again->size() != tokens->size()) std::abort();
    for (size_t i = 0; i < tokens->size(); ++i) {
      const api::TokenRecord &a = (*tokens)[i], &b = (*again)[i];
      if (a.claims.id != b.claims.id || a.claims.expires != b.claims.expires ||
          a.claims.rights != b.claims.rights || a.revoked != b.revoked || a.created != b.created ||
          a.created_by != b.created_by)
        std::abort();
    }
  }
  return 0;
}
