// A password or key. It has no formatter and no stream operator, so that a log line with one in it does not
// compile.
#pragma once

#include <iosfwd>
#include <string>
#include <utility>

namespace miharu::base {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}

  // For the one place that signs or sends it.
  [[nodiscard]] const std::string& reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  std::string value_;
};

std::ostream& operator<<(std::ostream&, const Secret&) = delete;

}  // namespace miharu::base
