// Where the keys of a bucket come from: a file of one's own, the environment, or the AWS files.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "s3/signature_v4.h"

namespace miharu::s3 {

// The form of ~/.aws/credentials and ~/.aws/config: section -> key -> value. What stands before the first
// section is in "default"; "[profile x]" is "x". Lines that begin with a blank belong to a setting that is
// not ours and are skipped.
using IniFile = std::map<std::string, std::map<std::string, std::string>>;
inline constexpr size_t kMaxIniBytes = 64 << 10;
// kMalformed with the number of the line; values are never part of an error.
base::Result<IniFile> parse_ini(std::string_view text);

struct CredentialSources {
  std::filesystem::path
      file;             // aws_access_key_id and aws_secret_access_key; must be readable by its owner alone
  std::string profile;  // of the AWS files; empty: AWS_PROFILE, else "default"
  std::function<std::optional<std::string>(std::string_view)> variable;  // of the environment
};
// The process's own environment.
std::function<std::optional<std::string>(std::string_view)> process_variables();

// `file` when it is named, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (unless a profile is asked for),
// else the profile in AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials). kUnauthorized says where was looked
// and what to do.
base::Result<Credentials> load_credentials(const CredentialSources& sources);
// AWS_REGION, AWS_DEFAULT_REGION, else the profile's in AWS_CONFIG_FILE (~/.aws/config); empty when none
// says.
std::string load_region(const CredentialSources& sources);

}  // namespace miharu::s3
