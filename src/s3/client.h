// One bucket, blocking: for commands and stores. Who uploads sends requests of its own (s3/request.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "s3/failure.h"
#include "s3/request.h"
#include "s3/xml.h"

namespace miharu::s3 {

struct ObjectHead {
  uint64_t size_bytes = 0;
  std::string etag;
};

// One connection on a thread of its own. Not thread-safe. A busy store and a broken connection are tried
// again up to kAttempts times; a clock that is off is told by the first answer, and the request repeated by
// the store's time.
class Client {
 public:
  static constexpr int kAttempts = 3;
  // `tls` as for net::HttpClient; may be null for an origin without TLS.
  Client(Bucket bucket, Credentials credentials, net::HttpClientOptions options,
         const base::Clock& clock = base::system_clock());
  ~Client();

  [[nodiscard]] const Bucket& bucket() const { return maker_.bucket(); }
  [[nodiscard]] const RequestMaker& requests() const { return maker_; }
  // Any request of S3: `make` is called with the time to sign it with, once an attempt. 2xx alone is success.
  using Make = std::function<net::HttpClientRequest(base::UtcTime)>;
  Outcome<net::HttpReply> ask(const Make& make) { return ask(make, false); }

  // That the key is taken is success after an attempt of our own that was not answered.
  Outcome<void> put(std::string_view key, std::string body, const PutOptions& options = {});
  Outcome<void> put(std::string_view key, const net::FileBody& body, const PutOptions& options = {});
  // Bytes [offset, offset+length), cut at the object's end; length 0: to the end.
  Outcome<std::string> get(std::string_view key, uint64_t offset = 0, uint64_t length = 0);
  Outcome<ObjectHead> head(std::string_view key);
  // One page. Keys and prefixes in it are below the bucket's prefix.
  Outcome<ListPage> list(const ListOptions& options);
  Outcome<void> remove(std::string_view key);
  // One page; keys and `next_key` are below the bucket's prefix. A store without versions answers 501.
  Outcome<VersionPage> list_versions(const ListVersionsOptions& options);
  // Up to RequestMaker::kMostRemoved versions; gives those that did not go.
  Outcome<std::vector<RemoveError>> remove_many(std::span<const ObjectVersion> objects);
  [[nodiscard]] std::string presigned_get(std::string_view key, std::chrono::seconds expires) const {
    return maker_.presigned_get(key, clock_.utc() + skew_, expires);
  }
  // The store's clock minus ours by the last answer, to a second or two.
  [[nodiscard]] std::optional<base::nanoseconds> clock_difference() const { return difference_; }

 private:
  Outcome<net::HttpReply> ask(const Make& make, bool there_is_done);
  base::Result<net::HttpReply> send(net::HttpClientRequest request);
  [[nodiscard]] bool take_prefix_off(std::string& key) const;

  RequestMaker maker_;
  const base::Clock& clock_;
  net::EventLoop loop_{"s3"};
  std::unique_ptr<net::HttpClient> http_;  // lives on the loop
  base::nanoseconds skew_{};               // that the store insisted on
  std::optional<base::nanoseconds> difference_;
};

}  // namespace miharu::s3
