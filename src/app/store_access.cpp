#include "app/store_access.h"

#include <cstdlib>

#include "api/delivery_settings.h"
#include "s3/credentials.h"
#include "store/bucket_store.h"
#include "store/directory_store.h"

namespace miharu::app {

base::Result<BucketAccess> open_bucket(const std::string& where) {
  Config::Cloud cloud;
  cloud.url = where;
  auto access = make_bucket_access(cloud);
  if (!access) return tl::unexpected(std::move(access.error()).in("--store"));
  return access;
}

base::Result<std::unique_ptr<store::ObjectStore>> open_store(const std::string& where) {
  if (where.starts_with("s3://")) {
    auto access = open_bucket(where);
    if (!access) return tl::unexpected(std::move(access.error()));
    return std::make_unique<store::BucketStore>(std::move(access->bucket), std::move(access->credentials),
                                                std::move(access->http));
  }
  auto directory = store::DirectoryStore::open(where, store::DirectoryStore::Open::kExisting);
  if (!directory) return tl::unexpected(std::move(directory.error()));
  return std::move(*directory);
}

base::Result<std::unique_ptr<api::MediaDelivery>> open_delivery(const std::string& where,
                                                                const std::string& way) {
  if (where.starts_with("s3://")) {
    auto access = open_bucket(where);
    if (!access) return tl::unexpected(std::move(access.error()));
    return api::make_delivery(s3::process_variables(), way, "proxied", access->bucket, access->credentials);
  }
  if (way.empty() || way == "proxied") return std::make_unique<api::MediaDelivery>();
  return base::fail(base::Errc::kInvalid,
                    "--delivery: media of a directory come through the server (proxied)");
}

base::Result<std::filesystem::path> token_key_file() {
  const char* file = std::getenv("MIHARU_TOKEN_KEY_FILE");
  if (file == nullptr || *file == '\0') {
    return base::fail(base::Errc::kInvalid,
                      "set MIHARU_TOKEN_KEY_FILE to the file of this server's signing key, for example "
                      "/etc/miharu/serve.key; it is made when it is not there. All that serve one store need "
                      "the same, and it is not the token.key of a recorder");
  }
  return std::filesystem::path(file);
}

}  // namespace miharu::app
