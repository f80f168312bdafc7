// control/<relay>/wanted.json, which others than the recorder write.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "store/object_name.h"
#include "store/wishes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const auto wishes = store::parse_wishes({reinterpret_cast<const char*>(data), size});
  if (!wishes) return 0;
  if (wishes->size() > store::kMaxWishes) std::abort();
  for (const store::Wish& wish : *wishes) {
    if (!store::check_camera_name(wish.camera) || !store::is_session(wish.session)) std::abort();
    if (wish.until < base::UtcTime{}) std::abort();
  }
  // What is written is read as it was.
  const auto again = store::parse_wishes(store::format_wishes(*wishes));
  if (!again || *again != *wishes) std::abort();
  return 0;
}
