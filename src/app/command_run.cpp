// run: record, and serve the page until told to stop.
#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/relay.h"
#include "base/log.h"

namespace miharu::app {
namespace {

base::Result<Config> configure(const RunArguments& arguments) {
  ConfigSources sources;
  sources.file = arguments.config;
  if (sources.file.empty() && std::filesystem::exists("miharu.toml")) sources.file = "miharu.toml";
  sources.cameras_file = arguments.data / "cameras.toml";
  if (!arguments.listen.empty()) {
    const auto listen = parse_endpoint(arguments.listen);
    if (!listen) return tl::unexpected(base::Error(listen.error()).in("--listen"));
    sources.listen = *listen;
  }
  for (const std::string& text : arguments.cameras) {
    const auto camera = parse_camera_argument(text);
    if (!camera) return tl::unexpected(base::Error(camera.error()).in("--camera"));
    sources.cameras.push_back(*camera);
  }
  if (arguments.demo) {
    CameraConfig demo;
    demo.name = "demo";
    demo.url = "demo:";
    sources.cameras.push_back(demo);
  }
  auto config = load_config(sources);
  if (config && config->store.path.empty()) config->store.path = arguments.data / "store";
  return config;
}

}  // namespace

int run_command(const RunArguments& arguments) {
  // Signals are taken by sigwait below; threads started from here on inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  auto config = configure(arguments);
  if (!config) {
    fmt::print(stderr, "miharu: {}\n", config.error().text);
    return kCalledWrongly;
  }
  Relay relay(std::move(*config), arguments.data);
  if (auto started = relay.start(); !started) return report_error(started.error());

  fmt::print("miharu records {} cameras. Open {}\n", relay.cameras().size(), relay.address());
  if (!relay.first_password().empty()) {
    fmt::print(
        "Sign in as admin with the password {}\nIt is shown this once; `miharu user passwd admin` makes a "
        "new one.\n",
        relay.first_password());
  }
  if (relay.cameras().empty())
    fmt::print(
        "There is no camera yet. Add one with --camera front=rtsp://user:pass@192.168.1.20/stream1, or "
        "--demo for a picture now.\n");
  std::fflush(stdout);

  while (true) {
    int number = 0;
    if (sigwait(&signals, &number) != 0) continue;
    if (number != SIGHUP) break;
    auto again = configure(arguments);
    if (!again) {
      spdlog::error("the configuration was not taken over: {}", again.error().text);
      continue;
    }
    if (auto changed = relay.reload(std::move(*again)); !changed)
      spdlog::error("the configuration was not taken over: {}", changed.error().text);
  }
  fmt::print("Stopping: finishing the objects that are being written.\n");
  std::fflush(stdout);
  relay.stop();
  return kDone;
}

}  // namespace miharu::app
