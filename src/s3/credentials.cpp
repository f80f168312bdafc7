#include "s3/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

#include "base/file.h"
#include "base/text.h"

namespace miharu::s3 {
namespace {

using base::Errc;

std::string value_of(const CredentialSources& sources, std::string_view name) {
  return sources.variable ? sources.variable(name).value_or("") : std::string();
}

std::filesystem::path aws_file(const CredentialSources& sources, std::string_view variable,
                               std::string_view name) {
  if (const std::string named = value_of(sources, variable); !named.empty()) return named;
  const std::string home = value_of(sources, "HOME");
  return home.empty() ? std::filesystem::path() : std::filesystem::path(home) / ".aws" / name;
}

std::string profile_of(const CredentialSources& sources) {
  if (!sources.profile.empty()) return sources.profile;
  const std::string named = value_of(sources, "AWS_PROFILE");
  return named.empty() ? "default" : named;
}

base::Result<IniFile> read_ini(const std::filesystem::path& path) {
  const auto bytes = base::read_file(path, kMaxIniBytes);
  if (!bytes) return tl::unexpected(bytes.error());
  auto file = parse_ini(base::as_text(*bytes));
  if (!file) return tl::unexpected(std::move(file.error()).in(path.string()));
  return file;
}

base::Result<Credentials> keys_of(const IniFile& file, const std::string& section, const std::string& where) {
  const auto found = file.find(section);
  if (found == file.end())
    return base::fail(Errc::kUnauthorized, fmt::format("{} has no section [{}]", where, section));
  const auto get = [&](const char* name) {
    const auto value = found->second.find(name);
    return value == found->second.end() ? std::string() : value->second;
  };
  Credentials keys{get("aws_access_key_id"), base::Secret(get("aws_secret_access_key")),
                   get("aws_session_token")};
  if (keys.access_key.empty() || keys.secret_key.empty()) {
    const bool other =
        !get("role_arn").empty() || !get("credential_process").empty() || !get("sso_session").empty();
    return base::fail(
        Errc::kUnauthorized,
        fmt::format("{} [{}] needs aws_access_key_id and aws_secret_access_key{}", where, section,
                    other ? "; roles, SSO and credential_process are not supported" : ""));
  }
  return keys;
}

// A key that others on the machine can read is no secret.
base::Status check_mode(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0)
    return tl::unexpected(base::system_error("read the credentials in " + path.string()));
  if ((info.st_mode & 077) == 0 && (info.st_uid == ::geteuid() || info.st_uid == 0)) return {};
  return base::fail(
      Errc::kUnauthorized,
      fmt::format("{} holds a secret key, but has mode {:04o} and belongs to user {}: only miharu's own "
                  "user may read it. Do: chown {} {} && chmod 600 {}",
                  path.string(), info.st_mode & 07777, info.st_uid, ::geteuid(), path.string(),
                  path.string()));
}

}  // namespace

base::Result<IniFile> parse_ini(std::string_view text) {
  if (text.size() > kMaxIniBytes)
    return base::fail(Errc::kLimit, fmt::format("is larger than {} bytes", kMaxIniBytes));
  IniFile file;
  std::string section = "default";
  for (size_t number = 1; !text.empty(); ++number) {
    const std::string_view raw = base::take_until(text, '\n');
    std::string_view line = base::trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';' || raw.front() == ' ' ||
        raw.front() == '\t')
      continue;
    if (line.front() == '[') {
      const size_t close = line.find(']');
      if (close == std::string_view::npos)
        return base::fail(Errc::kMalformed, fmt::format("line {}: [ without ]", number));
      std::string_view name = base::trim(line.substr(1, close - 1));
      if (name.starts_with("profile ") || name.starts_with("profile\t")) name = base::trim(name.substr(8));
      section = name;
      file[section];
      continue;
    }
    if (line.find('=') == std::string_view::npos)
      return base::fail(Errc::kMalformed, fmt::format("line {}: neither [section] nor name = value", number));
    const std::string_view name = base::trim(base::take_until(line, '='));
    file[section][base::to_lower(name)] = base::trim(line);
  }
  return file;
}

std::function<std::optional<std::string>(std::string_view)> process_variables() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

base::Result<Credentials> load_credentials(const CredentialSources& sources) {
  if (!sources.file.empty()) {
    if (auto good = check_mode(sources.file); !good) return tl::unexpected(good.error());
    const auto file = read_ini(sources.file);
    if (!file) return tl::unexpected(file.error());
    return keys_of(*file, sources.profile.empty() ? "default" : sources.profile, sources.file.string());
  }
  Credentials keys{value_of(sources, "AWS_ACCESS_KEY_ID"),
                   base::Secret(value_of(sources, "AWS_SECRET_ACCESS_KEY")),
                   value_of(sources, "AWS_SESSION_TOKEN")};
  if (sources.profile.empty() && !keys.access_key.empty() && !keys.secret_key.empty()) return keys;
  const std::filesystem::path path = aws_file(sources, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
  const std::string profile = profile_of(sources);
  const auto file = path.empty() ? base::Result<IniFile>(base::fail(Errc::kNotFound, "")) : read_ini(path);
  if (file) return keys_of(*file, profile, path.string());
  if (file.error().code != Errc::kNotFound) return tl::unexpected(file.error());
  return base::fail(Errc::kUnauthorized,
                    fmt::format("there are no credentials for the bucket: set AWS_ACCESS_KEY_ID and "
                                "AWS_SECRET_ACCESS_KEY, or write "
                                "them as aws_access_key_id and aws_secret_access_key under [{}] into {}, or "
                                "into a file of mode 0600 "
                                "named by [cloud] credentials_file",
                                profile, path.empty() ? "~/.aws/credentials" : path.string()));
}

std::string load_region(const CredentialSources& sources) {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (std::string region = value_of(sources, name); !region.empty()) return region;
  }
  const auto file = read_ini(aws_file(sources, "AWS_CONFIG_FILE", "config"));
  if (!file) return {};
  const auto section = file->find(profile_of(sources));
  if (section == file->end()) return {};
  const auto region = section->second.find("region");
  return region == section->second.end() ? std::string() : region->second;
}

}  // namespace miharu::s3
