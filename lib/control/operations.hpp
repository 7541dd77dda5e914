// Operations on a running daemon as a whole. Implemented by Node.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/snapshots.hpp"
#include "pipe/time.hpp"

namespace backedpipe {

struct ReloadOutcome {
  std::optional<std::string> problem;  // a sentence, if nothing was changed
  // The settings, such as "workers", that have changed in the file but need a restart.
  std::vector<std::string> after_restart{};
};

struct DrainOutcome {
  std::size_t sessions = 0;  // how many sessions the daemon waits for
  Duration timeout{};        // how long it waits at most
};

struct UpgradeOutcome {
  // The process that replaces the daemon; nothing if there is none.
  std::optional<std::int64_t> supervisor;
};

class Operations {
 public:
  virtual ~Operations() = default;

  // Reads the configuration, keys and certificates again.
  virtual ReloadOutcome reload() = 0;
  // Accepts no new session, and ends in an orderly manner once no session has a link, or after
  // `timeout` (without one: limits.shutdown_timeout). Another call sets the time anew.
  virtual DrainOutcome drain(std::optional<Duration> timeout) = 0;
  virtual bool draining() const = 0;
  virtual ContinuitySnapshot continuity() const = 0;
  // Has the supervisor replace itself and the daemon by the version that is installed now.
  virtual UpgradeOutcome upgrade() = 0;

 protected:
  Operations() = default;
  Operations(const Operations&) = default;
  Operations& operator=(const Operations&) = default;
};

}  // namespace backedpipe
