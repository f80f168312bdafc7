// What it takes to know and to tell what a camera recorded: real directories of empty files with real names.
// First: a catalog without memory, page cache warm. Cached: the same catalog asked again.
#include <filesystem>
#include <fstream>
#include <string>

#include <benchmark/benchmark.h>

#include "base/check.h"
#include "hls/playlist.h"
#include "store/catalog.h"
#include "store/directory_store.h"

namespace miharu {
namespace {

using std::chrono::hours;

constexpr int kDays = 7;
const base::UtcTime kStart{std::chrono::sys_days{std::chrono::year{2026} / 11 / 14}};

// Objects of 30 s with chunks of 3.75 s: 2880 a day.
class Fixture {
 public:
  Fixture() {
    std::string pattern = (std::filesystem::temp_directory_path() / "miharu-bench-XXXXXX").string();
    CHECK(::mkdtemp(pattern.data()) != nullptr);
    root_ = pattern;
    store_ = std::move(*store::DirectoryStore::open(root_, store::DirectoryStore::Open::kCreate));
    store::ObjectName name;
    name.has_audio = true;
    name.init_bytes = 1184;
    name.seq = 17'947'008'000;
    for (int i = 0; i < kDays * 2880; ++i) {
      name.start = kStart + base::seconds(30) * i;
      name.crc = static_cast<uint32_t>(i) * 2654435761U;
      name.chunks.clear();
      for (uint32_t k = 0; k < 8; ++k)
        name.chunks.push_back({3750, 900'000 + name.crc % 100'000 + k, 90'000 + k, false});
      const std::filesystem::path path = root_ / *store::object_key("front", name);
      if (i % 120 == 0) std::filesystem::create_directories(path.parent_path());
      std::ofstream{path};
      name.seq += name.chunks.size();
    }
  }
  ~Fixture() { std::filesystem::remove_all(root_); }

  store::DirectoryStore& store() { return *store_; }

 private:
  std::filesystem::path root_;
  std::unique_ptr<store::DirectoryStore> store_;
};
Fixture& fixture() {
  static Fixture made;
  return made;
}

// Tells the time an hour later, so that directories made a moment ago count as settled and are cached.
class LaterClock final : public base::Clock {
 public:
  base::UtcTime utc() const override { return base::system_clock().utc() + hours(1); }
  base::SteadyTime steady() const override { return base::system_clock().steady(); }
  bool synchronised() const override { return true; }
};

store::CatalogResult find(store::Catalog& catalog, int days) {
  return *catalog.find("front", kStart, kStart + hours(24 * days));
}

std::string playlist(const store::CatalogResult& found, int days) {
  return hls::vod_playlist(
      "front", found.entries,
      {.from = kStart, .to = kStart + hours(24 * days), .now = kStart + hours(9000), .by_object = days > 1});
}

void first(benchmark::State& state) {
  const int days = static_cast<int>(state.range(0));
  size_t bytes = 0;
  for (auto _ : state) {
    store::Catalog catalog(fixture().store(), nullptr);
    const std::string text = playlist(find(catalog, days), days);
    bytes = text.size();
    benchmark::DoNotOptimize(text.data());
  }
  state.counters["text_bytes"] = static_cast<double>(bytes);
}

void cached_find(benchmark::State& state) {
  const int days = static_cast<int>(state.range(0));
  static const LaterClock clock;
  const auto store = std::move(*store::DirectoryStore::open(
      fixture().store().root(), store::DirectoryStore::Open::kExisting, {}, clock));
  store::Catalog catalog(*store, nullptr);
  find(catalog, days);
  for (auto _ : state) benchmark::DoNotOptimize(find(catalog, days).entries.data());
}

void text_only(benchmark::State& state) {
  const int days = static_cast<int>(state.range(0));
  store::Catalog catalog(fixture().store(), nullptr);
  const auto found = find(catalog, days);
  for (auto _ : state) benchmark::DoNotOptimize(playlist(found, days).data());
}

BENCHMARK(first)->Arg(1)->Arg(kDays)->Unit(benchmark::kMillisecond);
BENCHMARK(cached_find)->Arg(1)->Arg(kDays)->Unit(benchmark::kMillisecond);
BENCHMARK(text_only)->Arg(1)->Arg(kDays)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace miharu

BENCHMARK_MAIN();
