// Parses JSON text into a tree whose nodes know their place in the text. Settings are read from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/checked.hpp"
#include "config/config_error.hpp"
#include "config/token_cursor.hpp"

namespace backedpipe::config {

// A JSON value that knows its place in the text. A tree of plain values.
struct Node {
  enum class Kind { null, boolean, number, string, array, object };

  Kind kind = Kind::null;
  Position position;
  std::string key;  // the value's name, when it is a member of an object
  Position key_position;
  std::string text;                     // the value of a string; others as written
  std::optional<std::uint64_t> number;  // of a number that is whole and not negative
  std::vector<Node> children;           // of an array or object, in the order of the text

  // The member of that name, or null.
  const Node* find(std::string_view name) const;
};

// What error messages call it: "a string", "an object", ...
std::string_view name_of(Node::Kind kind);

// One more step of a JSON pointer: escapes '~' and '/', and cuts what is too long for a message.
std::string pointer_step(std::string_view key);

inline constexpr std::size_t kMaxTextBytes = 1024 * 1024;
inline constexpr std::size_t kMaxDepth = 64;

struct Document {
  Node root;
  ConfigErrors errors;  // duplicate keys; the tree holds all of them, find() gives the first
};

// Parses JSON with // and /* */ comments. It is an error if the text is not JSON, is longer than
// kMaxTextBytes, or is nested deeper than kMaxDepth.
Checked<Document, ConfigError> parse_document(std::string_view text, const std::string& file);

}  // namespace backedpipe::config
