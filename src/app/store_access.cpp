#include "app/store_access.h"

#include <cstdlib>

namespace miharu::app {

base::Result<std::unique_ptr<store::DirectoryStore>> open_store(const std::string& where) {
  if (where.starts_with("s3://"))
    return base::fail(base::Errc::kUnsupported, "buckets cannot be read yet; give a directory as --store");
  return store::DirectoryStore::open(where, store::DirectoryStore::Open::kExisting);
}

base::Result<std::filesystem::path> token_key_file() {
  const char* file = std::getenv("MIHARU_TOKEN_KEY_FILE");
  if (file == nullptr || *file == '\0') {
    return base::fail(base::Errc::kInvalid,
                      "set MIHARU_TOKEN_KEY_FILE to the file of this server's signing key, for example "
                      "/etc/miharu/serve.key; it is made when it is not there. All that serve one store need "
                      "the same, and it is not the token.key of a recorder");
  }
  return std::filesystem::path(file);
}

}  // namespace miharu::app
