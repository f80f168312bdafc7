#include "s3/cloudfront.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace miharu::s3 {
namespace {

const base::UtcTime kUntil = base::from_unix_ms(1'795'230'000'999);

struct Key {
  Key() : key(EVP_RSA_gen(2048)) {
    BIO* text = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(text, key, nullptr, nullptr, 0, nullptr, nullptr);
    char* data = nullptr;
    const long size = BIO_get_mem_data(text, &data);
    pem = std::string(data, static_cast<size_t>(size));
    BIO_free(text);
  }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key() { EVP_PKEY_free(key); }

  [[nodiscard]] bool verifies(std::string_view text, std::string signature) const {
    for (char& c : signature) c = c == '-' ? '+' : c == '_' ? '=' : c == '~' ? '/' : c;
    const auto bytes = base::from_base64(signature);
    if (!bytes) return false;
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    const bool good =
        EVP_DigestVerifyInit(context, nullptr, EVP_sha1(), nullptr, key) == 1 &&
        EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(bytes->data()), bytes->size(),
                         reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
    EVP_MD_CTX_free(context);
    return good;
  }
  EVP_PKEY* key;
  std::string pem;
};

TEST(CloudFront, APolicyIsWrittenAsTheGuideSays) {
  EXPECT_EQ(cloudfront_policy("https://d111111abcdef8.cloudfront.net/media/*", kUntil),
            R"({"Statement":[{"Resource":"https://d111111abcdef8.cloudfront.net/media/*",)"
            R"("Condition":{"DateLessThan":{"AWS:EpochTime":1795230000}}}]})");
}

TEST(CloudFront, AGrantVerifiesWithThePublicKeyAndIsSafeInCookiesAndQueries) {
  const Key key;
  const auto signer = CloudFrontSigner::make("K2JCJMDEHXQW5F", base::Secret(key.pem));
  ASSERT_TRUE(signer) << signer.error().text;
  for (int i = 0; i < 20; ++i) {  // every character comes up
    const std::string resource = "https://cameras.example/media/r1/rec/cam-" + std::to_string(i) + "/*";
    const auto grant = signer->grant(resource, kUntil);
    ASSERT_TRUE(grant);
    EXPECT_TRUE(key.verifies(cloudfront_policy(resource, kUntil), grant->signature));
    EXPECT_FALSE(key.verifies(cloudfront_policy(resource + "x", kUntil), grant->signature));
    EXPECT_EQ((grant->policy + grant->signature).find_first_of("+=/ ;&"), std::string::npos);
    EXPECT_EQ(grant->query(),
              "Policy=" + grant->policy + "&Signature=" + grant->signature + "&Key-Pair-Id=K2JCJMDEHXQW5F");
  }
}

TEST(CloudFront, WhatIsNoPrivateKeyIsRefused) {
  EXPECT_FALSE(CloudFrontSigner::make("K", base::Secret("")));
  EXPECT_FALSE(CloudFrontSigner::make(
      "K", base::Secret("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")));
}

}  // namespace
}  // namespace miharu::s3
