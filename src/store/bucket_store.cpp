#include "store/bucket_store.h"

#include <future>

#include <boost/asio/post.hpp>

#include "base/bytes.h"

namespace miharu::store {
namespace {

// Stores are bounded by what they answer; a prefix with more than this is not ours.
constexpr size_t kMostPages = 1000;

// That the store refuses us is no verdict on who asked us.
base::Error error_of(const s3::Failure& failure) {
  base::Error error = failure.error();
  if (error.code == base::Errc::kUnauthorized || error.code == base::Errc::kForbidden)
    error.code = base::Errc::kRefused;
  return error;
}

}  // namespace

BucketStore::Turn::Turn(BucketStore& store) : store_(store) {
  std::unique_lock lock(store_.mutex_);
  store_.freed_.wait(lock, [&] { return !store_.free_.empty() || store_.made_ < kConnections; });
  if (!store_.free_.empty()) {
    client_ = std::move(store_.free_.back());
    store_.free_.pop_back();
    return;
  }
  ++store_.made_;
  lock.unlock();
  client_ = std::make_unique<s3::Client>(store_.bucket_, store_.credentials_, store_.http_, store_.clock_);
}

BucketStore::Turn::~Turn() {
  {
    const std::lock_guard lock(store_.mutex_);
    store_.free_.push_back(std::move(client_));
  }
  store_.freed_.notify_one();
}

BucketStore::BucketStore(s3::Bucket bucket, s3::Credentials credentials, net::HttpClientOptions http,
                         const base::Clock& clock)
    : bucket_(std::move(bucket)),
      credentials_(std::move(credentials)),
      http_(std::move(http)),
      clock_(clock) {}

BucketStore::~BucketStore() {
  listers_.join();
}

base::Result<Listing> BucketStore::list(std::string_view prefix, bool one_level) {
  Turn client(*this);
  Listing out;
  s3::ListOptions options;
  options.prefix = prefix;
  options.one_level = one_level;
  for (size_t pages = 0; pages < kMostPages; ++pages) {
    auto page = client->list(options);
    if (!page) return tl::unexpected(error_of(page.error()));
    for (s3::ListedKey& each : page->keys) out.objects.push_back({std::move(each.key), each.size_bytes});
    for (std::string& each : page->prefixes) out.prefixes.push_back(std::move(each));
    if (page->next.empty()) return out;
    options.next = std::move(page->next);
  }
  return base::fail(base::Errc::kLimit, "the listing of " + std::string(prefix) + " has no end");
}

std::vector<base::Result<Listing>> BucketStore::list_many(const std::vector<std::string>& prefixes,
                                                          bool one_level) {
  std::vector<std::future<base::Result<Listing>>> under_way;
  under_way.reserve(prefixes.size());
  for (const std::string& prefix : prefixes) {
    auto task = std::make_shared<std::packaged_task<base::Result<Listing>()>>(
        [this, &prefix, one_level] { return list(prefix, one_level); });
    under_way.push_back(task->get_future());
    boost::asio::post(listers_, [task] { (*task)(); });
  }
  std::vector<base::Result<Listing>> listings;
  listings.reserve(prefixes.size());
  for (auto& each : under_way) listings.push_back(each.get());
  return listings;
}

base::Result<base::ByteVector> BucketStore::get(std::string_view key, uint64_t offset, uint64_t length) {
  if (length == 0) return base::ByteVector();
  Turn client(*this);
  // To the end: numbers beyond 63 bits are not for every store.
  auto got = client->get(key, offset, length > s3::RequestMaker::kMostWholeBytes ? 0 : length);
  if (!got) return tl::unexpected(error_of(got.error()));
  const base::ByteView view = base::as_bytes(*got);
  return base::ByteVector(view.begin(), view.end());
}

base::Status BucketStore::put(std::string_view key, base::ByteView bytes) {
  Turn client(*this);
  auto done = client->put(key, std::string(base::as_text(bytes)));
  if (!done) return tl::unexpected(error_of(done.error()));
  return {};
}

base::Status BucketStore::replace(std::string_view key, base::ByteView bytes) {
  Turn client(*this);
  s3::PutOptions options;
  options.create_only = false;
  options.content_type = "application/json";
  auto done = client->put(key, std::string(base::as_text(bytes)), options);
  if (!done) return tl::unexpected(error_of(done.error()));
  return {};
}

base::Result<VersionedText> BucketStore::get_versioned(std::string_view key, uint64_t limit_bytes) {
  Turn client(*this);
  const auto got = client->ask([&](base::UtcTime time) {
    auto request = client->requests().get(key, 0, 0, time);
    request.max_body_bytes = limit_bytes;
    return request;
  });
  if (!got) {
    const s3::Failure& failure = got.error();
    if (failure.status == 404 && failure.code == "NoSuchKey") return VersionedText{{}, {}, failure.date};
    base::Error error = error_of(failure);
    // Of a proxy in between, or of a bucket that is gone: that says nothing about the object.
    if (error.code == base::Errc::kNotFound) error.code = base::Errc::kIo;
    return tl::unexpected(std::move(error));
  }
  std::string version(got->header("etag"));
  if (version.empty())
    return base::fail(base::Errc::kIo, std::string(key) + ": what answered is no store: there is no ETag");
  return VersionedText{got->body, std::move(version), s3::parse_http_date(got->header("date"))};
}

base::Status BucketStore::replace_version(std::string_view key, std::string_view text,
                                          const std::string& version) {
  Turn client(*this);
  s3::PutOptions options;
  options.if_match = version;
  options.content_type = "application/json";
  options.cache_control = "no-cache";
  // Not put(): an attempt that was not answered may have won the race or lost it, and only reading tells.
  const auto done = client->ask(
      [&](base::UtcTime time) { return client->requests().put(key, std::string(text), options, time); });
  if (!done) return tl::unexpected(error_of(done.error()));
  return {};
}

base::Status BucketStore::remove(std::string_view key) {
  Turn client(*this);
  auto done = client->remove(key);
  if (!done) return tl::unexpected(error_of(done.error()));
  return {};
}

}  // namespace miharu::store
