// Reading typed settings out of a document, with errors that name the place.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/config_error.hpp"
#include "config/document.hpp"
#include "config/units.hpp"

namespace backedpipe::config {

// Collects what is wrong with one file. Lives as long as the parse; every Field refers to it.
class Report {
 public:
  explicit Report(std::string file) : file_(std::move(file)) {}

  void add(Position position, std::string pointer, std::string message);
  void add(ConfigErrors errors);

  bool empty() const { return errors_.empty(); }
  // A hostile file could have a million errors: those beyond the limit are dropped.
  bool full() const { return errors_.size() >= kMaxErrors; }
  // In the order of the text.
  ConfigErrors take();

 private:
  static constexpr std::size_t kMaxErrors = 100;

  std::string file_;
  ConfigErrors errors_;
};

// One value of the document that is being read into a setting. Borrows report and node.
struct Field {
  Report* report;
  const Node* node;
  std::string pointer;

  void fail(std::string message) const { report->add(node->position, pointer, std::move(message)); }
  // "found <this>, expected ...": `expected` is a phrase as in Checked.
  void fail_expected(std::string_view expected) const;
  // Returns false, and reports it, when the value is of another kind. `expected` completes
  // "expected ...".
  bool is(Node::Kind kind, std::string_view expected) const;

  Field member(const Node& child) const;
  Field item(std::size_t index) const;
};

using OptionalField = std::optional<Field>;

// The members of an object with fixed keys. Every key that find() or require() asked for is known;
// finish() reports the others.
class ObjectReader {
 public:
  // Reports when the field is not an object; then nothing is found and nothing more is reported.
  explicit ObjectReader(Field field);

  bool is_object() const { return is_object_; }
  const Field& field() const { return field_; }

  OptionalField find(std::string_view key);
  // As find(), but reports when the key is missing; `expected` says what belongs there.
  OptionalField require(std::string_view key, std::string_view expected);
  void finish() const;

 private:
  Field field_;
  bool is_object_;
  std::vector<std::string> known_;
};

// "; did you mean ...?", or a list of the known names.
std::string suggestion(std::string_view text, std::span<const std::string> known);

struct CountRange {
  std::uint64_t min;
  std::uint64_t max;
};
struct SizeRange {
  std::uint64_t min_bytes;
  std::uint64_t max_bytes;
};
struct DurationRange {
  std::chrono::milliseconds min;
  std::chrono::milliseconds max;
};

// Each reader returns the value, or reports what is wrong and returns nothing.
std::optional<std::uint64_t> read_count(const Field& field, CountRange range);
std::optional<std::uint64_t> read_size(const Field& field, SizeRange range);
std::optional<std::chrono::milliseconds> read_duration(const Field& field, DurationRange range);
std::optional<std::string> read_name(const Field& field);
std::optional<Address> read_address(const Field& field, AddressRules rules);
// A path; a relative one is relative to `folder`.
std::optional<std::string> read_path(const Field& field, const std::string& folder);
// One of `choices`, as an index into them.
std::optional<std::size_t> read_choice(const Field& field, std::span<const std::string> choices);

}  // namespace backedpipe::config
