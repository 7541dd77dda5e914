#include "net/monitor/network_change.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/dial/client.hpp"
#include "net/monitor/local_addresses.hpp"
#include "net/session/session_driver.hpp"

namespace backedpipe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kLeastSuspend = seconds(1);
constexpr Duration kFirstGap = milliseconds(10);
constexpr Duration kMostGap = milliseconds(100);
// A burst is over when nothing was reported for this long.
constexpr Duration kQuiet = seconds(1);
// Acknowledgements take 20 ms by design. What is owed for longer than this, and than two round
// trips, was probably lost with the old way.
constexpr Duration kPatience = milliseconds(100);

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

bool SuspendWatch::was_suspended(Duration asleep) {
  // The two clocks are read one after the other, which makes the difference waver a little.
  const bool suspended = asleep - asleep_ > kLeastSuspend;
  asleep_ = asleep;
  return suspended;
}

TimePoint ReportPace::due(TimePoint now) const {
  return last_ ? std::max(now, *last_ + gap_) : now;
}

void ReportPace::reported(TimePoint now) {
  const bool goes_on = last_ && now - *last_ < kQuiet;
  gap_ = goes_on ? std::min(2 * gap_, kMostGap) : kFirstGap;
  last_ = now;
}

LinkDoubt doubt(const NetworkChange& change, const LinkFacts& link) {
  if (link.loopback || !change.any()) return LinkDoubt::none;
  if (link.address_gone || change.resumed) return LinkDoubt::distrust;
  const Duration patience = std::max(kPatience, 2 * link.round_trip.value_or(Duration{}));
  return link.owed_for && *link.owed_for >= patience ? LinkDoubt::distrust : LinkDoubt::ask;
}

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
