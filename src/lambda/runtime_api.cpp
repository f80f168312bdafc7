#include "lambda/runtime_api.h"

#include <future>

#include <fmt/format.h>
#include <boost/json.hpp>

namespace miharu::lambda {
namespace {

constexpr std::string_view kRoot = "/2018-06-01/runtime";
constexpr uint64_t kMostEventBytes = 8 << 20;  // Lambda takes 6 MB
constexpr std::chrono::hours kPatience{24 * 30};

std::string error_text(std::string_view type, std::string_view text) {
  return boost::json::serialize(
      boost::json::object{{"errorType", boost::json::string_view(type.data(), type.size())},
                          {"errorMessage", boost::json::string_view(text.data(), text.size())}});
}

}  // namespace

RuntimeApi::RuntimeApi(net::Origin origin) {
  loop_.start();
  net::HttpClientOptions options;
  options.stall = kPatience;
  http_ = std::make_unique<net::HttpClient>(loop_, std::move(origin), std::move(options));
}

RuntimeApi::~RuntimeApi() {
  loop_.run_and_wait([this] { http_.reset(); });
  loop_.stop();
}

base::Result<std::unique_ptr<RuntimeApi>> RuntimeApi::at(std::string_view address) {
  auto origin = net::parse_origin(fmt::format("http://{}", address));
  if (!origin) return tl::unexpected(std::move(origin.error()).in("AWS_LAMBDA_RUNTIME_API"));
  return std::unique_ptr<RuntimeApi>(new RuntimeApi(std::move(*origin)));
}

base::Result<net::HttpReply> RuntimeApi::send(net::HttpClientRequest request) {
  std::promise<base::Result<net::HttpReply>> promise;
  loop_.post([&] {
    http_->send(std::move(request),
                [&promise](base::Result<net::HttpReply> reply) { promise.set_value(std::move(reply)); });
  });
  return promise.get_future().get();
}

base::Result<Invocation> RuntimeApi::next() {
  net::HttpClientRequest request;
  request.target = fmt::format("{}/invocation/next", kRoot);
  request.max_body_bytes = kMostEventBytes;
  auto reply = send(std::move(request));
  if (!reply) return tl::unexpected(std::move(reply.error()));
  Invocation invocation{std::string(reply->header("Lambda-Runtime-Aws-Request-Id")), std::move(reply->body)};
  if (reply->status != 200 || invocation.id.empty()) {
    return base::fail(
        base::Errc::kMalformed,
        fmt::format("the runtime API answered {} where an invocation should be", reply->status));
  }
  return invocation;
}

base::Status RuntimeApi::post(std::string target, std::string body, std::string_view error_type) {
  net::HttpClientRequest request;
  request.method = "POST";
  request.target = std::move(target);
  request.headers.emplace_back("Content-Type", "application/json");
  if (!error_type.empty()) request.headers.emplace_back("Lambda-Runtime-Function-Error-Type", error_type);
  request.body = std::move(body);
  const auto reply = send(std::move(request));
  if (!reply) return tl::unexpected(reply.error());
  if (reply->status / 100 == 2) return {};
  return base::fail(base::Errc::kRefused,
                    fmt::format("the runtime API answered {} to what the function sent: {}", reply->status,
                                reply->body.substr(0, 200)));
}

base::Status RuntimeApi::respond(const Invocation& invocation, std::string answer) {
  return post(fmt::format("{}/invocation/{}/response", kRoot, invocation.id), std::move(answer), {});
}

base::Status RuntimeApi::fail(const Invocation& invocation, std::string_view type, std::string_view text) {
  return post(fmt::format("{}/invocation/{}/error", kRoot, invocation.id), error_text(type, text), type);
}

base::Status RuntimeApi::fail_start(std::string_view type, std::string_view text) {
  return post(fmt::format("{}/init/error", kRoot), error_text(type, text), type);
}

}  // namespace miharu::lambda
