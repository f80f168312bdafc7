// DirectoryStore::path_of: a key that is accepted names a path below the root, without a way up.
#include <filesystem>

#include "base/check.h"
#include "store/directory_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu::store;
  static const auto kStore = [] {
    std::string pattern = (std::filesystem::temp_directory_path() / "miharu-fuzz-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    auto store = DirectoryStore::open(pattern, DirectoryStore::Open::kCreate);
    CHECK(store);
    std::filesystem::remove_all(pattern);  // path_of does not look; open_object finds nothing
    return std::move(*store);
  }();
  const std::string_view key(reinterpret_cast<const char*>(data), size);
  const auto path = kStore->path_of(key);
  if (path) {
    CHECK(path->lexically_normal() == *path);
    const auto relative = path->lexically_relative(kStore->root());
    CHECK(relative == key && *relative.begin() != ".." && *relative.begin() != "tmp");
  }
  CHECK(!kStore->open_object(key));
  static_cast<void>(kStore->list(key, false));
  return 0;
}
