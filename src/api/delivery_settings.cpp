#include "api/delivery_settings.h"

#include <fmt/format.h>

#include "base/file.h"

namespace miharu::api {
namespace {

using base::Errc;
using base::fail;
using Made = base::Result<std::unique_ptr<MediaDelivery>>;

constexpr uint64_t kMostPemBytes = 64 << 10;
constexpr std::string_view kAnySite = "http*://*";

Made make_presigned(const std::function<std::string(std::string_view)>& value, const s3::Bucket& bucket,
                    const s3::Credentials& key) {
  s3::Credentials lasting{
      value("MIHARU_PRESIGN_ACCESS_KEY_ID"), base::Secret(value("MIHARU_PRESIGN_SECRET_ACCESS_KEY")), {}};
  if (lasting.access_key.empty() != lasting.secret_key.empty()) {
    return fail(Errc::kInvalid,
                "MIHARU_PRESIGN_ACCESS_KEY_ID and MIHARU_PRESIGN_SECRET_ACCESS_KEY come together");
  }
  if (lasting.access_key.empty()) lasting = key;
  if (!lasting.session_token.empty()) {
    return fail(Errc::kInvalid,
                "MIHARU_DELIVERY=presigned needs a lasting key: what is signed with a role's session ends "
                "with it. Make a key that may s3:GetObject alone and set MIHARU_PRESIGN_ACCESS_KEY_ID and "
                "MIHARU_PRESIGN_SECRET_ACCESS_KEY, or use MIHARU_DELIVERY=cdn");
  }
  return presigned_delivery(bucket, std::move(lasting));
}

Made make_cdn(const std::function<std::string(std::string_view)>& value) {
  const std::string id = value("MIHARU_CDN_KEY_ID");
  base::Secret pem(value("MIHARU_CDN_KEY"));
  if (const std::string file = value("MIHARU_CDN_KEY_FILE"); pem.empty() && !file.empty()) {
    const auto bytes = base::read_file(file, kMostPemBytes);
    if (!bytes) return tl::unexpected(base::Error(bytes.error()).in("MIHARU_CDN_KEY_FILE"));
    pem = base::Secret(std::string(base::as_text(*bytes)));
  }
  if (id.empty() || pem.empty()) {
    return fail(
        Errc::kInvalid,
        "MIHARU_DELIVERY=cdn needs MIHARU_CDN_KEY_ID, the id of the public key at CloudFront, and the "
        "private key as PEM in MIHARU_CDN_KEY or in the file MIHARU_CDN_KEY_FILE");
  }
  auto signer = s3::CloudFrontSigner::make(id, pem);
  if (!signer) return tl::unexpected(std::move(signer.error()));
  std::string site = value("MIHARU_CDN_SITE");
  while (site.ends_with('/')) site.pop_back();
  if (site.empty()) site = kAnySite;
  if (site.find_first_of("\"\\ ?&") != std::string::npos)
    return fail(Errc::kInvalid,
                fmt::format("MIHARU_CDN_SITE: \"{}\" is no address such as https://cameras.example", site));
  return cdn_delivery(std::move(*signer), std::move(site));
}

}  // namespace

Made make_delivery(const Variables& variable, std::string_view way, std::string_view otherwise,
                   const s3::Bucket& bucket, const s3::Credentials& key) {
  const auto value = [&variable](std::string_view name) { return variable(name).value_or(""); };
  std::string chosen(way);
  if (chosen.empty()) chosen = value("MIHARU_DELIVERY");
  if (chosen.empty()) chosen = otherwise;
  if (chosen == "proxied") return std::make_unique<MediaDelivery>();
  if (chosen == "presigned") return make_presigned(value, bucket, key);
  if (chosen == "cdn") return make_cdn(value);
  return fail(
      Errc::kInvalid,
      fmt::format("\"{}\" is no way for media: MIHARU_DELIVERY is proxied, presigned or cdn", chosen));
}

}  // namespace miharu::api
