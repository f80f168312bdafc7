// Where a bucket is, and how its objects are addressed.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "net/http_client.h"

namespace miharu::s3 {

enum class Addressing : uint8_t {
  kAuto,     // virtual hosts at AWS, paths elsewhere
  kPath,     // https://endpoint/bucket/key
  kVirtual,  // https://bucket.endpoint/key
};

struct Bucket {
  std::string name;
  std::string prefix;  // of all keys: "" or "home/cameras/", ends in '/'
  std::string region;
  net::Origin origin;  // of requests: with virtual hosts the bucket is part of the host
  bool path_style = false;

  // On the wire, percent-encoded; `key` counts from the prefix. Key "" with the prefix "" is the bucket
  // itself.
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] std::string root_path() const;  // of the bucket itself: for listing
  [[nodiscard]] std::string url() const;        // "s3://bucket/prefix", for people
};

// `url`: s3://bucket[/prefix]. `endpoint`: "" is AWS. `region`: "" is us-east-1, which most other stores
// take. kInvalid says what is wrong.
base::Result<Bucket> make_bucket(std::string_view url, std::string_view endpoint, std::string_view region,
                                 Addressing addressing = Addressing::kAuto);

}  // namespace miharu::s3
