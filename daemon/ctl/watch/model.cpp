#include "daemon/ctl/watch/model.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>

namespace backedpipe::ctl {
namespace {

constexpr std::array kChoices{SortChoice{'a', {"age", "created_at"}, false},
                              SortChoice{'f', {"for", "state_since"}, false},
                              SortChoice{'s', {"state", "state"}, false},
                              SortChoice{'t', {"tunnel", "tunnel"}, false},
                              SortChoice{'v', {"service", "service"}, false},
                              SortChoice{'p', {"peer", "peer"}, false},
                              SortChoice{'i', {"in/s", "in_per_s"}, true},
                              SortChoice{'o', {"out/s", "out_per_s"}, true},
                              SortChoice{'u', {"unacked", "unacked"}, true},
                              SortChoice{'b', {"buffered", "buffered"}, true},
                              SortChoice{'l', {"rtt", "rtt_ms"}, true},
                              SortChoice{'g', {"generation", "generation"}, true}};

struct Counters {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
};

// Null if there is no earlier count, or if the count has decreased.
Json rate(std::uint64_t now, const std::uint64_t* before, double seconds) {
  if (before == nullptr || now < *before || seconds <= 0) return nullptr;
  return static_cast<double>(now - *before) / seconds;
}

std::optional<double> to_optional(const Json& value) {
  return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

}  // namespace

std::span<const SortChoice> sort_choices() {
  return kChoices;
}

void WatchModel::update(Json status, Json sessions, Time at) {
  if (!sessions.is_array()) sessions = Json::array();
  const double seconds =
      updated_at_ ? std::chrono::duration<double>(at - *updated_at_).count() : 0.0;
  std::unordered_map<std::string, Counters> before;
  for (const Json& session : sessions_)
    before[text(session, "id")] = {count(session, "bytes_in"), count(session, "bytes_out")};
  for (Json& session : sessions) {
    if (!session.is_object()) continue;
    const auto found = before.find(text(session, "id"));
    const Counters* old = found == before.end() ? nullptr : &found->second;
    session["in_per_s"] = rate(count(session, "bytes_in"), old ? &old->in : nullptr, seconds);
    session["out_per_s"] = rate(count(session, "bytes_out"), old ? &old->out : nullptr, seconds);
  }

  // The counters of a restarted daemon begin again at 0.
  const bool same = updated_at_ && field(status, "pid") == field(status_, "pid") &&
                    field(status, "instance") == field(status_, "instance");
  const auto total = [&](const char* key) {
    const std::uint64_t old = count(field(status_, "totals"), key);
    const std::uint64_t now = count(field(status, "totals"), key);
    return to_optional(rate(now, same ? &old : nullptr, seconds));
  };
  rates_ = {total("bytes_in"), total("bytes_out")};

  status_ = std::move(status);
  sessions_ = std::move(sessions);
  updated_at_ = at;
  problem_.reset();
  sort_and_find();
}

void WatchModel::select(Move move, std::size_t page_rows) {
  if (sessions_.empty()) return;
  const std::size_t last = sessions_.size() - 1;
  const std::size_t step = std::max<std::size_t>(page_rows, 1);
  // The first key press only makes the selection visible.
  const std::size_t place = selected_.value_or(0);
  switch (move) {
    case Move::up:
      selected_ = place - std::min<std::size_t>(place, 1);
      break;
    case Move::down:
      selected_ = selected_ ? std::min(place + 1, last) : 0;
      break;
    case Move::page_up:
      selected_ = place - std::min(place, step);
      break;
    case Move::page_down:
      selected_ = std::min(place + step, last);
      break;
    case Move::first:
      selected_ = 0;
      break;
    case Move::last:
      selected_ = last;
      break;
  }
  selected_id_ = text(sessions_[*selected_], "id");
}

void WatchModel::press(char letter) {
  const auto choice = std::find_if(kChoices.begin(), kChoices.end(),
                                   [letter](const SortChoice& c) { return c.letter == letter; });
  if (choice != kChoices.end()) {
    const bool again = std::string_view(choice->key.field) == sort_.field;
    reverse_ = again ? !reverse_ : choice->largest_first;
    sort_ = choice->key;
  } else if (letter == 'r') {
    reverse_ = !reverse_;
  } else {
    return;
  }
  sort_and_find();
}

void WatchModel::sort_and_find() {
  sort_sessions(sessions_, sort_, reverse_);
  if (!selected_) return;
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [this](const Json& session) {
    return text(session, "id") == selected_id_;
  });
  if (found != sessions_.end()) {
    selected_ = static_cast<std::size_t>(found - sessions_.begin());
  } else if (sessions_.empty()) {
    selected_.reset();
  } else {
    selected_ = std::min(*selected_, sessions_.size() - 1);
    selected_id_ = text(sessions_[*selected_], "id");
  }
}

}  // namespace backedpipe::ctl
