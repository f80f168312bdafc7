// A store of empty files with real names, as a recording of some days leaves them: make_store DIR CAMERAS
// DAYS. The last object of each camera ends about now. For what is read from names alone.
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/text.h"
#include "store/directory_store.h"
#include "store/object_name.h"

namespace {

using namespace miharu;

constexpr int kObjectsADay = 2880;  // of 30 s
constexpr uint32_t kChunks = 8;     // of 3.75 s

bool fill(const std::filesystem::path& root, const std::string& camera, int objects) {
  store::ObjectName name;
  name.has_audio = true;
  name.init_bytes = 1184;
  name.run = {1, store::RunReason::kRestart};
  const base::UtcTime now = std::chrono::floor<base::milliseconds>(base::system_clock().utc());
  name.seq = static_cast<uint64_t>(base::to_unix_ms(now) / 100) - static_cast<uint64_t>(objects) * kChunks;
  for (int i = 0; i < objects; ++i) {
    name.start = now - base::seconds(30) * (objects - i);
    name.crc = static_cast<uint32_t>(i) * 2654435761U;
    name.chunks.clear();
    for (uint32_t k = 0; k < kChunks; ++k)
      name.chunks.push_back({3750, 1'900'000 + name.crc % 100'000 + k, 90'000 + k, false});
    const auto key = store::object_key(camera, name);
    if (!key) return false;
    const std::filesystem::path path = root / *key;
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    if (!std::ofstream(path)) return false;
    name.seq += kChunks;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const auto cameras = argc == 4 ? base::parse_number<int>(argv[2]) : std::nullopt;
  const auto days = argc == 4 ? base::parse_number<int>(argv[3]) : std::nullopt;
  if (!cameras || !days) {
    std::fprintf(stderr, "make_store DIR CAMERAS DAYS\n");
    return 2;
  }
  const auto store = store::DirectoryStore::open(argv[1], store::DirectoryStore::Open::kCreate);
  if (!store) {
    std::fprintf(stderr, "%s\n", store.error().to_string().c_str());
    return 3;
  }
  for (int i = 0; i < *cameras; ++i) {
    if (!fill((*store)->root(), "cam" + std::to_string(i), *days * kObjectsADay)) {
      std::fprintf(stderr, "could not write below %s\n", argv[1]);
      return 3;
    }
  }
  return 0;
}
