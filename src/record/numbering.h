// Where the numbers of a camera's runs and chunks stand, from names alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "store/object_store.h"

namespace miharu::record {

struct Newest {
  uint64_t next_run = 1;
  uint64_t next_seq = 0;
  base::UtcTime latest_start{};  // of the objects that were looked at
  std::optional<base::UtcTime>
      recorded_until;  // end of the object with the highest seq; none: there is no object
};

enum class NewestBy : uint8_t {
  kTime,        // looks at the newest day that has an object
  kEverything,  // lists all there is: for a recording in which the clock was stepped back
};

base::Result<Newest> find_newest(store::ObjectStore& store, const std::string& camera, NewestBy by);

}  // namespace miharu::record
