// Where commands find a store, and the key that signs for it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "api/delivery.h"
#include "app/cloud.h"
#include "store/object_store.h"

namespace miharu::app {

// "s3://bucket/prefix", with endpoint, region and credentials from the environment and the AWS files; or a
// directory that is a store already. Errors say what to do.
base::Result<std::unique_ptr<store::ObjectStore>> open_store(const std::string& where);

// "s3://bucket/prefix" alone.
base::Result<BucketAccess> open_bucket(const std::string& where);

// How media of that store come to browsers. `way`: "proxied", "presigned", "cdn", or "" for what
// MIHARU_DELIVERY says, else proxied. Of a directory nothing but proxied.
base::Result<std::unique_ptr<api::MediaDelivery>> open_delivery(const std::string& where,
                                                                const std::string& way);

// The file that MIHARU_TOKEN_KEY_FILE names: the signing key of `serve`, which is never a recorder's.
base::Result<std::filesystem::path> token_key_file();

}  // namespace miharu::app
