// The Lambda runtime API over HTTP: what to do next, and what came of it. AWS Lambda Developer Guide, "Using
// the Lambda runtime API for custom runtimes", version 2018-06-01.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "net/http_client.h"

namespace miharu::lambda {

struct Invocation {
  std::string id;
  std::string event;
};

// Blocking, on one thread.
class RuntimeApi {
 public:
  // `address`: what AWS_LAMBDA_RUNTIME_API says, "127.0.0.1:9001".
  static base::Result<std::unique_ptr<RuntimeApi>> at(std::string_view address);
  ~RuntimeApi();

  // Waits as long as there is nothing to do: between two invocations the machine may be frozen.
  base::Result<Invocation> next();
  base::Status respond(const Invocation& invocation, std::string answer);
  // `type` is a word for people and metrics ("Miharu.Internal").
  base::Status fail(const Invocation& invocation, std::string_view type, std::string_view text);
  // There will be no invocations: the program ends.
  base::Status fail_start(std::string_view type, std::string_view text);

 private:
  explicit RuntimeApi(net::Origin origin);
  base::Result<net::HttpReply> send(net::HttpClientRequest request);
  base::Status post(std::string target, std::string body, std::string_view error_type);

  net::EventLoop loop_{"runtime-api"};
  std::unique_ptr<net::HttpClient> http_;  // lives on the loop
};

}  // namespace miharu::lambda
