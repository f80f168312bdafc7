// Reads every object of a store and compares it with what its name says.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/object_name.h"
#include "store/object_store.h"

namespace miharu::record {

struct VerifyFinding {
  std::string camera;
  std::string key;
  std::string text;  // for a person: what is wrong with it
};

struct VerifyReport {
  uint64_t objects = 0;
  uint64_t bytes = 0;
  uint64_t chunks = 0;
  uint64_t frames = 0;  // of video
  uint64_t runs = 0;
  std::vector<VerifyFinding> findings;
};

// What is wrong with one object, given its decoded name and all its bytes; empty when nothing is.
std::vector<std::string> check_object(const store::ObjectName& name, base::ByteView bytes, uint64_t* frames);

// Every camera of the store when `cameras` is empty. `progress` is told the report so far after each object
// and may return false to end early. Blocking. An error only when the store cannot be listed.
base::Result<VerifyReport> verify_store(store::ObjectStore& store, const std::vector<std::string>& cameras,
                                        const std::function<bool(const VerifyReport&)>& progress);

}  // namespace miharu::record
