#include "s3/signature_v4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <ctime>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

using Digest = std::array<unsigned char, 32>;

base::ByteView view(const Digest& digest) {
  return std::as_bytes(std::span(digest));
}

Digest hmac(base::ByteView key, std::string_view text) {
  Digest out{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size);
  return out;
}

// Blanks around a value go, and several within it become one.
std::string folded(std::string_view value) {
  std::string out;
  for (std::string_view word = base::take_word(value); !word.empty(); word = base::take_word(value)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

struct CanonicalHeaders {
  std::string lines;
  std::string names;
};

CanonicalHeaders canonical_headers(const NameValues& headers) {
  std::vector<std::pair<std::string, std::string>> sorted;
  for (const auto& [name, value] : headers) sorted.emplace_back(base::to_lower(name), folded(value));
  std::ranges::stable_sort(sorted, {}, &std::pair<std::string, std::string>::first);
  CanonicalHeaders out;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (i > 0 && sorted[i].first == sorted[i - 1].first) {
      out.lines.back() = ',';
      out.lines += sorted[i].second + '\n';
      continue;
    }
    out.lines += sorted[i].first + ':' + sorted[i].second + '\n';
    if (i > 0) out.names += ';';
    out.names += sorted[i].first;
  }
  return out;
}

std::string scope_text(const SigningScope& scope, std::string_view date) {
  return fmt::format("{}/{}/{}/aws4_request", date.substr(0, 8), scope.region, scope.service);
}

std::string signature(const SignedParts& parts, const SigningScope& scope, const Credentials& credentials,
                      std::string_view date) {
  const std::string to_sign = fmt::format("{}\n{}\n{}\n{}", kAlgorithm, date, scope_text(scope, date),
                                          sha256_hex(base::as_bytes(canonical_request(parts))));
  Digest key = hmac(base::as_bytes("AWS4" + credentials.secret_key.reveal()), date.substr(0, 8));
  for (const std::string_view part :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")})
    key = hmac(view(key), part);
  return base::to_hex(view(hmac(view(key), to_sign)));
}

}  // namespace

std::string sha256_hex(base::ByteView bytes) {
  Digest out{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_sha256(), nullptr);
  return base::to_hex(view(out));
}

std::string amz_date(base::UtcTime time) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm tm{};
  ::gmtime_r(&seconds, &tm);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                     tm.tm_hour, tm.tm_min, tm.tm_sec);
}

std::string canonical_query(const NameValues& query) {
  NameValues encoded;
  for (const auto& [name, value] : query)
    encoded.emplace_back(base::percent_encode(name), base::percent_encode(value));
  std::ranges::sort(encoded);
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out += name + '=' + value;
  }
  return out;
}

std::string canonical_request(const SignedParts& parts) {
  const CanonicalHeaders headers = canonical_headers(parts.headers);
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", parts.method, parts.path, canonical_query(parts.query),
                     headers.lines, headers.names, parts.payload);
}

std::string authorization(const SignedParts& parts, const SigningScope& scope, const Credentials& credentials,
                          base::UtcTime time) {
  const std::string date = amz_date(time);
  return fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                     credentials.access_key, scope_text(scope, date), canonical_headers(parts.headers).names,
                     signature(parts, scope, credentials, date));
}

std::string presigned_query(const SignedParts& parts, const SigningScope& scope,
                            const Credentials& credentials, base::UtcTime time,
                            std::chrono::seconds expires) {
  const std::string date = amz_date(time);
  SignedParts all = parts;
  all.query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  all.query.emplace_back("X-Amz-Credential",
                         fmt::format("{}/{}", credentials.access_key, scope_text(scope, date)));
  all.query.emplace_back("X-Amz-Date", date);
  all.query.emplace_back(
      "X-Amz-Expires",
      std::to_string(std::clamp(expires, std::chrono::seconds(1), kLongestPresigned).count()));
  all.query.emplace_back("X-Amz-SignedHeaders", canonical_headers(parts.headers).names);
  if (!credentials.session_token.empty())
    all.query.emplace_back("X-Amz-Security-Token", credentials.session_token);
  return canonical_query(all.query) + "&X-Amz-Signature=" + signature(all, scope, credentials, date);
}

}  // namespace miharu::s3
