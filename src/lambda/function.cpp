#include "lambda/function.h"

#include <atomic>
#include <filesystem>
#include <future>

#include <fmt/format.h>

#include "api/router.h"
#include "base/text.h"
#include "lambda/event.h"
#include "s3/credentials.h"

namespace miharu::lambda {
namespace {

using base::Errc;
using base::fail;

// A function is billed while it waits, and ended by its own time limit.
constexpr std::chrono::seconds kConnect{3};
constexpr std::chrono::seconds kStall{8};

// Any thread may give it, the first one counts.
class Answer final : public net::HttpExchange {
 public:
  ~Answer() override { give(net::problem(500, "Nobody answered this request.")); }
  void respond(net::HttpResponse response) override { give(std::move(response)); }
  std::shared_ptr<Stream> stream(unsigned, net::HttpHeaders) override {
    give(net::problem(501, "A function sends nothing without an end: ask the recorder, or miharu serve."));
    return nullptr;
  }
  std::future<net::HttpResponse> future() { return promise_.get_future(); }

 private:
  void give(net::HttpResponse response) {
    if (!given_.exchange(true)) promise_.set_value(std::move(response));
  }
  std::atomic<bool> given_{false};
  std::promise<net::HttpResponse> promise_;
};

// What the program was linked with knows Debian's place alone.
base::Result<std::shared_ptr<boost::asio::ssl::context>> make_tls(const std::string& named) {
  if (!named.empty()) return net::make_client_tls(named);
  for (const char* bundle : {"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"}) {
    std::error_code ec;
    if (std::filesystem::exists(bundle, ec)) return net::make_client_tls(bundle);
  }
  return net::make_client_tls();
}

base::Result<api::TokenKey> make_key(const std::string& text, const std::string& file) {
  if (!text.empty()) {
    auto key = api::TokenKey::parse(text);
    if (!key) return tl::unexpected(base::Error(key.error()).in("MIHARU_TOKEN_KEY"));
    return key;
  }
  if (!file.empty()) return api::TokenKey::load(file);
  return fail(
      Errc::kInvalid,
      "set MIHARU_TOKEN_KEY to the signing key of this store (`miharu cloud init` makes it); it is not "
      "the token.key of a recorder");
}

void set_header(net::HttpRequest& request, std::string_view name, std::string value) {
  std::erase_if(request.headers,
                [&](const auto& field) { return base::equals_ignoring_case(field.first, name); });
  request.headers.emplace_back(name, std::move(value));
}

}  // namespace

Function::Function(s3::Bucket bucket, s3::Credentials credentials, net::HttpClientOptions http,
                   const api::TokenKey& key, std::unique_ptr<api::MediaDelivery> delivery,
                   std::string site_host, const base::Clock& clock)
    : store_(std::move(bucket), std::move(credentials), std::move(http), clock),
      behind_cdn_(delivery->is_behind_cdn()),
      site_host_(std::move(site_host)),
      site_(store_, clock, key,
            {std::move(delivery), [](const std::function<void()>& work) { work(); }, std::chrono::hours(2)}),
      page_(store_, clock, site_.media_origin()) {
  site_.refuse("GET", "/metrics", "a function counts nothing: its figures are in CloudWatch");
  site_.router().add("GET", "/{file*}", api::Need::nothing(),
                     [this](const api::RequestContext& context, const api::Exchange& exchange) {
                       exchange->respond(page_.answer(context.request, context.param("file")));
                     });
}

base::Result<std::unique_ptr<Function>> Function::make(const api::Variables& variable,
                                                       const base::Clock& clock) {
  const auto value = [&variable](std::string_view name) { return variable(name).value_or(""); };
  const std::string where = value("MIHARU_STORE");
  if (where.empty()) return fail(Errc::kInvalid, "set MIHARU_STORE to the bucket: s3://bucket/prefix");
  const s3::CredentialSources sources{{}, {}, variable};
  std::string endpoint = value("AWS_ENDPOINT_URL_S3");
  if (endpoint.empty()) endpoint = value("AWS_ENDPOINT_URL");
  auto bucket = s3::make_bucket(where, endpoint, s3::load_region(sources));
  if (!bucket) return tl::unexpected(std::move(bucket.error()).in("MIHARU_STORE"));
  auto credentials = s3::load_credentials(sources);
  if (!credentials) return tl::unexpected(std::move(credentials.error()));
  const auto key = make_key(value("MIHARU_TOKEN_KEY"), value("MIHARU_TOKEN_KEY_FILE"));
  if (!key) return tl::unexpected(key.error());
  auto delivery = api::make_delivery(variable, {}, "cdn", *bucket, *credentials);
  if (!delivery) return tl::unexpected(std::move(delivery.error()));
  net::HttpClientOptions http;
  http.connect = kConnect;
  http.stall = kStall;
  if (bucket->origin.tls) {
    auto tls = make_tls(value("AWS_CA_BUNDLE"));
    if (!tls) return tl::unexpected(std::move(tls.error()));
    http.tls = std::move(*tls);
  }
  std::string host = value("MIHARU_CDN_SITE");
  if (const size_t scheme = host.find("://"); scheme != std::string::npos) host.erase(0, scheme + 3);
  while (host.ends_with('/')) host.pop_back();
  return std::unique_ptr<Function>(new Function(std::move(*bucket), std::move(*credentials), std::move(http),
                                                *key, std::move(*delivery), std::move(host), clock));
}

// A CDN in front of a function URL signs requests in the field Authorization, and sends its own Host and
// address.
void Function::put_right(net::HttpRequest& request) const {
  if (const std::string_view token = request.header("X-Miharu-Token"); !token.empty())
    set_header(request, "Authorization", "Bearer " + std::string(token));
  if (!behind_cdn_) return;
  if (!site_host_.empty()) set_header(request, "Host", site_host_);
  const std::string_view viewer = request.header("CloudFront-Viewer-Address");
  if (const size_t port = viewer.rfind(':'); port != std::string_view::npos)
    request.remote = std::string(viewer.substr(0, port));
}

std::string Function::handle(std::string_view event) {
  auto request = request_of(event);
  if (!request) return answer_to({}, api::problem_of(request.error()));
  put_right(*request);
  const net::HttpRequest asked = *request;
  auto exchange = std::make_shared<Answer>();
  auto answer = exchange->future();
  site_.router().handle(std::move(*request), std::move(exchange));
  return answer_to(asked, answer.get());
}

}  // namespace miharu::lambda
