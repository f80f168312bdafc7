// bootstrap: the program of the function (provided.al2023). It asks the runtime API for the next event until
// Lambda ends it.
#include <nss.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include <spdlog/sinks/stdout_sinks.h>

#include "base/log.h"
#include "lambda/function.h"
#include "lambda/runtime_api.h"
#include "lambda/thawed_clock.h"
#include "s3/credentials.h"

namespace miharu::lambda {
namespace {

constexpr int kMostFailures = 10;

int run() {
  const char* address = std::getenv("AWS_LAMBDA_RUNTIME_API");
  if (address == nullptr) {
    spdlog::error(
        "this program is started by AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API; elsewhere use miharu "
        "serve");
    return 2;
  }
  const auto runtime = RuntimeApi::at(address);
  if (!runtime) {
    spdlog::error("{}", runtime.error().text);
    return 1;
  }
  static const ThawedClock clock(base::system_clock());
  const auto function = Function::make(s3::process_variables(), clock);
  if (!function) {
    spdlog::error("{}", function.error().text);
    (void)(*runtime)->fail_start("Miharu.Settings", function.error().text);
    return 1;
  }
  for (int failures = 0; failures < kMostFailures;) {
    const auto invocation = (*runtime)->next();
    if (!invocation) {
      spdlog::warn("{}", invocation.error().text);
      std::this_thread::sleep_for(std::chrono::milliseconds(10 << ++failures));
      continue;
    }
    base::Status told;
    try {
      told = (*runtime)->respond(*invocation, (*function)->handle(invocation->event));
    } catch (const std::exception& error) {  // no memory
      spdlog::error("an event could not be answered: {}", error.what());
      told = (*runtime)->fail(*invocation, "Miharu.Internal", error.what());
    }
    if (!told) spdlog::warn("{}", told.error().text);
    failures = told ? 0 : failures + 1;
  }
  return 1;
}

}  // namespace
}  // namespace miharu::lambda

int main() {
  // A static program has no NSS modules to load but those that are in glibc itself.
  __nss_configure_lookup("hosts", "files dns");
  spdlog::set_default_logger(spdlog::stderr_logger_mt("miharu"));
  spdlog::set_pattern("%l %v");  // CloudWatch has the time
  std::signal(SIGPIPE, SIG_IGN);
  return miharu::lambda::run();
}
