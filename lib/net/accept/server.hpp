// Server: the accepting side of a daemon. Listens for links, lets sessions be opened and resumed by
// those who may, and dials the services' targets. One for each worker, on its thread, as Client. A
// link that resumes a session of another worker is handed over to it after its handshake.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "config/settings.hpp"
#include "net/accept/pending_link.hpp"
#include "net/dial/connector.hpp"
#include "net/events/repeated_warning.hpp"
#include "net/link/tls/link_security.hpp"
#include "net/listen/listener.hpp"
#include "net/listen/listening_sockets.hpp"
#include "net/session/session_driver.hpp"
#include "net/timer.hpp"
#include "session/admission.hpp"

namespace backedpipe {

class Server final : public LinkKeeper, public SessionObserver {
 public:
  struct Entry {
    AcceptSettings settings;
    std::shared_ptr<Listener> listener;
    std::shared_ptr<const TransportFactory> factory{};
    std::size_t pending = 0;  // handshakes under way
    std::size_t spares = 0;   // links that wait for another session
    std::unique_ptr<RepeatedWarning> evictions{};
    bool started = false;
  };
  // As that of Client.
  struct Plan {
    struct PlannedEntry {
      AcceptSettings settings;
      LinkSecurity security;
      std::shared_ptr<Entry> entry;  // one that there is, or a new one
    };
    std::size_t spare_links = 0;
    std::vector<ServiceSettings> services;
    std::vector<PlannedEntry> entries;
  };
  using Sessions = std::unordered_map<SessionId, std::shared_ptr<SessionDriver>>;

  explicit Server(WorkerContext& worker) : worker_(worker) {}
  ~Server() override;

  // As those of Client. Who has opened a session may resume it, also where the new settings would
  // not let him open it.
  using SecurityOfListeners = std::vector<LinkSecurity>;  // of the listeners in the settings
  static SecurityOfListeners read_security(const Settings& settings);
  Plan plan(const Settings& settings, const SecurityOfListeners& security,
            ListeningSockets& sockets) const;
  void use(Plan plan);

  void start();
  // Opens no session any more, "shutting down", but lets those that there are be resumed.
  void drain();
  // Refuses whoever comes from now on as "shutting down", and lets go of all links: clients keep
  // their sessions and try again.
  void stop();

  const std::vector<std::shared_ptr<Entry>>& entries() const { return entries_; }
  const Sessions& sessions() const { return sessions_; }
  // Null when there is none.
  std::shared_ptr<SessionDriver> find(const SessionId& id) const {
    const auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : found->second;
  }
  std::uint64_t handshakes_failed() const;
  // To other workers.
  std::uint64_t links_handed_over() const { return links_handed_over_; }
  // By the name of the reason with which they were refused; "handshake": they did not get that far.
  const std::map<std::string_view, std::uint64_t>& handshake_failures() const {
    return handshake_failures_;
  }
  // The bytes of sessions that are still there are not in it.
  const SessionTotals& totals() const { return totals_; }

  void attached(SessionDriver& driver) override;
  void detached(SessionDriver& driver) override;
  void released(std::unique_ptr<Transport> link, SessionDriver& driver) override;
  void ended(SessionDriver& driver, Reason reason) override;

 private:
  // A session's target, dialled again for as long as it is this daemon that lacks something.
  struct TargetDial {
    std::shared_ptr<SessionDriver> driver;
    Address target;
    TimePoint give_up_at;
    Timer again;
    bool said = false;
  };

  std::shared_ptr<Entry> entry_for(const AcceptSettings& wanted, const Plan& planned,
                                   ListeningSockets& sockets) const;
  void listen(const std::shared_ptr<Entry>& entry);
  void accepted(const std::shared_ptr<Entry>& entry, StreamSocket socket);
  PendingLink::Heard hear_for(const std::shared_ptr<Entry>& entry);
  void keep(const std::shared_ptr<Entry>& entry, std::unique_ptr<Transport> link);
  void close_spares();
  void handshake_over(Entry& entry, const std::string& source, PendingLink::End end,
                      const std::string& why);
  Refused heard(const Entry& entry, std::unique_ptr<Transport>& transport, const Hello& hello,
                ConstBytes early);
  Refused refuse(const Hello& hello, std::string_view identity, const std::string& source,
                 Reason reason, const std::string& text, const std::string& log_only = {});
  std::shared_ptr<SessionDriver> open(const Entry& entry, const Hello& hello,
                                      const std::string& identity);
  void hand_over(std::unique_ptr<Transport> transport, const Hello& hello, ConstBytes early,
                 Server& holder);
  void take_over(std::unique_ptr<Transport> transport, const Hello& hello, ConstBytes early);
  Refused attach(SessionDriver& driver, std::unique_ptr<Transport>& transport, const Hello& hello,
                 bool created, ConstBytes early);
  void make_room_for(Admission::Ticket ticket);
  void expire(const SessionId& session);
  void dial_target(const std::shared_ptr<TargetDial>& dial);

  WorkerContext& worker_;
  std::vector<ServiceSettings> services_;
  std::vector<std::shared_ptr<Entry>> entries_;
  std::unordered_map<Admission::Ticket, std::shared_ptr<PendingLink>> pending_;
  std::size_t spare_links_ = 0;                                   // there may be
  std::map<std::uint64_t, std::shared_ptr<PendingLink>> spares_;  // the oldest first
  std::uint64_t last_spare_ = 0;
  Sessions sessions_;
  SharedLabels labels_;
  bool listening_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  std::map<std::string_view, std::uint64_t> handshake_failures_;
  std::uint64_t links_handed_over_ = 0;
  SessionTotals totals_;
};

}  // namespace backedpipe
