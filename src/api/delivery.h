// How media of a store come to who may play them: through the server, from the bucket by presigned addresses,
// or from a CDN in front of server and bucket.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth/rights.h"
#include "s3/cloudfront.h"
#include "s3/request.h"
#include "store/catalog.h"

namespace miharu::api {

// What was signed holds for so long at most, and no longer than the credentials it was signed for.
inline constexpr std::chrono::hours kLongestGrant{12};
// Signatures begin at full hours, so that all servers sign the same bytes for an hour.
inline constexpr std::chrono::hours kGrantStep{1};

// What a playlist for these credentials is made with.
struct MediaPlan {
  std::string variant;  // lists of the same question and variant are the same bytes
  std::function<std::string(const store::CatalogEntry&)> address;  // empty: relative to the playlist
  bool by_cookies = false;  // the answer needs MediaDelivery::cookies()
};

// Through the server: relative addresses. Immutable, thread-safe.
class MediaDelivery {
 public:
  virtual ~MediaDelivery() = default;
  [[nodiscard]] virtual MediaPlan plan(const Access& access, base::UtcTime now) const;
  // Values of Set-Cookie for whole folders, "r1/rec/front/", until credentials or their interval end; none
  // where media come without.
  [[nodiscard]] virtual base::Result<std::vector<std::string>> cookies(
      const Access& access, const std::vector<std::string>& folders, base::UtcTime now) const;
  // The longest interval that one list may have.
  [[nodiscard]] virtual base::nanoseconds longest() const;
  // Where media come from, if that is another origin than the page's.
  [[nodiscard]] virtual std::string origin() const { return {}; }
  // Requests come through the CDN, and tell who asked in its fields.
  [[nodiscard]] virtual bool is_behind_cdn() const { return false; }
  // Why /media is not answered here, and what to do; nothing where it is.
  [[nodiscard]] virtual std::optional<std::string> elsewhere() const { return std::nullopt; }
};

// With a lasting key that may read objects and nothing else: what is signed with the key of a role's session
// ends with that.
std::unique_ptr<MediaDelivery> presigned_delivery(s3::Bucket bucket, s3::Credentials key);

// Page, API and media are below one origin. `site` begins what policies name: "https://cameras.example", or
// "http*://*" for whatever the distribution is called. Credentials of an interval, and those in a path, get
// signed addresses; all others cookies, a set for each camera on its path.
std::unique_ptr<MediaDelivery> cdn_delivery(s3::CloudFrontSigner signer, std::string site);

}  // namespace miharu::api
