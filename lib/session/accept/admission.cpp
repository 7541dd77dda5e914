#include "session/accept/admission.hpp"

#include <algorithm>

namespace backedpipe {

Admission::Admission(std::size_t capacity) : capacity_(std::max<std::size_t>(capacity, 1)) {}

void Admission::limit(std::size_t capacity) {
  capacity_ = std::max<std::size_t>(capacity, 1);
}

Admission::Admitted Admission::enter(const std::string& source) {
  Admitted admitted;
  // The new connection counts for its source: a flood may evict its own oldest handshake for its
  // newest.
  admitted.ticket = next_++;
  source_of_.emplace(admitted.ticket, source);
  tickets_of_[source].insert(admitted.ticket);
  if (source_of_.size() > capacity_) {
    admitted.evicted = oldest_of_busiest();
    leave(*admitted.evicted);
  }
  return admitted;
}

Admission::Ticket Admission::oldest_of_busiest() const {
  // Of equally busy sources, the one with the oldest handshake, whatever the order of addresses.
  const auto busiest =
      std::max_element(tickets_of_.begin(), tickets_of_.end(), [](const auto& a, const auto& b) {
        if (a.second.size() != b.second.size()) return a.second.size() < b.second.size();
        return *a.second.begin() > *b.second.begin();
      });
  return *busiest->second.begin();
}

void Admission::leave(Ticket ticket) {
  const auto found = source_of_.find(ticket);
  if (found == source_of_.end()) return;
  const auto tickets = tickets_of_.find(found->second);
  tickets->second.erase(ticket);
  if (tickets->second.empty()) tickets_of_.erase(tickets);
  source_of_.erase(found);
}

}  // namespace backedpipe
