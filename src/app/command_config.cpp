// config check and config sample; and how errors are reported.
#include <cstdio>

#include <fmt/format.h>

#include "app/commands.h"

namespace miharu::app {

int report_error(const base::Error& error) {
  fmt::print(stderr, "miharu: {}\n", error.text);
  return error.code == base::Errc::kInvalid || error.code == base::Errc::kMalformed ? kCalledWrongly
                                                                                    : kCouldNot;
}

int config_check_command(const std::filesystem::path& file) {
  const auto config = load_config(file);
  if (!config) {
    fmt::print(stderr, "{}\n", config.error().text);
    return kFoundWrong;
  }
  fmt::print("{} is well: {} cameras, page on {} port {}, recording to {}\n", file.string(),
             config->cameras.size(), config->server.listen.address, config->server.listen.port,
             config->store.path.empty() ? "store/ in the data folder" : config->store.path.string());
  return kDone;
}

int config_sample_command() {
  fmt::print("{}", sample_config());
  return kDone;
}

}  // namespace miharu::app
