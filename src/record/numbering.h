// The numbers of a camera's runs and chunks: none is given twice, whatever retention deletes and wherever a
// clock puts the objects (docs/formats.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "record/disk.h"
#include "store/directory_store.h"
#include "store/object_name.h"

namespace miharu::record {

struct Numbers {
  uint64_t next_run = 1;
  uint64_t next_seq = 0;  // 0: none was given yet
  std::optional<base::UtcTime>
      recorded_until;  // end of the object before next_seq; none: there never was one

  void take(const store::ObjectName& name);
  void take(const Numbers& others);
};

// All are blocking and may be called by any thread: those of recording and retention write the same file.

// Where a camera's numbers go on: what `.numbers` says, and the names in the one hour that it points to.
// Without such a file everything is listed.
struct FoundNumbers {
  Numbers numbers;
  std::optional<base::UtcTime>
      hour;  // that objects are in which the file does not cover; none: there is no file
};
base::Result<FoundNumbers> find_numbers(store::DirectoryStore& store, const std::string& camera);

// Before an object is begun in another hour than the one before: durable when it returns.
base::Status write_numbers(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                           const Numbers& given, base::UtcTime hour);

// Before objects are deleted or moved to another hour: the file covers their numbers when it returns. Nothing
// is written if it did before, as it does of all but the last hour.
base::Status raise_numbers(Disk& disk, store::DirectoryStore& store, const std::string& camera,
                           const Numbers& given);

}  // namespace miharu::record
