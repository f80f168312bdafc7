// What [cloud] and the environment come to: a bucket, its keys, and this relay's folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "app/config.h"
#include "s3/client.h"

namespace miharu::app {

struct BucketAccess {
  s3::Bucket bucket;
  s3::Credentials credentials;
  net::HttpClientOptions http;
};
struct CloudAccess : BucketAccess {
  std::string relay;  // its folder, without '/'
};

// The relay's id: the configuration's, else that of data/relay-id, which is made where there is none.
base::Result<std::string> relay_id(const Config::Cloud& cloud, const std::filesystem::path& data);
// Errors say what to do. The environment: AWS_ACCESS_KEY_ID ..., AWS_PROFILE, AWS_REGION,
// AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_CA_BUNDLE.
base::Result<BucketAccess> make_bucket_access(const Config::Cloud& cloud);
base::Result<CloudAccess> make_cloud_access(const Config::Cloud& cloud, const std::filesystem::path& data);

}  // namespace miharu::app
