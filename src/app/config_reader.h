// Typed reading of TOML tables with an error that has its place for everything that is not as it should be.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "app/toml.h"

namespace miharu::app {

// Collects the mistakes of one or more files.
class ConfigProblems {
 public:
  void add(const std::filesystem::path& file, toml::source_position at, std::string text);
  [[nodiscard]] bool empty() const { return list_.empty(); }
  // One line each, in the order of the files.
  [[nodiscard]] base::Error error() const;

 private:
  struct Problem {
    std::string file;
    size_t order;  // of the file among those read
    toml::source_position at;
    std::string text;
  };
  std::vector<Problem> list_;
};

// A file that is being read, and what its sections share.
struct ConfigDocument {
  const std::filesystem::path& file;
  const Environment& environment;
  ConfigProblems& problems;
  std::vector<std::string>* known = nullptr;  // gathers the keys asked for
};

// One table. A key that is not there leaves its target as it is; every key asked for is known, others are
// mistakes when finish() is called. `table` may be null: an empty one.
class ConfigSection {
 public:
  ConfigSection(ConfigDocument& document, std::string title, std::string path, const toml::table* table)
      : document_(document), title_(std::move(title)), path_(std::move(path)), table_(table) {}

  using TakeText = std::function<base::Status(std::string)>;

  // With ${NAME} replaced.
  void text(std::string_view key, const TakeText& take);
  void text(std::string_view key, std::string& out);
  void texts(std::string_view key, const TakeText& take);
  // Exactly one ${NAME}: a literal is refused, and never shown. The name goes to `variable`.
  void secret(std::string_view key, base::Secret& out, std::string& variable, std::string_view otherwise);
  void boolean(std::string_view key, bool& out);
  void port(std::string_view key, uint16_t& out);
  void path(std::string_view key, std::filesystem::path& out);
  [[nodiscard]] ConfigSection table(std::string_view key);
  // [[key]], one section each.
  [[nodiscard]] std::vector<ConfigSection> tables(std::string_view key);
  void finish();

  [[nodiscard]] bool is_there() const { return table_ != nullptr; }
  [[nodiscard]] const toml::node* node(std::string_view key) const;
  [[nodiscard]] toml::source_position place(std::string_view key) const;  // of its value, else of the table
  void problem(toml::source_position at, std::string text);
  [[nodiscard]] std::string place_text(std::string_view key) const;  // "miharu.toml:3:8"

 private:
  const toml::node* take(std::string_view key);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view wanted);
  base::Result<std::string> expand(std::string_view text) const;

  ConfigDocument& document_;
  std::string title_;  // "[server]", for people
  std::string path_;   // "server."
  const toml::table* table_;
  std::vector<std::string> known_;
};

// `known` nearest to `word` by edit distance; empty when none is near enough to be a slip of the pen.
std::string_view nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace miharu::app
