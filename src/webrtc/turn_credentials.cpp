#include "webrtc/turn_credentials.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"

namespace miharu::webrtc {

TurnCredentials make_turn_credentials(const base::Secret& secret, std::string_view name,
                                      base::UtcTime expires) {
  std::string plain(name);
  for (char& c : plain) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
    if (!kept) c = '_';
  }
  TurnCredentials out;
  out.username = fmt::format("{}:{}", base::to_unix_ms(expires) / 1000, plain);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  const std::string& key = secret.reveal();
  CHECK(HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(out.username.data()), out.username.size(), mac.data(),
             &length) != nullptr);
  out.password = base::Secret(base::to_base64(std::as_bytes(std::span(mac).first(length))));
  return out;
}

std::vector<std::string> ice_server_links(const IceServers& servers, std::string_view name,
                                          base::UtcTime now) {
  std::vector<std::string> links;
  for (const std::string& url : servers.stun) links.push_back(fmt::format("<{}>; rel=\"ice-server\"", url));
  if (servers.turn.empty()) return links;
  const TurnCredentials made = make_turn_credentials(servers.turn_secret, name, now + kTurnCredentialsLife);
  for (const std::string& url : servers.turn) {
    links.push_back(fmt::format(
        "<{}>; rel=\"ice-server\"; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"", url,
        made.username, made.password.reveal()));
  }
  return links;
}

}  // namespace miharu::webrtc
