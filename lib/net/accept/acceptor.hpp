// Acceptor: the accepting side of a worker's links. It listens for links, rules on each HELLO,
// opens and resumes sessions for the clients that may do so, and keeps spare links for later
// sessions. A link that resumes a session of another worker is handed over to that worker. One per
// worker, on its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "net/accept/handshakes.hpp"
#include "net/accept/link_listeners.hpp"
#include "net/accept/refusals.hpp"
#include "net/accept/waiting_links.hpp"
#include "net/application/target_dialler.hpp"
#include "net/session/session_table.hpp"
#include "net/shared/session_holder.hpp"

namespace backedpipe {

class Acceptor final : public LinkKeeper, public SessionHolder {
 public:
  // See LinkListeners::Plan.
  struct Plan {
    std::size_t spare_links = 0;
    std::vector<ServiceSettings> services;
    LinkListeners::Plan listeners;
  };

  // `sessions`: this worker's accepted sessions.
  Acceptor(WorkerContext& worker, SessionTable& sessions);

  // See LinkListeners::plan, which also says on which thread.
  Plan plan(const Settings& settings, const LinkListeners::Securities& security,
            ListeningSockets& sockets) const;
  // A client that opened a session may resume it, even if the new settings would forbid opening it.
  void use(Plan plan);

  void start();
  // Refuses new sessions as "shutting down"; existing ones can still be resumed.
  void drain();
  // Refuses every new link as "shutting down" and closes all existing links. Clients keep their
  // sessions and try again.
  void stop();
  // Accepts no more, and parks all sessions: see Session::park.
  void park(Duration grace);

  // See TunnelListener: a session that clients may resume from then on.
  std::optional<std::string> restore(Recovered recovered, SessionLabels labels,
                                     std::optional<StreamSocket> application);
  void resume_restored(LedgerFile* turns);

  const std::vector<std::shared_ptr<LinkListener>>& listeners() const { return listeners_.all(); }
  const Refusals& refusals() const { return refusals_; }
  // To other workers.
  std::uint64_t links_handed_over() const { return links_handed_over_; }

  void released(std::unique_ptr<Transport> link, SessionDriver& driver) override;

 private:
  enum class Accepts : std::uint8_t { everything, resumes_only, nothing };

  void heard(const LinkListener& listener, HeardLink link);
  void open(const LinkListener& listener, const ServiceSettings& service, HeardLink link);
  void resume(HeardLink link);
  void attach(SessionDriver& driver, HeardLink link, bool created);

  void take_over_here(HeardLink link) override { resume(std::move(link)); }
  void expire_here(const SessionId& session) override;
  void make_room_here(Admission::Ticket ticket) override { handshakes_.make_room_for(ticket); }

  WorkerContext& worker_;
  SessionTable& sessions_;
  TargetDialler targets_;
  Refusals refusals_;
  LinkListeners listeners_;
  Handshakes handshakes_;
  WaitingLinks waiting_links_;
  std::vector<ServiceSettings> services_;
  std::vector<std::shared_ptr<SessionDriver>> restored_;  // that do not run yet
  Accepts accepts_ = Accepts::everything;
  std::uint64_t links_handed_over_ = 0;
};

}  // namespace backedpipe
