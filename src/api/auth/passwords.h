// Names and passwords of users: Argon2id by libsodium. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::api {

// OWASP's Argon2id for a server (19 MiB, two passes): some hundredths of a second, so never on the control
// thread. libsodium's interactive limits of 64 MiB made 88 MB of the 24 that the program has at its start,
// and three times the time.
struct PasswordCost {
  unsigned long long operations = 2;
  size_t memory_bytes = 19U << 20;
};

// Names have 1 to 64 of a-z A-Z 0-9 . _ - @.
base::Status check_user_name(std::string_view name);
// 20 characters without look-alikes in groups of five: 100 bits.
std::string generate_password();
// At least 8 and at most 256 bytes; the text of the error says so.
base::Status check_password(std::string_view password);
// The encoded form with its salt and cost ("$argon2id$..."). kInternal when there is no memory for it.
base::Result<std::string> hash_password(std::string_view password, const PasswordCost& cost = {});
// A hash that no password has, and that takes as long to be compared with as one of this cost. It takes no
// time to make.
std::string decoy_hash(const PasswordCost& cost = {});
bool verify_password(const std::string& hash, std::string_view password);

}  // namespace miharu::api
