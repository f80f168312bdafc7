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

struct VerifyPlan {
  std::vector<std::string> cameras{};  // empty: every camera of the store
  std::vector<std::string> roots{""};  // where its recorders have their rec/: "" or "r1/"
  unsigned ahead = 1;                  // so many objects are fetched at once: more for a store far away
};

// Reads everything. `progress` is told the report so far after each object
// and may return false to end early. Blocking. An error only when the store cannot be listed.
base::Result<VerifyReport> verify_store(store::ObjectStore& store, const VerifyPlan& plan,
                                        const std::function<bool(const VerifyReport&)>& progress);

}  // namespace miharu::record
