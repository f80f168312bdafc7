// Passwords: Argon2id by libsodium. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace miharu::api {

// libsodium's interactive limits by default: 64 MiB and about a tenth of a second, so never on the control
// thread.
struct PasswordCost {
  unsigned long long operations = 2;
  size_t memory_bytes = 64U << 20;
};

// 20 characters without look-alikes in groups of five: 100 bits.
std::string generate_password();
// At least 8 and at most 256 bytes; the text of the error says so.
base::Status check_password(std::string_view password);
// The encoded form with its salt and cost ("$argon2id$..."). kInternal when there is no memory for it.
base::Result<std::string> hash_password(std::string_view password, const PasswordCost& cost = {});
bool verify_password(const std::string& hash, std::string_view password);

}  // namespace miharu::api
