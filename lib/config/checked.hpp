// A value or the reason why there is none.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace backedpipe {

// A value that passed its checks, or what was wrong with it. The small part of std::expected that
// this layer needs and C++20 does not have. A plain value.
//
// With E = std::string the error is the second half of a sentence and starts with "expected", so
// that every caller can put what it found before it: `found "5", expected a duration …`.
template <class T, class E = std::string>
class [[nodiscard]] Checked {
 public:
  Checked(T value) : state_(std::in_place_index<0>, std::move(value)) {}

  static Checked failure(E error) { return Checked(FailureTag{}, std::move(error)); }

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Throws std::bad_variant_access when there is an error instead.
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Throws std::bad_variant_access when there is a value instead.
  const E& error() const { return std::get<1>(state_); }

 private:
  struct FailureTag {};
  Checked(FailureTag, E error) : state_(std::in_place_index<1>, std::move(error)) {}

  std::variant<T, E> state_;
};

}  // namespace backedpipe
