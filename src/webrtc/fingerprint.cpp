#include "webrtc/fingerprint.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/text.h"

namespace miharu::webrtc {
namespace {

using base::Errc;

struct Algorithm {
  std::string_view name;
  Fingerprint::Hash hash;
  const EVP_MD* (*digest)();
  size_t bytes;
};
constexpr Algorithm kAlgorithms[] = {
    {"sha-256", Fingerprint::Hash::kSha256, EVP_sha256, 32},
    {"sha-384", Fingerprint::Hash::kSha384, EVP_sha384, 48},
    {"sha-512", Fingerprint::Hash::kSha512, EVP_sha512, 64},
};

const Algorithm& algorithm_of(Fingerprint::Hash hash) {
  return kAlgorithms[static_cast<size_t>(hash)];
}

}  // namespace

base::Result<Fingerprint> Fingerprint::parse(std::string_view text) {
  text = base::trim(text);
  const std::string_view name = base::take_until(text, ' ');
  text = base::trim(text);
  for (const Algorithm& algorithm : kAlgorithms) {
    if (!base::equals_ignoring_case(name, algorithm.name)) continue;
    if (text.size() != algorithm.bytes * 3 - 1)
      return base::fail(Errc::kMalformed, "a fingerprint of another length than its hash has");
    Fingerprint out{algorithm.hash, {}};
    out.digest.reserve(algorithm.bytes);
    for (size_t i = 0; i < text.size(); i += 3) {
      const auto byte = base::parse_number<uint8_t>(text.substr(i, 2), 16);
      if (!byte || (i + 2 < text.size() && text[i + 2] != ':'))
        return base::fail(Errc::kMalformed, "a fingerprint that is not hexadecimal with colons");
      out.digest.push_back(std::byte{*byte});
    }
    return out;
  }
  return base::fail(Errc::kUnsupported, "a fingerprint by another hash than sha-256, sha-384 or sha-512");
}

Fingerprint Fingerprint::of(base::ByteView certificate, Hash hash) {
  const Algorithm& algorithm = algorithm_of(hash);
  Fingerprint out{hash, base::ByteVector(algorithm.bytes)};
  CHECK(EVP_Digest(certificate.data(), certificate.size(),
                   reinterpret_cast<unsigned char*>(out.digest.data()), nullptr, algorithm.digest(),
                   nullptr) == 1);
  return out;
}

std::string Fingerprint::to_string() const {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out(algorithm_of(hash).name);
  char separator = ' ';
  for (const std::byte b : digest) {
    out += separator;
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
    separator = ':';
  }
  return out;
}

}  // namespace miharu::webrtc
