// Files of deploy/ that are part of the program (CMakeLists.txt says which).
#pragma once

#include <string_view>

namespace miharu::app {

std::string_view bucket_rules_text();  // deploy/bucket.json
std::string_view price_table_text();   // deploy/prices.json

}  // namespace miharu::app
