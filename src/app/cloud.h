// What [cloud] and the environment come to: a bucket, its keys, and this relay's folder.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "app/config.h"
#include "s3/client.h"

namespace miharu::app {

// What `miharu cloud test` puts below RELAY/live/test/TIME/.
inline constexpr std::array<std::string_view, 3> kCloudTestFiles{"first.bin", "checksum.bin", "rate.bin"};

struct BucketAccess {
  s3::Bucket bucket;
  s3::Credentials credentials;
  net::HttpClientOptions http;
};
struct CloudAccess : BucketAccess {
  std::string relay;  // its folder, without '/'
};

std::string new_relay_id();
// The relay's id: the configuration's, else that of data/relay-id, which is made where there is none.
base::Result<std::string> relay_id(const Config::Cloud& cloud, const std::filesystem::path& data);
// Errors say what to do. The environment: AWS_ACCESS_KEY_ID ..., AWS_PROFILE, AWS_REGION,
// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_CA_BUNDLE.
base::Result<BucketAccess> make_bucket_access(const Config::Cloud& cloud);
// The same with the keys of the environment or of `profile`, never those of the relay.
base::Result<BucketAccess> make_admin_access(const Config::Cloud& cloud, const std::string& profile);
// `store` is s3://bucket/prefix; "" is the configuration's. With an administrator's keys.
base::Result<BucketAccess> open_bucket(const std::string& store, const Config& config,
                                       const std::string& profile);
// "" names miharu.toml, which need not be there. With the cameras that were added on the page, in `data`.
base::Result<Config> load_config_if_there(const std::filesystem::path& file,
                                          const std::filesystem::path& data);
base::Result<CloudAccess> make_cloud_access(const Config::Cloud& cloud, const std::filesystem::path& data);

}  // namespace miharu::app
