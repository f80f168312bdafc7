// ObjectStore over a directory of this machine, with its identity file.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "base/file.h"
#include "store/object_store.h"

namespace miharu::store {

// Thread-safe. Symbolic links below the root are not followed. Hidden files, links, and `*.new`
// (base::write_file's temporaries) are not listed, nor is anything of tmp/ an object. The directory is
//   miharu-store.json   format version and random store id
//   rec/<camera>/<YYYY>/<MM>/<DD>/<HH>/<name>
//   tmp/<camera>_<start>_<run>_<seq>.part   objects that still grow (record/)
class DirectoryStore final : public ObjectStore {
 public:
  enum class Open : uint8_t {
    kExisting,  // must have its identity file
    kCreate,  // an empty or absent directory becomes a store; a directory with other things in it is an error
  };
  // `expected_id`: the id seen before ("" = none). Another id, or none where one is expected, is a missing
  // mount (kNotFound) and never an empty store.
  static base::Result<std::unique_ptr<DirectoryStore>> open(const std::filesystem::path& root, Open mode,
                                                            std::string_view expected_id = {},
                                                            const base::Clock& clock = base::system_clock());

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }
  // True while the identity file on disk still is ours: asked before recording is resumed and by readiness.
  [[nodiscard]] base::Status check_identity() const;
  // Checks the key's form (kInvalid) and gives its path below root().
  [[nodiscard]] base::Result<std::filesystem::path> path_of(std::string_view key) const;

  // Does not fill size_bytes; empty directories are told as prefixes.
  base::Result<Listing> list(std::string_view prefix, bool one_level) override;
  // From inode and change time of the directory; settled when that is 2 s ago.
  std::optional<PrefixVersion> version(std::string_view prefix) override;
  base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) override;
  base::Status put(std::string_view key, base::ByteView bytes) override;
  base::Status replace(std::string_view key, base::ByteView bytes) override;
  // Directories that become empty go with it, up to the camera's: who renames a file into an hour makes the
  // directory again when rename says ENOENT.
  base::Status remove(std::string_view key) override;
  std::optional<base::Result<base::File>> open_file(std::string_view key) override {
    return open_object(key);
  }
  // For sendfile.
  base::Result<base::File> open_object(std::string_view key) const;

 private:
  DirectoryStore(std::filesystem::path root, std::string id, const base::Clock& clock)
      : root_(std::move(root)), id_(std::move(id)), clock_(clock) {}

  base::Status write(std::string_view key, base::ByteView bytes, bool may_exist);

  std::filesystem::path root_;
  std::string id_;
  const base::Clock& clock_;
  std::mutex put_mutex_;  // two puts of one key would write to the same temporary file
};

}  // namespace miharu::store
