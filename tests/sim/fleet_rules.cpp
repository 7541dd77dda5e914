// Fleet: what must hold.
#include <algorithm>
#include <utility>

#include "fleet.hpp"
#include "fleet_link.hpp"

namespace backedpipe::sim {

void Fleet::check_gate() {
  require(gate_.dialling() == dialling_, "the gate knows what is under way",
          std::to_string(dialling_) + " dials");
  require(dialling_ <= PeerGate::kMostDials, "at most 64 dials", std::to_string(dialling_));
  if (gate_.state() != PeerGate::State::down) return;
  require(unanswered_ <= 1, "one probe while the peer is down", std::to_string(unanswered_));
  // First the steps of the backoff, then at most four a second, and one after the first minute,
  // plus the probes of hurried sessions.
  const auto whole = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(now_ - down_since_).count());
  const std::uint64_t paced = 4 * std::min<std::uint64_t>(whole + 1, 60) + whole;
  require(probes_ <= 8 + paced + probes_excused_, "probes keep their pace",
          std::to_string(probes_) + " in " + std::to_string(whole) + " s");
}

// `also_own_failures`: also checks sessions whose own attempts failed, which have their own
// backoff.
void Fleet::check_attached(TimePoint healed_at, bool also_own_failures) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    if (member.over || member.leaves || !member.pump[0]) continue;
    if (!also_own_failures && member.own_failure_at + std::chrono::seconds(15) >= healed_at)
      continue;
    const Session& session = member.pump[0]->session();
    const bool recent = session.detached_since() > healed_at;
    require(recent || session.pipe().state() == PipeState::connected,
            "attached soon after the network is back", "session " + std::to_string(i));
  }
}

void Fleet::check_wires() {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    const std::string who = "session " + std::to_string(i);
    if (member.leaves) {
      require(member.over, "who leaves is gone in the end", who);
      continue;
    }
    if (member.over) continue;  // it has expired
    const WirePointer wire = wire_of(member, Side::client);
    require(wire && wire == wire_of(member, Side::server) && !wire->mute,
            "every session has a working link in the end", who);
  }
}

}  // namespace backedpipe::sim
