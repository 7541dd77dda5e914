#include "net/accept/server.hpp"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>
#include <spdlog/spdlog.h>

#include "net/clock.hpp"
#include "net/events/event_log.hpp"
#include "net/link/graceful_close.hpp"
#include "net/shared/spare_links.hpp"
#include "net/socket/link_socket.hpp"

namespace backedpipe {
namespace {

// A target has this long to accept, while the client's bytes wait in the pipe.
constexpr Duration kTargetTimeout = std::chrono::seconds(10);
// How soon it is dialled again when that failed for want of file descriptors.
constexpr auto kDialAgain = std::chrono::milliseconds(100);

}  // namespace

Server::~Server() = default;

// --- settings

Server::SecurityOfListeners Server::read_security(const Settings& settings) {
  SecurityOfListeners security;
  for (const AcceptSettings& accept : settings.accept)
    security.push_back(load_security(accept));
  return security;
}

Server::Plan Server::plan(const Settings& settings, const SecurityOfListeners& security,
                          ListeningSockets& sockets) const {
  Plan plan;
  plan.spare_links = settings.limits.spare_links;
  plan.services = settings.services;
  for (std::size_t i = 0; i < settings.accept.size(); ++i) {
    const AcceptSettings& accept = settings.accept[i];
    plan.entries.push_back({accept, security[i], entry_for(accept, plan, sockets)});
  }
  return plan;
}

// Only those that let the system choose their port can be of the same address: one is as good as
// the other, but each is there once.
std::shared_ptr<Server::Entry> Server::entry_for(const AcceptSettings& wanted, const Plan& planned,
                                                 ListeningSockets& sockets) const {
  for (const auto& entry : entries_) {
    const bool taken =
        std::any_of(planned.entries.begin(), planned.entries.end(),
                    [&entry](const Plan::PlannedEntry& other) { return other.entry == entry; });
    if (entry->settings.listen == wanted.listen && !taken) return entry;
  }
  const ListeningSocket socket = sockets.open(
      wanted.listen, PassedSockets::name_of_link_listener(wanted.listen), planned.entries.size());
  return std::make_shared<Entry>(Entry{
      wanted, std::make_shared<Listener>(worker_.io(), worker_.shared().accept_failures, socket)});
}

void Server::use(Plan plan) {
  services_ = std::move(plan.services);
  spare_links_ = plan.spare_links;
  // Who has proved something to the old settings has not proved it to these.
  close_spares();

  const auto before = std::exchange(entries_, {});
  for (Plan::PlannedEntry& planned : plan.entries) {
    Entry& entry = *planned.entry;
    const bool was_open = entry.factory && entry.settings.security == Security::none;
    entry.settings = std::move(planned.settings);
    entry.factory = std::move(planned.security.factory);
    if (worker_.is_first() && entry.settings.security == Security::none && !was_open) {
      spdlog::warn(
          "listener {}: security is \"none\": links are neither encrypted nor authenticated",
          to_string(entry.settings.listen));
    }
    entries_.push_back(std::move(planned.entry));
  }
  for (const auto& entry : before) {
    if (std::find(entries_.begin(), entries_.end(), entry) != entries_.end()) continue;
    entry->listener->stop();
    if (!worker_.is_first()) continue;
    spdlog::info("not listening for links on {} any more", to_string(entry->listener->address()));
  }
  if (!listening_) return;
  for (const auto& entry : entries_)
    listen(entry);
}

void Server::start() {
  listening_ = true;
  for (const auto& entry : entries_)
    listen(entry);
}

void Server::listen(const std::shared_ptr<Entry>& entry) {
  if (std::exchange(entry->started, true)) return;
  entry->listener->start([this, weak = std::weak_ptr(entry)](StreamSocket socket) {
    if (const auto self = weak.lock()) accepted(self, std::move(socket));
  });
  if (!worker_.is_first()) return;
  spdlog::info("listening for links on {} (security {})", to_string(entry->listener->address()),
               to_string(entry->settings.security));
}

void Server::drain() {
  draining_ = true;
  close_spares();
}

void Server::stop() {
  stopping_ = true;
  close_spares();
  const Sessions sessions = std::move(sessions_);
  sessions_.clear();
  for (const auto& [id, driver] : sessions)
    driver->abandon();
}

// --- handshakes

void Server::accepted(const std::shared_ptr<Entry>& entry, StreamSocket socket) {
  const Remote remote = remote_of(socket);
  prepare_link_socket(socket, worker_.session_options().liveness.dead);
  const SessionDirectory::Entered entered = worker_.shared().directory.enter(remote.host, *this);
  if (entered.evicted) {
    Server& there = *entered.evicted->second;
    boost::asio::post(there.worker_.io(),
                      [&there, evicted = entered.evicted->first] { there.make_room_for(evicted); });
  }
  ++entry->pending;
  const Admission::Ticket ticket = entered.ticket;
  auto link = std::make_shared<PendingLink>(
      entry->factory->wrap(std::move(socket)), hear_for(entry),
      [this, entry, ticket, source = remote.address](PendingLink::End end, const std::string& why) {
        --entry->pending;
        worker_.shared().directory.leave(ticket);
        pending_.erase(ticket);
        handshake_over(*entry, source, end, why);
      });
  pending_.emplace(ticket, link);
  link->start();
}

PendingLink::Heard Server::hear_for(const std::shared_ptr<Entry>& entry) {
  return [this, entry](std::unique_ptr<Transport>& transport, const Hello& hello,
                       ConstBytes early) { return heard(*entry, transport, hello, early); };
}

// Its identity is known and its session has ended: it is in nobody's way.
void Server::keep(const std::shared_ptr<Entry>& entry, std::unique_ptr<Transport> link) {
  const std::uint64_t number = ++last_spare_;
  ++entry->spares;
  auto spare = std::make_shared<PendingLink>(
      std::move(link), hear_for(entry),
      [this, entry, number](PendingLink::End, const std::string& why) {
        --entry->spares;
        spares_.erase(number);
        if (!why.empty()) spdlog::debug("spare link: {}", why);
      });
  spares_.emplace(number, spare);
  spare->await_hello(SpareLinks::kAwait);
}

void Server::close_spares() {
  for (const auto& [number, spare] : std::exchange(spares_, {}))
    spare->evict();
}

void Server::handshake_over(Entry& entry, const std::string& source, PendingLink::End end,
                            const std::string& why) {
  switch (end) {
    case PendingLink::End::heard:
      return;
    case PendingLink::End::closed:
      // No failure: a client closes what it does not need.
      return spdlog::debug("link from {}: {}", source, why);
    case PendingLink::End::evicted:
      if (!entry.evictions) {
        entry.evictions = std::make_unique<RepeatedWarning>(
            worker_.io(), "listener " + to_string(entry.listener->address()) + ": overloaded");
      }
      entry.evictions->add("the unfinished handshake of " + source + " made room for another");
      break;
    case PendingLink::End::failed:
      spdlog::warn("link from {}: handshake failed: {}", source, why);
      break;
  }
  ++handshake_failures_["handshake"];
}

Refused Server::heard(const Entry& entry, std::unique_ptr<Transport>& transport, const Hello& hello,
                      ConstBytes early) {
  const AcceptSettings& accept = entry.settings;
  const std::string identity(transport->identity());
  if (stopping_) {
    return refuse(hello, identity, remote_address(transport->socket()), Reason::shutting_down,
                  "the server is being stopped");
  }

  Reason verdict = Reason::none;
  const bool exists = find_named(services_, hello.service) != nullptr;
  // Which services there are is told only to those who may use all of them, or where everybody
  // may ask: others get one and the same answer.
  const bool may_know = accept.security == Security::none || accept.allows(identity, kAnyName);
  if (!exists && may_know) {
    verdict = Reason::unknown_service;
  } else if (!exists || !accept.allows(identity, hello.service)) {
    verdict = Reason::not_authorised;
  }
  const SessionDirectory::Ruling ruling =
      worker_.shared().directory.rule(hello, identity, verdict, *this, draining_, steady_now());
  switch (ruling.verdict) {
    case SessionRegistry::Verdict::refuse: {
      std::string text;
      if (ruling.reason == Reason::unknown_service) {
        text = "no service named \"" + hello.service + "\"";
      } else if (ruling.reason == Reason::shutting_down) {
        text = "the server is being drained";
      } else if (ruling.reason == Reason::not_authorised) {
        text = hello.open ? "\"" + identity + "\" may not use service \"" + hello.service + "\""
                          : "the session belongs to another identity";
      }
      return refuse(
          hello, identity, remote_address(transport->socket()), ruling.reason, text,
          verdict == Reason::not_authorised && !exists ? " (there is no such service)" : "");
    }
    case SessionRegistry::Verdict::open:
      if (ruling.evicted) {
        Server& there = *ruling.evicted->second;
        boost::asio::post(there.worker_.io(),
                          [&there, evicted = ruling.evicted->first] { there.expire(evicted); });
      }
      return attach(*open(entry, hello, identity), transport, hello, true, early);
    case SessionRegistry::Verdict::resume:
      break;
  }
  if (ruling.holder == this) {
    return attach(*sessions_.at(hello.session), transport, hello, false, early);
  }
  hand_over(std::move(transport), hello, early, *ruling.holder);
  return {};
}

Refused Server::attach(SessionDriver& driver, std::unique_ptr<Transport>& transport,
                       const Hello& hello, bool created, ConstBytes early) {
  const auto attached = driver.attach(transport, hello, created, early);
  if (attached) return {};
  return refuse(hello, transport->identity(), remote_address(transport->socket()),
                reason_of(attached.error()).value_or(Reason::unknown_session), {});
}

// The session lives on another worker's thread, and so does its link from now on.
void Server::hand_over(std::unique_ptr<Transport> transport, const Hello& hello, ConstBytes early,
                       Server& holder) {
  if (!transport->move_to(holder.worker_.io())) return;
  ++links_handed_over_;
  boost::asio::post(holder.worker_.io(),
                    [&holder, link = std::move(transport), hello,
                     bytes = std::vector<std::byte>(early.begin(), early.end())]() mutable {
                      holder.take_over(std::move(link), hello, bytes);
                    });
}

void Server::take_over(std::unique_ptr<Transport> transport, const Hello& hello, ConstBytes early) {
  const auto found = sessions_.find(hello.session);
  Refused refused;
  if (found != sessions_.end()) {
    // It may end, and with it its entry.
    const auto driver = found->second;
    refused = attach(*driver, transport, hello, false, early);
  } else {
    // It has ended on the way here, and what has become of it is known by now.
    const std::string identity(transport->identity());
    const Reason end = worker_.shared().directory.end_of(hello.session, identity);
    refused = refuse(hello, identity, remote_address(transport->socket()),
                     stopping_ ? Reason::shutting_down : end, {});
  }
  if (transport) refuse_link(std::move(transport), refused);
}

void Server::make_room_for(Admission::Ticket ticket) {
  const auto found = pending_.find(ticket);
  if (found == pending_.end()) return;
  const auto evicted = found->second;
  evicted->evict();
}

void Server::expire(const SessionId& session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  const auto evicted = found->second;
  evicted->reset(Reason::expired);
}

Refused Server::refuse(const Hello& hello, std::string_view identity, const std::string& source,
                       Reason reason, const std::string& text, const std::string& log_only) {
  ++handshake_failures_[name(reason)];
  const LogContext about({.session = hello.session,
                          .generation = hello.generation,
                          .service = hello.service,
                          .identity = identity,
                          .reason = name(reason)});
  spdlog::warn("session {} generation {}: refused {}{}{}: {}{}{}{}", to_string(hello.session),
               hello.generation, source, identity.empty() ? "" : ", identity ", identity,
               name(reason), text.empty() ? "" : ": ", text, log_only);
  return {.reason = reason, .text = text.empty() ? make_error_code(reason).message() : text};
}

// --- sessions

std::shared_ptr<SessionDriver> Server::open(const Entry& entry, const Hello& hello,
                                            const std::string& identity) {
  const ServiceSettings& service = *find_named(services_, hello.service);
  const Session::Identity session{
      .id = hello.session, .role = Role::server, .service = hello.service};
  auto driver = std::make_shared<SessionDriver>(
      worker_, SessionDriver::Links{nullptr, *this}, *this, session,
      labels_.of({.tunnel = {},
                  .peer = {},
                  .identity = identity,
                  .listener = to_string(entry.listener->address())}),
      to_string(service.target));
  sessions_.emplace(hello.session, driver);
  ++totals_.opened;
  driver->announce();
  dial_target(std::make_shared<TargetDial>(TargetDial{
      driver, service.target, steady_now() + kTargetTimeout, Timer(worker_.io()), false}));
  return driver;
}

void Server::dial_target(const std::shared_ptr<TargetDial>& dial) {
  Connector::Handlers handlers;
  handlers.wrap = [](StreamSocket socket) { return make_plain_factory()->wrap(std::move(socket)); };
  handlers.done = [this, dial](Connector::Outcome outcome) {
    if (auto* won = std::get_if<Connector::Won>(&outcome)) {
      return dial->driver->connect_application(std::move(won->transport->socket()));
    }
    const auto& lost = std::get<Connector::Lost>(outcome);
    SessionDriver& driver = *dial->driver;
    const std::string id = to_string(driver.session().id());
    const LogContext about({.session = driver.session().id(),
                            .service = driver.session().service(),
                            .reason = name(Reason::target_refused)});
    if (!lost.starved || steady_now() + kDialAgain >= dial->give_up_at) {
      spdlog::warn("session {}: target_refused: {}", id, lost.why);
      return driver.reset(Reason::target_refused);
    }
    if (driver.session().application_done()) return;
    if (!std::exchange(dial->said, true)) {
      spdlog::warn("session {}: cannot dial its target yet: {}", id, lost.why);
    }
    dial->again.expires_after(kDialAgain);
    dial->again.async_wait([this, dial](const boost::system::error_code& cancelled) {
      if (!cancelled) dial_target(dial);
    });
  };
  // The operating system repeats a lost SYN; more is not needed in a network of one's own.
  std::make_shared<Connector>(worker_.io(), std::vector<Address>{dial->target}, std::move(handlers),
                              std::make_shared<EndpointCache>(), std::nullopt)
      ->start();
}

std::uint64_t Server::handshakes_failed() const {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : handshake_failures_)
    sum += count;
  return sum;
}

void Server::attached(SessionDriver& driver) {
  ++totals_.attaches;
  worker_.shared().directory.attached(driver.session().id());
}

void Server::detached(SessionDriver& driver) {
  worker_.shared().directory.detached(driver.session().id(), steady_now());
}

void Server::released(std::unique_ptr<Transport> link, SessionDriver&) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(), [&link](const auto& each) {
    return link->made_by(each->factory);
  });
  if (stopping_ || draining_ || spare_links_ == 0 || entry == entries_.end()) {
    return close_gracefully(std::move(link));
  }
  if (spares_.size() >= spare_links_) {
    // Not the newest, or whoever was here first would have all.
    const auto oldest = spares_.begin()->second;
    oldest->evict();
  }
  keep(*entry, std::move(link));
}

void Server::ended(SessionDriver& driver, Reason reason) {
  ++totals_.ended;
  driver.log().add_to(totals_);
  worker_.shared().directory.end(driver.session().id(), reason, steady_now());
  sessions_.erase(driver.session().id());
}

}  // namespace backedpipe
