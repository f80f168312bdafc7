#include "s3/bucket.h"

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::s3 {
namespace {

using base::Errc;

constexpr std::string_view kLowerAndDigits = "abcdefghijklmnopqrstuvwxyz0123456789";

bool is_bucket_name(std::string_view name) {
  const auto is_end = [](char c) { return kLowerAndDigits.find(c) != std::string_view::npos; };
  return name.size() >= 3 && name.size() <= 63 && is_end(name.front()) && is_end(name.back()) &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-") == std::string_view::npos &&
         name.find("..") == std::string_view::npos;
}

// Stores differ in what they make of anything else.
bool is_prefix(std::string_view prefix) {
  constexpr std::string_view kAllowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=-/";
  return prefix.size() <= 512 && prefix.find_first_not_of(kAllowed) == std::string_view::npos &&
         ("/" + std::string(prefix) + "/").find("//") == std::string::npos &&
         ("/" + std::string(prefix) + "/").find("/./") == std::string::npos &&
         ("/" + std::string(prefix) + "/").find("/../") == std::string::npos;
}

std::string encoded_path(std::string_view path) {
  std::string out;
  while (true) {
    const size_t slash = path.find('/');
    out += base::percent_encode(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

std::string Bucket::root_path() const {
  return path_style ? "/" + name : "/";
}

std::string Bucket::path_of(std::string_view key) const {
  return (path_style ? "/" + name + "/" : "/") + encoded_path(prefix + std::string(key));
}

std::string Bucket::url() const {
  std::string out = fmt::format("s3://{}/{}", name, prefix);
  out.pop_back();
  return out;
}

base::Result<Bucket> make_bucket(std::string_view url, std::string_view endpoint, std::string_view region,
                                 Addressing addressing) {
  if (!url.starts_with("s3://")) return base::fail(Errc::kInvalid, "a bucket is written s3://bucket/prefix");
  url.remove_prefix(5);
  Bucket bucket;
  bucket.name = base::take_until(url, '/');
  while (url.ends_with('/')) url.remove_suffix(1);
  if (!is_bucket_name(bucket.name)) {
    return base::fail(
        Errc::kInvalid,
        fmt::format("\"{}\" is no name of a bucket: 3 to 63 lower-case letters, digits, - and .",
                    bucket.name));
  }
  if (!url.empty()) {
    if (!is_prefix(url))
      return base::fail(Errc::kInvalid,
                        fmt::format("\"{}\" cannot begin keys: letters, digits, . _ = - and single "
                                    "/ between them",
                                    url));
    bucket.prefix = std::string(url) + "/";
  }
  bucket.region = region.empty() ? "us-east-1" : std::string(region);
  const bool aws = endpoint.empty();
  auto origin = net::parse_origin(aws ? fmt::format("https://s3.{}.amazonaws.com", bucket.region) : endpoint);
  if (!origin) return tl::unexpected(std::move(origin.error()).in(aws ? "region" : "endpoint"));
  bucket.origin = std::move(*origin);
  // A certificate for *.s3... covers no name with a dot in it.
  const bool dotted = bucket.name.find('.') != std::string::npos;
  bucket.path_style =
      addressing == Addressing::kPath || (addressing == Addressing::kAuto && (!aws || dotted));
  if (!bucket.path_style) bucket.origin.host = bucket.name + "." + bucket.origin.host;
  return bucket;
}

}  // namespace miharu::s3
