#include "s3/cloudfront.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/bytes.h"

namespace miharu::s3 {
namespace {

using base::Errc;

// Base64 whose three special characters cookies and queries can hold.
std::string url_safe(base::ByteView bytes) {
  std::string text = base::to_base64(bytes);
  for (char& c : text) c = c == '+' ? '-' : c == '=' ? '_' : c == '/' ? '~' : c;
  return text;
}

}  // namespace

std::string CloudFrontGrant::query() const {
  return fmt::format("Policy={}&Signature={}&Key-Pair-Id={}", policy, signature, key_id);
}

std::string cloudfront_policy(std::string_view resource, base::UtcTime until) {
  return fmt::format(
      R"({{"Statement":[{{"Resource":"{}","Condition":{{"DateLessThan":{{"AWS:EpochTime":{}}}}}}}]}})",
      resource, std::chrono::floor<std::chrono::seconds>(until).time_since_epoch().count());
}

base::Result<CloudFrontSigner> CloudFrontSigner::make(std::string key_id, const base::Secret& pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> text(
      BIO_new_mem_buf(pem.reveal().data(), static_cast<int>(pem.reveal().size())), &BIO_free);
  CloudFrontSigner signer;
  signer.key_id_ = std::move(key_id);
  signer.key_ = std::shared_ptr<evp_pkey_st>(
      text ? PEM_read_bio_PrivateKey(text.get(), nullptr, nullptr, nullptr) : nullptr, &EVP_PKEY_free);
  if (!signer.key_ || EVP_PKEY_get_base_id(signer.key_.get()) != EVP_PKEY_RSA)
    return base::fail(Errc::kInvalid, "the key of the CDN is no RSA private key in PEM");
  return signer;
}

base::Result<CloudFrontGrant> CloudFrontSigner::grant(std::string_view resource, base::UtcTime until) const {
  const std::string policy = cloudfront_policy(resource, until);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  const auto* bytes = reinterpret_cast<const unsigned char*>(policy.data());
  size_t size = 0;
  std::vector<std::byte> signature;
  // SHA-1 is what CloudFront takes for RSA.
  const bool sized = context &&
                     EVP_DigestSignInit(context.get(), nullptr, EVP_sha1(), nullptr, key_.get()) == 1 &&
                     EVP_DigestSign(context.get(), nullptr, &size, bytes, policy.size()) == 1;
  if (sized) signature.resize(size);
  if (!sized || EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                               bytes, policy.size()) != 1)
    return base::fail(Errc::kInternal, "the policy for the CDN could not be signed");
  signature.resize(size);
  return CloudFrontGrant{url_safe(base::as_bytes(policy)), url_safe(signature), key_id_};
}

}  // namespace miharu::s3
