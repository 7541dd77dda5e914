#include "session/pump/application_watch.hpp"

#include <algorithm>

namespace backedpipe {
namespace {

// An application that reads nothing is asked for room, up to two minutes apart, and answers: then
// at most one or two questions are open, however long the silence before them was.
constexpr unsigned kLeastAttempts = 3;

}  // namespace

void ApplicationWatch::sent(TimePoint now) {
  if (patience_ && !due_) due_ = now + *patience_;
}

bool ApplicationWatch::look(const std::optional<Unanswered>& unanswered, TimePoint now) {
  if (!due_ || now < *due_) return false;
  due_.reset();
  if (!unanswered) return false;
  if (unanswered->silence >= *patience_ && unanswered->attempts >= kLeastAttempts) return true;
  due_ = now + std::max(*patience_ - unanswered->silence, *patience_ / 6);
  return false;
}

}  // namespace backedpipe
