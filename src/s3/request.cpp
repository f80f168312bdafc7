#include "s3/request.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <pugixml.hpp>

namespace miharu::s3 {
namespace {

// RFC 1864.
std::string md5_base64(std::string_view body) {
  std::array<unsigned char, 16> digest{};
  EVP_Digest(body.data(), body.size(), digest.data(), nullptr, EVP_md5(), nullptr);
  std::array<unsigned char, 25> text{};
  const int size = EVP_EncodeBlock(text.data(), digest.data(), int{digest.size()});
  return {text.begin(), text.begin() + size};
}

std::string to_text(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str();
}

}  // namespace

net::HttpClientRequest RequestMaker::sign(Plan plan, base::UtcTime time) const {
  plan.headers.emplace_back("x-amz-content-sha256", plan.payload);
  plan.headers.emplace_back("x-amz-date", amz_date(time));
  if (!credentials_.session_token.empty())
    plan.headers.emplace_back("x-amz-security-token", credentials_.session_token);
  SignedParts parts{plan.method, plan.path, std::move(plan.query), plan.headers, std::move(plan.payload)};
  parts.headers.emplace_back("host", net::host_field(bucket_.origin));
  net::HttpClientRequest request;
  request.method = std::move(plan.method);
  request.target = std::move(plan.path);
  if (!parts.query.empty()) request.target += "?" + canonical_query(parts.query);
  request.headers = std::move(plan.headers);
  request.headers.emplace_back("Authorization", authorization(parts, {bucket_.region}, credentials_, time));
  return request;
}

net::HttpClientRequest RequestMaker::put_head(std::string_view key, const std::string& payload,
                                              const PutOptions& options, base::UtcTime time) const {
  Plan plan{"PUT", bucket_.path_of(key), {}, {{"content-type", options.content_type}}, payload};
  if (!options.cache_control.empty()) plan.headers.emplace_back("cache-control", options.cache_control);
  if (!options.if_match.empty()) {
    plan.headers.emplace_back("if-match", options.if_match);
  } else if (options.create_only) {
    plan.headers.emplace_back("if-none-match", "*");
  }
  auto request = sign(std::move(plan), time);
  request.expect_continue = options.expect_continue;
  return request;
}

net::HttpClientRequest RequestMaker::put(std::string_view key, net::FileBody body, const std::string& payload,
                                         const PutOptions& options, base::UtcTime time) const {
  auto request = put_head(key, payload, options, time);
  request.body = std::move(body);
  return request;
}

net::HttpClientRequest RequestMaker::put(std::string_view key, std::string body, const PutOptions& options,
                                         base::UtcTime time) const {
  auto request = put_head(key, sha256_hex(base::as_bytes(body)), options, time);
  request.body = std::move(body);
  return request;
}

net::HttpClientRequest RequestMaker::get(std::string_view key, uint64_t offset, uint64_t length,
                                         base::UtcTime time) const {
  Plan plan{"GET", bucket_.path_of(key), {}, {}};
  if (length > 0) {
    plan.headers.emplace_back("range", fmt::format("bytes={}-{}", offset, offset + length - 1));
  } else if (offset > 0) {
    plan.headers.emplace_back("range", fmt::format("bytes={}-", offset));
  }
  auto request = sign(std::move(plan), time);
  // Refusals have a body too.
  request.max_body_bytes = std::max<uint64_t>(length > 0 ? length : kMostWholeBytes, 64 << 10);
  return request;
}

net::HttpClientRequest RequestMaker::head(std::string_view key, base::UtcTime time) const {
  return sign({"HEAD", bucket_.path_of(key), {}, {}}, time);
}

net::HttpClientRequest RequestMaker::remove(std::string_view key, base::UtcTime time) const {
  return sign({"DELETE", bucket_.path_of(key), {}, {}}, time);
}

net::HttpClientRequest RequestMaker::list(const ListOptions& options, base::UtcTime time) const {
  Plan plan{"GET", bucket_.root_path(), {{"list-type", "2"}, {"encoding-type", "url"}}, {}};
  plan.query.emplace_back("prefix", bucket_.prefix + options.prefix);
  if (options.one_level) plan.query.emplace_back("delimiter", "/");
  if (!options.start_after.empty())
    plan.query.emplace_back("start-after", bucket_.prefix + options.start_after);
  if (options.max_keys > 0) plan.query.emplace_back("max-keys", std::to_string(options.max_keys));
  if (!options.next.empty()) plan.query.emplace_back("continuation-token", options.next);
  auto request = sign(std::move(plan), time);
  request.max_body_bytes = 4 << 20;  // 1000 keys of 1024 bytes, each in XML of its own
  return request;
}

net::HttpClientRequest RequestMaker::list_versions(const ListVersionsOptions& options,
                                                   base::UtcTime time) const {
  Plan plan{"GET", bucket_.root_path(), {{"versions", ""}, {"encoding-type", "url"}}, {}};
  plan.query.emplace_back("prefix", bucket_.prefix + options.prefix);
  if (!options.key.empty()) plan.query.emplace_back("key-marker", bucket_.prefix + options.key);
  if (!options.version.empty()) plan.query.emplace_back("version-id-marker", options.version);
  auto request = sign(std::move(plan), time);
  request.max_body_bytes = 4 << 20;
  return request;
}

net::HttpClientRequest RequestMaker::remove_many(std::span<const ObjectVersion> objects,
                                                 base::UtcTime time) const {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("Delete");
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  root.append_child("Quiet").text().set("true");
  for (const ObjectVersion& each : objects) {
    pugi::xml_node object = root.append_child("Object");
    object.append_child("Key").text().set((bucket_.prefix + each.key).c_str());
    if (!each.version.empty()) object.append_child("VersionId").text().set(each.version.c_str());
  }
  auto request = of_bucket("POST", "delete", to_text(document), time);
  request.max_body_bytes = 4 << 20;
  return request;
}

net::HttpClientRequest RequestMaker::of_bucket(std::string_view method, std::string_view what,
                                               std::string body, base::UtcTime time) const {
  Plan plan{std::string(method), bucket_.root_path(), {}, {}};
  if (!what.empty()) plan.query.emplace_back(what, "");
  return sign_with_body(std::move(plan), std::move(body), time);
}

net::HttpClientRequest RequestMaker::of_server(std::string_view method, std::string_view path,
                                               std::string body, base::UtcTime time) const {
  return sign_with_body({std::string(method), std::string(path), {}, {}}, std::move(body), time);
}

net::HttpClientRequest RequestMaker::sign_with_body(Plan plan, std::string body, base::UtcTime time) const {
  if (!body.empty()) {
    plan.headers.emplace_back("content-md5", md5_base64(body));
    plan.payload = sha256_hex(base::as_bytes(body));
  }
  auto request = sign(std::move(plan), time);
  request.body = std::move(body);
  return request;
}

std::string RequestMaker::presigned_get(std::string_view key, base::UtcTime time,
                                        std::chrono::seconds expires) const {
  SignedParts parts;
  parts.path = bucket_.path_of(key);
  parts.headers = {{"host", net::host_field(bucket_.origin)}};
  parts.payload = kUnsignedPayload;
  return net::format_origin(bucket_.origin) + parts.path + "?" +
         presigned_query(parts, {bucket_.region}, credentials_, time, expires);
}

base::Result<std::string> sha256_of(const net::FileBody& body) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1)
    return base::fail(base::Errc::kInternal, "SHA-256 could not be set up");
  std::vector<std::byte> piece(static_cast<size_t>(std::min<uint64_t>(body.length, 256 << 10)));
  for (uint64_t at = 0; at < body.length;) {
    const auto part =
        std::span(piece).first(static_cast<size_t>(std::min<uint64_t>(piece.size(), body.length - at)));
    if (auto read = body.file->read_at(body.offset + at, part); !read) return tl::unexpected(read.error());
    EVP_DigestUpdate(context.get(), part.data(), part.size());
    at += part.size();
  }
  std::array<std::byte, 32> digest{};
  EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  return base::to_hex(digest);
}

}  // namespace miharu::s3
