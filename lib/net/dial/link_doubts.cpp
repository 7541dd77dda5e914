#include "net/dial/link_doubts.hpp"

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {

Doubted doubt_links(const NetworkChange& change, const LocalAddresses& addresses,
                    const SessionTable& sessions) {
  Doubted doubted;
  // A copy: an action on a session may end it.
  const SessionTable::Sessions all = sessions.all();
  for (const auto& [id, driver] : all) {
    const auto local = driver->local_address();
    if (!local) continue;
    LinkFacts facts = Liveness::facts_of(driver->session().pipe(), steady_now());
    facts.loopback = local->is_loopback();
    facts.address_gone = !addresses.contains(*local);
    switch (Liveness::doubt(change, facts)) {
      case Liveness::Doubt::none:
        break;
      case Liveness::Doubt::ask:
        driver->ask();
        ++doubted.asked_count;
        break;
      case Liveness::Doubt::distrust:
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
