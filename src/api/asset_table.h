// Filled by the build from web/dist (cmake/EmbedAssets.cmake).
#pragma once

#include <span>
#include <string_view>

namespace miharu::api {

struct Asset {
  std::string_view path;
  std::string_view bytes;
};
std::span<const Asset> asset_table();

}  // namespace miharu::api
