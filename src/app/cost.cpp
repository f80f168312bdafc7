#include "app/cost.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "app/embedded.h"

namespace miharu::app {
namespace {

namespace json = boost::json;

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
constexpr double kMonthSeconds = 30.0 * 24 * 3600;
// NoncurrentVersionExpiration of deploy/bucket.json.
constexpr double kUndoDays = 7;
constexpr double kPollSeconds = 10;
// One part and one playlist.
constexpr double kLivePutsPerSecond = 2;
// The hours of a day and the one before.
constexpr double kListsPerPlaylist = 25;
// For the comparison in cost_text.
constexpr std::array kSegments = {1, 4, 10, 30, 60};

double seconds_of(base::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

double gib(double bits_per_second, double seconds) {
  return bits_per_second / 8 * seconds / kGib;
}

double number(const json::object& object, std::string_view name) {
  return object.at(name).to_number<double>();
}

std::string text(const json::object& object, std::string_view name) {
  return std::string(object.at(name).as_string());
}

}  // namespace

PriceTable price_table() {
  const json::value parsed = json::parse(price_table_text());
  const json::object& root = parsed.as_object();
  PriceTable table{text(root, "date"), text(root, "currency"), {}};
  for (const json::value& each : root.at("providers").as_array()) {
    const json::object& of = each.as_object();
    table.providers.push_back({text(of, "name"), text(of, "title"), text(of, "source"),
                               number(of, "storage_gib_month"), number(of, "put_1000"),
                               number(of, "get_1000"), number(of, "list_1000"), number(of, "egress_gib"),
                               of.at("keeps_versions").as_bool()});
  }
  return table;
}

base::Result<Prices> PriceTable::find(std::string_view name) const {
  if (name.empty()) return providers.front();
  const auto found = std::ranges::find(providers, name, &Prices::name);
  if (found != providers.end()) return *found;
  std::string known;
  for (const Prices& each : providers) known += (known.empty() ? "" : ", ") + each.name;
  return base::fail(base::Errc::kInvalid,
                    fmt::format("there are no prices of \"{}\", but of {}", name, known));
}

CameraCost cost_of(const CameraUse& use, const Prices& prices) {
  CameraCost cost;
  const double gib_a_day = gib(use.bits_per_second, 24 * 3600);
  cost.storage = gib_a_day * seconds_of(use.keep) / (24 * 3600) * prices.storage_gib_month;
  if (prices.keeps_versions) cost.undo = gib_a_day * kUndoDays * prices.storage_gib_month;
  cost.puts = kMonthSeconds / seconds_of(use.segment) / 1000 * prices.put_1000;
  const double live_seconds = use.live_hours * 3600;
  cost.live = live_seconds * kLivePutsPerSecond / 1000 * prices.put_1000 +
              gib(use.live_bits_per_second, live_seconds) * prices.egress_gib;
  cost.playback = gib(use.bits_per_second, use.playback_hours * 3600) * prices.egress_gib;
  cost.lists = use.playlists * kListsPerPlaylist / 1000 * prices.list_1000;
  return cost;
}

double polling_cost(const Prices& prices) {
  return kMonthSeconds / kPollSeconds / 1000 * prices.get_1000;
}

std::string cost_json(std::span<const CameraUse> uses, const Prices& prices, const PriceTable& table) {
  json::object root{{"provider", prices.name},
                    {"title", prices.title},
                    {"prices_of", table.date},
                    {"currency", table.currency},
                    {"month_days", 30}};
  json::array& cameras = root["cameras"].emplace_array();
  double total = polling_cost(prices);
  for (const CameraUse& use : uses) {
    const CameraCost cost = cost_of(use, prices);
    total += cost.total();
    cameras.push_back({{"camera", use.camera},
                       {"bitrate_bps", use.bits_per_second},
                       {"bitrate_measured", use.measured},
                       {"segment_seconds", seconds_of(use.segment)},
                       {"keep_days", seconds_of(use.keep) / (24 * 3600)},
                       {"live_hours", use.live_hours},
                       {"playback_hours", use.playback_hours},
                       {"playlists", use.playlists},
                       {"storage", cost.storage},
                       {"undo", cost.undo},
                       {"puts", cost.puts},
                       {"live", cost.live},
                       {"playback", cost.playback},
                       {"lists", cost.lists},
                       {"total", cost.total()}});
  }
  root["polling"] = polling_cost(prices);
  root["total"] = total;
  return json::serialize(root);
}

std::string cost_text(std::span<const CameraUse> uses, const Prices& prices, const PriceTable& table) {
  std::string out =
      fmt::format("{}, list prices of {}; {} in 30 days\n\n", prices.title, table.date, table.currency);
  out += fmt::format("{:<16} {:>12} {:>8} {:>6} {:>9} {:>7} {:>8} {:>7} {:>9} {:>7} {:>9}\n", "camera",
                     "bitrate", "segment", "keep", "storage", "undo", "uploads", "live", "playback", "lists",
                     "together");
  double total = polling_cost(prices);
  bool assumed = false;
  for (const CameraUse& use : uses) {
    const CameraCost cost = cost_of(use, prices);
    total += cost.total();
    assumed = assumed || !use.measured;
    out += fmt::format(
        "{:<16} {:>12} {:>8} {:>6} {:>9.2f} {:>7.2f} {:>8.2f} {:>7.2f} {:>9.2f} {:>7.2f} {:>9.2f}\n",
        use.camera, fmt::format("{:.2f} Mbit/s{}", use.bits_per_second / 1e6, use.measured ? "" : "*"),
        fmt::format("{:g} s", seconds_of(use.segment)),
        fmt::format("{:g} d", seconds_of(use.keep) / (24 * 3600)), cost.storage, cost.undo, cost.puts,
        cost.live, cost.playback, cost.lists, cost.total());
  }
  out += fmt::format("\nasking whether somebody wants to watch: {:.2f}; all together: {:.2f}\n",
                     polling_cost(prices), total);
  out += "uploads of one camera by segment length:";
  for (const int segment : kSegments) {
    CameraUse use;
    use.segment = base::seconds(segment);
    out += fmt::format(" {} s {:.2f}{}", segment, cost_of(use, prices).puts,
                       segment == kSegments.back() ? "\n" : ",");
  }
  if (assumed) out += "* assumed: nothing was recorded in the last day that it could be measured by\n";
  return out;
}

}  // namespace miharu::app
