// The requests of S3 that miharu makes, signed, as values: whoever has an HttpClient sends them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http_client.h"
#include "s3/bucket.h"
#include "s3/signature_v4.h"

namespace miharu::s3 {

struct PutOptions {
  // `If-None-Match: *`: nothing is ever overwritten. Off for the few keys that change (control/, live
  // playlists).
  bool create_only = true;
  std::string if_match;  // an ETag: replace this version alone
  std::string content_type = "application/octet-stream";
  std::string cache_control{};  // for who reads it, kept by the store
  bool expect_continue = false;
};

struct ListOptions {
  std::string prefix{};       // below the bucket's own
  std::string start_after{};  // likewise; empty: from the start
  bool one_level = false;     // delimiter '/'
  unsigned max_keys = 0;      // 0: as many as the store gives at once (1000)
  std::string next{};         // of the page before
};

struct ListVersionsOptions {
  std::string prefix{};  // below the bucket's own
  std::string key{};     // go on behind this version of this key
  std::string version{};
};

// One version of an object; what is there of a bucket without versioning is version "null".
struct ObjectVersion {
  std::string key;
  std::string version;  // empty: the latest (where versions are kept, it is hidden and not removed)
};

// Immutable, thread-safe. `time` is the moment of sending: stores take 15 minutes of difference.
class RequestMaker {
 public:
  RequestMaker(Bucket bucket, Credentials credentials)
      : bucket_(std::move(bucket)), credentials_(std::move(credentials)) {}

  [[nodiscard]] const Bucket& bucket() const { return bucket_; }

  // `payload` is the hex SHA-256 of the body: the store refuses other bytes.
  [[nodiscard]] net::HttpClientRequest put(std::string_view key, net::FileBody body,
                                           const std::string& payload, const PutOptions& options,
                                           base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest put(std::string_view key, std::string body, const PutOptions& options,
                                           base::UtcTime time) const;
  // Length 0: to the end. The reply may have `length` bytes, or kMostWholeBytes.
  static constexpr uint64_t kMostWholeBytes = 64 << 20;
  [[nodiscard]] net::HttpClientRequest get(std::string_view key, uint64_t offset, uint64_t length,
                                           base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest head(std::string_view key, base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest remove(std::string_view key, base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest list(const ListOptions& options, base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest list_versions(const ListVersionsOptions& options,
                                                     base::UtcTime time) const;
  // At most kMostRemoved at once.
  static constexpr size_t kMostRemoved = 1000;
  [[nodiscard]] net::HttpClientRequest remove_many(std::span<const ObjectVersion> objects,
                                                   base::UtcTime time) const;
  // Of the bucket itself, `what` in the query: "policy", "cors", "lifecycle", "versioning"; "" makes, asks
  // for or removes the bucket. A body is sent with its MD5, which AWS wants of settings.
  [[nodiscard]] net::HttpClientRequest of_bucket(std::string_view method, std::string_view what,
                                                 std::string body, base::UtcTime time) const;
  // Of the server itself: for administration beyond S3.
  [[nodiscard]] net::HttpClientRequest of_server(std::string_view method, std::string_view path,
                                                 std::string body, base::UtcTime time) const;
  // A URL that reads one object without credentials until it expires.
  [[nodiscard]] std::string presigned_get(std::string_view key, base::UtcTime time,
                                          std::chrono::seconds expires) const;

 private:
  struct Plan {
    std::string method;
    std::string path;
    NameValues query;
    NameValues headers;
    std::string payload{kEmptyPayload};
  };
  [[nodiscard]] net::HttpClientRequest sign(Plan plan, base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest sign_with_body(Plan plan, std::string body, base::UtcTime time) const;
  [[nodiscard]] net::HttpClientRequest put_head(std::string_view key, const std::string& payload,
                                                const PutOptions& options, base::UtcTime time) const;

  Bucket bucket_;
  Credentials credentials_;
};

// SHA-256 of a piece of a file, for put(). Reads it once: blocking.
base::Result<std::string> sha256_of(const net::FileBody& body);

}  // namespace miharu::s3
