#include "session/dial/peer_gate.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace backedpipe {
namespace {

// How long silence is normal follows the peer's latest answer, within these limits: short enough to
// spare an unreachable peer, long enough for a slow one.
constexpr Duration kLeastPatience = std::chrono::seconds(1);
constexpr Duration kMostPatience = std::chrono::seconds(4);

}  // namespace

PeerGate::PeerGate(std::uint64_t seed) : reconnector_(seed), patience_(kLeastPatience) {}

// --- what the sessions want

void PeerGate::request(const SessionId& session) {
  if (entries_.contains(session)) return;
  waiting_.emplace_back().session = session;
  entries_.emplace(session, std::prev(waiting_.end()));
}

void PeerGate::withdraw(const SessionId& session) {
  const auto found = entries_.find(session);
  if (found == entries_.end()) return;
  const auto entry = found->second;
  // The next session probes instead, but sessions that come and go must not cause a storm of dials.
  if (state_ == State::down && entry->dialling && !entry->answered) {
    probe_at_ = entry->began + Reconnector::kFirstPause;
  }
  (entry->dialling ? dialling_ : waiting_).erase(entry);
  entries_.erase(found);
}

void PeerGate::kick(TimePoint now) {
  if (state_ == State::down) {
    reconnector_.useful();
    reconnector_.want(now);
    probe_at_ = now;
  }
  // Even if the network changes again and again, each dial gets its time.
  if (dialled_anew_at_ != TimePoint{} && now < dialled_anew_at_ + patience_) return;
  dialled_anew_at_ = now;
  park_dials(0);
}

// --- what became of a dial or a link

PeerGate::Entries::iterator PeerGate::find_dial(const SessionId& session) {
  const auto found = entries_.find(session);
  return found != entries_.end() && found->second->dialling ? found->second : dialling_.end();
}

void PeerGate::answered(const SessionId& session, TimePoint now) {
  const auto entry = find_dial(session);
  if (entry == dialling_.end()) return;
  entry->answered = true;
  patience_ = std::clamp(2 * (now - entry->began), kLeastPatience, kMostPatience);
  alive(now);
}

void PeerGate::alive(TimePoint now) {
  answered_at_ = now;
  state_ = State::up;
  reconnector_.useful();
}

void PeerGate::struggling(const SessionId& session, const std::string& why, TimePoint now) {
  const auto entry = find_dial(session);
  if (entry == dialling_.end() || entry->answered) return;
  entry->complaint = why;
  if (state_ == State::down) last_error_ = why;
  judge(now);
}

bool PeerGate::failed(const SessionId& session, const std::string& why, TimePoint now) {
  const auto entry = find_dial(session);
  if (entry == dialling_.end()) return entries_.contains(session);
  // Other sessions got through meanwhile, so the peer is not down.
  const bool others_answered = state_ != State::down && answered_at_ > entry->began;
  if (entry->answered || others_answered) {
    entries_.erase(session);
    dialling_.erase(entry);
    return false;
  }
  // Requeue it last, so that a session with a fault of its own cannot block the probe.
  park(entry, waiting_.end());
  if (state_ == State::down) {
    last_error_ = why;
  } else {
    go_down(why, now);
  }
  probe_failed(*entry);
  return true;
}

// The pause runs from the start of one dial to the start of the next: a dial that was silent for
// longer than the pause is followed at once.
void PeerGate::probe_failed(const Entry& entry) {
  reconnector_.failed(entry.began);
  probe_at_ = *reconnector_.next_attempt();
}

// --- up and down

TimePoint PeerGate::verdict_at(const Entry& entry) const {
  return std::max(entry.began, answered_at_) + patience_;
}

void PeerGate::judge(TimePoint now) {
  if (state_ == State::down) return;
  for (const Entry& entry : dialling_) {
    if (!entry.complaint || entry.answered || now < verdict_at(entry)) continue;
    go_down(*entry.complaint, now);
    return;
  }
}

void PeerGate::go_down(const std::string& why, TimePoint now) {
  state_ = State::down;
  down_since_ = now;
  last_error_ = why;
  probe_at_ = now;
  reconnector_.useful();
  reconnector_.want(now);
  park_dials(1);
}

void PeerGate::park_dials(std::size_t keep) {
  const auto before = waiting_.cbegin();
  for (auto next = dialling_.begin(); next != dialling_.end();) {
    const auto entry = next++;
    if (entry->answered) continue;
    if (keep > 0) {
      --keep;
      continue;
    }
    cancels_.push_back(entry->session);
    park(entry, before);
  }
}

void PeerGate::park(Entries::iterator entry, Entries::const_iterator before) {
  entry->dialling = false;
  entry->complaint.reset();
  waiting_.splice(before, dialling_, entry);
}

// --- time and actions

bool PeerGate::probing() const {
  return state_ == State::down && std::any_of(dialling_.begin(), dialling_.end(),
                                              [](const Entry& entry) { return !entry.answered; });
}

std::optional<TimePoint> PeerGate::next_probe() const {
  if (state_ != State::down || waiting_.empty() || probing()) return std::nullopt;
  return probe_at_;
}

std::optional<TimePoint> PeerGate::deadline() const {
  if (state_ == State::down) return next_probe();
  std::optional<TimePoint> due;
  for (const Entry& entry : dialling_) {
    if (entry.complaint && !entry.answered) due = earlier(due, verdict_at(entry));
  }
  return due;
}

std::optional<PeerGate::Action> PeerGate::next_action(TimePoint now) {
  judge(now);
  if (!cancels_.empty()) {
    const SessionId session = cancels_.front();
    cancels_.pop_front();
    return Action{Action::Kind::cancel, session};
  }
  if (waiting_.empty()) return std::nullopt;
  if (state_ == State::down ? probing() || now < probe_at_ : dialling_.size() >= kMostDials) {
    return std::nullopt;
  }
  const auto entry = waiting_.begin();
  entry->dialling = true;
  entry->began = now;
  dialling_.splice(dialling_.end(), waiting_, entry);
  return Action{Action::Kind::dial, entry->session};
}

}  // namespace backedpipe
