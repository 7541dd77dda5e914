// WatchModel: the state of backedpipctl watch: the latest picture of the daemon, the rates, the
// order of the sessions, and the selected session. No I/O and no clock. layout.hpp draws it.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/ctl/fields.hpp"
#include "daemon/ctl/session_order.hpp"

namespace backedpipe::ctl {

// A key on the keyboard that sorts. The fields in_per_s and out_per_s are added by the model.
struct SortChoice {
  char letter;
  SortKey key;
  bool largest_first;
};

std::span<const SortChoice> sort_choices();

class WatchModel {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Move { up, down, page_up, page_down, first, last };

  struct Rates {
    std::optional<double> in;  // bytes a second, delivered to applications
    std::optional<double> out;
  };

  WatchModel(SortKey sort, bool reverse) : sort_(sort), reverse_(reverse) {}

  // Takes the daemon's answers at time `at`. Rates are the difference from the previous picture.
  void update(Json status, Json sessions, Time at);
  // The daemon cannot be reached; the last picture stays.
  void lose(std::string problem) { problem_ = std::move(problem); }

  // Nothing is selected at first. The selection stays with its session when the order changes, and
  // with its place when the session ends.
  void select(Move move, std::size_t page_rows);
  // A letter that sorts (pressed again, it reverses the order), or 'r' to reverse. Others do
  // nothing.
  void press(char letter);

  const Json& status() const { return status_; }
  // In order, each with in_per_s and out_per_s, which are null when the session is new.
  const Json& sessions() const { return sessions_; }
  Rates rates() const { return rates_; }
  // Why the daemon cannot be reached; null while it can.
  const std::string* problem() const { return problem_ ? &*problem_ : nullptr; }
  std::optional<std::size_t> selected() const { return selected_; }
  SortKey sort() const { return sort_; }
  bool reverse() const { return reverse_; }

 private:
  void sort_and_find();

  Json status_;
  Json sessions_ = Json::array();
  std::optional<Time> updated_at_;
  Rates rates_;
  std::optional<std::string> problem_;

  SortKey sort_;
  bool reverse_;
  std::optional<std::size_t> selected_;
  std::string selected_id_;
};

}  // namespace backedpipe::ctl
