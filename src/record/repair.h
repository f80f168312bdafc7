// Puts a store right that nobody records to: unfinished objects are finished, wrongly named ones get their
// true names.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "store/directory_store.h"

namespace miharu::record {

// Every camera when `cameras` is empty. Gives a line for a person for each thing that was done. Nothing is
// deleted: what cannot be read is left where it is.
base::Result<std::vector<std::string>> repair_store(store::DirectoryStore& store,
                                                    const std::vector<std::string>& cameras);

}  // namespace miharu::record
