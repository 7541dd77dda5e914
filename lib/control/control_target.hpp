// ControlTarget: the parts of a daemon that requests on the control socket can read and change.
// Implemented by the daemon; called on the thread that calls handle_request().
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/operations.hpp"
#include "control/snapshots.hpp"

namespace backedpipe {

enum class ReconnectOutcome : std::uint8_t {
  done,       // an attempt is under way
  not_found,  // no such session
  not_here,   // a server cannot dial; the session's client can
};

class ControlTarget {
 public:
  virtual ~ControlTarget() = default;

  virtual StatusSnapshot status() = 0;
  virtual std::vector<SessionSnapshot> sessions() = 0;
  virtual std::optional<SessionSnapshot> session(const SessionId& id) = 0;

  virtual ReconnectOutcome reconnect(const SessionId& id) = 0;
  // Dials for every session whose client is here; returns how many those are.
  virtual std::size_t reconnect_all() = 0;
  // Ends the session; both applications see a reset. False when no session has that id.
  virtual bool close(const SessionId& id) = 0;

  // See Operations.
  virtual ReloadOutcome reload() = 0;
  virtual DrainOutcome drain(std::optional<Duration> timeout) = 0;
  virtual UpgradeOutcome upgrade() = 0;

  // From now on, the connection of the current request gets each event.
  virtual void subscribe() = 0;

  virtual std::string log_level() = 0;
  // False, without any change, when `level` is not the name of a level in the configuration.
  virtual bool set_log_level(const std::string& level) = 0;

 protected:
  ControlTarget() = default;
  ControlTarget(const ControlTarget&) = default;
  ControlTarget& operator=(const ControlTarget&) = default;
};

}  // namespace backedpipe
