#include "record/repair.h"

#include <fcntl.h>

#include <set>

#include <fmt/format.h>

#include "record/camera_writer.h"
#include "record/recovery.h"
#include "record/verify.h"

namespace miharu::record {
namespace {

// An object whose name does not say what is in it: cut at its last whole fragment and named anew.
base::Result<std::string> rename_truly(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                                       const std::string& key, const store::ObjectName& name,
                                       base::ByteView bytes) {
  const auto recovered = recover_object(bytes, name);
  if (!recovered) return fmt::format("{}: left as it is: {}", key, recovered.error().to_string());
  const auto true_key = store::object_key(camera, recovered->name);
  if (!true_key) return tl::unexpected(true_key.error());
  if (*true_key == key) return fmt::format("{}: left as it is", key);
  auto file = disk.open_existing(store.root() / key);
  if (!file) return tl::unexpected(file.error());
  const auto target = store.root() / *true_key;
  if (auto done = put_in_place(disk, **file, recovered->size_bytes, store.root() / key, target); !done) {
    return tl::unexpected(done.error());
  }
  return fmt::format("{}: is now {}", key, *true_key);
}

}  // namespace

base::Result<std::vector<std::string>> repair_store(store::DirectoryStore& store,
                                                    const std::vector<std::string>& cameras) {
  std::vector<std::string> lines;
  const auto disk = make_system_disk();
  std::set<std::string> names(cameras.begin(), cameras.end());
  if (names.empty()) {
    store::Catalog catalog(store, nullptr);
    const auto found = catalog.cameras();
    if (!found) return tl::unexpected(found.error());
    names.insert(found->begin(), found->end());
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(store.root() / "tmp", error)) {
      if (const auto unfinished = parse_unfinished_file_name(entry.path().filename().string()))
        names.insert(unfinished->camera);
    }
  }
  RecordingIndex index;
  for (const std::string& camera : names) {
    CameraWriter writer(camera, *disk, store, index, base::system_clock(), store::kMaxNameLength);
    const auto resumed = writer.resume();
    if (!resumed) return tl::unexpected(resumed.error());
    if (resumed->recovered_objects > 0)
      lines.push_back(fmt::format("{}: finished {} unfinished objects", camera, resumed->recovered_objects));

    const auto listing = store.list("rec/" + camera + "/", false);
    if (!listing) return tl::unexpected(listing.error());
    for (const store::ListedObject& object : listing->objects) {
      const auto name = store::decode_name(store::file_name_of(object.key));
      if (!name) continue;
      const auto bytes = store.get(object.key, 0, UINT64_MAX);
      if (!bytes) continue;
      if (check_object(*name, *bytes, nullptr).empty()) continue;
      auto line = rename_truly(*disk, store, camera, object.key, *name, *bytes);
      if (!line) return tl::unexpected(line.error());
      lines.push_back(std::move(*line));
    }
  }
  return lines;
}

}  // namespace miharu::record
