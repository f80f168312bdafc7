// What `miharu cloud test` and `init` tell of each of their steps.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <boost/json.hpp>

namespace miharu::app {

enum class Verdict { kGood, kNote, kWrong };

// A line a step, or with `json` one object a line.
class StepReport {
 public:
  explicit StepReport(bool json) : json_(json) {}

  void tell(Verdict verdict, std::string_view step, const std::string& text) {
    wrong_ = wrong_ || verdict == Verdict::kWrong;
    const std::string_view word = verdict == Verdict::kGood   ? "ok"
                                  : verdict == Verdict::kNote ? "note"
                                                              : "wrong";
    if (json_) {
      fmt::print("{}\n", boost::json::serialize(
                             boost::json::object{{"step", step}, {"result", word}, {"text", text}}));
    } else {
      fmt::print("{:<6} {:<10} {}\n", word, step, text);
    }
    std::fflush(stdout);
  }
  [[nodiscard]] bool wrong() const { return wrong_; }
  [[nodiscard]] bool json() const { return json_; }

 private:
  bool json_;
  bool wrong_ = false;
};

}  // namespace miharu::app
