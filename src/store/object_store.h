// Where objects lie: a directory or a bucket. Catalog and playlists know no more than this.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"

namespace miharu::store {

struct ListedObject {
  std::string key;  // whole key below the store's root, '/' between parts
  uint64_t size_bytes =
      0;  // 0: the store does not know it without asking for each object (a directory); names tell it
};

struct Listing {
  std::vector<ListedObject> objects;  // in byte order of their keys
  std::vector<std::string> prefixes;  // with a delimiter: the "folders" directly below, each ending in '/'
};

// Tells whether what lies directly below a prefix is still what was listed before.
struct PrefixVersion {
  uint64_t value = 0;
  // False: changed so lately that a further change could leave the value as it is (clocks of file systems
  // tick in milliseconds): not to be trusted later.
  bool settled = false;
};

// A small object that several write.
struct VersionedText {
  std::string text;
  std::string version;                // empty: there is no such object
  std::optional<base::UtcTime> date;  // what the store's clock said, to a second
};

// Blocking; every method may be called by any thread. Keys are relative, made of [A-Za-z0-9._=/-], no "..",
// no "//".
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  // Everything below `prefix` (which ends in '/'), or with `one_level` only what is directly below, as S3
  // does with delimiter '/'. A prefix without objects is an empty listing, not an error.
  virtual base::Result<Listing> list(std::string_view prefix, bool one_level) = 0;
  // Each of them as list() does; a store that is far away asks for several at once.
  virtual std::vector<base::Result<Listing>> list_many(const std::vector<std::string>& prefixes,
                                                       bool one_level) {
    std::vector<base::Result<Listing>> listings;
    listings.reserve(prefixes.size());
    for (const std::string& prefix : prefixes) listings.push_back(list(prefix, one_level));
    return listings;
  }
  // Cheap, for caches: asked before list(). nullopt: this store cannot tell.
  virtual std::optional<PrefixVersion> version(std::string_view prefix) {
    static_cast<void>(prefix);
    return std::nullopt;
  }
  // The object as an open file; nothing where the store has none of files.
  virtual std::optional<base::Result<base::File>> open_file(std::string_view key) {
    static_cast<void>(key);
    return std::nullopt;
  }
  // Bytes [offset, offset+length), cut at the object's end.
  virtual base::Result<base::ByteVector> get(std::string_view key, uint64_t offset, uint64_t length) = 0;
  virtual base::Status put(std::string_view key,
                           base::ByteView bytes) = 0;  // creates; kExists if it is there
  // Creates or replaces, all or nothing: lists of users and tokens, never a recording.
  virtual base::Status replace(std::string_view key, base::ByteView bytes) = 0;
  virtual base::Status remove(std::string_view key) = 0;
  // A bucket, and not this machine's disk.
  [[nodiscard]] virtual bool is_bucket() const { return false; }

  // For objects that several write: read, and replaced only while it is still that version (empty: made, only
  // while there is none), else kExists. kUnsupported where nobody but one writes. Up to `limit_bytes` are read.
  virtual base::Result<VersionedText> get_versioned(std::string_view key, uint64_t limit_bytes) {
    static_cast<void>(limit_bytes);
    return base::fail(base::Errc::kUnsupported, std::string(key) + ": this store has no versions");
  }
  virtual base::Status replace_version(std::string_view key, std::string_view text, const std::string& version) {
    static_cast<void>(text);
    static_cast<void>(version);
    return base::fail(base::Errc::kUnsupported, std::string(key) + ": this store has no versions");
  }
};

}  // namespace miharu::store
