// serve: playback over a store, stateless, until told to stop.
#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/serve_service.h"
#include "app/store_access.h"

namespace miharu::app {

int serve_command(const ServeArguments& arguments) {
  // Signals are taken by sigwait below; threads started from here on inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  const auto listen = parse_endpoint(arguments.listen);
  if (!listen) return report_error(base::Error(listen.error()).in("--listen"));
  const auto key = token_key_file();
  if (!key) return report_error(key.error());
  const auto store = open_store(arguments.store);
  if (!store) return report_error(store.error());
  auto delivery = open_delivery(arguments.store, arguments.delivery);
  if (!delivery) return report_error(delivery.error());

  net::EventLoop control("control");
  control.start();
  ServeOptions options{*listen, *key, std::move(*delivery)};
  options.trusted_proxies = arguments.trusted_proxies;
  // Of a bucket, whose playlists go a long way: a day by chunk is half a megabyte.
  if (arguments.store.starts_with("s3://")) options.by_chunk = std::chrono::hours(2);
  ServeService service(control, std::move(options), **store, base::system_clock());
  if (auto started = service.start(); !started) return report_error(started.error());
  fmt::print("miharu serves {}. Open {}\n", arguments.store, service.address());
  if (const auto users = service.has_users(); !users) {
    fmt::print(stderr, "miharu: {}\n", users.error().text);
  } else if (!*users) {
    fmt::print("Nobody can sign in yet: miharu user add NAME --store {}\n", arguments.store);
  }
  std::fflush(stdout);
  int number = 0;
  while (sigwait(&signals, &number) != 0) {
  }
  service.stop();
  return kDone;
}

}  // namespace miharu::app
