#include "api/delivery.h"

#include <algorithm>

#include <fmt/format.h>

namespace miharu::api {
namespace {

using base::UtcTime;
using store::CatalogEntry;

struct Life {
  UtcTime from;
  UtcTime until;
};

Life life_of(const Access& access, UtcTime now) {
  const UtcTime from = std::chrono::floor<std::chrono::hours>(now);
  const UtcTime until = from + kLongestGrant;
  return {from, access.expires ? std::min(until, *access.expires) : until};
}

std::string text_of(const Life& life) {
  return fmt::format("{}-{}", base::to_unix_ms(life.from), base::to_unix_ms(life.until));
}

class PresignedDelivery final : public MediaDelivery {
 public:
  PresignedDelivery(s3::Bucket bucket, s3::Credentials key)
      : maker_(std::make_shared<const s3::RequestMaker>(std::move(bucket), std::move(key))) {}

  MediaPlan plan(const Access& access, UtcTime now) const override {
    const Life life = life_of(access, now);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(life.until - life.from);
    return {text_of(life),
            [maker = maker_, life, seconds](const CatalogEntry& entry) {
              return maker->presigned_get(entry.key, life.from, seconds);
            },
            false};
  }
  base::nanoseconds longest() const override { return std::chrono::hours(24); }
  std::string origin() const override { return net::format_origin(maker_->bucket().origin); }
  std::optional<std::string> elsewhere() const override {
    return "media come from the bucket here: play the playlist, whose addresses are signed";
  }

 private:
  std::shared_ptr<const s3::RequestMaker> maker_;
};

// The widest pattern of which every object may be fetched.
std::string pattern_of(const CatalogEntry& entry, const std::optional<Interval>& interval) {
  const std::string_view key = entry.key;
  const size_t name = key.rfind('/') + 1;
  if (!interval) {
    size_t folder = name;  // behind rec/<camera>/, before year, month, day and hour
    for (int part = 0; part < 4 && folder > 1; ++part) folder = key.rfind('/', folder - 2) + 1;
    return std::string(key.substr(0, folder)) + "*";
  }
  const auto hour = std::chrono::floor<std::chrono::hours>(entry.name.start);
  if (hour >= interval->from && hour + std::chrono::hours(1) <= interval->to)
    return std::string(key.substr(0, name)) + "*";
  return std::string(key);
}

class CdnDelivery final : public MediaDelivery {
 public:
  CdnDelivery(s3::CloudFrontSigner signer, std::string site)
      : signer_(std::move(signer)), site_(std::move(site)) {}

  MediaPlan plan(const Access& access, UtcTime now) const override {
    // Players that take a token in the path keep no cookies, and a cookie's pattern is all of a camera.
    if (access.path_prefix.empty() && !access.interval) return {{}, {}, true};
    const Life life = life_of(access, now);
    struct Last {
      std::string pattern;
      std::string query;
    };
    return {text_of(life),
            [signer = signer_, site = site_, interval = access.interval, life,
             last = std::make_shared<Last>()](const CatalogEntry& entry) {
              if (std::string pattern = pattern_of(entry, interval); pattern != last->pattern) {
                const auto grant = signer.grant(resource(site, pattern), life.until);
                last->pattern = std::move(pattern);
                last->query = grant ? grant->query() : std::string();
              }
              // From the root: a token in the path is not for the CDN's media.
              return fmt::format("/media/{}?{}", entry.key, last->query);
            },
            false};
  }

  base::Result<std::vector<std::string>> cookies(const Access& access,
                                                 const std::vector<std::string>& folders,
                                                 UtcTime now) const override {
    Life life = life_of(access, now);
    if (access.interval) life.until = std::min(life.until, access.interval->to);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(life.until - now).count();
    std::vector<std::string> out;
    for (const std::string& folder : folders) {
      const auto grant = signer_.grant(resource(site_, folder + "*"), life.until);
      if (!grant) return tl::unexpected(grant.error());
      for (const auto& [name, value] : {std::pair("Policy", &grant->policy),
                                        {"Signature", &grant->signature},
                                        {"Key-Pair-Id", &grant->key_id}}) {
        out.push_back(
            fmt::format("CloudFront-{}={}; Path=/media/{}; Max-Age={}; HttpOnly; SameSite=Strict; Secure",
                        name, *value, folder, seconds));
      }
    }
    return out;
  }
  bool is_behind_cdn() const override { return true; }
  std::optional<std::string> elsewhere() const override {
    return "media come from the bucket by the CDN: ask for this address at the CDN, in front of this server";
  }

 private:
  static std::string resource(std::string_view site, std::string_view pattern) {
    return fmt::format("{}/media/{}", site, pattern);
  }

  const s3::CloudFrontSigner signer_;
  const std::string site_;
};

}  // namespace

MediaPlan MediaDelivery::plan(const Access&, UtcTime) const {
  return {};
}

base::Result<std::vector<std::string>> MediaDelivery::cookies(const Access&, const std::vector<std::string>&,
                                                              UtcTime) const {
  return std::vector<std::string>();
}

base::nanoseconds MediaDelivery::longest() const {
  return std::chrono::days(7);
}

std::unique_ptr<MediaDelivery> presigned_delivery(s3::Bucket bucket, s3::Credentials key) {
  return std::make_unique<PresignedDelivery>(std::move(bucket), std::move(key));
}

std::unique_ptr<MediaDelivery> cdn_delivery(s3::CloudFrontSigner signer, std::string site) {
  return std::make_unique<CdnDelivery>(std::move(signer), std::move(site));
}

}  // namespace miharu::api
