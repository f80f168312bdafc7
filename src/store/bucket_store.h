// ObjectStore over a bucket of S3.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "s3/client.h"
#include "store/object_store.h"

namespace miharu::store {

// Thread-safe: as many requests at once as it may have connections, the others wait. Connections are made
// when they are needed. Errors are the store's own words, with what to do.
class BucketStore final : public ObjectStore {
 public:
  static constexpr unsigned kConnections = 16;

  BucketStore(s3::Bucket bucket, s3::Credentials credentials, net::HttpClientOptions http,
              const base::Clock& clock = base::system_clock());
  ~BucketStore() override;

  base::Result<Listing> list(std::string_view prefix, bool one_level) override;
  // Side by side.
  std::vector<base::Result<Listing>> list_many(const std::vector<std::string>& prefixes,
                                               bool one_level) override;
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override;
  base::Status put(std::string_view key, base::ByteView bytes) override;
  base::Status replace(std::string_view key, base::ByteView bytes) override;
  base::Status remove(std::string_view key) override;
  [[nodiscard]] bool is_bucket() const override { return true; }
  // By ETag. There is no object only where the store itself says NoSuchKey; every other 404 is an error.
  base::Result<VersionedText> get_versioned(std::string_view key, uint64_t limit_bytes) override;
  base::Status replace_version(std::string_view key, std::string_view text,
                               const std::string& version) override;

 private:
  // One client for as long as it lives.
  class Turn {
   public:
    explicit Turn(BucketStore& store);
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();
    s3::Client* operator->() { return client_.get(); }

   private:
    BucketStore& store_;
    std::unique_ptr<s3::Client> client_;
  };

  const s3::Bucket bucket_;
  const s3::Credentials credentials_;
  const net::HttpClientOptions http_;
  const base::Clock& clock_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::unique_ptr<s3::Client>> free_;  // the latest used last
  unsigned made_ = 0;
  boost::asio::thread_pool listers_{kConnections};
};

}  // namespace miharu::store
