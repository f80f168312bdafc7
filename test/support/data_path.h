// Where test/data is.
#pragma once

#include <string>
#include <string_view>

namespace miharu::test {

// The path of a file below test/data.
std::string data_path(std::string_view name);

}  // namespace miharu::test
