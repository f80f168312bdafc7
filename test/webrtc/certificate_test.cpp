#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "webrtc/certificate.h"

namespace miharu::webrtc {
namespace {

using base::Errc;
using std::chrono::hours;

const base::UtcTime kNow{std::chrono::sys_days{std::chrono::year{2026} / 11 / 21}};

int days_from_now(const ASN1_TIME* time) {
  ASN1_TIME* const now = ASN1_TIME_set(nullptr, static_cast<time_t>(base::to_unix_ms(kNow) / 1000));
  int days = 0;
  int seconds = 0;
  EXPECT_EQ(ASN1_TIME_diff(&days, &seconds, now, time), 1);
  ASN1_TIME_free(now);
  return days;
}

TEST(Certificate, SignedByItselfForMoreThanWrongClocks) {
  const auto made = Certificate::make(kNow);
  ASSERT_TRUE(made.has_value());
  X509* const x509 = made->x509();
  EXPECT_EQ(X509_verify(x509, made->key()), 1);
  EXPECT_EQ(X509_get_signature_nid(x509), NID_ecdsa_with_SHA256);
  EXPECT_EQ(X509_get_version(x509), X509_VERSION_3);
  EXPECT_EQ(X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)), 0);
  char group[32] = {};
  EXPECT_EQ(EVP_PKEY_get_group_name(made->key(), group, sizeof group, nullptr), 1);
  EXPECT_STREQ(group, "prime256v1");
  EXPECT_EQ(days_from_now(X509_get0_notBefore(x509)), -365);
  EXPECT_EQ(days_from_now(X509_get0_notAfter(x509)), 3650);
}

TEST(Certificate, FingerprintIsThatOfItsBytes) {
  const auto made = Certificate::make(kNow);
  unsigned char digest[32];
  unsigned size = 0;
  ASSERT_EQ(X509_digest(made->x509(), EVP_sha256(), digest, &size), 1);
  EXPECT_EQ(made->fingerprint().digest, base::ByteVector(reinterpret_cast<const std::byte*>(digest),
                                                         reinterpret_cast<const std::byte*>(digest) + size));
  const auto other = Certificate::make(kNow);
  EXPECT_NE(made->fingerprint(), other->fingerprint());
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(made->x509()), X509_get0_serialNumber(other->x509())), 0);
}

TEST(Fingerprint, TextAndBack) {
  // The digest of nothing.
  const std::string text =
      "sha-256 "
      "E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
  EXPECT_EQ(Fingerprint::of({}).to_string(), text);
  const auto parsed = Fingerprint::parse(text);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, Fingerprint::of({}));
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(c));
  EXPECT_EQ(*Fingerprint::parse(lower), *parsed);
  std::string spaced = text;
  spaced.replace(0, 8, " SHA-256  ");
  EXPECT_EQ(*Fingerprint::parse(spaced + " "), *parsed);
  for (const auto hash : {Fingerprint::Hash::kSha384, Fingerprint::Hash::kSha512}) {
    const Fingerprint made = Fingerprint::of(base::as_bytes("x"), hash);
    EXPECT_EQ(*Fingerprint::parse(made.to_string()), made);
  }
}

TEST(Fingerprint, Refused) {
  const std::string good = Fingerprint::of({}).to_string();
  EXPECT_EQ(Fingerprint::parse("sha-1 00:11").error().code, Errc::kUnsupported);
  EXPECT_EQ(Fingerprint::parse("md5 00:11").error().code, Errc::kUnsupported);
  EXPECT_EQ(Fingerprint::parse("").error().code, Errc::kUnsupported);
  for (size_t at = 8; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = bad[at] == ':' ? '-' : 'G';
    EXPECT_EQ(Fingerprint::parse(bad).error().code, Errc::kMalformed) << bad;
    EXPECT_EQ(Fingerprint::parse(good.substr(0, at)).error().code, Errc::kMalformed);
  }
  EXPECT_EQ(Fingerprint::parse(good + ":00").error().code, Errc::kMalformed);
  EXPECT_EQ(Fingerprint::parse("sha-512" + good.substr(7)).error().code, Errc::kMalformed);
}

}  // namespace
}  // namespace miharu::webrtc
