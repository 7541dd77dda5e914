// SessionTable: the sessions of one worker in one role: those whose links it dials, or those that
// it has accepted. Owns their drivers, names and totals, and forgets a session once it has ended.
// Two per worker, on its thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/session_totals.hpp"
#include "net/session/session_driver.hpp"
#include "net/session/session_labels.hpp"
#include "net/shared/session_directory.hpp"
#include "net/thread/worker_context.hpp"

namespace backedpipe {

class SessionTable final : public SessionObserver {
 public:
  using Sessions = std::unordered_map<SessionId, std::shared_ptr<SessionDriver>>;
  using Ended = std::function<void(SessionDriver&)>;

  // `directory`: where all workers look up accepted sessions; null for sessions whose links this
  // worker dials.
  SessionTable(WorkerContext& worker, SessionDirectory* directory)
      : worker_(worker), directory_(directory), labels_(worker.ledger()) {}

  // Adds a new session, which stays in the table until it ends. `links`: see SessionDriver.
  std::shared_ptr<SessionDriver> open(const SessionDriver::Links& links, Session::Identity identity,
                                      SessionLabels labels, std::string application);
  // Adds a session of the process before this one; see SessionDriver::restore. Null, and the reason
  // in `why`, if it cannot be continued: then its application has been reset.
  std::shared_ptr<SessionDriver> restore(const SessionDriver::Links& links, Recovered recovered,
                                         SessionLabels labels,
                                         std::optional<StreamSocket> application, std::string& why);
  // `ended` is called for each session that has ended, after it has left the table. Several
  // handlers are called in the order in which they were added.
  void on_ended(Ended ended) { on_ended_.push_back(std::move(ended)); }
  // Ends all sessions, and tells each peer that can be reached.
  void reset_all(Reason reason);
  // See Session::park.
  void park_all(Duration grace);
  // Closes all sockets of all sessions, without telling the peers.
  void abandon_all();

  const Sessions& all() const { return sessions_; }
  // Null if the session is not in the table.
  std::shared_ptr<SessionDriver> find(const SessionId& id) const;
  // Of ended sessions; the bytes of sessions still in the table are not included.
  const SessionTotals& totals() const { return totals_; }

  void attached(SessionDriver& driver) override;
  void detached(SessionDriver& driver) override;
  void ended(SessionDriver& driver, Reason reason) override;

 private:
  WorkerContext& worker_;
  SessionDirectory* directory_;
  std::vector<Ended> on_ended_;
  Sessions sessions_;
  SharedLabels labels_;
  SessionTotals totals_;
};

}  // namespace backedpipe
