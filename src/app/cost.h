// What a camera costs in a bucket, a month of 30 days, by the prices of deploy/prices.json.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"

namespace miharu::app {

struct Prices {
  std::string name;   // "aws-s3"
  std::string title;  // for people
  std::string source;
  double storage_gib_month = 0;
  double put_1000 = 0;
  double get_1000 = 0;
  double list_1000 = 0;
  double egress_gib = 0;
  bool keeps_versions = true;
};
struct PriceTable {
  std::string date;  // "2026-11-21"
  std::string currency;
  std::vector<Prices> providers;
  // kNotFound names those there are. "" is the first.
  [[nodiscard]] base::Result<Prices> find(std::string_view name) const;
};
PriceTable price_table();  // of the file that is part of the program

struct CameraUse {
  std::string camera;
  double bits_per_second = 0;
  bool measured = true;  // false: the bitrate is an assumption
  base::nanoseconds segment = base::seconds(30);
  base::nanoseconds keep = std::chrono::hours(30 * 24);
  double live_hours = 0;  // a month, through the bucket
  double live_bits_per_second = 0;
  double playback_hours = 0;  // a month, of recordings
  double playlists = 0;       // a month, of 24 h each, that no cache knows
};

// In the table's currency.
struct CameraCost {
  double storage = 0;
  double undo = 0;  // of what expired: versions are kept for some days more
  double puts = 0;
  double live = 0;  // PUTs of parts and playlists, and egress
  double playback = 0;
  double lists = 0;
  [[nodiscard]] double total() const { return storage + undo + puts + live + playback + lists; }
};
CameraCost cost_of(const CameraUse& use, const Prices& prices);
// Of a recorder that asks every ten seconds whether somebody wants to watch.
double polling_cost(const Prices& prices);

std::string cost_json(std::span<const CameraUse> uses, const Prices& prices, const PriceTable& table);
std::string cost_text(std::span<const CameraUse> uses, const Prices& prices, const PriceTable& table);

}  // namespace miharu::app
