#include "net/session/session_table.hpp"

#include <utility>

#include "net/clock.hpp"

namespace backedpipe {

std::shared_ptr<SessionDriver> SessionTable::open(const SessionDriver::Links& links,
                                                  Session::Identity identity, SessionLabels labels,
                                                  std::string application) {
  const SessionId id = identity.id;
  auto driver =
      std::make_shared<SessionDriver>(worker_, links, *this, std::move(identity),
                                      labels_.of(std::move(labels)), std::move(application));
  sessions_.emplace(id, driver);
  ++totals_.opened;
  driver->announce();
  return driver;
}

std::shared_ptr<SessionDriver> SessionTable::restore(const SessionDriver::Links& links,
                                                     Recovered recovered, SessionLabels labels,
                                                     std::optional<StreamSocket> application,
                                                     std::string& why) {
  SessionRecord& session = recovered.session;
  session.service = labels.service;
  auto driver = std::make_shared<SessionDriver>(
      worker_, links, *this,
      Session::Identity{.id = session.id, .role = session.role, .service = session.service},
      labels_.of(std::move(labels)), application ? remote_address(*application) : std::string(),
      &recovered);
  if (const auto restored = driver->restore(recovered, std::move(application)); !restored) {
    why = restored.error().message();
    return nullptr;
  }
  sessions_.emplace(session.id, driver);
  ++totals_.opened;
  return driver;
}

void SessionTable::reset_all(Reason reason) {
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions)
    driver->reset(reason);
}

void SessionTable::park_all(Duration grace) {
  const Sessions sessions = sessions_;
  for (const auto& [id, driver] : sessions)
    driver->park(grace);
}

void SessionTable::abandon_all() {
  const Sessions sessions = std::exchange(sessions_, {});
  for (const auto& [id, driver] : sessions)
    driver->abandon();
}

std::shared_ptr<SessionDriver> SessionTable::find(const SessionId& id) const {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

void SessionTable::attached(SessionDriver& driver) {
  ++totals_.attaches;
  if (directory_ != nullptr) directory_->attached(driver.session().id());
}

void SessionTable::detached(SessionDriver& driver) {
  if (directory_ != nullptr) directory_->detached(driver.session().id(), steady_now());
}

void SessionTable::ended(SessionDriver& driver, Reason reason) {
  ++totals_.ended;
  driver.log().add_to(totals_);
  if (directory_ != nullptr) directory_->end(driver.session().id(), reason, steady_now());
  sessions_.erase(driver.session().id());
  for (const Ended& tell : on_ended_)
    tell(driver);
}

}  // namespace backedpipe
