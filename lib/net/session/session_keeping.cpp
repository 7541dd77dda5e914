// SessionDriver: what lets its session outlive the process.
#include <chrono>
#include <utility>

#include "net/clock.hpp"
#include "net/keep/connection_counts.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {

// A record of the session for the next process, if there is to be one.
LedgerEntry SessionDriver::record_of(WorkerContext& worker, const Session::Identity& identity,
                                     const SharedLabels::Shared& labels,
                                     const Recovered* recovered) {
  if (worker.ledger() == nullptr) return {};
  UnkeptSessions& unkept = worker.shared().unkept;
  if (!labels.number) {
    unkept.add(UnkeptSessions::Why::no_names, identity.id);
    return {};
  }
  LedgerEntry entry(
      worker.ledger()->ledger(),
      {.id = identity.id,
       .role = static_cast<std::uint32_t>(identity.role),
       .labels = *labels.number,
       .restores = recovered == nullptr ? 0 : static_cast<std::uint32_t>(recovered->restores + 1),
       .created_at = recovered == nullptr ? to_nanoseconds(wall_now()) : recovered->created_at,
       .detached_since = static_cast<std::uint64_t>(steady_now().time_since_epoch().count())});
  if (!entry.kept()) unkept.add(UnkeptSessions::Why::no_record, identity.id);
  return entry;
}

// Before anything is read from it or written to it.
void SessionDriver::keep_connection() {
  if (worker_.ledger() == nullptr) return;
  // It may be in the vault already, even if the session has no record.
  application_.is_kept_by(*worker_.ledger());
  LedgerEntry& entry = pump_.session().ledger();
  if (!entry.kept()) return;
  const int socket = application_.socket().native_handle();
  if (!worker_.ledger()->vault().put(socket)) return give_up_keeping();
  // The system counts urgent bytes as received, so they must be read as well.
  keep_urgent_bytes(socket);
  entry.connected(connection_of(socket));
}

// The session works, and ends with this process.
void SessionDriver::give_up_keeping() {
  pump_.session().ledger().erase();
  worker_.shared().unkept.add(UnkeptSessions::Why::no_connection, session().id());
}

Result<void> SessionDriver::restore(const Recovered& recovered,
                                    std::optional<StreamSocket> application) {
  LedgerEntry& entry = pump_.session().ledger();
  if (application) {
    application_.connect(std::move(*application));
    const int socket = application_.socket().native_handle();
    if (entry.kept()) {
      if (worker_.ledger()->vault().adopt(socket)) {
        entry.connected(*recovered.connection);
      } else {
        give_up_keeping();
      }
    }
    // It is in the vault, which may have been refused to adopt it.
    application_.is_kept_by(*worker_.ledger());
  }
  log_.restored(recovered.created_at, recovered.restores + 1);
  const auto restored = pump_.restore(recovered.session, recovered.held.bytes());
  if (!restored || recovered.session.application_reset) {
    if (application_.socket().is_open()) application_.reset();
    return restored;
  }
  if (recovered.detached_since) {
    pump_.session().without_link_since(
        TimePoint(Duration(static_cast<std::int64_t>(*recovered.detached_since))), recovered.grace);
  }
  if (!application_.socket().is_open()) return restored;
  if (!pump_.connect_application(application_, FirstWord::expected)) application_.close();
  return restored;
}

}  // namespace backedpipe
