#include "api/auth/tokens.h"

#include <algorithm>

#include <fmt/format.h>
#include <sodium.h>
#include <boost/json.hpp>

#include "api/auth/json_fields.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/text.h"

namespace miharu::api {

using base::Errc;
using base::fail;
namespace json = boost::json;

namespace {

constexpr size_t kMaxTokenBytes = 4096;
constexpr size_t kMaxCameras = 64;
constexpr std::string_view kPrefix = "m1.";

using Mac = std::array<unsigned char, crypto_auth_hmacsha256_BYTES>;

Mac mac_of(std::string_view text, const TokenKey::Bytes& key) {
  Mac mac{};
  crypto_auth_hmacsha256(mac.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                         key.data());
  return mac;
}

tl::unexpected<base::Error> refuse(std::string text) {
  return fail(Errc::kUnauthorized, std::move(text));
}

}  // namespace

std::string to_json(const TokenClaims& claims) {
  json::object object;
  object["id"] = claims.id;
  object["cameras"] = json::array(claims.cameras.begin(), claims.cameras.end());
  json::array rights;
  for (const std::string_view name : names_of(claims.rights))
    rights.emplace_back(json::string_view(name.data(), name.size()));
  object["rights"] = std::move(rights);
  if (claims.interval) {
    object["from"] = base::to_unix_ms(claims.interval->from);
    object["to"] = base::to_unix_ms(claims.interval->to);
  }
  object["expires"] = base::to_unix_ms(claims.expires);
  if (!claims.user.empty()) {
    object["user"] = claims.user;
    object["password_set"] = base::to_unix_ms(claims.password_set);
  }
  return json::serialize(object);
}

base::Result<TokenClaims> claims_from_json(std::string_view text) {
  const auto malformed = [] { return fail(Errc::kMalformed, "the claims of the token are malformed"); };
  json::error_code ec;
  const json::value value = json::parse(json::string_view(text.data(), text.size()), ec);
  if (ec || !value.is_object()) return malformed();
  const json::object& object = value.get_object();
  const json::value* id = object.if_contains("id");
  const json::value* cameras = object.if_contains("cameras");
  const json::value* rights = object.if_contains("rights");
  const auto expires = time_in(object, "expires");
  if (id == nullptr || !id->is_string() || cameras == nullptr || !cameras->is_array() || rights == nullptr ||
      !rights->is_array() || !expires || cameras->get_array().size() > kMaxCameras) {
    return malformed();
  }
  TokenClaims claims;
  claims.id = std::string(id->get_string());
  claims.expires = *expires;
  for (const json::value& camera : cameras->get_array()) {
    if (!camera.is_string()) return malformed();
    claims.cameras.emplace_back(camera.get_string());
  }
  for (const json::value& name : rights->get_array()) {
    if (!name.is_string()) return malformed();
    // A right of a later version means nothing here, and must not make the others void.
    if (const auto right = right_of(std::string(name.get_string())))
      claims.rights |= static_cast<Rights>(*right);
  }
  if (object.contains("from") || object.contains("to")) {
    const auto from = time_in(object, "from");
    const auto to = time_in(object, "to");
    if (!from || !to || *from >= *to) return malformed();
    claims.interval = Interval{*from, *to};
  }
  if (const json::value* user = object.if_contains("user")) {
    const auto password_set = time_in(object, "password_set");
    if (!user->is_string() || user->get_string().empty() || !password_set) return malformed();
    claims.user = std::string(user->get_string());
    claims.password_set = *password_set;
  }
  return claims;
}

base::Result<TokenKey> TokenKey::load(const std::filesystem::path& path) {
  const auto text = base::read_file(path, 1024);
  if (!text) return tl::unexpected(text.error());
  auto key = parse(base::as_text(*text));
  if (key) return key;
  return fail(Errc::kInvalid,
              fmt::format("{} is not a token key (base64url of 32 bytes); remove it to have a new one made, "
                          "which ends all tokens",
                          path.string()));
}

base::Result<TokenKey> TokenKey::parse(std::string_view text) {
  const auto bytes = base::from_base64url(base::trim(text));
  Bytes key{};
  if (!bytes || bytes->size() != key.size())
    return fail(Errc::kInvalid, "a token key is 32 bytes in base64url");
  std::transform(bytes->begin(), bytes->end(), key.begin(),
                 [](std::byte b) { return std::to_integer<unsigned char>(b); });
  return TokenKey(key);
}

base::Result<TokenKey> TokenKey::load_or_create(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) {
    Bytes key{};
    randombytes_buf(key.data(), key.size());
    const std::string text = base::to_base64url(std::as_bytes(std::span(key))) + "\n";
    if (auto written = base::write_file(path, base::as_bytes(text), 0600); !written)
      return tl::unexpected(written.error());
  }
  return load(path);
}

std::string TokenKey::sign(const TokenClaims& claims) const {
  const std::string text = std::string(kPrefix) + base::to_base64url(base::as_bytes(to_json(claims)));
  const Mac mac = mac_of(text, bytes_);
  return text + "." + base::to_base64url(std::as_bytes(std::span(mac)));
}

base::Result<TokenClaims> TokenKey::verify(std::string_view token, base::UtcTime now) const {
  const size_t dot = token.rfind('.');
  if (token.size() > kMaxTokenBytes || token.substr(0, kPrefix.size()) != kPrefix || dot < kPrefix.size()) {
    return refuse("This is not a token of miharu.");
  }
  const auto given = base::from_base64url(token.substr(dot + 1));
  const Mac expected = mac_of(token.substr(0, dot), bytes_);
  if (!given || given->size() != expected.size() ||
      sodium_memcmp(given->data(), expected.data(), expected.size()) != 0) {
    return refuse("The token's signature is not ours.");
  }
  const auto payload = base::from_base64url(token.substr(kPrefix.size(), dot - kPrefix.size()));
  if (!payload) return refuse("The token is malformed.");
  auto claims = claims_from_json(base::as_text(*payload));
  if (!claims) return refuse("The token is malformed.");
  if (claims->expires <= now) return refuse("The token has expired.");
  return claims;
}

std::string new_token_id() {
  std::array<unsigned char, 9> random{};
  randombytes_buf(random.data(), random.size());
  return base::to_base64url(std::as_bytes(std::span(random)));
}

}  // namespace miharu::api
