#include "config/document.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

namespace backedpipe::config {
namespace {

constexpr std::size_t kMaxReasonBytes = 1024;

using nlohmann::json;

constexpr std::size_t kMaxDuplicateErrors = 20;

// The text after `mark`, up to `end` or to the end of the text; empty when `mark` does not occur.
std::string_view after(std::string_view text, std::string_view mark, std::string_view end = {}) {
  const std::size_t begin = text.find(mark);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin + mark.size());
  return end.empty() ? text : text.substr(0, text.find(end));
}

// Builds the tree from the parser's events. Every event belongs to exactly one token of the text,
// so one step of a TokenCursor per event gives the event's place.
class TreeBuilder final : public nlohmann::json_sax<json> {
 public:
  TreeBuilder(std::string_view text, std::string file) : cursor_(text), file_(std::move(file)) {}

  Document& document() { return document_; }
  ConfigError& failure() { return failure_; }

  bool null() override { return scalar(Node::Kind::null); }
  bool boolean(bool) override { return scalar(Node::Kind::boolean); }
  bool number_integer(number_integer_t number) override {
    if (number < 0) return scalar(Node::Kind::number);
    return scalar(Node::Kind::number, static_cast<std::uint64_t>(number));
  }
  bool number_unsigned(number_unsigned_t number) override {
    return scalar(Node::Kind::number, number);
  }
  bool number_float(number_float_t, const string_t&) override { return scalar(Node::Kind::number); }
  bool string(string_t& value) override {
    add(Node::Kind::string, cursor_.next().position).text = std::move(value);
    return true;
  }
  bool binary(binary_t&) override { return false; }  // does not occur in text

  bool start_object(std::size_t) override { return open(Node::Kind::object); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Node::Kind::array); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.key_position = cursor_.next().position;
    level.key = name;
    if (!level.keys.insert(std::move(name)).second) report_duplicate(level);
    return true;
  }

  bool parse_error(std::size_t read_bytes, const std::string&,
                   const nlohmann::detail::exception& error) override {
    const TokenCursor::Token token = cursor_.refused(read_bytes > 0 ? read_bytes - 1 : 0);
    // The parser quotes what it has read, including control characters.
    fail(token.position,
         "not valid JSON: " + printable(reason(error.what(), token.text), kMaxReasonBytes));
    return false;
  }

 private:
  // An array or object whose end has not come yet.
  struct Level {
    Node* node;
    std::string key{};
    Position key_position{};
    std::unordered_set<std::string> keys{};
  };

  // The node's address stays valid until a sibling is added after it, which cannot happen while the
  // node is on levels_.
  Node& add(Node::Kind kind, Position position) {
    Node* node = &document_.root;
    if (!levels_.empty()) {
      Level& level = levels_.back();
      node = &level.node->children.emplace_back();
      node->key = std::move(level.key);
      node->key_position = level.key_position;
    }
    node->kind = kind;
    node->position = position;
    return *node;
  }

  bool scalar(Node::Kind kind, std::optional<std::uint64_t> number = std::nullopt) {
    const TokenCursor::Token token = cursor_.next();
    Node& node = add(kind, token.position);
    node.text = token.text;
    node.number = number;
    return true;
  }

  bool open(Node::Kind kind) {
    const Position position = cursor_.next().position;
    if (levels_.size() == kMaxDepth) {
      fail(position, "nested too deeply: found more than " + std::to_string(kMaxDepth) +
                         " levels of arrays and objects");
      return false;
    }
    levels_.push_back(Level{.node = &add(kind, position)});
    return true;
  }

  bool close() {
    cursor_.next();
    levels_.pop_back();
    return true;
  }

  void report_duplicate(const Level& level) {
    if (document_.errors.size() >= kMaxDuplicateErrors) return;
    const Node* first = level.node->find(level.key);
    std::string pointer;
    for (std::size_t i = 1; i < levels_.size(); ++i) {
      const Node& parent = *levels_[i - 1].node;
      pointer +=
          pointer_step(parent.kind == Node::Kind::array ? std::to_string(parent.children.size() - 1)
                                                        : levels_[i].node->key);
    }
    document_.errors.push_back(
        {file_, level.key_position.line, level.key_position.column,
         pointer + pointer_step(level.key),
         "found key " + in_quotes(level.key) + " twice in one object, first in line " +
             std::to_string(first->key_position.line) + "; expected every key once"});
  }

  void fail(Position position, std::string message) {
    failure_ = {file_, position.line, position.column, "", std::move(message)};
  }

  // One sentence out of "[json.exception.parse_error.101] parse error at line 1, column 5: syntax
  // error while parsing object - unexpected ']'; expected '}'".
  std::string reason(std::string_view what, std::string_view token) const {
    if (cursor_.separator() == ',' && (token == "}" || token == "]")) {
      return "found a comma before " + std::string(token) + "; the last entry has none after it";
    }
    // What follows "last read" is text of the file, which may contain anything.
    std::string_view detail = after(what, " - ");
    detail = detail.substr(0, detail.find("; last read"));
    if (const auto unexpected = after(detail, "unexpected ", ";"); !unexpected.empty()) {
      std::string text = "found " + std::string(unexpected);
      const std::string_view expected = after(detail, "; expected ");
      const bool in_container = expected == "'}'" || expected == "']'";
      if (!expected.empty()) {
        text +=
            std::string(", expected ") + (in_container ? "',' or " : "") + std::string(expected);
      }
      return text;
    }
    if (detail.substr(0, 15) == "invalid literal") {
      return "found " + in_quotes(token, 12) + ", expected a value (text goes into double quotes)";
    }
    if (!detail.empty()) return std::string(detail);
    return "found a number that is too large";  // the only other error of the parser
  }

  TokenCursor cursor_;
  std::string file_;
  std::vector<Level> levels_;
  Document document_;
  ConfigError failure_;
};

}  // namespace

const Node* Node::find(std::string_view name) const {
  for (const Node& child : children) {
    if (child.key == name) return &child;
  }
  return nullptr;
}

std::string_view name_of(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::null:
      return "null";
    case Node::Kind::boolean:
      return "a boolean";
    case Node::Kind::number:
      return "a number";
    case Node::Kind::string:
      return "a string";
    case Node::Kind::array:
      return "an array";
    case Node::Kind::object:
      return "an object";
  }
  return "nothing";
}

std::string pointer_step(std::string_view key) {
  std::string step = "/";
  for (const char c : printable(key, 64)) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

Checked<Document, ConfigError> parse_document(std::string_view text, const std::string& file) {
  using Parsed = Checked<Document, ConfigError>;
  if (text.size() > kMaxTextBytes) {
    return Parsed::failure({file, 0, 0, "", "the file is too large: expected at most 1 MiB"});
  }
  // The parser takes a zero byte for the end of the text and would ignore the rest.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(zero), '\n');
    return Parsed::failure(
        {file, static_cast<int>(line), 0, "", "not valid JSON: found a zero byte"});
  }
  TreeBuilder builder(text, file);
  if (!json::sax_parse(text.begin(), text.end(), &builder, json::input_format_t::json,
                       /*strict=*/true, /*ignore_comments=*/true)) {
    return Parsed::failure(std::move(builder.failure()));
  }
  return std::move(builder.document());
}

}  // namespace backedpipe::config
