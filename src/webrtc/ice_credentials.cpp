#include "webrtc/ice_credentials.h"

#include <algorithm>
#include <span>

#include <openssl/rand.h>

#include "base/check.h"

namespace miharu::webrtc {
namespace {

// ice-char (RFC 8839 section 5.4): 6 bits each.
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr size_t kOwnerChars = 2;
constexpr size_t kUfragChars = 12;
constexpr size_t kPasswordChars = 24;
static_assert(kMaxIceOwners == 64 * 64);

void fill_random(std::span<char> out) {
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size())) == 1);
  for (char& c : out) c = kAlphabet[static_cast<unsigned char>(c) & 63];
}

bool is_ice_text(std::string_view text, size_t least, size_t most) {
  return text.size() >= least && text.size() <= most &&
         text.find_first_not_of(kAlphabet) == std::string_view::npos;
}

}  // namespace

IceCredentials make_ice_credentials(unsigned owner) {
  CHECK(owner < kMaxIceOwners);
  std::string ufrag(kUfragChars, '\0');
  ufrag[0] = kAlphabet[owner / 64];
  ufrag[1] = kAlphabet[owner % 64];
  fill_random(std::span(ufrag).subspan(kOwnerChars));
  std::string password(kPasswordChars, '\0');
  fill_random(password);
  return {std::move(ufrag), base::Secret(std::move(password))};
}

std::optional<unsigned> owner_of_ufrag(std::string_view ufrag) {
  if (!is_ice_text(ufrag, kUfragChars, kUfragChars)) return std::nullopt;
  return static_cast<unsigned>(kAlphabet.find(ufrag[0]) * 64 + kAlphabet.find(ufrag[1]));
}

base::Status check_ice_credentials(const IceCredentials& remote) {
  if (!is_ice_text(remote.ufrag, 4, 256))
    return base::fail(base::Errc::kMalformed, "ice-ufrag must be 4 to 256 letters, digits, '+' and '/'");
  if (!is_ice_text(remote.password.reveal(), 22, 256))
    return base::fail(base::Errc::kMalformed, "ice-pwd must be 22 to 256 letters, digits, '+' and '/'");
  return {};
}

}  // namespace miharu::webrtc
