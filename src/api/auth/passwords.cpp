#include "api/auth/passwords.h"

#include <array>

#include <fmt/format.h>
#include <sodium.h>

#include "base/check.h"

namespace miharu::api {

namespace {

void start_sodium() {
  static const int status = sodium_init();
  CHECK(status >= 0);
}

}  // namespace

std::string generate_password() {
  constexpr std::string_view kLetters = "abcdefghijkmnpqrstuvwxyz23456789";
  static_assert(kLetters.size() == 32);
  start_sodium();
  std::string password;
  for (int i = 0; i < 20; ++i) {
    if (i > 0 && i % 5 == 0) password.push_back('-');
    password.push_back(kLetters[randombytes_uniform(kLetters.size())]);
  }
  return password;
}

base::Status check_user_name(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@";
  if (!name.empty() && name.size() <= 64 && name.find_first_not_of(kAllowed) == std::string_view::npos)
    return {};
  return base::fail(base::Errc::kInvalid, "a user name has 1 to 64 of a-z A-Z 0-9 . _ - @");
}

base::Status check_password(std::string_view password) {
  if (password.size() >= 8 && password.size() <= 256) return {};
  return base::fail(base::Errc::kInvalid, "a password has 8 to 256 bytes");
}

base::Result<std::string> hash_password(std::string_view password, const PasswordCost& cost) {
  start_sodium();
  std::array<char, crypto_pwhash_STRBYTES> out{};
  if (crypto_pwhash_str_alg(out.data(), password.data(), password.size(), cost.operations, cost.memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return base::fail(base::Errc::kInternal, "not enough memory to hash a password");
  }
  return std::string(out.data());
}

std::string decoy_hash(const PasswordCost& cost) {
  const std::string salt(22, 'A');  // 16 bytes in base64
  const std::string digest(43, 'A');
  return fmt::format("$argon2id$v=19$m={},t={},p=1${}${}", cost.memory_bytes >> 10, cost.operations, salt,
                     digest);
}

bool verify_password(const std::string& hash, std::string_view password) {
  start_sodium();
  return crypto_pwhash_str_verify(hash.c_str(), password.data(), password.size()) == 0;
}

}  // namespace miharu::api
