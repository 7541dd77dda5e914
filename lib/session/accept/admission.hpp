// Admission caps the connections that have not authenticated yet. When the cap is reached, the
// oldest unfinished handshake of the busiest source is closed. So a flood from one address evicts
// its own handshakes, and other clients can still resume. Owned by the server side of a worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace backedpipe {

class Admission {
 public:
  using Ticket = std::uint64_t;

  struct Admitted {
    Ticket ticket = 0;
    std::optional<Ticket> evicted;  // close this one; its ticket is void already
  };

  // At most `capacity` handshakes at a time; at least 1.
  explicit Admission(std::size_t capacity);
  // Changes the capacity. Handshakes above a lower one go on until they end.
  void limit(std::size_t capacity);

  // A connection from `source` (an address without port) begins its handshake.
  Admitted enter(const std::string& source);
  // The handshake has finished or failed. A void ticket is ignored.
  void leave(Ticket ticket);

  std::size_t size() const { return source_of_.size(); }

 private:
  Ticket oldest_of_busiest() const;

  std::size_t capacity_;
  Ticket next_ = 1;
  std::unordered_map<Ticket, std::string> source_of_;
  std::map<std::string, std::set<Ticket>> tickets_of_;  // tickets grow: the first is the oldest
};

}  // namespace backedpipe
