#include "app/config_reader.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

namespace miharu::app {
namespace {

constexpr size_t kMaxProblemsShown = 20;

std::string_view describe(toml::node_type type) {
  switch (type) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "text";
    case toml::node_type::integer:
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string join(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

std::string shorten(std::string_view text) {
  constexpr size_t kShown = 60;
  return text.size() <= kShown ? std::string(text) : std::string(text.substr(0, kShown)) + "...";
}

}  // namespace

void ConfigProblems::add(const std::filesystem::path& file, toml::source_position at, std::string text) {
  std::string name = file.string();
  const size_t order = list_.empty() ? 0 : list_.back().order + (list_.back().file == name ? 0U : 1U);
  list_.push_back({std::move(name), order, at, std::move(text)});
}

base::Error ConfigProblems::error() const {
  // Sections are read in our order, people fix files from the top.
  std::vector<const Problem*> sorted;
  for (const Problem& problem : list_) sorted.push_back(&problem);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Problem* a, const Problem* b) {
    return std::tie(a->order, a->at.line, a->at.column) < std::tie(b->order, b->at.line, b->at.column);
  });
  std::string text;
  for (size_t i = 0; i < sorted.size() && i < kMaxProblemsShown; ++i) {
    const Problem& problem = *sorted[i];
    if (i > 0) text += '\n';
    if (!problem.file.empty()) text += problem.file + ':';
    if (problem.at.line > 0) text += fmt::format("{}:{}:", problem.at.line, problem.at.column);
    if (!text.empty() && text.back() == ':') text += ' ';
    text += problem.text;
  }
  if (sorted.size() > kMaxProblemsShown) {
    text += fmt::format("\nand {} more", sorted.size() - kMaxProblemsShown);
  }
  return base::Error{base::Errc::kInvalid, std::move(text), -1};
}

const toml::node* ConfigSection::node(std::string_view key) const {
  return table_ ? table_->get(key) : nullptr;
}

toml::source_position ConfigSection::place(std::string_view key) const {
  if (const toml::node* value = node(key)) return value->source().begin;
  return table_ ? table_->source().begin : toml::source_position{};
}

std::string ConfigSection::place_text(std::string_view key) const {
  const toml::source_position at = place(key);
  return fmt::format("{}:{}:{}", document_.file.string(), at.line, at.column);
}

void ConfigSection::problem(toml::source_position at, std::string text) {
  document_.problems.add(document_.file, at, std::move(text));
}

const toml::node* ConfigSection::take(std::string_view key) {
  known_.emplace_back(key);
  if (document_.known) document_.known->push_back(path_ + std::string(key));
  return node(key);
}

void ConfigSection::wrong_type(std::string_view key, const toml::node& node, std::string_view wanted) {
  problem(node.source().begin,
          fmt::format("\"{}\" must be {}, this is {}", key, wanted, describe(node.type())));
}

base::Result<std::string> ConfigSection::expand(std::string_view text) const {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t dollar = text.find("${", at);
    out += text.substr(at, dollar - at);
    if (dollar == std::string_view::npos) break;
    size_t end = dollar + 2;
    while (end < text.size() && is_name_char(text[end])) ++end;
    const std::string_view name = text.substr(dollar + 2, end - dollar - 2);
    if (name.empty() || end == text.size() || text[end] != '}') {
      return base::fail(
          base::Errc::kInvalid,
          "\"${\" begins the name of an environment variable and needs its \"}\": ${NAME}, of letters, "
          "digits and underscores");
    }
    const auto value = document_.environment.variable(name);
    if (!value) {
      return base::fail(base::Errc::kInvalid,
                        fmt::format("environment variable {} is not set; set it before miharu starts", name));
    }
    out += *value;
    at = end + 1;
  }
  return out;
}

void ConfigSection::text(std::string_view key, const TakeText& take_text) {
  const toml::node* value = take(key);
  if (!value) return;
  const auto* string = value->as_string();
  if (!string) return wrong_type(key, *value, "text in quotes");
  const auto expanded = expand(string->get());
  const base::Status status =
      expanded ? take_text(*expanded) : base::Status(tl::unexpected(expanded.error()));
  if (!status) problem(value->source().begin, fmt::format("\"{}\": {}", key, status.error().text));
}

void ConfigSection::text(std::string_view key, std::string& out) {
  text(key, [&](std::string value) -> base::Status {
    out = std::move(value);
    return {};
  });
}

void ConfigSection::texts(std::string_view key, const TakeText& take_text) {
  const toml::node* value = take(key);
  if (!value) return;
  const auto* list = value->as_array();
  if (!list) return wrong_type(key, *value, "a list of texts, [\"...\", \"...\"]");
  for (const toml::node& element : *list) {
    const auto* string = element.as_string();
    if (!string) {
      wrong_type(key, element, "a list of texts, [\"...\", \"...\"]");
      continue;
    }
    const auto expanded = expand(string->get());
    const base::Status status =
        expanded ? take_text(*expanded) : base::Status(tl::unexpected(expanded.error()));
    if (!status) problem(element.source().begin, fmt::format("\"{}\": {}", key, status.error().text));
  }
}

void ConfigSection::secret(std::string_view key, base::Secret& out, std::string& variable,
                           std::string_view otherwise) {
  const toml::node* value = take(key);
  if (!value) return;
  const auto* string = value->as_string();
  const std::string_view text = string ? std::string_view(string->get()) : std::string_view();
  std::string_view name;
  if (text.starts_with("${") && text.ends_with("}")) name = text.substr(2, text.size() - 3);
  if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_char)) {
    return problem(value->source().begin,
                   fmt::format("\"{0}\" must not stand in the file: write {0} = \"${{NAME}}\" and set that "
                               "environment variable{1}",
                               key, otherwise));
  }
  auto expanded = expand(text);
  if (!expanded) {
    return problem(value->source().begin, fmt::format("\"{}\": {}", key, expanded.error().text));
  }
  variable = name;
  out = base::Secret(std::move(*expanded));
}

void ConfigSection::boolean(std::string_view key, bool& out) {
  const toml::node* value = take(key);
  if (!value) return;
  const auto* flag = value->as_boolean();
  if (!flag) return wrong_type(key, *value, "true or false");
  out = flag->get();
}

void ConfigSection::port(std::string_view key, uint16_t& out) {
  const toml::node* value = take(key);
  if (!value) return;
  const auto* number = value->as_integer();
  if (!number) return wrong_type(key, *value, "a port number, 1 to 65535");
  if (number->get() < 1 || number->get() > 65535) {
    return problem(value->source().begin,
                   fmt::format("\"{}\" must be a port number, 1 to 65535, this is {}", key, number->get()));
  }
  out = static_cast<uint16_t>(number->get());
}

void ConfigSection::path(std::string_view key, std::filesystem::path& out) {
  text(key, [&](const std::string& value) -> base::Status {
    if (value.empty()) return base::fail(base::Errc::kInvalid, "must name a file or folder, this is empty");
    if (value.find('\0') != std::string::npos)
      return base::fail(base::Errc::kInvalid, "has a zero byte in it");
    out = document_.file.parent_path() / value;
    return {};
  });
}

ConfigSection ConfigSection::table(std::string_view key) {
  const toml::node* value = node(key);
  known_.emplace_back(key);
  if (value && !value->is_table()) wrong_type(key, *value, "a table");
  const std::string path = path_ + std::string(key) + ".";
  return {document_, path_.empty() ? fmt::format("[{}]", key) : fmt::format("\"{}\"", key), path,
          value ? value->as_table() : nullptr};
}

std::vector<ConfigSection> ConfigSection::tables(std::string_view key) {
  std::vector<ConfigSection> out;
  known_.emplace_back(key);
  const toml::node* value = node(key);
  if (!value) return out;
  const std::string title = fmt::format("[[{}]]", key);
  const auto* list = value->as_array();
  if (!list) {
    problem(value->source().begin,
            fmt::format("there can be several: write {0} in place of [{1}]", title, key));
    return out;
  }
  for (const toml::node& element : *list) {
    if (const auto* table = element.as_table()) {
      out.emplace_back(document_, title, path_ + std::string(key) + ".", table);
    } else {
      wrong_type(key, element, "a table, written " + title);
    }
  }
  return out;
}

void ConfigSection::finish() {
  if (!table_) return;
  for (const auto& [key, value] : *table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    const std::string_view near = nearest(key.str(), known_);
    std::string text = fmt::format("{} has no key \"{}\"", title_, shorten(key.str()));
    text += near.empty() ? ". " : fmt::format("; did you mean \"{}\"? ", near);
    text += "It has " + join(known_);
    problem(key.source().begin, std::move(text));
  }
}

std::string_view nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t kLongestWord = 64;
  if (word.size() > kLongestWord) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    // Levenshtein, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t above = row[j];
        row[j] =
            std::min({above + 1, row[j - 1] + 1, diagonal + (word[i - 1] == candidate[j - 1] ? 0U : 1U)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance && row.back() < candidate.size()) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace miharu::app
