#include "s3/client.h"

#include <future>
#include <random>
#include <thread>

#include "base/text.h"

namespace miharu::s3 {
namespace {

// Full jitter: anything up to a bound that doubles.
std::chrono::milliseconds pause_before(int attempt) {
  static thread_local std::mt19937 random{std::random_device{}()};
  return std::chrono::milliseconds(std::uniform_int_distribution<int>(0, 200 << attempt)(random));
}

Failure failure_of(const base::Error& error) {
  Failure failure;
  failure.message = error.to_string();
  return failure;
}

// A store that answers with what was not asked for is not to be trusted with the rest.
Failure foreign_keys() {
  Failure failure;
  failure.message = "the listing has keys that do not begin with the prefix that was asked for";
  return failure;
}

}  // namespace

Client::Client(Bucket bucket, Credentials credentials, net::HttpClientOptions options,
               const base::Clock& clock)
    : maker_(std::move(bucket), std::move(credentials)), clock_(clock) {
  loop_.start();
  http_ = std::make_unique<net::HttpClient>(loop_, maker_.bucket().origin, std::move(options));
}

Client::~Client() {
  loop_.run_and_wait([this] { http_.reset(); });
  loop_.stop();
}

base::Result<net::HttpReply> Client::send(net::HttpClientRequest request) {
  std::promise<base::Result<net::HttpReply>> promise;
  loop_.post([&] {
    http_->send(std::move(request),
                [&promise](base::Result<net::HttpReply> reply) { promise.set_value(std::move(reply)); });
  });
  return promise.get_future().get();
}

Outcome<net::HttpReply> Client::ask(const Make& make, bool there_is_done) {
  bool moved_clock = false;
  bool unanswered = false;
  for (int attempt = 1;; ++attempt) {
    auto reply = send(make(clock_.utc() + skew_));
    if (reply) {
      if (const auto date = parse_http_date(reply->header("date"))) difference_ = *date - clock_.utc();
      if (reply->status >= 200 && reply->status < 300) return std::move(*reply);
    }
    const bool own_attempt = unanswered || (reply && reply->resent);
    Failure failure = reply ? classify(*reply) : classify(reply.error());
    if (failure.fault == Fault::kSkew && difference_ && !moved_clock) {
      moved_clock = true;
      skew_ = *difference_;
      continue;
    }
    if (failure.fault == Fault::kExists && there_is_done && own_attempt) return std::move(*reply);
    unanswered = unanswered || failure.passes_by_itself();
    if (!failure.passes_by_itself() || attempt >= kAttempts) return tl::unexpected(std::move(failure));
    std::this_thread::sleep_for(pause_before(attempt));
  }
}

Outcome<void> Client::put(std::string_view key, std::string body, const PutOptions& options) {
  return ask([&](base::UtcTime time) { return maker_.put(key, body, options, time); }, true).map([](auto&&) {
  });
}

Outcome<void> Client::put(std::string_view key, const net::FileBody& body, const PutOptions& options) {
  const auto payload = sha256_of(body);
  if (!payload) return tl::unexpected(classify(payload.error()));
  return ask([&](base::UtcTime time) { return maker_.put(key, body, *payload, options, time); }, true)
      .map([](auto&&) {});
}

Outcome<std::string> Client::get(std::string_view key, uint64_t offset, uint64_t length) {
  return ask([&](base::UtcTime time) { return maker_.get(key, offset, length, time); })
      .map([](net::HttpReply reply) { return std::move(reply.body); });
}

Outcome<ObjectHead> Client::head(std::string_view key) {
  return ask([&](base::UtcTime time) { return maker_.head(key, time); }).map([](const net::HttpReply& reply) {
    return ObjectHead{base::parse_number<uint64_t>(reply.header("content-length")).value_or(0),
                      std::string(reply.header("etag"))};
  });
}

Outcome<void> Client::remove(std::string_view key) {
  return ask([&](base::UtcTime time) { return maker_.remove(key, time); }).map([](auto&&) {});
}

Outcome<VersionPage> Client::list_versions(const ListVersionsOptions& options) {
  auto reply = ask([&](base::UtcTime time) { return maker_.list_versions(options, time); });
  if (!reply) return tl::unexpected(std::move(reply.error()));
  auto page = parse_versions(reply->body);
  if (!page) return tl::unexpected(failure_of(page.error()));
  bool good = page->next_key.empty() || take_prefix_off(page->next_key);
  for (ListedVersion& each : page->versions) good = take_prefix_off(each.key) && good;
  if (!good) return tl::unexpected(foreign_keys());
  return std::move(*page);
}

Outcome<std::vector<RemoveError>> Client::remove_many(std::span<const ObjectVersion> objects) {
  auto reply = ask([&](base::UtcTime time) { return maker_.remove_many(objects, time); });
  if (!reply) return tl::unexpected(std::move(reply.error()));
  auto errors = parse_remove_errors(reply->body);
  if (!errors) return tl::unexpected(failure_of(errors.error()));
  return std::move(*errors);
}

bool Client::take_prefix_off(std::string& key) const {
  const std::string& own = bucket().prefix;
  if (!key.starts_with(own)) return false;
  key.erase(0, own.size());
  return true;
}

Outcome<ListPage> Client::list(const ListOptions& options) {
  auto reply = ask([&](base::UtcTime time) { return maker_.list(options, time); });
  if (!reply) return tl::unexpected(std::move(reply.error()));
  auto page = parse_list(reply->body);
  if (!page) return tl::unexpected(failure_of(page.error()));
  bool good = true;
  for (ListedKey& each : page->keys) good = take_prefix_off(each.key) && good;
  for (std::string& each : page->prefixes) good = take_prefix_off(each) && good;
  if (!good) return tl::unexpected(foreign_keys());
  return std::move(*page);
}

}  // namespace miharu::s3
