// Operations: what is done to a daemon as a whole while it runs. A Node is the real one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "pipe/time.hpp"

namespace backedpipe {

struct ReloadOutcome {
  std::optional<std::string> problem;  // a sentence; then nothing is changed
  // Settings that have changed in the file, as "workers", and are used after a restart only.
  std::vector<std::string> after_restart{};
};

struct DrainOutcome {
  std::size_t sessions = 0;  // that are waited for
  Duration timeout{};        // for so long at most
};

class Operations {
 public:
  virtual ~Operations() = default;

  // Reads the configuration, keys and certificates again.
  virtual ReloadOutcome reload() = 0;
  // Takes in no new session, and ends in order when the last that has a link is gone, or after
  // `timeout` (limits.shutdown_timeout if there is none). Called again it sets the time anew.
  virtual DrainOutcome drain(std::optional<Duration> timeout) = 0;
  virtual bool draining() const = 0;

 protected:
  Operations() = default;
  Operations(const Operations&) = default;
  Operations& operator=(const Operations&) = default;
};

}  // namespace backedpipe
