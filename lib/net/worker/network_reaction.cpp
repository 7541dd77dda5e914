#include "net/worker/network_reaction.hpp"

#include <memory>

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/dial/client.hpp"
#include "net/monitor/local_addresses.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {
namespace {

LinkFacts facts_of(const SessionDriver& driver, const boost::asio::ip::address& local,
                   const LocalAddresses& addresses, TimePoint now) {
  const BackedPipe& pipe = driver.session().pipe();
  LinkFacts facts;
  facts.loopback = local.is_loopback();
  facts.address_gone = !addresses.contains(local);
  facts.round_trip = pipe.round_trip();
  auto since = earlier(pipe.unanswered_since(), pipe.ping_asked_at());
  // In the middle of what the peer was sending, the rest of it is owed.
  if (pipe.received_data_last()) since = earlier(since, pipe.last_received_at());
  if (since) facts.owed_for = now - *since;
  return facts;
}

}  // namespace

Doubted apply(const NetworkChange& change, Client& client) {
  client.network_changed();
  Doubted doubted;
  const auto addresses = LocalAddresses::now();
  if (!addresses) return doubted;
  std::vector<std::shared_ptr<SessionDriver>> drivers;
  for (const auto& [id, driver] : client.sessions())
    drivers.push_back(driver);
  for (const auto& driver : drivers) {
    const auto local = driver->local_address();
    if (!local) continue;
    switch (doubt(change, facts_of(*driver, *local, *addresses, steady_now()))) {
      case LinkDoubt::none:
        break;
      case LinkDoubt::ask:
        driver->ask();
        ++doubted.asked_count;
        break;
      case LinkDoubt::distrust:
        driver->distrust();
        ++doubted.distrusted_count;
        break;
    }
  }
  return doubted;
}

void log_change(const NetworkChange& change, const std::vector<Doubted>& doubted) {
  Doubted sum;
  for (const Doubted& part : doubted) {
    sum.distrusted_count += part.distrusted_count;
    sum.asked_count += part.asked_count;
  }
  const bool matters = change.resumed || sum.distrusted_count > 0;
  spdlog::log(matters ? spdlog::level::info : spdlog::level::debug,
              "{}: {} links no longer trusted, {} asked whether they answer",
              change.resumed ? "resumed from suspend" : "the network has changed",
              sum.distrusted_count, sum.asked_count);
}

}  // namespace backedpipe
