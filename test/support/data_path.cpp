#include "support/data_path.h"

namespace miharu::test {

std::string data_path(std::string_view name) {
  return std::string(MIHARU_TEST_DATA "/").append(name);
}

}  // namespace miharu::test
