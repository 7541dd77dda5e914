// ControlServer: the control socket. Reads one JSON-RPC request per line, and answers with data
// that it gathers from the workers. The socket's permissions decide which users may ask; no answer
// contains a secret. Part of a Node, on the thread that directs it.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "control/control_target.hpp"
#include "control/operations.hpp"
#include "net/listen/listener.hpp"
#include "net/worker/workers.hpp"

namespace backedpipe {

class ControlServer final : public ControlTarget {
 public:
  // Makes the socket with the permissions and the group from the settings. Throws
  // std::runtime_error with a sentence about what is wrong.
  ControlServer(boost::asio::io_context& io, SharedState& shared, Workers& workers,
                const ControlSettings& settings, Operations& operations);
  ~ControlServer() override;

  void start();
  void stop();
  // How many connections there may be: each takes a descriptor.
  void limit(std::size_t most_connections) { most_connections_ = most_connections; }

  StatusSnapshot status() override;
  std::vector<SessionSnapshot> sessions() override;
  std::optional<SessionSnapshot> session(const SessionId& id) override;
  ReconnectOutcome reconnect(const SessionId& id) override;
  std::size_t reconnect_all() override;
  bool close(const SessionId& id) override;
  ReloadOutcome reload() override { return operations_.reload(); }
  DrainOutcome drain(std::optional<Duration> timeout) override {
    return operations_.drain(timeout);
  }
  UpgradeOutcome upgrade() override { return operations_.upgrade(); }
  void subscribe() override;
  std::string log_level() override;
  bool set_log_level(const std::string& level) override;

 private:
  class Connection;

  void accepted(StreamSocket socket);
  std::string answer(const std::string& line, Connection& connection);
  void tell(const Event& event);

  SharedState& shared_;
  Workers& workers_;
  Operations& operations_;
  std::shared_ptr<Listener> listener_;
  std::list<std::weak_ptr<Connection>> connections_;
  Connection* asking_ = nullptr;  // the one whose request is being answered
  std::string instance_;
  WallTime started_at_;
  TimePoint started_;
  std::size_t most_connections_ = 64;
};

}  // namespace backedpipe
