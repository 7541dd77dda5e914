#include "config/field.hpp"

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include "config/names.hpp"

namespace backedpipe::config {
namespace {

std::string found(const Node& node) {
  switch (node.kind) {
    case Node::Kind::string:
      return "found " + in_quotes(node.text);
    case Node::Kind::number:
    case Node::Kind::boolean:
      return "found " + printable(node.text, 40);
    default:
      return "found " + std::string(name_of(node.kind));
  }
}

std::string list(std::span<const std::string> names) {
  constexpr std::size_t kMaxListed = 16;
  std::string text;
  for (const std::string& name : names.first(std::min(names.size(), kMaxListed))) {
    if (!text.empty()) text += ", ";
    text += in_quotes(name);
  }
  if (names.size() > kMaxListed) text += ", ...";
  return text;
}

std::string between(const std::string& what, const std::string& min, const std::string& max) {
  return "expected " + what + " from " + min + " to " + max;
}

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
  });
}

}  // namespace

void Report::add(Position position, std::string pointer, std::string message) {
  if (full()) return;
  errors_.push_back(
      {file_, position.line, position.column, std::move(pointer), std::move(message)});
}

void Report::add(ConfigErrors errors) {
  std::move(errors.begin(), errors.end(), std::back_inserter(errors_));
}

ConfigErrors Report::take() {
  std::stable_sort(errors_.begin(), errors_.end(), [](const auto& a, const auto& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  if (full()) errors_.push_back({file_, 0, 0, "", "too many errors; there may be more than these"});
  return std::move(errors_);
}

void Field::fail_expected(std::string_view expected) const {
  fail(found(*node).append(", ").append(expected));
}

bool Field::is(Node::Kind kind, std::string_view expected) const {
  if (node->kind == kind) return true;
  std::string text = "found " + std::string(name_of(node->kind));
  if (node->kind == Node::Kind::number || node->kind == Node::Kind::boolean) {
    text += " (" + printable(node->text, 40) + ")";
  } else if (node->kind == Node::Kind::string) {
    text += " (" + in_quotes(node->text) + ")";
  }
  text.append(", expected ").append(name_of(kind));
  if (!expected.empty()) text.append(": ").append(expected);
  fail(std::move(text));
  return false;
}

Field Field::member(const Node& child) const {
  return {report, &child, pointer + pointer_step(child.key)};
}

Field Field::item(std::size_t index) const {
  return {report, &node->children[index], pointer + "/" + std::to_string(index)};
}

ObjectReader::ObjectReader(Field field)
    : field_(std::move(field)), is_object_(field_.is(Node::Kind::object, "{ ... }")) {}

OptionalField ObjectReader::find(std::string_view key) {
  known_.emplace_back(key);
  const Node* child = is_object_ ? field_.node->find(key) : nullptr;
  if (child == nullptr) return std::nullopt;
  return field_.member(*child);
}

OptionalField ObjectReader::require(std::string_view key, std::string_view expected) {
  OptionalField child = find(key);
  if (!child && is_object_) {
    field_.fail("found no " + in_quotes(key) + ", expected " + std::string(expected));
  }
  return child;
}

void ObjectReader::finish() const {
  if (!is_object_) return;
  for (const Node& child : field_.node->children) {
    if (field_.report->full()) return;
    if (std::find(known_.begin(), known_.end(), child.key) != known_.end()) continue;
    field_.report->add(child.key_position, field_.pointer + pointer_step(child.key),
                       "found unknown key " + in_quotes(child.key) + suggestion(child.key, known_));
  }
}

std::string suggestion(std::string_view text, std::span<const std::string> known) {
  if (const auto nearest = nearest_name(text, known))
    return "; did you mean " + in_quotes(*nearest) + "?";
  if (known.empty()) return "; there is none";
  return "; known: " + list(known);
}

std::optional<std::uint64_t> read_count(const Field& field, CountRange range) {
  const std::string expected =
      between("a whole number", std::to_string(range.min), std::to_string(range.max));
  if (!field.is(Node::Kind::number, expected.substr(9))) return std::nullopt;
  if (!field.node->number || *field.node->number < range.min || *field.node->number > range.max) {
    field.fail_expected(expected);
    return std::nullopt;
  }
  return field.node->number;
}

std::optional<std::uint64_t> read_size(const Field& field, SizeRange range) {
  const std::string expected =
      between("a size", format_size(range.min_bytes), format_size(range.max_bytes));
  std::optional<std::uint64_t> size = field.node->number;
  if (!size) {
    if (field.node->kind == Node::Kind::number) {
      field.fail_expected(expected + ": a whole number of bytes, or a string such as \"64MiB\"");
      return std::nullopt;
    }
    if (!field.is(Node::Kind::string, "a size such as \"64MiB\", or a number of bytes")) {
      return std::nullopt;
    }
    const auto parsed = parse_size(field.node->text);
    if (!parsed) {
      field.fail_expected(parsed.error());
      return std::nullopt;
    }
    size = *parsed;
  }
  if (*size < range.min_bytes || *size > range.max_bytes) {
    field.fail_expected(expected);
    return std::nullopt;
  }
  return size;
}

std::optional<std::chrono::milliseconds> read_duration(const Field& field, DurationRange range) {
  if (field.node->kind == Node::Kind::number && field.node->number) {
    const std::string number = printable(field.node->text, 20);
    field.fail("found a number (" + number +
               "), expected a string: a duration; add a unit (ms, s, "
               "m or h), for example \"" +
               number + "s\"");
    return std::nullopt;
  }
  if (!field.is(Node::Kind::string, "a duration such as \"5s\"")) return std::nullopt;
  const auto parsed = parse_duration(field.node->text);
  if (!parsed) {
    field.fail_expected(parsed.error());
    return std::nullopt;
  }
  if (*parsed < range.min || *parsed > range.max) {
    field.fail_expected(
        between("a duration", format_duration(range.min), format_duration(range.max)));
    return std::nullopt;
  }
  return *parsed;
}

std::optional<std::string> read_name(const Field& field) {
  if (!field.is(Node::Kind::string, "a name")) return std::nullopt;
  if (!is_valid_name(field.node->text)) {
    field.fail_expected(kExpectedName);
    return std::nullopt;
  }
  return field.node->text;
}

std::optional<Address> read_address(const Field& field, AddressRules rules) {
  if (!field.is(Node::Kind::string, "an address such as \"127.0.0.1:2222\"")) return std::nullopt;
  auto parsed = parse_address(field.node->text, rules);
  if (!parsed) {
    field.fail_expected(parsed.error());
    return std::nullopt;
  }
  return std::move(*parsed);
}

std::optional<std::string> read_path(const Field& field, const std::string& folder) {
  if (!field.is(Node::Kind::string, "the path of a file")) return std::nullopt;
  const std::string& text = field.node->text;
  if (text.empty() || has_control_characters(text)) {
    field.fail_expected("expected the path of a file, without control characters");
    return std::nullopt;
  }
  return (std::filesystem::path(folder) / text).string();
}

std::optional<std::size_t> read_choice(const Field& field, std::span<const std::string> choices) {
  const std::string expected = "one of " + list(choices);
  if (!field.is(Node::Kind::string, expected)) return std::nullopt;
  const auto choice = std::find(choices.begin(), choices.end(), field.node->text);
  if (choice == choices.end()) {
    const auto nearest = nearest_name(field.node->text, choices);
    field.fail_expected("expected " + expected +
                        (nearest ? "; did you mean " + in_quotes(*nearest) + "?" : ""));
    return std::nullopt;
  }
  return static_cast<std::size_t>(choice - choices.begin());
}

}  // namespace backedpipe::config
