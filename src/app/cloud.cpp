#include "app/cloud.h"

#include <openssl/rand.h>

#include <array>

#include "app/config_values.h"
#include "base/check.h"
#include "base/file.h"
#include "base/text.h"
#include "s3/credentials.h"

namespace miharu::app {
namespace {

constexpr size_t kMostIdBytes = 64;

}  // namespace

std::string new_relay_id() {
  std::array<std::byte, 6> random{};
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), int{random.size()}) == 1);
  return "r" + base::to_hex(random);
}

base::Result<std::string> relay_id(const Config::Cloud& cloud, const std::filesystem::path& data) {
  if (!cloud.relay.empty()) return cloud.relay;
  const std::filesystem::path file = data / "relay-id";
  if (const auto bytes = base::read_file(file, kMostIdBytes)) {
    std::string id(base::trim(base::as_text(*bytes)));
    if (auto good = check_relay_name(id); !good)
      return tl::unexpected(std::move(good.error()).in(file.string()));
    return id;
  } else if (bytes.error().code != base::Errc::kNotFound) {
    return tl::unexpected(bytes.error());
  }
  std::string id = new_relay_id();
  std::error_code error;
  std::filesystem::create_directories(data, error);
  if (auto written = base::write_file(file, base::as_bytes(id + "\n"), 0640); !written)
    return tl::unexpected(written.error());
  return id;
}

base::Result<BucketAccess> make_bucket_access(const Config::Cloud& cloud) {
  s3::CredentialSources sources{cloud.credentials_file, cloud.profile, s3::process_variables()};
  const auto variable = [&sources](std::string_view name) { return sources.variable(name).value_or(""); };
  std::string endpoint = cloud.endpoint;
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (endpoint.empty()) endpoint = variable(name);
  }
  const std::string region = cloud.region.empty() ? s3::load_region(sources) : cloud.region;
  BucketAccess access;
  auto bucket = s3::make_bucket(cloud.url, endpoint, region, cloud.addressing);
  if (!bucket) return tl::unexpected(std::move(bucket.error()).in("[cloud]"));
  access.bucket = std::move(*bucket);
  auto credentials = s3::load_credentials(sources);
  if (!credentials) return tl::unexpected(credentials.error());
  access.credentials = std::move(*credentials);
  if (access.bucket.origin.tls) {
    auto tls = net::make_client_tls(variable("AWS_CA_BUNDLE"));
    if (!tls) return tl::unexpected(std::move(tls.error()).in("[cloud]"));
    access.http.tls = std::move(*tls);
  }
  return access;
}

base::Result<BucketAccess> make_admin_access(const Config::Cloud& cloud, const std::string& profile) {
  Config::Cloud with_admin = cloud;
  with_admin.credentials_file.clear();
  with_admin.profile = profile;
  return make_bucket_access(with_admin);
}

base::Result<BucketAccess> open_bucket(const std::string& store, const Config& config,
                                       const std::string& profile) {
  Config::Cloud cloud = config.cloud;
  if (!store.empty()) cloud.url = store;
  if (cloud.url.empty()) {
    return base::fail(base::Errc::kInvalid,
                      "say which bucket: --store s3://BUCKET/PREFIX, or url in [cloud] of miharu.toml");
  }
  if (!cloud.url.starts_with("s3://")) {
    return base::fail(
        base::Errc::kInvalid,
        "this is for buckets (s3://BUCKET/PREFIX): a recorder keeps its own disk by [store] keep");
  }
  return make_admin_access(cloud, profile);
}

base::Result<Config> load_config_if_there(const std::filesystem::path& file,
                                          const std::filesystem::path& data) {
  ConfigSources sources;
  sources.file = file;
  sources.cameras_file = data / "cameras.toml";
  if (file.empty() && std::filesystem::exists("miharu.toml")) sources.file = "miharu.toml";
  return load_config(sources);
}

base::Result<CloudAccess> make_cloud_access(const Config::Cloud& cloud, const std::filesystem::path& data) {
  auto bucket = make_bucket_access(cloud);
  if (!bucket) return tl::unexpected(std::move(bucket.error()));
  auto relay = relay_id(cloud, data);
  if (!relay) return tl::unexpected(std::move(relay.error()));
  return CloudAccess{std::move(*bucket), std::move(*relay)};
}

}  // namespace miharu::app
