// ControlTarget: what requests on the control socket can see of a daemon and do to it. Implemented
// by the daemon, called on the thread that calls handle_request().
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
  not_here,   // a server cannot dial: its client has to be asked
};

class ControlTarget {
 public:
  virtual ~ControlTarget() = default;

  virtual StatusSnapshot status() = 0;
  virtual std::vector<SessionSnapshot> sessions() = 0;
  virtual std::optional<SessionSnapshot> session(const SessionId& id) = 0;

  virtual ReconnectOutcome reconnect(const SessionId& id) = 0;
  // Every session that this side can dial for; returns how many.
  virtual std::size_t reconnect_all() = 0;
  // Ends the session, visibly for both applications. False when there is none of that id.
  virtual bool close(const SessionId& id) = 0;

  // See Operations.
  virtual ReloadOutcome reload() = 0;
  virtual DrainOutcome drain(std::optional<Duration> timeout) = 0;

  // The connection that the request in hand has come over gets each event from now on.
  virtual void subscribe() = 0;

  virtual std::string log_level() = 0;
  // False when it is not the name of one, as in the configuration; then nothing changes.
  virtual bool set_log_level(const std::string& level) = 0;

 protected:
  ControlTarget() = default;
  ControlTarget(const ControlTarget&) = default;
  ControlTarget& operator=(const ControlTarget&) = default;
};

}  // namespace backedpipe
