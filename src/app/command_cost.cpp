// cost: what the configured cameras cost in the bucket a month.
#include <fmt/format.h>

#include "app/cloud.h"
#include "app/commands.h"
#include "app/cost.h"
#include "store/catalog.h"
#include "store/directory_store.h"

namespace miharu::app {
namespace {

constexpr double kAssumedBitsPerSecond = 2e6;

// Of the last day on this disk; 0 where nothing is.
double measured_bits_per_second(store::ObjectStore* store, const std::string& camera) {
  if (store == nullptr) return 0;
  store::Catalog catalog(*store, nullptr);
  const base::UtcTime now = base::system_clock().utc();
  const auto found = catalog.find(camera, now - std::chrono::hours(24), now);
  if (!found) return 0;
  double bits = 0;
  double seconds = 0;
  for (const store::CatalogEntryPtr& entry : found->entries) {
    bits += 8 * static_cast<double>(entry->name.size_bytes());
    seconds += std::chrono::duration<double>(entry->name.duration()).count();
  }
  return seconds > 0 ? bits / seconds : 0;
}

}  // namespace

int cost_command(const CostArguments& arguments) {
  const auto config = load_config_if_there(arguments.config, arguments.data);
  if (!config) return report_error(config.error());
  const PriceTable table = price_table();
  const auto prices = table.find(arguments.provider);
  if (!prices) return report_error(base::Error(prices.error()).in("--provider"));

  CameraUse common;
  common.segment = config->record.segment;
  common.keep = config->cloud.keep.value_or(common.keep);
  common.live_hours = arguments.live_hours;
  common.playback_hours = arguments.playback_hours;
  common.playlists = arguments.playlists;
  for (const auto& [text, what] :
       {std::pair{&arguments.segment, &common.segment}, std::pair{&arguments.keep, &common.keep}}) {
    if (text->empty()) continue;
    const auto time = base::parse_duration(*text);
    if (!time || *time <= base::nanoseconds::zero())
      return report_error({base::Errc::kInvalid, fmt::format("\"{}\" is no time, as 30s or 30d", *text)});
    *what = *time;
  }
  double given = 0;
  if (!arguments.bitrate.empty()) {
    const auto bits = parse_bandwidth(arguments.bitrate);
    if (!bits) return report_error(base::Error(bits.error()).in("--bitrate"));
    given = static_cast<double>(*bits);
  }
  const auto store =
      store::DirectoryStore::open(config->store.path.empty() ? arguments.data / "store" : config->store.path,
                                  store::DirectoryStore::Open::kExisting);
  std::vector<CameraUse> uses;
  std::vector<CameraConfig> cameras = config->cameras;
  if (cameras.empty()) {
    cameras.emplace_back();
    cameras.back().name = "camera";
  }
  for (const CameraConfig& camera : cameras) {
    if (!camera.record) continue;
    CameraUse use = common;
    use.camera = camera.name;
    if (arguments.keep.empty() && camera.cloud_keep) use.keep = *camera.cloud_keep;
    const double measured =
        given > 0 ? given : measured_bits_per_second(store ? store->get() : nullptr, camera.name);
    use.measured = measured > 0;
    use.bits_per_second = use.measured ? measured : kAssumedBitsPerSecond;
    use.live_bits_per_second = use.bits_per_second;
    uses.push_back(std::move(use));
  }
  if (arguments.json) {
    fmt::print("{}\n", cost_json(uses, *prices, table));
  } else {
    fmt::print("{}", cost_text(uses, *prices, table));
  }
  return kDone;
}

}  // namespace miharu::app
